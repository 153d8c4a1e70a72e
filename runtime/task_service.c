/*
 * The Task service's deeds. Each handler decodes, finds, asks the sandbox and answers in the callback; events go out before the
 * answer, so that a start is published before any exit can be.
 */
#include "runtime/task_service.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/str.h"
#include "runtime/agent_client.h"
#include "runtime/container.h"
#include "runtime/events.h"
#include "runtime/sandbox.h"
#include "runtime/task_call.h"
#include "runtime/task_handlers.h"

#define SIGNAL_MAX 64

void task_on_exit(void *arg, const struct process *p)
{
	struct task_service *ts = arg;
	Containerd__TaskExit ev = CONTAINERD__TASK_EXIT__INIT;
	Containerd__Timestamp exited_at = task_exited_at(p);

	log_info("container %s: '%s' ended with %u", p->container->id, p->exec_id, p->exit_status);
	ev.container_id = p->container->id;
	ev.id = process_is_init(p) ? p->container->id : p->exec_id;
	ev.pid = (uint32_t)process_host_pid(p);
	ev.exit_status = p->exit_status;
	ev.exited_at = &exited_at;
	events_publish(ts->events, "/tasks/exit", "containerd.events.TaskExit", &ev.base);
}

void task_on_oom(void *arg, const struct container *c)
{
	struct task_service *ts = arg;
	Containerd__TaskOOM ev = CONTAINERD__TASK_OOM__INIT;

	ev.container_id = c->id;
	events_publish(ts->events, "/tasks/oom", "containerd.events.TaskOOM", &ev.base);
}

static void publish_create(struct task_service *ts, const Containerd__CreateTaskRequest *m,
			   uint32_t pid)
{
	Containerd__TaskCreate ev = CONTAINERD__TASK_CREATE__INIT;
	Containerd__TaskIO io = CONTAINERD__TASK_IO__INIT;

	io.stdin = m->stdin;
	io.stdout = m->stdout;
	io.stderr = m->stderr;
	io.terminal = m->terminal;
	ev.container_id = m->id;
	ev.bundle = m->bundle;
	ev.rootfs = m->rootfs;
	ev.n_rootfs = m->n_rootfs;
	ev.io = &io;
	ev.pid = pid;
	events_publish(ts->events, "/tasks/create", "containerd.events.TaskCreate", &ev.base);
}

static void on_created(void *arg, const struct err *status)
{
	struct task_call *call = arg;
	const Containerd__CreateTaskRequest *m =
		(const Containerd__CreateTaskRequest *)call->message;
	struct container *c = sandbox_container(call->service->sandbox, m->id);
	Containerd__CreateTaskResponse r = CONTAINERD__CREATE_TASK_RESPONSE__INIT;

	if (status->code || !c) {
		log_error("container %s: create failed: %s", m->id, status->text);
		struct err why = *status;

		/* Unimplemented would say that this shim knows no Create, and containerd would try another way. */
		if (why.code == ENOTSUP || why.code == ENOSYS)
			why.code = EINVAL;
		task_call_fail(call, &why);
		return;
	}
	r.pid = (uint32_t)process_host_pid(c->init);
	publish_create(call->service, m, r.pid);
	task_call_reply(call, &r.base);
}

/* Views of the request's mounts; the strings stay the request's. NULL when out of memory. */
static struct rootfs_mount *mounts_of(const Containerd__CreateTaskRequest *m)
{
	struct rootfs_mount *mounts = calloc(m->n_rootfs + 1, sizeof(*mounts));

	for (size_t i = 0; mounts && i < m->n_rootfs; i++) {
		const Containerd__Mount *from = m->rootfs[i];

		mounts[i] = (struct rootfs_mount){
			.type = from->type,
			.source = from->source,
			.target = from->target,
			.options = (const char *const *)from->options,
			.noptions = from->n_options,
		};
	}
	return mounts;
}

