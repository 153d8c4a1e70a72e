/* The end of containers and execs: the guest first, then the host lets go whatever the guest says. */
#include <errno.h>

#include "base/log.h"
#include "runtime/agent_client.h"
#include "runtime/container_call.h"
#include "runtime/sandbox.h"

#define STATUS_KILLED 137

static void on_poststop(void *arg, const struct err *status)
{
	const struct err fine = ERR_INIT;

	(void)status; /* they only warn */
	container_call_end(arg, &fine);
}

static void on_guest_deleted(void *arg, const struct err *status, const struct agent_answer *answer)
{
	struct container_call *call = arg;
	const struct err fine = ERR_INIT;

	(void)answer;
	/* The guest may be gone or misbehave: the host lets go all the same. */
	if (status->code && status->code != ENOENT)
		log_info("container %s: the agent did not delete it: %s", call->c->id,
			 status->text);
	process_give_up(call->p, STATUS_KILLED);
	if (!process_is_init(call->p)) {
		container_forget_exec(call->p);
		container_call_end(call, &fine);
		return;
	}
	container_remove(call->c);
	container_run_hooks(call->c, HOOKS_POSTSTOP, on_poststop, call);
}

static void delete_process(struct process *p, enum agent_verb verb, process_fn fn, void *arg)
{
	struct container *c = p->container;
	struct err err = ERR_INIT;

	if (c->deleting || p->state == PROCESS_CREATING || p->starting)
		(void)err_say(&err, EBUSY, "the container is busy with another request");
	else if (p->state == PROCESS_RUNNING)
		(void)err_say(&err, EBUSY, "cannot delete a running process");
	struct container_call *call = err.code ? NULL : container_call_new(c, p, fn, arg);

	if (!call) {
		if (!err.code)
			(void)err_set(&err, ENOMEM, "delete a process");
		fn(arg, &err);
		return;
	}
	if (process_is_init(p))
		c->deleting = true;
	agent_process(c->sandbox->agent, verb, c->id, p->exec_id, on_guest_deleted, call);
}

void container_delete(struct container *c, process_fn fn, void *arg)
{
	delete_process(c->init, AGENT_DELETE_CONTAINER, fn, arg);
}

void container_delete_exec(struct process *p, process_fn fn, void *arg)
{
	delete_process(p, AGENT_DELETE_PROCESS, fn, arg);
}
