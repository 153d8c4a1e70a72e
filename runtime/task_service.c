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
#include "runtime/container_control.h"
#include "runtime/events.h"
#include "runtime/sandbox.h"
#include "runtime/task_call.h"
#include "runtime/task_events.h"
#include "runtime/task_handlers.h"

#define SIGNAL_MAX 64

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
	task_publish_create(call->service, m, r.pid);
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

static void task_create(struct task_call *call)
{
	const Containerd__CreateTaskRequest *m =
		(const Containerd__CreateTaskRequest *)call->message;
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
	call->service->used = true;
	const struct container_params params = {
		.id = m->id,
		.bundle = m->bundle,
		.mounts = mounts,
		.nmounts = m->n_rootfs,
		.stub_pid = stub_of(m),
		.io = {.names = {m->stdin, m->stdout, m->stderr}, .terminal = m->terminal},
	};
	container_create(call->service->sandbox, &params, on_created, call);
}

static void on_started(void *arg, const struct err *status)
{
	struct task_call *call = arg;
	Containerd__StartResponse r = CONTAINERD__START_RESPONSE__INIT;

	if (status->code) {
		task_call_fail(call, status);
		return;
	}
	task_publish_start(call->service, call->p);
	r.pid = (uint32_t)process_host_pid(call->p);
	task_call_reply(call, &r.base);
}

static void task_start(struct task_call *call)
{
	process_start(call->p, on_started, call);
}

static void on_deleted(void *arg, const struct err *status)
{
	struct task_call *call = arg;
	const struct process *p = call->p;
	Containerd__DeleteResponse r = CONTAINERD__DELETE_RESPONSE__INIT;
	Containerd__Timestamp exited_at = task_exited_at(p);

	if (status->code) {
		task_call_fail(call, status);
		return;
	}
	r.pid = (uint32_t)process_host_pid(p);
	r.exit_status = p->exit_status;
	r.exited_at = &exited_at;
	if (process_is_init(p))
		task_publish_delete(call->service, p);
	task_call_reply(call, &r.base);
}

static void task_delete(struct task_call *call)
{
	if (process_is_init(call->p))
		container_delete(call->p->container, on_deleted, call);
	else
		container_delete_exec(call->p, on_deleted, call);
}

static void task_kill(struct task_call *call)
{
	const Containerd__KillRequest *m = (const Containerd__KillRequest *)call->message;
	struct err err = ERR_INIT;

	if (m->signal > SIGNAL_MAX) {
		(void)err_say(&err, EINVAL, "there is no signal %u", m->signal);
		task_call_fail(call, &err);
		return;
	}
	process_signal(call->p, m->signal, m->all, task_call_done, call);
}

static void on_exec_added(void *arg, const struct err *status)
{
	struct task_call *call = arg;
	const Containerd__ExecProcessRequest *m =
		(const Containerd__ExecProcessRequest *)call->message;

	if (status->code) {
		task_call_fail(call, status);
		return;
	}
	task_publish_exec_added(call->service, m);
	task_call_reply(call, NULL);
}

static void task_exec(struct task_call *call)
{
	const Containerd__ExecProcessRequest *m =
		(const Containerd__ExecProcessRequest *)call->message;
	const struct process_io io = {.names = {m->stdin, m->stdout, m->stderr},
				      .terminal = m->terminal};
	struct err err = ERR_INIT;

	if (!m->spec || !str_ends(m->spec->type_url, "runtime-spec/1/Process")) {
		(void)err_say(&err, EINVAL, "exec needs an OCI process");
		task_call_fail(call, &err);
		return;
	}
	container_exec(call->p->container, m->exec_id, m->spec->value.data, m->spec->value.len, &io,
		       on_exec_added, call);
}

static void on_resized(void *arg, const struct err *status, const struct agent_answer *answer)
{
	(void)answer;
	task_call_done(arg, status);
}

static void task_resize(struct task_call *call)
{
	const Containerd__ResizePtyRequest *m = (const Containerd__ResizePtyRequest *)call->message;

	agent_resize(call->service->sandbox->agent, call->p->container->id, call->p->exec_id,
		     m->width, m->height, on_resized, call);
}

static void task_close_io(struct task_call *call)
{
	const Containerd__CloseIORequest *m = (const Containerd__CloseIORequest *)call->message;

	if (m->stdin && call->p->io)
		stdio_close_stdin(call->p->io);
	task_call_reply(call, NULL);
}

static void on_paused(void *arg, const struct err *status)
{
	struct task_call *call = arg;

	if (!status->code)
		task_publish_paused(call->service, call->p->container);
	task_call_done(call, status);
}

static void task_pause(struct task_call *call)
{
	container_pause(call->p->container, true, on_paused, call);
}

