/*
 * A process that may outlive the one that wrote its number down: a pid plus its start time, so that a number the kernel
 * has given to somebody else is never signalled (docs/style.md, rule 16).
 */
#ifndef NACRE_RUNTIME_PROCID_H
#define NACRE_RUNTIME_PROCID_H

#include <stdint.h>
#include <sys/types.h>

#include "base/compiler.h"
#include "base/err.h"

struct procid {
	pid_t pid;
	uint64_t start_ticks; /* field 22 of /proc/PID/stat */
};

/* Outputs untouched on failure; -ESRCH when there is no such process. */
int procid_of(pid_t pid, struct procid *out, struct err *err) MUST_CHECK;

/* A pidfd of exactly that process, or -ESRCH when it has ended (the number may be another's now). */
int procid_open(const struct procid *id) MUST_CHECK;

/* Waits until the process behind pidfd has ended: 0 or -ETIMEDOUT. */
int procid_wait(int pidfd, int timeout_ms) MUST_CHECK;

/* SIGKILL and wait for the end. 0 when it is gone (or was never there), -ETIMEDOUT, or another -errno. */
int procid_kill(const struct procid *id, int timeout_ms) MUST_CHECK;

/* The start time out of the text of /proc/PID/stat; -EINVAL when it is not one. */
int procid_parse_stat(const char *text, uint64_t *start_ticks) MUST_CHECK;

#endif
