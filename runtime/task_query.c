/* The Task service's questions: state, pids, connect, wait. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/own.h"
#include "runtime/container.h"
#include "runtime/sandbox.h"
#include "runtime/task_call.h"
#include "runtime/task_handlers.h"
#include "runtime/task_service.h"

Containerd__Timestamp task_exited_at(const struct process *p)
{
	Containerd__Timestamp t = CONTAINERD__TIMESTAMP__INIT;

	t.seconds = p->exited_at.tv_sec;
	t.nanos = (int32_t)p->exited_at.tv_nsec;
	return t;
}

static Containerd__Status status_of(const struct process *p)
{
	switch (p->state) {
	case PROCESS_CREATING:
	case PROCESS_CREATED:
		return CONTAINERD__STATUS__CREATED;
	case PROCESS_RUNNING:
		return p->container->paused ? CONTAINERD__STATUS__PAUSED
					    : CONTAINERD__STATUS__RUNNING;
	case PROCESS_STOPPED:
		return CONTAINERD__STATUS__STOPPED;
	}
	return CONTAINERD__STATUS__UNKNOWN;
}

void task_state(struct task_call *call)
{
	const struct process *p = call->p;
	Containerd__StateResponse r = CONTAINERD__STATE_RESPONSE__INIT;
	Containerd__Timestamp exited_at = task_exited_at(p);

	r.id = p->container->id;
	r.bundle = p->container->bundle;
	r.pid = (uint32_t)process_host_pid(p);
	r.status = status_of(p);
	r.stdin = p->stdio_names[STDIO_IN];
	r.stdout = p->stdio_names[STDIO_OUT];
	r.stderr = p->stdio_names[STDIO_ERR];
	r.terminal = p->terminal;
	r.exit_status = p->exit_status;
	if (p->state == PROCESS_STOPPED)
		r.exited_at = &exited_at;
	r.exec_id = p->exec_id;
	task_call_reply(call, &r.base);
}

/* nacre.monitor.v1.Monitor/Why: for whoever has only a status, and no log. */
void task_why(struct task_call *call)
{
	Containerd__WhyResponse r = CONTAINERD__WHY_RESPONSE__INIT;
	AUTO_FREE char *why = strdup(process_why(call->p));

	r.why = why ? why : r.why;
	task_call_reply(call, &r.base);
}

/* One number stands for all: the processes themselves have none on this host. */
void task_pids(struct task_call *call)
{
	Containerd__ProcessInfo info = CONTAINERD__PROCESS_INFO__INIT;
	Containerd__ProcessInfo *list[] = {&info};
	Containerd__PidsResponse r = CONTAINERD__PIDS_RESPONSE__INIT;

	info.pid = (uint32_t)process_host_pid(call->p);
	r.processes = list;
	r.n_processes = ARRAY_SIZE(list);
	task_call_reply(call, &r.base);
}

/* The liveness probe: answered for ids that are not known, too. */
void task_connect(struct task_call *call)
{
	const Containerd__ConnectRequest *m = (const Containerd__ConnectRequest *)call->message;
	Containerd__ConnectResponse r = CONTAINERD__CONNECT_RESPONSE__INIT;
	struct container *c = sandbox_container(call->service->sandbox, m->id);

	r.shim_pid = (uint32_t)getpid();
	if (c && c->init)
		r.task_pid = (uint32_t)process_host_pid(c->init);
	task_call_reply(call, &r.base);
}

static void on_exit_known(void *arg, const struct process *p)
{
	Containerd__WaitResponse r = CONTAINERD__WAIT_RESPONSE__INIT;
	Containerd__Timestamp exited_at = task_exited_at(p);

	r.exit_status = p->exit_status;
	r.exited_at = &exited_at;
	task_call_reply(arg, &r.base);
}

/* Unlike other calls it would not be over soon: nothing is kept for one who has gone. */
static void on_wait_cancel(void *arg)
{
	struct task_call *call = arg;

	process_wait_cancel(call->p, call);
	call->req = NULL;
	task_call_reply(call, NULL);
}

void task_wait(struct task_call *call)
{
	struct err err = ERR_INIT;

	ttrpc_on_cancel(call->req, on_wait_cancel, call);
	if (process_wait(call->p, on_exit_known, call, &err))
		task_call_fail(call, &err);
}

void task_unsupported(struct task_call *call)
{
	struct err why = ERR_INIT;

	(void)err_say(&why, ENOSYS,
		      "nacre does not support this operation on a container in a microVM yet");
	task_call_fail(call, &why);
}
