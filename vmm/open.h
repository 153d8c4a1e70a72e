/*
 * How what the command line and QMP name becomes an open descriptor of ours: files by path, descriptors by number, listening
 * sockets. `what` begins the messages ("-drive"). All results are close-on-exec, and *out is untouched on failure.
 */
#ifndef NACRE_VMM_OPEN_H
#define NACRE_VMM_OPEN_H

#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"

/* A descriptor that came by number, as an inheritance: is it open? */
int open_adopt(int64_t number, const char *what, int *out, struct err *err) MUST_CHECK;
/* The same; a negative number gives -1. */
int open_adopt_if_given(int64_t number, const char *what, int *out, struct err *err) MUST_CHECK;

/* `flags` as of open(2); a new file has mode 0600. */
int open_path(const char *path, int flags, const char *what, int *out, struct err *err) MUST_CHECK;

/* A listening unix stream socket, not blocking. The socket file of a server that has died is replaced. */
int open_listener(const char *path, const char *what, int *out, struct err *err) MUST_CHECK;

#endif
