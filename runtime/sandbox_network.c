/* See sandbox_network.h. */
#include "runtime/sandbox_network.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/own.h"
#include "runtime/agent_client.h"
#include "runtime/broker.h"
#include "runtime/network_ns.h"
#include "runtime/network_plug.h"
#include "runtime/sandbox.h"
#include "runtime/vmm_process.h"

/* One request to the agent. */
struct question {
	network_fn fn;
	void *arg;
};

static void on_configured(void *arg, const struct err *status, const struct agent_answer *answer)
{
	struct question *q = arg;
	const struct question asked = *q;

	(void)answer;
	free(q);
	asked.fn(asked.arg, status);
}

static void configure(void *arg, const void *bytes, size_t len, network_fn fn, void *fn_arg)
{
	struct sandbox *s = arg;
	struct question *q = malloc(sizeof(*q));
	struct err err = ERR_INIT;

	if (!q) {
		(void)err_set(&err, ENOMEM, "ask the agent");
		fn(fn_arg, &err);
		return;
	}
	*q = (struct question){fn, fn_arg};
	agent_configure_network(s->agent, bytes, len, on_configured, q);
}

static int join(void *arg, int link, int *tap, int *tap_fd, struct err *err)
{
	const struct sandbox *s = arg;

	return broker_join(s->broker, link, tap, tap_fd, err);
}

static int leave(void *arg, int link, struct err *err)
{
	const struct sandbox *s = arg;

	return broker_leave(s->broker, link, err);
}

static int follow_mtu(void *arg, int link, struct err *err)
{
	const struct sandbox *s = arg;

	return broker_follow_mtu(s->broker, link, err);
}

static void plug(void *arg, const struct network_nic *nic, network_fn fn, void *fn_arg)
{
	const struct sandbox *s = arg;

	network_plug(vmm_qmp(s->vmm), nic, fn, fn_arg);
}

static void unplug(void *arg, const struct network_nic *nic, network_fn fn, void *fn_arg)
{
	const struct sandbox *s = arg;

	network_unplug(vmm_qmp(s->vmm), nic, fn, fn_arg);
}

static const char *path_of(const struct oci_spec *spec)
{
	const struct oci_namespace *ns = oci_namespace(spec, OCI_NS_NETWORK);

	return ns ? ns->path : "";
}

static int open_namespace(const struct oci_spec *spec, pid_t stub, int *fd, struct err *err)
{
	char path[32];

	if (stub <= 0)
		return network_ns_open(path_of(spec), fd, err);
	(void)snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)stub);
	return network_ns_open(path, fd, err);
}

int sandbox_network_open(struct sandbox *s, const struct oci_spec *spec, pid_t stub,
			 struct err *err)
{
	AUTO_FD int ns_fd = -1;
	int rc = open_namespace(spec, stub, &ns_fd, err);

	if (rc)
		return rc;
	rc = broker_network(s->broker, ns_fd, path_of(spec), err);
	if (rc)
		return rc;
	const struct network_params p = {
		.loop = s->loop,
		.ns_fd = ns_fd,
		.spare_slots = s->vm->spare_nics,
		.ops = {join, leave, follow_mtu, plug, unplug, configure, s},
	};
	return network_open(&p, &s->network, err);
}

void sandbox_network_settle(struct sandbox *s, network_fn fn, void *arg)
{
	const struct err fine = ERR_INIT;

	if (s->network)
		network_settle(s->network, fn, arg);
	else
		fn(arg, &fine);
}
