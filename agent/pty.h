/* A process's terminal: a pair of the container's own devpts. */
#ifndef NACRE_AGENT_PTY_H
#define NACRE_AGENT_PTY_H

#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"

/* Child, before or after the root is entered: a new pair from /dev/pts/ptmx inside the root. Both are the caller's. */
int pty_open_pair(int root_fd, int *master, int *slave, struct err *err) MUST_CHECK;

/* Child, before the root is entered: the slave is bound on the root's /dev/console. */
int pty_bind_console(int root_fd, int slave, struct err *err) MUST_CHECK;

/* Child, after setsid: the slave becomes the controlling terminal and descriptors 0, 1 and 2. */
int pty_become_stdio(int slave, struct err *err) MUST_CHECK;

/* 0 or -errno. */
int pty_resize(int fd, uint16_t width, uint16_t height) MUST_CHECK;

#endif
