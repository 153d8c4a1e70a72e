/* Containers as objects: what they hold and who finds them. Their making is container_create.c, their end container_delete.c. */
#include "runtime/container_call.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "runtime/broker.h"
#include "runtime/sandbox.h"

#define STATUS_KILLED 137

struct container *container_get(struct container *c)
{
	c->refs++;
	return c;
}

void container_put(struct container *c)
{
	struct err err = ERR_INIT;

	if (!c || --c->refs)
		return;
	if (c->number && broker_forget(c->sandbox->broker, c->number, &err))
		log_warn("container %s: %s", c->id, err.text);
	oci_spec_destroy(c->spec);
	container_plan_destroy(c->plan);
	free(c->id);
	free(c->bundle);
	free(c);
}

struct process *container_process(struct container *c, const char *exec_id)
{
	if (!exec_id || !*exec_id)
		return c->init;
	for (struct process *p = c->execs; p; p = p->next)
		if (strcmp(p->exec_id, exec_id) == 0)
			return p;
	return NULL;
}

bool container_has_running_exec(const struct container *c)
{
	for (const struct process *p = c->execs; p; p = p->next)
		if (p->state == PROCESS_RUNNING || p->starting)
			return true;
	return false;
}

void container_end_execs(struct container *c)
{
	for (struct process *p = c->execs; p; p = p->next)
		process_give_up(p, STATUS_KILLED);
}

void container_lost(struct container *c)
{
	struct process *init = c->init;

	for (struct process *p = c->execs; p; p = p->next)
		process_exited(p, STATUS_KILLED);
	if (init)
		process_exited(init, STATUS_KILLED);
}

void container_oom(const struct container *c)
{
	struct err err = ERR_INIT;

	if (broker_mark_oom(c->sandbox->broker, c->number, &err))
		log_warn("container %s: leave the oom marker: %s", c->id, err.text);
	sandbox_tell_oom(c->sandbox, c);
}

void container_forget_exec(struct process *p)
{
	for (struct process **at = &p->container->execs; *at; at = &(*at)->next) {
		if (*at == p) {
			*at = p->next;
			process_put(p);
			return;
		}
	}
}

void container_remove(struct container *c)
{
	struct process *init = c->init;
	struct err err = ERR_INIT;

	sandbox_unlink(c->sandbox, c);
	while (c->execs)
		container_forget_exec(c->execs);
	if (c->number && broker_unshare(c->sandbox->broker, c->number, &err))
		log_warn("container %s: %s", c->id, err.text);
	c->init = NULL;
	process_put(init);
	container_put(c);
}

struct container_call *container_call_new(struct container *c, struct process *p, process_fn fn,
					  void *arg)
{
	struct container_call *call = malloc(sizeof(*call));

	if (call)
		*call = (struct container_call){.c = container_get(c),
						.p = p ? process_get(p) : NULL,
						.fn = fn,
						.arg = arg};
	return call;
}

void container_call_end(struct container_call *call, const struct err *status)
{
	struct container_call done = *call;

	free(call);
	done.fn(done.arg, status);
	process_put(done.p);
	container_put(done.c);
}

void container_run_hooks(struct container *c, enum hooks_moment moment, hooks_fn fn, void *arg)
{
	const struct err fine = ERR_INIT;

	if (hooks_wanted(c->spec, moment))
		broker_hooks(c->sandbox->broker, c->number, moment, fn, arg);
	else
		fn(arg, &fine);
}
