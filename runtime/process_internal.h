/* A process from inside, for process.c and process_start.c. */
#ifndef NACRE_RUNTIME_PROCESS_INTERNAL_H
#define NACRE_RUNTIME_PROCESS_INTERNAL_H

#include "runtime/process.h"

#define PROCESS_STATUS_LOST 137 /* 128 + SIGKILL: of one whose exit nobody can tell any more */

/* A call in flight on behalf of a process. */
struct process_call {
	struct process *p;
	process_fn fn;
	void *arg;
};

/* With a reference to the process. NULL: out of memory, and fn has heard so. */
struct process_call *process_call_new(struct process *p, process_fn fn, void *arg);
/* Tells the caller, and frees. */
void process_call_end(struct process_call *call, const struct err *status);

/* Makes it STOPPED if nothing is missing any more: to be called by whatever could have been the last. It may free `p`. */
void process_maybe_finish(struct process *p);

#endif
