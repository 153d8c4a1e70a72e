/*
 * A thread with an event loop of its own, for a device whose work must not wait behind another's. The loop exists from
 * create to destroy, the thread from start to stop: devices are attached to the loop before and detached after, when no
 * thread runs it.
 */
#ifndef NACRE_VMM_IOTHREAD_H
#define NACRE_VMM_IOTHREAD_H

#include <stdbool.h>
#include <sys/types.h>
#include <time.h>

#include "base/compiler.h"
#include "base/err.h"
#include "base/loop.h"
#include "base/own.h"
#include "vmm/seccomp.h"

struct iothread;

/* ps(1) shows the name of its kind, as which it confines itself before it serves anything (vmm/jail.h). */
int iothread_create(enum thread_kind kind, struct iothread **out, struct err *err) MUST_CHECK;
struct loop *iothread_loop(struct iothread *t);
int iothread_start(struct iothread *t, struct err *err) MUST_CHECK;

/* Its thread; 0 when none runs. */
pid_t iothread_tid(struct iothread *t);

/*
 * Brings the thread to rest between two events of its loop; it goes on after as many releases. To hold several, hold all and
 * then wait for each. A thread that does not run is at rest, and rests first thing when it is started.
 */
void iothread_hold(struct iothread *t);
/* Returns when it rests; -ETIMEDOUT at `deadline` (CLOCK_MONOTONIC), it stays held then. */
int iothread_await_rest(struct iothread *t, const struct timespec *deadline,
			struct err *err) MUST_CHECK;
void iothread_release(struct iothread *t);

/* Joins the thread, held or not; nothing when it does not run, or for NULL. */
void iothread_stop(struct iothread *t);
/* Stops, and frees the loop. NULL is fine. */
void iothread_destroy(struct iothread *t);
DEFINE_OWNER(iothread_destroy, struct iothread)

#endif
