/* The end of a sandbox's microVM, wanted or not. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "runtime/agent_client.h"
#include "runtime/container.h"
#include "runtime/network.h"
#include "runtime/sandbox_life.h"
#include "runtime/vmm_process.h"

#define GOODBYE_TIMEOUT_MS 2000
#define STOP_TIMEOUT_MS    2500

struct sandbox_waiter {
	process_fn fn;
	void *arg;
	struct sandbox_waiter *next;
};

void sandbox_add_waiter(struct sandbox_waiter **list, process_fn fn, void *arg)
{
	struct sandbox_waiter *w = malloc(sizeof(*w));
	struct err err = ERR_INIT;

	if (!w) {
		(void)err_set(&err, ENOMEM, "wait for the microVM");
		fn(arg, &err);
		return;
	}
	*w = (struct sandbox_waiter){.fn = fn, .arg = arg, .next = *list};
	*list = w;
}

void sandbox_tell_waiters(struct sandbox_waiter **list, const struct err *status)
{
	struct sandbox_waiter *w = *list;

	*list = NULL;
	while (w) {
		struct sandbox_waiter *next = w->next;

		w->fn(w->arg, status);
		free(w);
		w = next;
	}
}

/* With as much of the newest console lines as there is room for. */
static void say_why(const struct sandbox *s, const char *what, struct err *err)
{
	static const char between[] = "; its console ended with: ";
	char quote[ERR_TEXT_BYTES] = "";

	(void)err_say(err, EIO, "the microVM %s: %.600s", what, s->why);
	vmm_quote_console(s->vmm, quote, sizeof(quote) - strlen(err->text) - sizeof(between));
	if (*quote)
		(void)err_say(err, EIO, "the microVM %s: %.600s%s%s", what, s->why, between, quote);
}

void sandbox_drop_vmm(struct sandbox *s)
{
	network_end(s->network);
	vmm_destroy(s->vmm);
	s->vmm = NULL;
	agent_client_destroy(TAKE_PTR(&s->agent));
	network_destroy(TAKE_PTR(&s->network));
}

void sandbox_on_vmm_end(void *arg, const char *why)
{
	struct sandbox *s = arg;
	const bool booting = s->state == SANDBOX_BOOTING;
	const bool stopping = s->state == SANDBOX_STOPPING;
	struct err err = ERR_INIT;

	s->state = SANDBOX_ENDED;
	if (!s->why[0])
		(void)snprintf(s->why, sizeof(s->why), "%s", why);
	if (booting) {
		say_why(s, "did not start", &err);
	} else if (!stopping) {
		say_why(s, "crashed", &err);
		log_error("sandbox %s: %s", s->id, err.text);
		(void)snprintf(s->crash, sizeof(s->crash), "%s", err.text);
	}
	sandbox_drop_vmm(s);
	for (struct container *c = s->containers; c; c = c->next)
		container_lost(c);
	loop_remove(s->stop_timer);
	loop_remove(s->powerdown_timer);
	s->stop_timer = s->powerdown_timer = NULL;
	sandbox_tell_waiters(&s->boot_waiters, &err);
	sandbox_tell_waiters(&s->stop_waiters, &(const struct err)ERR_INIT);
}

void sandbox_end_because(struct sandbox *s, const char *why)
{
	if (!s->why[0])
		(void)snprintf(s->why, sizeof(s->why), "%s", why);
	if (s->vmm)
		vmm_kill(s->vmm);
}

static void on_stop_deadline(void *arg)
{
	struct sandbox *s = arg;

	log_warn("sandbox %s: the guest did not end in time", s->id);
	sandbox_end_because(s, s->state == SANDBOX_STOPPING
				       ? ""
				       : "the guest's agent hung up, and the guest did not end");
}

void sandbox_expect_end(struct sandbox *s)
{
	struct err err = ERR_INIT;

	if (!s->vmm)
		return;
	if ((!s->stop_timer &&
	     loop_add_timer(s->loop, on_stop_deadline, s, &s->stop_timer, &err)) ||
	    loop_arm(s->stop_timer, STOP_TIMEOUT_MS)) {
		log_warn("no deadline for the guest's end: %s", err.text);
		vmm_kill(s->vmm);
	}
}

void sandbox_on_agent_lost(void *arg, const struct err *why)
{
	struct sandbox *s = arg;
	char words[ERR_TEXT_BYTES];

	/* Nothing is expected of a guest whose agent breaks the rules, not even that it ends. */
	if (why->code == EPROTO || why->code == ENOBUFS) {
		(void)snprintf(words, sizeof(words), "the guest's agent broke the rules: %.800s",
			       why->text);
		sandbox_end_because(s, words);
	}
	if (s->state != SANDBOX_READY)
		return;
	/* A guest without its agent cannot be told anything any more; mostly the guest is ending. */
	log_info("sandbox %s: the guest's agent is gone: %s", s->id, why->text);
	sandbox_expect_end(s);
}

static void on_goodbye(void *arg, const struct err *status, const struct agent_answer *answer)
{
	struct sandbox *s = arg;

	(void)answer;
	if (!status->code || !s->vmm)
		return;
	log_info("sandbox %s: the agent did not say goodbye: %s", s->id, status->text);
	vmm_kill(s->vmm);
}

static void say_goodbye(struct sandbox *s)
{
	s->state = SANDBOX_STOPPING;
	sandbox_expect_end(s);
	agent_shutdown(s->agent, GOODBYE_TIMEOUT_MS, on_goodbye, s);
}

void sandbox_stop(struct sandbox *s, process_fn fn, void *arg)
{
	const struct err fine = ERR_INIT;

	switch (s->state) {
	case SANDBOX_NEW:
	case SANDBOX_ENDED:
		fn(arg, &fine);
		return;
	case SANDBOX_BOOTING:
		sandbox_add_waiter(&s->stop_waiters, fn, arg);
		(void)snprintf(s->why, sizeof(s->why), "it was stopped while it booted");
		vmm_kill(s->vmm);
		return;
	case SANDBOX_READY:
		sandbox_add_waiter(&s->stop_waiters, fn, arg);
		say_goodbye(s);
		return;
	case SANDBOX_STOPPING:
		sandbox_add_waiter(&s->stop_waiters, fn, arg);
		return;
	}
}

static void ignore_stop(void *arg, const struct err *status)
{
	(void)arg;
	(void)status;
}

void sandbox_abandon_if_empty(struct sandbox *s)
{
	if (!s->containers && s->state != SANDBOX_NEW)
		sandbox_stop(s, ignore_stop, NULL);
}
