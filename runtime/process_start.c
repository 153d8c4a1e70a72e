/*
 * A start, step by step: the network as it is by now, the agent, the hooks of after it. The caller hears of it before anybody
 * hears of the exit; where a hook fails the process is killed, and the caller hears when it runs no more.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>

#include "base/log.h"
#include "runtime/agent_client.h"
#include "runtime/container.h"
#include "runtime/process_internal.h"
#include "runtime/sandbox.h"
#include "runtime/sandbox_network.h"

struct failed_start {
	struct process_call *call;
	struct err why;
};

/* The caller tells of the start before anybody tells of the exit. */
static void start_is_over(struct process_call *call, const struct err *status)
{
	struct process *p = process_get(call->p);

	process_call_end(call, status);
	p->starting = false;
	process_maybe_finish(p);
	process_put(p);
}

/* A start that failed after the process ran: told when it runs no more. */
static void on_stopped_again(void *arg, const struct process *p)
{
	struct failed_start *f = arg;

	(void)p;
	process_call_end(f->call, &f->why);
	free(f);
}

static void on_stop_sent(void *arg, const struct err *status)
{
	struct process *p = arg;

	if (status->code && status->code != ESRCH) {
		log_warn("container %s: it cannot be stopped: %s", p->container->id, status->text);
		process_give_up(p, PROCESS_STATUS_LOST);
	}
	process_put(p);
}

static void on_poststart(void *arg, const struct err *status)
{
	struct process_call *call = arg;
	struct process *p = call->p;
	struct failed_start *f = status->code ? malloc(sizeof(*f)) : NULL;
	struct err err = ERR_INIT;

	if (!f) {
		start_is_over(call, status);
		return;
	}
	*f = (struct failed_start){.call = call, .why = *status};
	p->starting = false;
	(void)process_get(p);
	process_maybe_finish(p);
	process_signal(p, SIGKILL, true, on_stop_sent, process_get(p));
	if (process_wait(p, on_stopped_again, f, &err)) {
		free(f);
		process_call_end(call, status);
	}
	process_put(p);
}

static void on_start_answer(void *arg, const struct err *status, const struct agent_answer *answer)
{
	struct process_call *call = arg;
	struct process *p = call->p;
	struct err err = ERR_INIT;

	(void)answer;
	if (status->code) {
		p->starting = false;
		start_is_over(call, status);
		return;
	}
	p->state = PROCESS_RUNNING;
	p->ever_started = true;
	if (stdio_start_input(p->io, &err))
		log_error("container %s: standard input: %s", p->container->id, err.text);
	sandbox_tell_started(p->container->sandbox);
	if (process_is_init(p))
		container_run_hooks(p->container, HOOKS_POSTSTART, on_poststart, call);
	else
		start_is_over(call, status);
}

static void on_network(void *arg, const struct err *status)
{
	struct process_call *call = arg;
	const struct process *p = call->p;
	const struct agent_answer none = {0};

	if (status->code)
		on_start_answer(call, status, &none);
	else
		agent_process(p->container->sandbox->agent, AGENT_START, p->container->id,
			      p->exec_id, on_start_answer, call);
}

void process_start(struct process *p, process_fn fn, void *arg)
{
	struct err err = ERR_INIT;

	if (p->exit_known || p->state == PROCESS_STOPPED)
		(void)err_say(&err, EBUSY, "cannot start a container that has stopped");
	else if (p->state == PROCESS_CREATING)
		(void)err_say(&err, EBUSY, "cannot start a container that is still being created");
	else if (p->state == PROCESS_RUNNING || p->starting)
		(void)err_say(&err, EBUSY, "cannot start an already running container");
	if (err.code) {
		fn(arg, &err);
		return;
	}
	struct process_call *call = process_call_new(p, fn, arg);

	if (!call)
		return;
	p->starting = true;
	/* Engines add interfaces between create and start: whoever runs finds them all. */
	if (process_is_init(p))
		sandbox_network_settle(p->container->sandbox, on_network, call);
	else
		on_network(call, &err);
}
