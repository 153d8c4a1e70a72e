/*
 * One step of a start on a thread of its own, beside the steps that do not need its result. The caller goes on at once: what
 * waits belongs to the caller, what computes into the job, so that on a single processor they overlap as well.
 *
 * begin and end are the main thread's, which has blocked the signals that its loop handles.
 */
#ifndef NACRE_VMM_JOB_H
#define NACRE_VMM_JOB_H

#include "base/compiler.h"
#include "base/err.h"

struct job;

/* Runs fn(arg) on a new thread. `arg`, and what fn writes, is the job's until job_end. */
int job_begin(int (*fn)(void *arg, struct err *err), void *arg, struct job **out,
	      struct err *err) MUST_CHECK;
/* Waits for the job and says what fn said; *job is NULL afterwards. Without a job: 0. `err` may be NULL. */
int job_end(struct job **job, struct err *err);

#endif
