/*
 * The stub: the process whose pid the OCI face gives out. It stands for the workload on the host: it exits with the workload's
 * status, passes on the signals it gets, and takes the workload with it when it is killed (its connection to the monitor
 * closes). It holds none of the standard streams; with a terminal it is the session leader on the slave, since only that
 * one is told of a new window size.
 */
#ifndef NACRE_RUNTIME_STUB_H
#define NACRE_RUNTIME_STUB_H

#include <sys/types.h>

#include "base/compiler.h"
#include "base/err.h"

#define STUB_VERB "stub"

/*
 * net_ns_fd: the container's network namespace, lent, which engines and hooks find by the stub's pid. tty: the slave,
 * lent, or -1. *pid is a direct child; *control is the caller's and lets it go on: the stub is there before the
 * container, since hooks are told its pid, and ends with us if stub_attach is never called.
 */
int stub_spawn(const char *id, const char *socket_path, int net_ns_fd, int tty, pid_t *pid,
	       int *control, struct err *err) MUST_CHECK;

/* Returns when the stub has tied itself to the container. */
int stub_attach(int control, struct err *err) MUST_CHECK;

int stub_main(int argc, char *const argv[]);

#endif
