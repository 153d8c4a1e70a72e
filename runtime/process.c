/*
 * The life of one process. There is one place where it becomes STOPPED, process_maybe_finish(), and everything that could be
 * the last missing piece ends there: the exit, the answer to start, the last byte, the deadline, the last exec.
 */
#include "runtime/process.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/str.h"
#include "runtime/agent_client.h"
#include "runtime/container.h"
#include "runtime/process_internal.h"
#include "runtime/sandbox.h"

#define WAIT_AGAIN_MS    1000
#define DRAIN_TIMEOUT_MS 10000 /* as long as a containerd Delete waits for output */

struct process_waiter {
	process_exit_fn fn;
	void *arg;
	struct process_waiter *next;
};

struct process *process_get(struct process *p)
{
	p->refs++;
	return p;
}

static void tell_waiters(struct process *p)
{
	while (p->waiters) {
		struct process_waiter *w = p->waiters;

		p->waiters = w->next;
		w->fn(w->arg, p);
		free(w);
	}
}

void process_put(struct process *p)
{
	if (!p || --p->refs)
		return;
	loop_remove(p->drain_timer);
	loop_remove(p->kill_timer);
	loop_remove(p->wait_timer);
	stdio_destroy(p->io);
	/* Only a process that never came to be still has some. */
	tell_waiters(p);
	for (int i = 0; i < STDIO_STREAMS; i++)
		free(p->stdio_names[i]);
	free(p->exec_id);
	free(p->why);
	container_put(p->container);
	free(p);
}

bool process_is_init(const struct process *p)
{
	return !*p->exec_id;
}

const char *process_why(const struct process *p)
{
	return p->why ? p->why : p->container->sandbox->crash;
}

pid_t process_host_pid(const struct process *p)
{
	return p->host_pid ? p->host_pid : p->container->sandbox->vmm_pid;
}

void process_maybe_finish(struct process *p)
{
	if (!p->exit_known || p->starting || p->state == PROCESS_CREATING ||
	    p->state == PROCESS_STOPPED)
		return;
	if (!p->no_drain && !p->drained)
		return;
	if (process_is_init(p) && !p->no_drain && container_has_running_exec(p->container))
		return;
	struct process *init = process_is_init(p) ? NULL : p->container->init;

	(void)process_get(p);
	p->state = PROCESS_STOPPED;
	if (!init)
		container_end_execs(p->container);
	loop_remove(p->drain_timer);
	p->drain_timer = NULL;
	stdio_destroy(p->io);
	p->io = NULL;
	if (!init || p->ever_started)
		sandbox_tell_exit(p->container->sandbox, p);
	tell_waiters(p);
	if (init)
		process_maybe_finish(init);
	process_put(p);
}

static void on_drained(void *arg)
{
	struct process *p = arg;

	p->drained = true;
	process_maybe_finish(p);
}

static void on_drain_deadline(void *arg)
{
	struct process *p = arg;

	log_warn("container %s: output of a process that has ended was not read within %d ms",
		 p->container->id, DRAIN_TIMEOUT_MS);
	p->no_drain = true;
	process_maybe_finish(p);
}

static void arm_drain_deadline(struct process *p)
{
	struct err err = ERR_INIT;

	if (loop_add_timer(p->container->sandbox->loop, on_drain_deadline, p, &p->drain_timer,
			   &err) ||
	    loop_arm(p->drain_timer, DRAIN_TIMEOUT_MS)) {
		log_warn("no drain deadline: %s", err.text);
		p->no_drain = true;
	}
}

void process_exited(struct process *p, uint32_t status)
{
	if (p->exit_known)
		return;
	p->exit_known = true;
	p->exit_status = status;
	(void)clock_gettime(CLOCK_REALTIME, &p->exited_at);
	arm_drain_deadline(p);
	(void)process_get(p);
	if (p->io)
		stdio_when_drained(p->io, on_drained, p);
	else
		p->drained = true;
	process_maybe_finish(p);
	process_put(p);
}

void process_give_up(struct process *p, uint32_t status)
{
	(void)process_get(p);
	p->no_drain = true;
	process_exited(p, status);
	process_maybe_finish(p);
	process_put(p);
}

int process_create(struct container *c, const char *exec_id, const struct process_io *io,
		   struct process **out, struct err *err)
{
	struct process *p = calloc(1, sizeof(*p));

