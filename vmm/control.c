/* Puts the machine and its controllers together; see the header. */
#include "vmm/control.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/loop.h"
#include "vmm/jail.h"
#include "vmm/machine.h"
#include "vmm/machine_config.h"
#include "vmm/open.h"
#include "vmm/qmp/qmp.h"
#include "vmm/tasks.h"

#define DRAIN_MS 500

struct control {
	const struct options *options;
	struct machine_config config;
	struct jail jail;
	struct tasks tasks; /* known from start_guest on */
	struct backends backends;
	struct loop *loop;
	struct loop_source *signals;
	struct qmp *qmp;
	struct machine *machine;
	uint64_t exec_us, jail_us;
	bool agent; /* one connects to the monitor */

	/* Why the loop stopped. */
	bool guest_ended;
	enum guest_end end;
	const char *detail;
	enum qmp_cause cause; /* when it was not the guest */
};

/* true: the guest begins anew. */
static bool reboot(struct control *c)
{
	struct err err = ERR_INIT;

	if (machine_reset(c->machine, &err) < 0) {
		log_error("the guest cannot begin anew: %s", err.text);
		return false;
	}
	qmp_was_reset(c->qmp, true);
	return true;
}

static void on_guest_end(void *arg, enum guest_end end, const char *detail)
{
	struct control *c = arg;

	if (end == GUEST_RESET && c->options->reboot && !qmp_wants_end(c->qmp) && reboot(c))
		return;
	c->guest_ended = true;
	c->end = end;
	c->detail = detail;
	loop_stop(c->loop);
}

static void on_monitor_closed(void *arg)
{
	struct control *c = arg;

	c->cause = QMP_HOST_ERROR;
	loop_stop(c->loop);
}

static void on_signal(void *arg, int signo UNUSED)
{
	struct control *c = arg;

	c->cause = QMP_HOST_SIGNAL;
	loop_stop(c->loop);
}

static int add_signals(struct control *c, struct err *err)
{
	sigset_t set;

	(void)signal(SIGPIPE, SIG_IGN);
	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGINT);
	return loop_add_signals(c->loop, &set, on_signal, c, &c->signals, err);
}

static int do_stop(void *self, struct err *err)
{
	struct control *c = self;

	return machine_pause(c->machine, err);
}

static int do_cont(void *self, struct err *err)
{
	struct control *c = self;

	return machine_resume(c->machine, err);
}

static int do_reset(void *self, struct err *err)
{
	struct control *c = self;

	if (!c->options->no_reset)
		return machine_reset(c->machine, err);
	c->cause = QMP_HOST_RESET;
	loop_stop(c->loop);
	return 1;
}

static int do_plug(void *self, struct machine_device *device, int addr, struct err *err)
{
	struct control *c = self;

	return machine_plug(c->machine, device, addr, err);
}

static int do_unplug(void *self, const char *id, struct err *err)
{
	struct control *c = self;

	return machine_unplug(c->machine, id, err);
}

static bool console_has_client(void *self, const char *chardev)
{
	const struct control *c = self;
	struct machine_slot slot;
	uint32_t clients = 0;

	for (size_t i = 0; machine_look(c->machine, i, &slot); i++)
		clients |= slot.console_clients;
	for (size_t i = 0; i < c->options->nports; i++) {
		const struct option_port *port = &c->options->ports[i];

		if (!strcmp(port->chardev, chardev))
			return clients & 1U << port->nr;
	}
	return false;
}

static bool has_iothread(void *self, const char *id)
{
	const struct control *c = self;

	return options_object(c->options, "iothread", id);
}

static bool look(void *self, size_t idx, struct machine_slot *out)
{
	const struct control *c = self;

	if (!machine_look(c->machine, idx, out))
		return false;
	out->tid = tasks_host(&c->tasks, out->tid);
	return true;
}

static void do_quit(void *self)
{
	struct control *c = self;

	c->cause = QMP_HOST_QUIT;
	loop_stop(c->loop);
}

static bool has_agent(void *self)
{
	const struct control *c = self;

	return c->agent;
}

static struct qmp_start_times start_times(void *self)
{
	const struct control *c = self;
	const struct machine_times t = machine_times(c->machine);

	return (struct qmp_start_times){.exec_us = c->exec_us,
					.jail_us = c->jail_us,
					.memory_us = t.memory_us,
					.devices_us = t.devices_us,
					.kernel_us = t.kernel_us,
					.entry_us = t.entry_us};
}

static pid_t tid_of_vcpu(void *self, uint32_t idx)
{
	const struct control *c = self;

	return tasks_host(&c->tasks, machine_vcpu_tid(c->machine, idx));
}

static int listen_at(struct control *c, const char *chardev, struct err *err)
{
	struct backend *backend = NULL;
	AUTO_FD int fd = -1;
	int rc = backends_claim(&c->backends, BACKEND_CHARDEV, chardev, "qmp", &backend, err);

	if (rc == 0)
		rc = open_duplicate(backend->fd, chardev, &fd, err);
	if (rc == 0)
		rc = qmp_add_listener(c->qmp, fd, backend->id, err);
	if (rc == 0)
		fd = -1;
	return rc;
}

