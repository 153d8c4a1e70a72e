/*
 * One process of a container, its own or an exec, from clone to the last byte of its output.
 *
 *	LAUNCHING --ready--> CREATED --start--> CONNECTING --streams--> STARTING --exec'ed--> RUNNING
 *	    \___________________\___________________\_____________________\______reaped_______/--> EXITED --drained--> DONE
 *
 * Thread: the loop's. Answers come by callbacks, each called exactly once, some before the asking function returns.
 */
#ifndef NACRE_AGENT_PROCESS_H
#define NACRE_AGENT_PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent/child.h"
#include "agent/stream_door.h"
#include "base/compiler.h"
#include "base/err.h"
#include "base/loop.h"

struct process;

struct process_exit {
	uint32_t status; /* 0..255, 128 + signal */
	uint64_t at_ns;  /* CLOCK_REALTIME */
	bool oom_killed;
};

/* why->code 0: it went well. */
typedef void (*process_fn)(void *arg, const struct err *why);
/* exit is NULL when the process was given up before it was waited for; why says so then. */
typedef void (*process_wait_fn)(void *arg, const struct process_exit *exit, const struct err *why);

struct process_params {
	struct loop *loop;
	struct stream_door *door;
	int cgroup_fd; /* lent for the life of the process */
	const struct child_plan *
		plan; /* spec and process in it are lent for the life of the process, the rest for the call;
					  stdio and channel are filled in here */
	const uint8_t *tokens[3];
	process_fn on_created; /* ready at the exec barrier, or why not */
	void *arg;
};

int process_create(const struct process_params *params, struct process **out,
		   struct err *err) MUST_CHECK;
/* Kills what still runs; open questions are answered with ECANCELED (waits: with the exit, if it is known). */
void process_destroy(struct process *process);

pid_t process_pid(const struct process *process);
/* Lent. */
int process_pidfd(const struct process *process);
bool process_has_exited(const struct process *process);
/* Asked to start, if not yet through the barrier. */
bool process_was_started(const struct process *process);

/* Through the barrier, once the wanted streams are connected (10 s). */
void process_start(struct process *process, process_fn fn, void *arg);
int process_signal(struct process *process, int signo, struct err *err) MUST_CHECK;
int process_resize(struct process *process, uint32_t width, uint32_t height,
		   struct err *err) MUST_CHECK;
void process_close_stdin(struct process *process);
/* Answered when DONE. */
void process_wait(struct process *process, process_wait_fn fn, void *arg);

/* From the reaper: wait status of waitpid(2). */
void process_reaped(struct process *process, int wait_status);

#endif