/* 0 when none is announced: in the shim's face the vmm stands for all. */
static pid_t stub_of(const Containerd__CreateTaskRequest *m)
{
	char text[16] = "";
	uint64_t pid = 0;

	if (!m->options || strcmp(m->options->type_url, TASK_OPTIONS_STUB) != 0 ||
	    m->options->value.len >= sizeof(text))
		return 0;
	memcpy(text, m->options->value.data, m->options->value.len);
	return str_to_u64(text, 1, INT32_MAX, &pid) ? 0 : (pid_t)pid;
}

static void task_create(void *arg, struct ttrpc_request *req, const uint8_t *payload, size_t len)
{
	struct task_client *client = arg;
	Containerd__CreateTaskRequest *m =
		task_unpack(req, &containerd__create_task_request__descriptor, payload, len);
	if (!m)
		return;
	struct task_call *call = task_call_begin(req, client->service, m, NULL);
	if (!call)
		return;
	AUTO_FREE struct rootfs_mount *mounts = mounts_of(m);
	struct err err = ERR_INIT;

	if (!mounts)
		(void)err_set(&err, ENOMEM, "create a container");
	else if (*m->checkpoint)
		(void)err_say(&err, ENOTSUP, "nacre does not restore checkpoints");
	if (err.code) {
		task_call_fail(call, &err);
		return;
	}
	client->service->used = true;
	const struct container_params params = {
		.id = m->id,
		.bundle = m->bundle,
		.mounts = mounts,
		.nmounts = m->n_rootfs,
		.stub_pid = stub_of(m),
		.io = {.names = {m->stdin, m->stdout, m->stderr}, .terminal = m->terminal},
	};
	container_create(client->service->sandbox, &params, on_created, call);
}

static void publish_start(struct task_service *ts, const struct process *p)
{
	Containerd__TaskStart start = CONTAINERD__TASK_START__INIT;
	Containerd__TaskExecStarted exec = CONTAINERD__TASK_EXEC_STARTED__INIT;

	if (process_is_init(p)) {
		start.container_id = p->container->id;
		start.pid = (uint32_t)process_host_pid(p);
		events_publish(ts->events, "/tasks/start", "containerd.events.TaskStart",
			       &start.base);
		return;
	}
	exec.container_id = p->container->id;
	exec.exec_id = p->exec_id;
	exec.pid = (uint32_t)process_host_pid(p);
	events_publish(ts->events, "/tasks/exec-started", "containerd.events.TaskExecStarted",
		       &exec.base);
}

static void on_started(void *arg, const struct err *status)
{
	struct task_call *call = arg;
	Containerd__StartResponse r = CONTAINERD__START_RESPONSE__INIT;

	if (status->code) {
		task_call_fail(call, status);
		return;
	}
	publish_start(call->service, call->p);
	r.pid = (uint32_t)process_host_pid(call->p);
	task_call_reply(call, &r.base);
}

static void task_start(void *arg, struct ttrpc_request *req, const uint8_t *payload, size_t len)
{
	struct task_client *client = arg;
	AUTO_MESSAGE Containerd__StartRequest *m =
		task_unpack(req, &containerd__start_request__descriptor, payload, len);
	struct process *p = m ? task_find(client->service, req, m->id, m->exec_id) : NULL;
	struct task_call *call = p ? task_call_begin(req, client->service, NULL, p) : NULL;

	if (call)
		process_start(p, on_started, call);
}

static void on_deleted(void *arg, const struct err *status)
{
	struct task_call *call = arg;
	const struct process *p = call->p;
	Containerd__DeleteResponse r = CONTAINERD__DELETE_RESPONSE__INIT;
	Containerd__TaskDelete ev = CONTAINERD__TASK_DELETE__INIT;
	Containerd__Timestamp exited_at = task_exited_at(p);

	if (status->code) {
		task_call_fail(call, status);
		return;
	}
	r.pid = (uint32_t)process_host_pid(p);
	r.exit_status = p->exit_status;
	r.exited_at = &exited_at;
	if (process_is_init(p)) {
		ev.container_id = p->container->id;
		ev.id = p->container->id;
		ev.pid = r.pid;
		ev.exit_status = r.exit_status;
		ev.exited_at = &exited_at;
		events_publish(call->service->events, "/tasks/delete",
			       "containerd.events.TaskDelete", &ev.base);
	}
	task_call_reply(call, &r.base);
}

