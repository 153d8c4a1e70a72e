/*
 * The event loop: epoll, timers (timerfd), signals (signalfd) and children (pidfd). One loop belongs to one thread; a
 * thread that wants another's loop to act writes an eventfd. A handler may remove any source, its own too: removed
 * sources are freed only after the batch in which they were removed, so a stale event finds nothing.
 */
#ifndef NACRE_BASE_LOOP_H
#define NACRE_BASE_LOOP_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"
#include "base/own.h"

struct loop;
struct loop_source;

/* `events` is what epoll reported (EPOLLIN, EPOLLOUT, EPOLLHUP, EPOLLERR). */
typedef void (*loop_fd_fn)(void *arg, int fd, uint32_t events);
typedef void (*loop_timer_fn)(void *arg);
typedef void (*loop_signal_fn)(void *arg, int signo);
/* `status` is a wait status of waitid style: exit code, or 128 + signal number. */
typedef void (*loop_child_fn)(void *arg, pid_t pid, int status);

int loop_create(struct loop **out, struct err *err) MUST_CHECK;
void loop_destroy(struct loop *loop);
DEFINE_OWNER(loop_destroy, struct loop)

/* Borrows fd: the caller removes the source before it closes the descriptor. `what` names the source in errors. */
int loop_add_fd(struct loop *loop, int fd, uint32_t events, loop_fd_fn fn, void *arg,
		struct loop_source **out, struct err *err) MUST_CHECK;
int loop_mod_fd(struct loop_source *src, uint32_t events) MUST_CHECK;

/* A one-shot timer, unarmed at birth; loop_arm with 0 disarms. Monotonic time. */
int loop_add_timer(struct loop *loop, loop_timer_fn fn, void *arg, struct loop_source **out,
		   struct err *err) MUST_CHECK;
int loop_arm(struct loop_source *src, uint64_t after_ms) MUST_CHECK;

/* Blocks the signals in the calling thread (and those it makes later) and delivers them here. */
int loop_add_signals(struct loop *loop, const sigset_t *set, loop_signal_fn fn, void *arg,
		     struct loop_source **out, struct err *err) MUST_CHECK;

/* Waits for and reaps `pid`, a direct child; the source removes itself after the call. Owns nothing. */
int loop_add_child(struct loop *loop, pid_t pid, loop_child_fn fn, void *arg,
		   struct loop_source **out, struct err *err) MUST_CHECK;

/* SIGKILL by the descriptor of the process, which cannot have become another one. NULL is fine. */
void loop_kill_child(const struct loop_source *src);

/* NULL is fine. Not to be called for a child source that has fired. */
void loop_remove(struct loop_source *src);

/* Runs until loop_stop. 0, or -errno when epoll itself fails. */
int loop_run(struct loop *loop, struct err *err) MUST_CHECK;
/* One batch, waiting at most timeout_ms (-1: for ever). 0 or -errno. */
int loop_step(struct loop *loop, int timeout_ms, struct err *err) MUST_CHECK;
/* Whether a step would find nothing to do: for who steps a loop by hand until it is quiet. */
bool loop_idle(const struct loop *loop);
/* From a handler of this loop, or any thread. */
void loop_stop(struct loop *loop);

#endif