static void task_resume(struct task_call *call)
{
	container_pause(call->p->container, false, on_paused, call);
}

static void task_update(struct task_call *call)
{
	const Containerd__UpdateTaskRequest *m =
		(const Containerd__UpdateTaskRequest *)call->message;
	struct err err = ERR_INIT;

	if (!m->resources || !str_ends(m->resources->type_url, "runtime-spec/1/LinuxResources")) {
		(void)err_say(&err, EINVAL, "update needs OCI resources of Linux");
		task_call_fail(call, &err);
		return;
	}
	container_update(call->p->container, m->resources->value.data, m->resources->value.len,
			 task_call_done, call);
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

	task_call_done(call, status);
	events_when_idle(ts->events, on_idle, ts);
}

/* Asked after every delete: only the last one means it. */
static void task_shutdown(struct task_call *call)
{
	const Containerd__ShutdownRequest *m = (const Containerd__ShutdownRequest *)call->message;

	if (call->service->sandbox->containers && !m->now)
		task_call_reply(call, NULL);
	else
		sandbox_stop(call->service->sandbox, on_stopped, call);
}

/* nacre.monitor.v1.Monitor/Attach(WaitRequest) -> Empty: from now on the process lives no longer than this connection. */
static void monitor_attach(struct task_call *call)
{
	struct task_client *client = call->client;
	struct err err = ERR_INIT;

	if (client->attached || call->p->host_pid) {
		(void)err_say(&err, EEXIST, "the process has its stub already");
		task_call_fail(call, &err);
		return;
	}
	client->attached = process_get(call->p);
	call->p->host_pid = client->pid;
	task_call_reply(call, NULL);
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

/* on_NAME: the ttrpc handler of a method. */
#define METHOD(name, kind, whom)                                                                   \
	static void on_##name(void *arg, struct ttrpc_request *req, const uint8_t *payload,        \
			      size_t len)                                                          \
	{                                                                                          \
		static const struct task_method m = {&containerd__##kind##__descriptor, whom,      \
						     name};                                        \
                                                                                                   \
		task_serve(&m, arg, req, payload, len);                                            \
	}

METHOD(task_create, create_task_request, TASK_OF_NOBODY)
METHOD(task_start, start_request, TASK_OF_PROCESS)
METHOD(task_delete, delete_request, TASK_OF_PROCESS)
METHOD(task_state, state_request, TASK_OF_PROCESS)
METHOD(task_pids, pids_request, TASK_OF_INIT)
METHOD(task_kill, kill_request, TASK_OF_PROCESS)
METHOD(task_exec, exec_process_request, TASK_OF_INIT)
METHOD(task_resize, resize_pty_request, TASK_OF_PROCESS)
METHOD(task_close_io, close_iorequest, TASK_OF_PROCESS)
METHOD(task_wait, wait_request, TASK_OF_PROCESS)
METHOD(task_connect, connect_request, TASK_OF_NOBODY)
METHOD(task_shutdown, shutdown_request, TASK_OF_NOBODY)
METHOD(task_pause, pause_request, TASK_OF_INIT)
METHOD(task_resume, resume_request, TASK_OF_INIT)
METHOD(task_update, update_task_request, TASK_OF_INIT)
METHOD(task_unsupported, pids_request, TASK_OF_INIT)
METHOD(monitor_attach, wait_request, TASK_OF_PROCESS)
METHOD(task_why, wait_request, TASK_OF_PROCESS)

#define TASK_METHODS(service)                                                                      \
	{service, "Create", on_task_create}, {service, "Start", on_task_start},                    \
		{service, "Delete", on_task_delete}, {service, "State", on_task_state},            \
		{service, "Pids", on_task_pids}, {service, "Kill", on_task_kill},                  \
		{service, "Exec", on_task_exec}, {service, "ResizePty", on_task_resize},           \
		{service, "CloseIO", on_task_close_io}, {service, "Wait", on_task_wait},           \
		{service, "Connect", on_task_connect}, {service, "Shutdown", on_task_shutdown},    \
		{service, "Pause", on_task_pause}, {service, "Resume", on_task_resume},            \
		{service, "Checkpoint", on_task_unsupported}, {service, "Update", on_task_update}, \
	{                                                                                          \
		service, "Stats", on_task_unsupported                                              \
	}

const struct ttrpc_method task_methods[] = {
	TASK_METHODS(TASK_SERVICE_V2),
	TASK_METHODS(TASK_SERVICE_V3),
	{NACRE_MONITOR_SERVICE, "Attach", on_monitor_attach},
	{NACRE_MONITOR_SERVICE, "Why", on_task_why},
	{NULL, NULL, NULL},
};