static int start_qmp(struct control *c, struct err *err)
{
	static const struct qmp_engine_ops ops = {.stop = do_stop,
						  .cont = do_cont,
						  .reset = do_reset,
						  .quit = do_quit,
						  .has_agent = has_agent,
						  .start_times = start_times,
						  .plug = do_plug,
						  .unplug = do_unplug,
						  .console_has_client = console_has_client,
						  .has_iothread = has_iothread,
						  .look = look,
						  .vcpu_tid = tid_of_vcpu};
	const struct qmp_engine engine = {.ops = &ops,
					  .self = c,
					  .backends = &c->backends,
					  .name = c->options->name,
					  .uuid = c->options->uuid,
					  .vcpus = c->config.vcpus,
					  .max_vcpus = c->config.max_vcpus ? c->config.max_vcpus
									   : c->config.vcpus};
	int rc = qmp_create(c->loop, &engine, &c->qmp, err);

	for (size_t i = 0; rc == 0 && i < c->options->nmonitors; i++)
		rc = listen_at(c, c->options->monitors[i], err);
	if (rc == 0 && c->options->monitor_fd >= 0)
		rc = qmp_add_monitor(c->qmp, (int)c->options->monitor_fd, on_monitor_closed, c,
				     err);
	return rc;
}

/* POWERDOWN is the monitor's to carry out: it needs one, and an agent that listens to it. */
static bool monitored_agent(const struct options *o)
{
	for (size_t i = 0; i < o->ndevices; i++) {
		if (o->devices[i].kind == OPTION_DEVICE_VSOCK && o->devices[i].agent_fd >= 0)
			return o->monitor_fd >= 0;
	}
	return false;
}

/* Everything the machine is made of is open afterwards. */
static int open_all(struct control *c, struct err *err)
{
	const char *root = c->options->jail_root;
	int rc = machine_config_open(c->options, &c->backends, &c->config, err);

	if (rc == 0 && root)
		rc = jail_open(root, &c->jail, err);
	if (rc == 0 && root)
		rc = machine_config_jail(&c->config, &c->jail, err);
	return rc;
}

int control_create(const struct options *options, uint64_t exec_us, struct control **out,
		   struct err *err)
{
	CLEANUP(own_control_destroy) struct control *c = calloc(1, sizeof(*c));
	const struct machine_events events = {.on_end = on_guest_end, .arg = c};
	int rc;

	if (!c)
		return err_set(err, ENOMEM, "engine");
	c->options = options;
	c->exec_us = exec_us;
	c->detail = "";
	c->jail = (struct jail){.root_fd = -1, .proc_fd = -1, .task_fd = -1};
	c->agent = monitored_agent(options);
	rc = open_all(c, err);
	if (rc == 0)
		rc = loop_create(&c->loop, err);
	if (rc == 0)
		rc = add_signals(c, err);
	if (rc == 0)
		rc = start_qmp(c, err);
	if (rc == 0)
		rc = machine_create(&c->config, c->loop, &events, &c->machine, err);
	if (rc == 0 && options->jail_root)
		rc = jail_enter(&c->jail, !options->no_seccomp, err);
	if (rc < 0)
		return rc;
	c->backends.fdsets.sealed = options->jail_root != NULL;
	own_close(&c->jail.root_fd);
	own_close(&c->jail.proc_fd);
	c->jail_us = clock_now_us();
	*out = TAKE_PTR(&c);
	return 0;
}

static int start_guest(struct control *c, struct err *err)
{
	int rc = c->options->freeze ? machine_pause(c->machine, err) : 0;

	if (rc == 0)
		rc = machine_start(c->machine, err);
	if (rc == 0 && c->jail.task_fd >= 0)
		rc = tasks_read(&c->tasks, c->jail.task_fd, err);
	own_close(&c->jail.task_fd);
	if (rc == 0)
		jail_thread(THREAD_MAIN);
	if (rc < 0 || c->options->freeze)
		return rc;
	qmp_started(c->qmp);
	return 0;
}

/* What the end of the guest is called, and whether it was one that nobody wants. */
static const struct {
	enum qmp_cause cause;
	const char *crash;
} ends[] = {
	[GUEST_RESET] = {QMP_GUEST_RESET, NULL},
	[GUEST_SHUTDOWN] = {QMP_GUEST_SHUTDOWN, NULL},
	[GUEST_TRIPLE_FAULT] = {QMP_GUEST_PANIC, "triple fault"},
	[GUEST_INTERNAL_ERROR] = {QMP_HOST_ERROR, "KVM could not go on"},
};

/* The console's last words leave before the news of the end does. */
static int finish(struct control *c)
{
	char crash[256];

	machine_stop(c->machine);
	if (!c->guest_ended) {
		qmp_ended(c->qmp, c->cause, NULL);
		return 0;
	}
	(void)snprintf(crash, sizeof(crash), "%s%s%s", ends[c->end].crash ? ends[c->end].crash : "",
		       *c->detail ? ": " : "", c->detail);
	qmp_ended(c->qmp, ends[c->end].cause, ends[c->end].crash ? crash : NULL);
	if (c->end == GUEST_TRIPLE_FAULT)
		log_warn("the guest crashed: %s", crash);
	if (c->end != GUEST_INTERNAL_ERROR)
		return 0;
	log_error("the guest ended by an internal error: %s", c->detail);
	return 1;
}

int control_run(struct control *c, int *status, struct err *err)
{
	int rc = start_guest(c, err);

	if (rc == 0)
		rc = loop_run(c->loop, err);
	if (rc < 0)
		return rc;
	*status = finish(c);
	qmp_drain(c->qmp, DRAIN_MS);
	return 0;
}

void control_destroy(struct control *c)
{
	if (!c)
		return;
	machine_destroy(c->machine);
	qmp_destroy(c->qmp);
	loop_remove(c->signals);
	loop_destroy(c->loop);
	machine_config_done(&c->config);
	jail_done(&c->jail);
	tasks_done(&c->tasks);
	backends_done(&c->backends);
	free(c);
}
