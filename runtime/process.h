/*
 * One process of a container: its init (exec_id "") or an exec. It is CREATED when the agent has it and its streams are
 * connected, RUNNING after start, STOPPED when its exit is known *and* the last byte of its output is out (or the drain deadline
 * has passed). An init stops after all of its container's execs: its exit is the container's last event.
 *
 * Processes are counted references: the container holds one, each call to the agent in flight another.
 */
#ifndef NACRE_RUNTIME_PROCESS_H
#define NACRE_RUNTIME_PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "base/compiler.h"
#include "base/err.h"
#include "runtime/stdio.h"

struct container;
struct process_waiter;

enum process_state { PROCESS_CREATING, PROCESS_CREATED, PROCESS_RUNNING, PROCESS_STOPPED };

struct process {
	unsigned int refs;
	struct container *container; /* a counted reference */
	char *exec_id;
	enum process_state state;
	bool starting; /* the answer to start is awaited: an exit known meanwhile is told after it */
	bool in_guest;   /* the agent knows it */
	bool exit_known; /* exit_status and exited_at are valid */
	bool no_drain;   /* output is not waited for any more */
	bool drained;
	bool ever_started;
	bool terminal;
	uint64_t signals_sent; /* by us: bit N - 1 for signal N */
	char *why;             /* it ended badly, NULL: there is nothing to say */
	uint32_t exit_status;
	struct timespec exited_at;
	char *stdio_names[STDIO_STREAMS];
	struct stdio *io;
	pid_t host_pid; /* of the stub; 0: the vmm stands for it */
	struct process_waiter *waiters;
	struct loop_source *drain_timer, *kill_timer, *wait_timer;
	struct process *next; /* in container->execs */
};

/* What a caller says about a process's streams; lent. */
struct process_io {
	const char *names[STDIO_STREAMS];
	bool terminal;
};

typedef void (*process_fn)(void *arg, const struct err *status);
typedef void (*process_exit_fn)(void *arg, const struct process *p);

/* Host ends are opened here: a name that cannot be opened fails before anything is asked of the guest. */
int process_create(struct container *c, const char *exec_id, const struct process_io *io,
		   struct process **out, struct err *err) MUST_CHECK;
struct process *process_get(struct process *p);
void process_put(struct process *p);

bool process_is_init(const struct process *p);
/* Why it ended as it did, "": nothing more is known than its status. Lent. */
const char *process_why(const struct process *p);
/* What callers outside see as its pid. */
pid_t process_host_pid(const struct process *p);

/* The agent has it: connects the streams, follows its exit, and makes it CREATED. fn once. */
void process_attach(struct process *p, process_fn fn, void *arg);

/* From CREATED only; otherwise -EBUSY with runc's words. */
void process_start(struct process *p, process_fn fn, void *arg);

/* Not found (-ESRCH) when it has ended. A container that outlives SIGKILL for long takes its microVM along. */
void process_signal(struct process *p, uint32_t signo, bool all, process_fn fn, void *arg);

/* Its exit is known: from the agent, or because the guest is gone. The first one counts. */
void process_exited(struct process *p, uint32_t status);

/* As process_exited, and its output is not waited for. */
void process_give_up(struct process *p, uint32_t status);

/* fn when it is STOPPED, at once if it is. `arg` names the waiter for the cancel. */
int process_wait(struct process *p, process_exit_fn fn, void *arg, struct err *err) MUST_CHECK;
void process_wait_cancel(struct process *p, const void *arg);

#endif
