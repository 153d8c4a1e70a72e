/*
 * -daemonize, as QEMU does it: the program goes on in a child without a terminal, and the caller gets its prompt back when the
 * machine is there, or an error when it is not.
 *
 * Threads: before there is a second one.
 */
#ifndef NACRE_VMM_DAEMON_H
#define NACRE_VMM_DAEMON_H

#include "base/compiler.h"
#include "base/err.h"

/*
 * Returns in the child, in a session of its own; *ready_fd is for daemon_ready. The parent waits for that and ends with 0, or, when
 * the child ends before, with 1.
 */
int daemon_begin(int *ready_fd, struct err *err) MUST_CHECK;

/*
 * Standard input, output and error are /dev/null from now on and the root is the working directory; then the parent is let go. Closes
 * ready_fd.
 */
int daemon_ready(int *ready_fd, struct err *err) MUST_CHECK;

#endif