	if (!p)
		return err_set(err, ENOMEM, "make a process");
	p->refs = 1;
	p->container = container_get(c);
	p->terminal = io->terminal;
	p->exec_id = strdup(exec_id);
	bool whole = p->exec_id;
	for (int i = 0; i < STDIO_STREAMS; i++) {
		p->stdio_names[i] = strdup(io->names[i] ? io->names[i] : "");
		whole = whole && p->stdio_names[i];
	}
	int rc = whole ? stdio_open(c->sandbox->loop, &c->sandbox->ways, io->names, io->terminal,
				    &p->io, err)
		       : err_set(err, ENOMEM, "make a process");
	if (rc) {
		process_put(p);
		return rc;
	}
	*out = p;
	return 0;
}

struct process_call *process_call_new(struct process *p, process_fn fn, void *arg)
{
	struct process_call *call = malloc(sizeof(*call));
	struct err err = ERR_INIT;

	if (!call) {
		(void)err_set(&err, ENOMEM, "ask the agent");
		fn(arg, &err);
		return NULL;
	}
	*call = (struct process_call){.p = process_get(p), .fn = fn, .arg = arg};
	return call;
}

void process_call_end(struct process_call *call, const struct err *status)
{
	struct process_call c = *call;

	free(call);
	c.fn(c.arg, status);
	process_put(c.p);
}

/* Whoever sent the signal knows. So does who typed it, or closed the terminal; and an exec is killed with its container. */
static bool is_end_expected(const struct process *p, uint32_t signo)
{
	if (p->container->sandbox->state != SANDBOX_READY || (!p->ever_started && !p->starting) ||
	    (p->signals_sent & (1ull << (signo - 1))))
		return true;
	if (!process_is_init(p) && signo == SIGKILL)
		return true;
	return p->terminal && (signo == SIGINT || signo == SIGQUIT || signo == SIGHUP);
}

/* A status alone does not tell a fault from a program's own will, and of a fault nobody else leaves a word. NULL: all is said. */
static char *why_of(const struct process *p, const struct agent_answer *a)
{
	const char *id = p->exec_id, *name = sigabbrev_np((int)a->signal);
	const char *said = *a->kernel_said ? "; the guest's kernel: " : "";

	if (a->oom_killed)
		return str_printf("the guest killed '%s' for want of memory%s%s", id, said,
				  a->kernel_said);
	if (a->signal && !is_end_expected(p, a->signal))
		return str_printf("'%s' was ended by signal %u (%s), which was not sent from "
				  "outside%s%s",
				  id, a->signal, name ? name : "real-time", said, a->kernel_said);
	if (!a->signal && *a->kernel_said)
		return str_printf("'%s' ended with %u%s%s", id, a->exit_status, said,
				  a->kernel_said);
	return NULL;
}

static void keep_why(struct process *p, const struct agent_answer *a)
{
	p->why = why_of(p, a);
	if (p->why)
		log_warn("container %s: %s", p->container->id, p->why);
	if (a->output_lost)
		log_warn("container %s: the end of the output of '%s' is lost: it was not taken "
			 "fast enough after its end",
			 p->container->id, p->exec_id);
}

/* A guest short of something says so now and may answer later: the process runs on all the same. */
static bool ask_later(struct process *p, const struct err *status)
{
	if (status->code != ENOBUFS || p->exit_known || !p->wait_timer ||
	    loop_arm(p->wait_timer, WAIT_AGAIN_MS))
		return false;
	log_guest(&p->container->sandbox->peer_limit,
		  "container %s: the agent does not say yet when '%s' ends: %s", p->container->id,
		  p->exec_id, status->text);
	return true;
}

/* A guest that ends hangs up first: its vmm's end, which is near then, tells of all its processes, and why. */
static bool is_guest_ending(const struct process *p, const struct err *status)
{
	return status->code == ECONNRESET && p->container->sandbox->vmm;
}

static void on_wait_answer(void *arg, const struct err *status, const struct agent_answer *answer)
{
	struct process *p = arg;

	if (is_guest_ending(p, status) || ask_later(p, status)) {
		process_put(p);
		return;
	}
	if (status->code)
		log_warn("container %s: the agent no longer says when '%s' ends: %s",
			 p->container->id, p->exec_id, status->text);
	else
		keep_why(p, answer);
	if (!status->code && answer->oom_killed)
		container_oom(p->container);
	process_exited(p, status->code ? PROCESS_STATUS_LOST : answer->exit_status);
	process_put(p);
}