static void task_delete(void *arg, struct ttrpc_request *req, const uint8_t *payload, size_t len)
{
	struct task_client *client = arg;
	AUTO_MESSAGE Containerd__DeleteRequest *m =
		task_unpack(req, &containerd__delete_request__descriptor, payload, len);
	struct process *p = m ? task_find(client->service, req, m->id, m->exec_id) : NULL;
	struct task_call *call = p ? task_call_begin(req, client->service, NULL, p) : NULL;

	if (!call)
		return;
	if (process_is_init(p))
		container_delete(p->container, on_deleted, call);
	else
		container_delete_exec(p, on_deleted, call);
}

static void on_done(void *arg, const struct err *status)
{
	if (status->code)
		task_call_fail(arg, status);
	else
		task_call_reply(arg, NULL);
}

static void task_kill(void *arg, struct ttrpc_request *req, const uint8_t *payload, size_t len)
{
	struct task_client *client = arg;
	AUTO_MESSAGE Containerd__KillRequest *m =
		task_unpack(req, &containerd__kill_request__descriptor, payload, len);
	struct process *p = m ? task_find(client->service, req, m->id, m->exec_id) : NULL;

	if (!p)
		return;
	if (m->signal > SIGNAL_MAX) {
		ttrpc_fail(req, TTRPC_INVALID_ARGUMENT, "there is no signal %u", m->signal);
		return;
	}
	struct task_call *call = task_call_begin(req, client->service, NULL, p);
	if (call)
		process_signal(p, m->signal, m->all, on_done, call);
}

static void on_exec_added(void *arg, const struct err *status)
{
	struct task_call *call = arg;
	const Containerd__ExecProcessRequest *m =
		(const Containerd__ExecProcessRequest *)call->message;
	Containerd__TaskExecAdded ev = CONTAINERD__TASK_EXEC_ADDED__INIT;

	if (status->code) {
		task_call_fail(call, status);
		return;
	}
	ev.container_id = m->id;
	ev.exec_id = m->exec_id;
	events_publish(call->service->events, "/tasks/exec-added",
		       "containerd.events.TaskExecAdded", &ev.base);
	task_call_reply(call, NULL);
}

static void task_exec(void *arg, struct ttrpc_request *req, const uint8_t *payload, size_t len)
{
	struct task_client *client = arg;
	Containerd__ExecProcessRequest *m =
		task_unpack(req, &containerd__exec_process_request__descriptor, payload, len);
	if (!m)
		return;
	struct process *init = task_find(client->service, req, m->id, "");

	if (init && (!m->spec || !str_ends(m->spec->type_url, "runtime-spec/1/Process"))) {
		ttrpc_fail(req, TTRPC_INVALID_ARGUMENT, "exec needs an OCI process");
		init = NULL;
	}
	if (!init) {
		protobuf_c_message_free_unpacked(&m->base, NULL);
		return;
	}
	const struct process_io io = {.names = {m->stdin, m->stdout, m->stderr},
				      .terminal = m->terminal};
	struct task_call *call = task_call_begin(req, client->service, m, init);

	if (call)
		container_exec(init->container, m->exec_id, m->spec->value.data, m->spec->value.len,
			       &io, on_exec_added, call);
}

static void on_resized(void *arg, const struct err *status, const struct agent_answer *answer)
{
	(void)answer;
	on_done(arg, status);
}

static void task_resize(void *arg, struct ttrpc_request *req, const uint8_t *payload, size_t len)
{
	struct task_client *client = arg;
	AUTO_MESSAGE Containerd__ResizePtyRequest *m =
		task_unpack(req, &containerd__resize_pty_request__descriptor, payload, len);
	struct process *p = m ? task_find(client->service, req, m->id, m->exec_id) : NULL;
	struct task_call *call = p ? task_call_begin(req, client->service, NULL, p) : NULL;

	if (call)
		agent_resize(client->service->sandbox->agent, p->container->id, p->exec_id,
			     m->width, m->height, on_resized, call);
}

