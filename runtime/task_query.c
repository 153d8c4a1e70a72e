/* The Task service's questions: state, pids, connect, wait. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "runtime/container.h"
#include "runtime/sandbox.h"
#include "runtime/task_call.h"
#include "runtime/task_handlers.h"
#include "runtime/task_service.h"

struct process *task_find(struct task_service *ts, struct ttrpc_request *req, const char *id,
			  const char *exec_id)
{
	struct container *c = sandbox_container(ts->sandbox, id);

	if (!c || !c->init) {
		ttrpc_fail(req, TTRPC_NOT_FOUND, "container does not exist");
		return NULL;
	}
	struct process *p = container_process(c, exec_id);
	if (!p)
		ttrpc_fail(req, TTRPC_NOT_FOUND, "process '%s' does not exist in container '%s'",
			   exec_id, id);
	return p;
}

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
		return CONTAINERD__STATUS__RUNNING;
	case PROCESS_STOPPED:
		return CONTAINERD__STATUS__STOPPED;
	}
	return CONTAINERD__STATUS__UNKNOWN;
}

void task_state(void *arg, struct ttrpc_request *req, const uint8_t *payload, size_t len)
{
	struct task_client *client = arg;
	AUTO_MESSAGE Containerd__StateRequest *m =
		task_unpack(req, &containerd__state_request__descriptor, payload, len);
	struct process *p = m ? task_find(client->service, req, m->id, m->exec_id) : NULL;

	if (!p)
		return;
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
	task_reply(req, &r.base);
}

/* One number stands for all: the processes themselves have none on this host. */
void task_pids(void *arg, struct ttrpc_request *req, const uint8_t *payload, size_t len)
{
	struct task_client *client = arg;
	AUTO_MESSAGE Containerd__PidsRequest *m =
		task_unpack(req, &containerd__pids_request__descriptor, payload, len);
	struct process *p = m ? task_find(client->service, req, m->id, "") : NULL;

	if (!p)
		return;
	Containerd__ProcessInfo info = CONTAINERD__PROCESS_INFO__INIT;
	Containerd__ProcessInfo *list[] = {&info};
	Containerd__PidsResponse r = CONTAINERD__PIDS_RESPONSE__INIT;

	info.pid = (uint32_t)process_host_pid(p);
	r.processes = list;
	r.n_processes = ARRAY_SIZE(list);
	task_reply(req, &r.base);
}

/* The liveness probe: answered for ids that are not known, too. */
void task_connect(void *arg, struct ttrpc_request *req, const uint8_t *payload, size_t len)
{
	struct task_client *client = arg;
	AUTO_MESSAGE Containerd__ConnectRequest *m =
		task_unpack(req, &containerd__connect_request__descriptor, payload, len);

	if (!m)
		return;
	Containerd__ConnectResponse r = CONTAINERD__CONNECT_RESPONSE__INIT;
	struct container *c = sandbox_container(client->service->sandbox, m->id);

	r.shim_pid = (uint32_t)getpid();
	if (c && c->init)
		r.task_pid = (uint32_t)process_host_pid(c->init);
	task_reply(req, &r.base);
}

struct waiting {
	struct ttrpc_request *req;
	struct process *p; /* a counted reference */
};

static void on_exit_known(void *arg, const struct process *p)
{
	struct waiting *w = arg;
	Containerd__WaitResponse r = CONTAINERD__WAIT_RESPONSE__INIT;
	Containerd__Timestamp exited_at = task_exited_at(p);

	r.exit_status = p->exit_status;
	r.exited_at = &exited_at;
	task_reply(w->req, &r.base);
	process_put(w->p);
	free(w);
}

static void on_wait_cancel(void *arg)
{
	struct waiting *w = arg;

	process_wait_cancel(w->p, w);
	process_put(w->p);
	free(w);
}

void task_wait(void *arg, struct ttrpc_request *req, const uint8_t *payload, size_t len)
{
	struct task_client *client = arg;
	struct err err = ERR_INIT;
	AUTO_MESSAGE Containerd__WaitRequest *m =
		task_unpack(req, &containerd__wait_request__descriptor, payload, len);
	struct process *p = m ? task_find(client->service, req, m->id, m->exec_id) : NULL;

	if (!p)
		return;
	struct waiting *w = malloc(sizeof(*w));
	if (!w) {
		ttrpc_fail(req, TTRPC_RESOURCE_EXHAUSTED, "out of memory");
		return;
	}
	*w = (struct waiting){.req = req, .p = process_get(p)};
	ttrpc_on_cancel(req, on_wait_cancel, w);
	if (process_wait(p, on_exit_known, w, &err)) {
		ttrpc_fail_err(req, &err);
		process_put(w->p);
		free(w);
	}
}

void task_unsupported(void *arg, struct ttrpc_request *req, const uint8_t *payload, size_t len)
{
	(void)arg;
	(void)payload;
	(void)len;
	ttrpc_fail(req, TTRPC_UNIMPLEMENTED,
		   "nacre does not support this operation on a container in a microVM yet");
}
