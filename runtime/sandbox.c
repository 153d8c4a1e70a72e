/*
 * Boot and end of a sandbox's microVM. The agent dials in on a socket pair whose other end the vmm holds, so nothing is
 * polled: Hello waits in that socket until the guest is up, and its deadline is the boot's. All ways down meet in
 * on_vmm_end().
 */
#include "runtime/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/log.h"
#include "base/str.h"
#include "runtime/agent_client.h"
#include "runtime/container.h"
#include "runtime/kvm_probe.h"
#include "runtime/monitor_jail.h"
#include "runtime/network.h"
#include "runtime/powerdown.h"
#include "runtime/resources.h"
#include "runtime/sandbox_cgroup.h"
#include "runtime/sandbox_network.h"
#include "runtime/shared_tree.h"
#include "runtime/state_dir.h"
#include "runtime/unix_socket.h"
#include "runtime/vcpus.h"
#include "runtime/vmm_process.h"

#define GOODBYE_TIMEOUT_MS 2000
#define STOP_TIMEOUT_MS    2500

struct sandbox_waiter {
	process_fn fn;
	void *arg;
	struct sandbox_waiter *next;
};

static void add_waiter(struct sandbox_waiter **list, process_fn fn, void *arg)
{
	struct sandbox_waiter *w = malloc(sizeof(*w));
	struct err err = ERR_INIT;

	if (!w) {
		(void)err_set(&err, ENOMEM, "wait for the microVM");
		fn(arg, &err);
		return;
	}
	*w = (struct sandbox_waiter){.fn = fn, .arg = arg, .next = *list};
	*list = w;
}

static void tell_all(struct sandbox_waiter **list, const struct err *status)
{
	struct sandbox_waiter *w = *list;

	*list = NULL;
	while (w) {
		struct sandbox_waiter *next = w->next;

		w->fn(w->arg, status);
		free(w);
		w = next;
	}
}

struct container *sandbox_container(struct sandbox *s, const char *id)
{
	for (struct container *c = s->containers; c; c = c->next)
		if (strcmp(c->id, id) == 0)
			return c;
	return NULL;
}

void sandbox_link(struct sandbox *s, struct container *c)
{
	c->next = s->containers;
	s->containers = c;
}

void sandbox_unlink(struct sandbox *s, struct container *c)
{
	for (struct container **at = &s->containers; *at; at = &(*at)->next) {
		if (*at == c) {
			*at = c->next;
			return;
		}
	}
}

void sandbox_tell_started(struct sandbox *s)
{
	struct err err = ERR_INIT;

	start_record_mark(&s->start, START_STARTED);
	if (start_record_save(&s->start, s->state_dir, &err))
		log_warn("%s", err.text);
}

void sandbox_tell_exit(struct sandbox *s, const struct process *p)
{
	if (s->hooks.on_exit)
		s->hooks.on_exit(s->hooks.arg, p);
	powerdown_look(s);
}

void sandbox_tell_oom(struct sandbox *s, const struct container *c)
{
	if (s->hooks.on_oom)
		s->hooks.on_oom(s->hooks.arg, c);
}

int sandbox_create(struct loop *loop, const char *id, const char *state_dir,
		   const struct sandbox_hooks *hooks, struct sandbox **out, struct err *err)
{
	CLEANUP(own_sandbox_destroy) struct sandbox *s = calloc(1, sizeof(*s));

	if (!s)
		return err_set(err, ENOMEM, "make a sandbox");
	s->loop = loop;
	s->hooks = *hooks;
	s->container_hooks.loop = loop;
	start_record_mark(&s->start, START_MONITOR);
	s->id = strdup(id);
	s->state_dir = strdup(state_dir);
	s->vsock_path = str_printf("%s/%s", state_dir, STATE_VSOCK_SOCK);
	s->export_dir = str_printf("%s/%s", state_dir, STATE_EXPORT_DIR);
	if (!s->id || !s->state_dir || !s->vsock_path || !s->export_dir)
		return err_set(err, ENOMEM, "make a sandbox");
	*out = TAKE_PTR(&s);
	return 0;
}

