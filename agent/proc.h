/*
 * One process of a container, its own or an exec, from clone to the last byte of its output.
 *
 *	LAUNCHING --ready--> CREATED --start--> CONNECTING --streams--> STARTING --exec'ed--> RUNNING
 *	    \___________________\___________________\_____________________\______reaped_______/--> EXITED --drained--> DONE
 *
 * Thread: the loop's. Answers come by callbacks, each called exactly once, some before the asking function returns.
 */
#ifndef NACRE_AGENT_PROC_H
#define NACRE_AGENT_PROC_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent/child.h"
#include "agent/kernel_words.h"
#include "agent/stream_door.h"
#include "base/compiler.h"
#include "base/err.h"
#include "base/loop.h"

/* A start: the wait for its streams, then up to the exec; startContainer hooks have 20 s of it. The host waits longer than both. */
#define PROC_CONNECT_TIMEOUT_MS 10000
#define PROC_START_TIMEOUT_MS   25000

struct proc;

struct proc_exit {
	uint32_t status; /* 0..255, 128 + signal */
	uint64_t at_ns;  /* CLOCK_REALTIME */
	bool oom_killed;
	bool output_lost; /* its reader took nothing for too long */
	uint32_t signal;  /* that ended it, 0: it ended by itself */
	char kernel_said
		[KERNEL_WORDS_BYTES]; /* since its start, where its end is that of a fault; "": nothing */
};

/* why->code 0: it went well. */
typedef void (*proc_fn)(void *arg, const struct err *why);
/* exit is NULL when the process was given up before it was waited for; why says so then. */
typedef void (*proc_wait_fn)(void *arg, const struct proc_exit *exit, const struct err *why);

struct proc_params {
	struct loop *loop;
	struct stream_door *door;
	int cgroup_fd;               /* lent for the life of the process */
	struct kernel_words *kernel; /* lent likewise */
	const struct child_plan *
		plan; /* spec and process in it are lent for the life of the process, the rest for the call;
					  stdio and channel are filled in here */
	const uint8_t *tokens[3];
	proc_fn on_created; /* ready at the exec barrier, or why not */
	void *arg;
};

int proc_create(const struct proc_params *params, struct proc **out, struct err *err) MUST_CHECK;
/* Kills what still runs; open questions are answered with ECANCELED (waits: with the exit, if it is known). */
void proc_destroy(struct proc *process);

pid_t proc_pid(const struct proc *process);
/* Lent. */
int proc_pidfd(const struct proc *process);
bool proc_has_exited(const struct proc *process);
/* Asked to start, if not yet through the barrier. */
bool proc_was_started(const struct proc *process);

/* Through the barrier, once the wanted streams are connected. */
void proc_start(struct proc *process, proc_fn fn, void *arg);
int proc_signal(struct proc *process, int signo, struct err *err) MUST_CHECK;
int proc_resize(struct proc *process, uint32_t width, uint32_t height, struct err *err) MUST_CHECK;
void proc_close_stdin(struct proc *process);
/* Answered when DONE. */
void proc_wait(struct proc *process, proc_wait_fn fn, void *arg);

/* From the reaper, as long as the process can be looked at: what it has left to say is heard. */
void proc_dies(struct proc *process);
/* From the reaper: wait status of waitpid(2). */
void proc_reaped(struct proc *process, int wait_status);

#endif
