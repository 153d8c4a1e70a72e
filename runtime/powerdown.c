/* See powerdown.h. */
#include "runtime/powerdown.h"

#include <signal.h>

#include "base/log.h"
#include "runtime/container.h"
#include "runtime/sandbox.h"

static void ignore_stop(void *arg, const struct err *status)
{
	(void)arg;
	(void)status;
}

static void end_guest(struct sandbox *s)
{
	loop_remove(s->powerdown_timer);
	s->powerdown_timer = NULL;
	sandbox_stop(s, ignore_stop, NULL);
}

static void on_grace_over(void *arg)
{
	struct sandbox *s = arg;

	log_info("sandbox %s: containers still run %d ms after SIGTERM: they are killed", s->id,
		 POWERDOWN_GRACE_MS);
	end_guest(s);
}

static bool runs(const struct container *c)
{
	return c->init && c->init->state == PROCESS_RUNNING;
}

static bool any_runs(const struct sandbox *s)
{
	for (const struct container *c = s->containers; c; c = c->next)
		if (runs(c))
			return true;
	return false;
}

void powerdown_look(struct sandbox *s)
{
	if (s->powerdown_timer && !any_runs(s))
		end_guest(s);
}

/* The grace is what decides: a signal that does not get there is as good as one that is ignored. */
static void on_signalled(void *arg, const struct err *status)
{
	struct sandbox *s = arg;

	if (status->code)
		log_info("sandbox %s: SIGTERM: %s", s->id, status->text);
}

void powerdown_begin(struct sandbox *s)
{
	struct err err = ERR_INIT;

	if (s->state != SANDBOX_READY || s->powerdown_timer)
		return;
	if (!any_runs(s) ||
	    loop_add_timer(s->loop, on_grace_over, s, &s->powerdown_timer, &err) < 0 ||
	    loop_arm(s->powerdown_timer, POWERDOWN_GRACE_MS) < 0) {
		end_guest(s);
		return;
	}
	for (struct container *c = s->containers; c; c = c->next)
		if (runs(c))
			process_signal(c->init, SIGTERM, false, on_signalled, s);
}