void sandbox_destroy(struct sandbox *s)
{
	if (!s)
		return;
	struct err gone = ERR_INIT;
	struct agent_client *agent = TAKE_PTR(&s->agent);

	(void)err_say(&gone, ECANCELED, "the sandbox is being removed");
	s->state = SANDBOX_ENDED;
	hooks_close(&s->container_hooks);
	loop_remove(s->stop_timer);
	loop_remove(s->powerdown_timer);
	network_end(s->network);
	vmm_destroy(s->vmm);
	s->vmm = NULL;
	agent_client_destroy(agent);
	network_destroy(TAKE_PTR(&s->network));
	tell_all(&s->boot_waiters, &gone);
	tell_all(&s->stop_waiters, &gone);
	while (s->containers)
		container_remove(s->containers);
	if (s->prepared)
		shared_tree_unmake(s->state_dir);
	if (s->container_hooks.host_mount_ns_fd)
		own_close(&s->container_hooks.host_mount_ns_fd);
	nacre_config_destroy(s->config);
	free(s->export_dir);
	vm_config_destroy(s->vm);
	free(s->vsock_path);
	free(s->state_dir);
	free(s->id);
	free(s);
}

/* A KVM that emulates guest kernels looks like any other and then boots nothing. */
static int check_kvm(struct err *err)
{
	char words[KVM_PROBE_WORDS];
	int rc = kvm_probe_run(STATE_ROOT_DEFAULT, words, err);

	if (rc != -ENOENT)
		return rc;
	log_warn("%s: starting the microVM unasked", err->text);
	*err = (struct err)ERR_INIT;
	return 0;
}

static int load_config(struct sandbox *s, struct err *err)
{
	const char *config_dir = getenv("NACRE_CONFIG_DIR");
	int rc = s->config ? 0
			   : nacre_config_load(config_dir ? config_dir : "/etc/nacre", &s->config,
					       err);

	if (!rc && !s->debug)
		log_set_level((enum log_level)s->config->log_level);
	return rc;
}

/* Hooks are run where nacre was called: the first prepare's namespace, also when that failed later. */
static int remember_mount_namespace(struct sandbox *s, struct err *err)
{
	if (s->container_hooks.host_mount_ns_fd)
		return 0;
	int fd = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return err_set(err, errno, "open the mount namespace");
	s->container_hooks.host_mount_ns_fd = fd;
	return 0;
}

int sandbox_prepare(struct sandbox *s, struct err *err)
{
	if (s->state == SANDBOX_STOPPING || s->state == SANDBOX_ENDED)
		return err_say(err, EBUSY, "the microVM of this sandbox has ended: %s", s->why);
	if (s->prepared)
		return 0;
	int rc = load_config(s, err);
	if (!rc)
		rc = vmm_check_files(s->config->vmm_path, s->config->kernel_path,
				     s->config->initramfs_path, err);
	if (!rc)
		rc = check_kvm(err);
	if (!rc)
		rc = remember_mount_namespace(s, err);
	if (!rc)
		rc = shared_tree_enter_namespace(err);
	if (!rc)
		rc = shared_tree_make(s->state_dir, err);
	s->prepared = !rc;
	return rc;
}

/* With as much of the newest console lines as there is room for. */
static void did_not_start(const struct sandbox *s, struct err *err)
{
	static const char between[] = "; its console ended with: ";
	char quote[ERR_TEXT_BYTES] = "";

	(void)err_say(err, EIO, "the microVM did not start: %.600s", s->why);
	vmm_quote_console(s->vmm, quote, sizeof(quote) - strlen(err->text) - sizeof(between));
	if (*quote)
		(void)err_say(err, EIO, "the microVM did not start: %.600s%s%s", s->why, between,
			      quote);
}