static void ask_for_end(void *arg)
{
	struct process *p = arg;

	if (!p->exit_known)
		agent_process(p->container->sandbox->agent, AGENT_WAIT, p->container->id,
			      p->exec_id, on_wait_answer, process_get(p));
}

static void on_connected(void *arg, const struct err *why)
{
	struct process_call *call = arg;
	struct process *p = call->p;
	const struct err fine = ERR_INIT;

	struct err lost = ERR_INIT;

	if (!why && p->exit_known) {
		(void)err_say(&lost, ECONNRESET, "the microVM ended while the process was created");
		why = &lost;
	}
	if (why) {
		process_call_end(call, why);
		return;
	}
	p->state = PROCESS_CREATED;
	if (loop_add_timer(p->container->sandbox->loop, ask_for_end, p, &p->wait_timer, &lost))
		log_warn("no timer for a wait: %s", lost.text);
	ask_for_end(p);
	process_call_end(call, &fine);
}

void process_attach(struct process *p, process_fn fn, void *arg)
{
	struct process_call *call = process_call_new(p, fn, arg);

	if (!call)
		return;
	p->in_guest = true;
	stdio_connect(p->io, on_connected, call);
}

static void on_simple_answer(void *arg, const struct err *status, const struct agent_answer *answer)
{
	(void)answer;
	process_call_end(arg, status);
}

static void ignore_stop(void *arg, const struct err *status)
{
	(void)arg;
	(void)status;
}

static void on_kill_deadline(void *arg)
{
	const struct process *p = arg;

	if (p->exit_known)
		return;
	log_warn("container %s: it has not ended %u ms after SIGKILL, so its microVM is ended",
		 p->container->id, p->container->sandbox->kill_timeout_ms);
	sandbox_stop(p->container->sandbox, ignore_stop, NULL);
}

/* A guest that is its workload's may say that it kills and not do it: whoever wants the container gone gets it all the same. */
static void arm_kill_deadline(struct process *p)
{
	const struct sandbox *s = p->container->sandbox;
	struct err err = ERR_INIT;

	if (p->kill_timer)
		return;
	if (loop_add_timer(s->loop, on_kill_deadline, p, &p->kill_timer, &err) ||
	    loop_arm(p->kill_timer, s->kill_timeout_ms))
		log_warn("no deadline for SIGKILL: %s", err.text);
}

static void note_signal(struct process *p, uint32_t signo)
{
	if (signo >= 1 && signo <= 64)
		p->signals_sent |= 1ull << (signo - 1);
}

static void note_signal_to_all(struct container *c, uint32_t signo)
{
	if (c->init)
		note_signal(c->init, signo);
	for (struct process *p = c->execs; p; p = p->next)
		note_signal(p, signo);
}

void process_signal(struct process *p, uint32_t signo, bool all, process_fn fn, void *arg)
{
	struct err err = ERR_INIT;

	if (p->exit_known || !p->in_guest) {
		(void)err_say(&err, ESRCH, "process already finished");
		fn(arg, &err);
		return;
	}
	struct process_call *call = process_call_new(p, fn, arg);

	note_signal(p, signo);
	if (all)
		note_signal_to_all(p->container, signo);
	if (call && signo == SIGKILL && process_is_init(p))
		arm_kill_deadline(p);
	if (call)
		agent_signal(p->container->sandbox->agent, p->container->id, p->exec_id, signo, all,
			     on_simple_answer, call);
}

int process_wait(struct process *p, process_exit_fn fn, void *arg, struct err *err)
{
	if (p->state == PROCESS_STOPPED) {
		fn(arg, p);
		return 0;
	}
	struct process_waiter *w = malloc(sizeof(*w));

	if (!w)
		return err_set(err, ENOMEM, "wait for a process");
	*w = (struct process_waiter){.fn = fn, .arg = arg, .next = p->waiters};
	p->waiters = w;
	return 0;
}

void process_wait_cancel(struct process *p, const void *arg)
{
	for (struct process_waiter **at = &p->waiters; *at; at = &(*at)->next) {
		struct process_waiter *w = *at;

		if (w->arg == arg) {
			*at = w->next;
			free(w);
			return;
		}
	}
}
