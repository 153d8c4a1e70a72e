/*
 * Boot of a sandbox's microVM. The agent dials in on a socket pair whose other end the vmm holds, so nothing is
 * polled: Hello waits in that socket until the guest is up, and its deadline is the boot's.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/log.h"
#include "base/str.h"
#include "runtime/agent_client.h"
#include "runtime/broker.h"
#include "runtime/monitor_jail.h"
#include "runtime/network.h"
#include "runtime/powerdown.h"
#include "runtime/resources.h"
#include "runtime/sandbox_cgroup.h"
#include "runtime/sandbox_life.h"
#include "runtime/sandbox_network.h"
#include "runtime/state_dir.h"
#include "runtime/unix_socket.h"
#include "runtime/vcpus.h"
#include "runtime/vmm_process.h"

static void on_network(void *arg, const struct err *status)
{
	struct sandbox *s = arg;
	const struct err fine = ERR_INIT;

	if (s->state != SANDBOX_BOOTING)
		return;
	if (status->code) {
		sandbox_end_because(s, status->text);
		return;
	}
	s->state = SANDBOX_READY;
	vcpus_after_boot(s);
	sandbox_tell_waiters(&s->boot_waiters, &fine);
}

/* Before any workload is in the guest: what the guest's agent has said so far is the project's own kernel and agent's. */
static int give_up_rights(struct sandbox *s, struct err *err)
{
	int rc = broker_seal(s->broker, s->vmm_pid, err);

	return rc ? rc : monitor_jail_enter(err);
}

static void on_hello(void *arg, const struct err *status, const struct agent_answer *answer)
{
	struct sandbox *s = arg;
	struct err err = ERR_INIT;
	char late[64];

	if (s->state != SANDBOX_BOOTING)
		return;
	if (status->code == 0 && give_up_rights(s, &err) == 0) {
		start_record_mark(&s->start, START_AGENT);
		start_record_guest(&s->start, &answer->times);
		sandbox_tell_times(s);
		log_info("sandbox %s: guest is up, Linux %s", s->id, answer->kernel_release);
		network_begin(s->network, on_network, s);
		return;
	}
	/* A vmm that is about to end says why better than the connection it closed. */
	if (status->code == ENOTCONN || status->code == ECONNRESET) {
		sandbox_expect_end(s);
		return;
	}
	(void)snprintf(late, sizeof(late), "no word from the guest within %llu ms",
		       (unsigned long long)s->config->boot_timeout_ms);
	if (status->code)
		sandbox_end_because(s, status->code == ETIMEDOUT ? late : status->text);
	else
		sandbox_end_because(s, err.text);
}

static void on_vmm_running(void *arg, struct json_object *times)
{
	struct sandbox *s = arg;

	start_record_merge(&s->start, times);
}

static void on_vmm_powerdown(void *arg)
{
	struct sandbox *s = arg;

	powerdown_begin(s);
}

static void on_vmm_vcpu(void *arg, uint32_t idx, bool online)
{
	vcpus_plug(arg, idx, online);
}

static int listen_in_state(const struct sandbox *s, const char *name, int *fd, struct err *err)
{
	AUTO_FREE char *path = str_printf("%s/%s", s->state_dir, name);

	return path ? unix_listen(path, fd, err) : err_set(err, ENOMEM, "listen at '%s'", name);
}

static int start_vmm(struct sandbox *s, int cgroup_fd, struct err *err)
{
	AUTO_FD int listener = -1;
	AUTO_FD int qmp = -1;
	AUTO_FD int agent_ours = -1;
	AUTO_FD int agent_theirs = -1;
	struct procid id = {0};
	int pair[2];

	int rc = listen_in_state(s, STATE_VSOCK_SOCK, &listener, err);
	if (!rc && s->config->qmp)
		rc = listen_in_state(s, STATE_QMP_SOCK, &qmp, err);
	if (rc)
		return rc;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		return err_set(err, errno, "make the agent's socket");
	agent_ours = pair[0];
	agent_theirs = pair[1];
	rc = agent_client_create(s->loop, agent_ours, sandbox_on_agent_lost, s, &s->agent, err);
	if (rc)
		return rc;
	(void)TAKE_FD(&agent_ours);
	const struct vmm_params p = {
		.loop = s->loop,
		.vmm_path = s->config->vmm_path,
		.vm = s->vm,
		.shared_dir = s->export_dir,
		.cgroup_fd = cgroup_fd,
		.vsock_listen_fd = listener,
		.agent_fd = agent_theirs,
		.qmp_fd = qmp,
		.network = s->network,
		.net_ns_fd = network_ns(s->network),
		.on_running = on_vmm_running,
		.on_powerdown = on_vmm_powerdown,
		.on_vcpu = on_vmm_vcpu,
		.on_end = sandbox_on_vmm_end,
		.arg = s,
	};
	start_record_mark(&s->start, START_SPAWN);
	rc = vmm_start(&p, &s->vmm, err);
	network_release_taps(s->network);
	if (rc)
		return rc;
	s->vmm_pid = vmm_pid(s->vmm);
	rc = procid_of(s->vmm_pid, &id, err);
	return rc ? rc : resources_add_process(s->state_dir, "vmm", &id, err);
}

static int boot(struct sandbox *s, const struct oci_spec *spec, pid_t stub, struct err *err)
{
	int cgroup_fd = 0;
	int rc = vm_plan(s->config, spec, &s->vm, err);

	if (!rc)
		rc = sandbox_network_open(s, spec, stub, err);
	if (!rc)
		rc = sandbox_cgroup_make(spec->cgroups_path, s->state_dir, &cgroup_fd, err);
	if (!rc)
		rc = start_vmm(s, cgroup_fd, err);
	if (cgroup_fd)
		own_close(&cgroup_fd);
	if (rc) {
		sandbox_drop_vmm(s);
		s->state = SANDBOX_ENDED;
		(void)snprintf(s->why, sizeof(s->why), "%s", err ? err->text : "it never started");
		return rc;
	}
	s->state = SANDBOX_BOOTING;
	return 0;
}

void sandbox_boot(struct sandbox *s, const struct oci_spec *spec, pid_t stub, process_fn fn,
		  void *arg)
{
	struct err err = ERR_INIT;

	switch (s->state) {
	case SANDBOX_NEW:
		if (boot(s, spec, stub, &err))
			break;
		sandbox_add_waiter(&s->boot_waiters, fn, arg);
		agent_hello(s->agent, s->id, (uint32_t)s->config->boot_timeout_ms, on_hello, s);
		return;
	case SANDBOX_BOOTING:
	case SANDBOX_READY:
		if (s->state == SANDBOX_READY)
			break;
		sandbox_add_waiter(&s->boot_waiters, fn, arg);
		return;
	case SANDBOX_STOPPING:
	case SANDBOX_ENDED:
		(void)err_say(&err, EBUSY, "the microVM of this sandbox has ended: %s", s->why);
		break;
	}
	fn(arg, &err);
}