static void task_close_io(void *arg, struct ttrpc_request *req, const uint8_t *payload, size_t len)
{
	struct task_client *client = arg;
	AUTO_MESSAGE Containerd__CloseIORequest *m =
		task_unpack(req, &containerd__close_iorequest__descriptor, payload, len);
	struct process *p = m ? task_find(client->service, req, m->id, m->exec_id) : NULL;

	if (!p)
		return;
	if (m->stdin && p->io)
		stdio_close_stdin(p->io);
	task_reply_empty(req);
}

static void on_idle(void *arg)
{
	struct task_service *ts = arg;

	ts->on_shutdown(ts->arg);
}

static void on_stopped(void *arg, const struct err *status)
{
	struct task_call *call = arg;
	struct task_service *ts = call->service;

	on_done(call, status);
	events_when_idle(ts->events, on_idle, ts);
}

/* Asked after every delete: only the last one means it. */
static void task_shutdown(void *arg, struct ttrpc_request *req, const uint8_t *payload, size_t len)
{
	struct task_client *client = arg;
	AUTO_MESSAGE Containerd__ShutdownRequest *m =
		task_unpack(req, &containerd__shutdown_request__descriptor, payload, len);

	if (!m)
		return;
	if (client->service->sandbox->containers && !m->now) {
		task_reply_empty(req);
		return;
	}
	struct task_call *call = task_call_begin(req, client->service, NULL, NULL);
	if (call)
		sandbox_stop(client->service->sandbox, on_stopped, call);
}

/* nacre.monitor.v1.Monitor/Attach(WaitRequest) -> Empty: from now on the process lives no longer than this connection. */
static void monitor_attach(void *arg, struct ttrpc_request *req, const uint8_t *payload, size_t len)
{
	struct task_client *client = arg;
	AUTO_MESSAGE Containerd__WaitRequest *m =
		task_unpack(req, &containerd__wait_request__descriptor, payload, len);
	struct process *p = m ? task_find(client->service, req, m->id, m->exec_id) : NULL;

	if (!p)
		return;
	if (client->attached || p->host_pid) {
		ttrpc_fail(req, TTRPC_ALREADY_EXISTS, "the process has its stub already");
		return;
	}
	client->attached = process_get(p);
	p->host_pid = client->pid;
	task_reply_empty(req);
}

static void ignore_kill(void *arg, const struct err *status)
{
	(void)arg;
	(void)status;
}

void task_client_gone(struct task_client *client)
{
	struct process *p = TAKE_PTR(&client->attached);

	if (!p)
		return;
	if (!p->exit_known) {
		log_info("container %s: its stub is gone, killing it", p->container->id);
		process_signal(p, SIGKILL, true, ignore_kill, NULL);
	}
	process_put(p);
}

#define TASK_METHODS(service)                                                                      \
	{service, "Create", task_create}, {service, "Start", task_start},                          \
		{service, "Delete", task_delete}, {service, "State", task_state},                  \
		{service, "Pids", task_pids}, {service, "Kill", task_kill},                        \
		{service, "Exec", task_exec}, {service, "ResizePty", task_resize},                 \
		{service, "CloseIO", task_close_io}, {service, "Wait", task_wait},                 \
		{service, "Connect", task_connect}, {service, "Shutdown", task_shutdown},          \
		{service, "Pause", task_unsupported}, {service, "Resume", task_unsupported},       \
		{service, "Checkpoint", task_unsupported}, {service, "Update", task_unsupported},  \
	{                                                                                          \
		service, "Stats", task_unsupported                                                 \
	}

const struct ttrpc_method task_methods[] = {
	TASK_METHODS(TASK_SERVICE_V2),
	TASK_METHODS(TASK_SERVICE_V3),
	{NACRE_MONITOR_SERVICE, "Attach", monitor_attach},
	{NULL, NULL, NULL},
};
