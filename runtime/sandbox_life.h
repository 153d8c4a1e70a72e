/*
 * Between the files of a sandbox's life: sandbox_boot.c brings its microVM up, sandbox_stop.c takes it down. All ways down meet in
 * sandbox_on_vmm_end().
 */
#ifndef NACRE_RUNTIME_SANDBOX_LIFE_H
#define NACRE_RUNTIME_SANDBOX_LIFE_H

#include "runtime/sandbox.h"

/* Without memory for it, fn is told at once. */
void sandbox_add_waiter(struct sandbox_waiter **list, process_fn fn, void *arg);
void sandbox_tell_waiters(struct sandbox_waiter **list, const struct err *status);

/* vmm, agent and network go; who waits for the agent is answered by that. */
void sandbox_drop_vmm(struct sandbox *s);

/* Callbacks of the vmm and the agent. */
void sandbox_on_vmm_end(void *arg, const char *why);
void sandbox_on_agent_lost(void *arg, const struct err *why);

/* The vmm should end by itself now, with its own words for it; if it does not, it is killed. */
void sandbox_expect_end(struct sandbox *s);
/* It is ended, and this is why, unless there was a reason before. */
void sandbox_end_because(struct sandbox *s, const char *why);

#endif