static void on_vmm_end(void *arg, const char *why)
{
	struct sandbox *s = arg;
	const bool booting = s->state == SANDBOX_BOOTING;
	const bool stopping = s->state == SANDBOX_STOPPING;
	struct err err = ERR_INIT;
	char quote[ERR_TEXT_BYTES] = "";

	s->state = SANDBOX_ENDED;
	if (!s->why[0])
		(void)snprintf(s->why, sizeof(s->why), "%s", why);
	if (booting) {
		did_not_start(s, &err);
	} else if (!stopping) {
		vmm_quote_console(s->vmm, quote, sizeof(quote));
		log_error("sandbox %s: the microVM crashed: %s", s->id, s->why);
		(void)err_say(&err, EIO, "the microVM crashed: %s", s->why);
	}
	network_end(s->network);
	vmm_destroy(s->vmm);
	s->vmm = NULL;
	struct agent_client *agent = TAKE_PTR(&s->agent);

	/* Whoever waits for the agent is answered by this. */
	agent_client_destroy(agent);
	network_destroy(TAKE_PTR(&s->network));
	for (struct container *c = s->containers; c; c = c->next)
		container_lost(c);
	loop_remove(s->stop_timer);
	loop_remove(s->powerdown_timer);
	s->stop_timer = s->powerdown_timer = NULL;
	tell_all(&s->boot_waiters, &err);
	tell_all(&s->stop_waiters, &(const struct err)ERR_INIT);
}

static void on_stop_deadline(void *arg)
{
	struct sandbox *s = arg;

	log_warn("sandbox %s: the guest did not end in time", s->id);
	if (s->state != SANDBOX_STOPPING && !s->why[0])
		(void)snprintf(s->why, sizeof(s->why),
			       "the guest's agent hung up, and the guest did not end");
	if (s->vmm)
		vmm_kill(s->vmm);
}

/* The vmm should end by itself now, with its own words for it; if it does not, it is killed. */
static void expect_end(struct sandbox *s)
{
	struct err err = ERR_INIT;

	if (!s->vmm)
		return;
	if ((!s->stop_timer &&
	     loop_add_timer(s->loop, on_stop_deadline, s, &s->stop_timer, &err)) ||
	    loop_arm(s->stop_timer, STOP_TIMEOUT_MS)) {
		log_warn("no deadline for the guest's end: %s", err.text);
		vmm_kill(s->vmm);
	}
}

/* Nothing is expected of a guest whose agent breaks the rules, not even that it ends. */
static void end_broken_agent(struct sandbox *s, const struct err *why)
{
	if (!s->why[0])
		(void)snprintf(s->why, sizeof(s->why), "the guest's agent broke the rules: %.800s",
			       why->text);
	if (s->vmm)
		vmm_kill(s->vmm);
}

static void on_agent_lost(void *arg, const struct err *why)
{
	struct sandbox *s = arg;

	if (why->code == EPROTO || why->code == ENOBUFS)
		end_broken_agent(s, why);
	if (s->state != SANDBOX_READY)
		return;
	/* A guest without its agent cannot be told anything any more; mostly the guest is ending. */
	log_info("sandbox %s: the guest's agent is gone: %s", s->id, why->text);
	expect_end(s);
}

static void on_network(void *arg, const struct err *status)
{
	struct sandbox *s = arg;
	const struct err fine = ERR_INIT;

	if (s->state != SANDBOX_BOOTING)
		return;
	if (status->code) {
		(void)snprintf(s->why, sizeof(s->why), "%s", status->text);
		if (s->vmm)
			vmm_kill(s->vmm);
		return;
	}
	s->state = SANDBOX_READY;
	vcpus_after_boot(s);
	tell_all(&s->boot_waiters, &fine);
}

static void on_hello(void *arg, const struct err *status, const struct agent_answer *answer)
{
	struct sandbox *s = arg;
	struct err jail = ERR_INIT;

	if (s->state != SANDBOX_BOOTING)
		return;
	if (status->code == 0) {
		if (monitor_jail_enter(&jail))
			log_warn("sandbox %s: %s", s->id, jail.text);
		start_record_mark(&s->start, START_AGENT);
		start_record_guest(&s->start, &answer->times);
		log_info("sandbox %s: guest is up, Linux %s", s->id, answer->kernel_release);
		network_begin(s->network, on_network, s);
		return;
	}
	/* A vmm that is about to end says why better than the connection it closed. */
	if (status->code == ENOTCONN || status->code == ECONNRESET) {
		expect_end(s);
		return;
	}
	if (status->code == ETIMEDOUT)
		(void)snprintf(s->why, sizeof(s->why), "no word from the guest within %llu ms",
			       (unsigned long long)s->config->boot_timeout_ms);
	else
		(void)snprintf(s->why, sizeof(s->why), "%s", status->text);
	if (s->vmm)
		vmm_kill(s->vmm);
}

