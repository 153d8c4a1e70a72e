/* Descriptors: whole reads and writes, passing by SCM_RIGHTS, flags. EINTR is retried everywhere. */
#ifndef NACRE_BASE_FD_H
#define NACRE_BASE_FD_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/compiler.h"
#include "base/err.h"

/* Reads until `len` or end of file: bytes read, or -errno. Blocking descriptors. */
ssize_t fd_read_full(int fd, void *buf, size_t len) MUST_CHECK;

/* Writes all: 0 or -errno. Blocking descriptors; SIGPIPE must be ignored by the process. */
int fd_write_full(int fd, const void *buf, size_t len) MUST_CHECK;

int fd_set_nonblock(int fd, bool on) MUST_CHECK;
int fd_set_cloexec(int fd, bool on) MUST_CHECK;

/* Sends `len` >= 1 bytes with `nfds` (0..16) descriptors over a unix socket; bytes sent or -errno. */
ssize_t fd_send(int sock, const void *buf, size_t len, const int *fds, size_t nfds) MUST_CHECK;

/*
 * Receives with up to `*nfds` descriptors, born CLOEXEC; `*nfds` becomes the number received; extra ones are closed.
 * Bytes received (0: end of file) or -errno.
 */
ssize_t fd_recv(int sock, void *buf, size_t len, int *fds, size_t *nfds) MUST_CHECK;

/* A file in memory with these bytes, to be read from its start: a reader that does not come holds up nobody. CLOEXEC; or -errno. */
int fd_of_bytes(const char *name, const void *bytes, size_t len) MUST_CHECK;

/* Closes every descriptor but those listed, -1 for none; sorts the list. For a child that is to hold nothing else of its parent's. */
void fd_close_others(int *keep, size_t n);

#endif
