/*
 * Creation of containers and execs. Creation does everything that can fail on the host first (spec, mounts, streams), then
 * boots or joins the microVM, then asks the agent; whatever fails, container_abandon() takes back what was done.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "runtime/agent_client.h"
#include "runtime/broker.h"
#include "runtime/container_call.h"
#include "runtime/sandbox.h"

static void ignore_answer(void *arg, const struct err *status, const struct agent_answer *answer)
{
	(void)arg;
	(void)status;
	(void)answer;
}

static void on_abandoned(void *arg, const struct err *status)
{
	struct container_call *call = arg;
	const struct err reason = call->why;

	(void)status; /* poststop hooks only warn */
	container_call_end(call, &reason);
}

/* A create that failed: `why` goes to the caller after the host is clean. */
static void container_abandon(struct container_call *call, const struct err *why)
{
	struct container *c = call->c;
	call->why = *why;
	if (call->p && call->p->in_guest)
		agent_process(c->sandbox->agent, AGENT_DELETE_CONTAINER, c->id, "", ignore_answer,
			      NULL);
	container_remove(c);
	sandbox_abandon_if_empty(c->sandbox);
	if (c->hooked)
		container_run_hooks(c, HOOKS_POSTSTOP, on_abandoned, call);
	else
		on_abandoned(call, why);
}

static void on_attached(void *arg, const struct err *status)
{
	struct container_call *call = arg;

	if (status->code) {
		container_abandon(call, status);
		return;
	}
	sandbox_tell_created(call->c->sandbox);
	container_call_end(call, status);
}

/* An agent that did not answer in time may go on all the same: what it makes is to be deleted. */
static void note_late_create(struct process *p, const struct err *status)
{
	p->in_guest = status->code == ETIMEDOUT;
}

static void on_guest_created(void *arg, const struct err *status, const struct agent_answer *answer)
{
	struct container_call *call = arg;

	(void)answer;
	note_late_create(call->p, status);
	if (status->code)
		container_abandon(call, status);
	else
		process_attach(call->p, on_attached, call);
}

static void on_create_hooks(void *arg, const struct err *status)
{
	struct container_call *call = arg;
	struct container *c = call->c;
	struct err err = *status;

	if (!err.code && c->sandbox->state != SANDBOX_READY)
		(void)err_say(&err, EIO, "the microVM ended while hooks ran: %s", c->sandbox->why);
	if (err.code)
		container_abandon(call, &err);
	else
		agent_create_container(c->sandbox->agent, c->id, c->plan->guest_spec_json,
				       c->plan->rootfs_name, call->p->io, on_guest_created, call);
}

static void on_booted(void *arg, const struct err *status)
{
	struct container_call *call = arg;
	struct container *c = call->c;

	if (status->code) {
		container_abandon(call, status);
		return;
	}
	c->hooked = true;
	container_run_hooks(c, HOOKS_CREATE, on_create_hooks, call);
}

/* As the broker read it: it acts by the same bytes. */
static int load_spec(struct container *c, struct err *err)
{
	AUTO_FREE char *text = NULL;
	size_t len = 0;
	int rc = broker_add(c->sandbox->broker, c->id, c->bundle, c->stub_pid, &c->number, &text,
			    &len, err);

	if (!rc)
		rc = oci_parse(text, len, c->bundle, &c->spec, err);
	if (!rc)
		rc = oci_check(c->spec, err);
	if (!rc)
		rc = container_plan_make(c->id, c->bundle, text, len, c->spec, &c->plan, err);
	return rc;
}

static int host_side(struct container *c, const struct container_params *params,
		     struct process **init, struct err *err)
{
	int rc = sandbox_prepare(c->sandbox, err);

	if (!rc)
		rc = load_spec(c, err);
	if (!rc)
		rc = process_create(c, "", &params->io, init, err);
	return rc;
}

static void on_shared(void *arg, const struct err *status)
{
	struct container_call *call = arg;
	struct container *c = call->c;

	if (status->code)
		container_abandon(call, status);
	else
		sandbox_boot(c->sandbox, c->spec, c->stub_pid, on_booted, call);
}

static int container_new(struct sandbox *s, const struct container_params *params,
			 struct container **out, struct err *err)
{
	int rc = container_id_check(params->id, err);

	if (rc)
		return rc;
	if (sandbox_container(s, params->id))
		return err_say(err, EEXIST, "container with given ID already exists");
	struct container *c = calloc(1, sizeof(*c));
	if (!c)
		return err_set(err, ENOMEM, "make a container");
	c->refs = 1;
	c->sandbox = s;
	c->stub_pid = params->stub_pid;
	c->id = strdup(params->id);
	c->bundle = strdup(params->bundle);
	if (!c->id || !c->bundle) {
		container_put(c);
		return err_set(err, ENOMEM, "make a container");
	}
	sandbox_link(s, c);
	*out = c;
	return 0;
}

void container_create(struct sandbox *s, const struct container_params *params, process_fn fn,
		      void *arg)
{
	struct err err = ERR_INIT;
	struct container *c = NULL;

	if (container_new(s, params, &c, &err)) {
		fn(arg, &err);
		return;
	}
	int rc = host_side(c, params, &c->init, &err);
	struct container_call *call = rc ? NULL : container_call_new(c, c->init, fn, arg);

	if (!rc && !call)
		rc = err_set(&err, ENOMEM, "make a container");
	if (rc) {
		container_remove(c);
		sandbox_abandon_if_empty(s);
		fn(arg, &err);
		return;
	}
	broker_share(s->broker, c->number, params->mounts, params->nmounts, on_shared, call);
}

static void on_exec_attached(void *arg, const struct err *status)
{
	struct container_call *call = arg;
	struct container *c = call->c;

	if (status->code) {
		if (call->p->in_guest)
			agent_process(c->sandbox->agent, AGENT_DELETE_PROCESS, c->id,
				      call->p->exec_id, ignore_answer, NULL);
		container_forget_exec(call->p);
	}
	container_call_end(call, status);
}

static void on_exec_created(void *arg, const struct err *status, const struct agent_answer *answer)
{
	struct container_call *call = arg;

	(void)answer;
	note_late_create(call->p, status);
	if (status->code)
		on_exec_attached(call, status);
	else
		process_attach(call->p, on_exec_attached, call);
}

static int exec_check(const struct container *c, const char *exec_id, struct err *err)
{
	if (container_id_check(exec_id, err))
		return -err->code;
	if (c->init->state != PROCESS_RUNNING || c->deleting)
		return err_say(err, EBUSY, "cannot exec in a container that is not running");
	if (c->paused)
		return err_say(err, EBUSY, "cannot exec in a paused container");
	for (const struct process *p = c->execs; p; p = p->next)
		if (strcmp(p->exec_id, exec_id) == 0)
			return err_say(err, EEXIST, "exec '%s' already exists", exec_id);
	return 0;
}

void container_exec(struct container *c, const char *exec_id, const void *json, size_t len,
		    const struct process_io *io, process_fn fn, void *arg)
{
	struct err err = ERR_INIT;
	struct process *p = NULL;
	int rc = exec_check(c, exec_id, &err);

	if (!rc)
		rc = process_create(c, exec_id, io, &p, &err);
	struct container_call *call = rc ? NULL : container_call_new(c, p, fn, arg);

	if (!call) {
		if (!rc)
			(void)err_set(&err, ENOMEM, "make a process");
		process_put(p);
		fn(arg, &err);
		return;
	}
	p->next = c->execs;
	c->execs = p;
	agent_exec(c->sandbox->agent, c->id, exec_id, json, len, p->io, on_exec_created, call);
}