static void on_vmm_running(void *arg, struct json_object *times)
{
	struct sandbox *s = arg;

	start_record_merge(&s->start, times);
}

static void on_goodbye(void *arg, const struct err *status, const struct agent_answer *answer)
{
	struct sandbox *s = arg;

	(void)answer;
	if (!status->code || !s->vmm)
		return;
	log_info("sandbox %s: the agent did not say goodbye: %s", s->id, status->text);
	vmm_kill(s->vmm);
}

static void say_goodbye(struct sandbox *s)
{
	s->state = SANDBOX_STOPPING;
	expect_end(s);
	agent_shutdown(s->agent, GOODBYE_TIMEOUT_MS, on_goodbye, s);
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

static int listen_for_qmp(const struct sandbox *s, int *fd, struct err *err)
{
	AUTO_FREE char *path = str_printf("%s/%s", s->state_dir, STATE_QMP_SOCK);

	return path ? unix_listen(path, fd, err) : err_set(err, ENOMEM, "listen for QMP");
}

static int start_vmm(struct sandbox *s, int cgroup_fd, struct err *err)
{
	AUTO_FD int listener = -1;
	AUTO_FD int qmp = -1;
	AUTO_FD int agent_ours = -1;
	AUTO_FD int agent_theirs = -1;
	struct procid id = {0};
	int pair[2];

	int rc = unix_listen(s->vsock_path, &listener, err);
	if (!rc && s->config->qmp)
		rc = listen_for_qmp(s, &qmp, err);
	if (rc)
		return rc;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		return err_set(err, errno, "make the agent's socket");
	agent_ours = pair[0];
	agent_theirs = pair[1];
	rc = agent_client_create(s->loop, agent_ours, on_agent_lost, s, &s->agent, err);
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
		.on_end = on_vmm_end,
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
		vmm_destroy(s->vmm);
		s->vmm = NULL;
		struct agent_client *agent = TAKE_PTR(&s->agent);

		agent_client_destroy(agent);
		network_destroy(TAKE_PTR(&s->network));
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
		add_waiter(&s->boot_waiters, fn, arg);
		agent_hello(s->agent, s->id, (uint32_t)s->config->boot_timeout_ms, on_hello, s);
		return;
	case SANDBOX_BOOTING:
	case SANDBOX_READY:
		if (sandbox_network_check(s, spec, &err) || s->state == SANDBOX_READY)
			break;
		add_waiter(&s->boot_waiters, fn, arg);
		return;
	case SANDBOX_STOPPING:
	case SANDBOX_ENDED:
		(void)err_say(&err, EBUSY, "the microVM of this sandbox has ended: %s", s->why);
		break;
	}
	fn(arg, &err);
}

void sandbox_stop(struct sandbox *s, process_fn fn, void *arg)
{
	const struct err fine = ERR_INIT;

	switch (s->state) {
	case SANDBOX_NEW:
	case SANDBOX_ENDED:
		fn(arg, &fine);
		return;
	case SANDBOX_BOOTING:
		add_waiter(&s->stop_waiters, fn, arg);
		(void)snprintf(s->why, sizeof(s->why), "it was stopped while it booted");
		vmm_kill(s->vmm);
		return;
	case SANDBOX_READY:
		add_waiter(&s->stop_waiters, fn, arg);
		say_goodbye(s);
		return;
	case SANDBOX_STOPPING:
		add_waiter(&s->stop_waiters, fn, arg);
		return;
	}
}

static void ignore_stop(void *arg, const struct err *status)
{
	(void)arg;
	(void)status;
}

void sandbox_abandon_if_empty(struct sandbox *s)
{
	if (!s->containers && s->state != SANDBOX_NEW)
		sandbox_stop(s, ignore_stop, NULL);
}
