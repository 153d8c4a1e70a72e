/*
 * Unix stream sockets by path. A path too long for sockaddr_un is reached through /proc/self/fd/<its directory>, so that
 * a container id may have its full length.
 */
#ifndef NACRE_RUNTIME_UNIX_SOCKET_H
#define NACRE_RUNTIME_UNIX_SOCKET_H

#include <sys/types.h>

#include "base/compiler.h"
#include "base/err.h"

/* Binds (mode 0600) and listens; an existing file is -EADDRINUSE. *out is non-blocking. */
int unix_listen(const char *path, int *out, struct err *err) MUST_CHECK;

/* `flags`: SOCK_NONBLOCK or 0. Without a listener: -ENOENT or -ECONNREFUSED. */
int unix_connect(const char *path, int flags, int *out, struct err *err) MUST_CHECK;

/* Process that opened the other end, and its user; -errno. */
int unix_peer(int sock, pid_t *pid, uid_t *uid) MUST_CHECK;

#endif
