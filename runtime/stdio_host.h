/*
 * The host end of one standard stream, opened by the name the caller gave where that is not "": a fifo's path (containerd),
 * "file:///path" (appended to), or "fd://N" (a descriptor inherited from `nacre create`).
 */
#ifndef NACRE_RUNTIME_STDIO_HOST_H
#define NACRE_RUNTIME_STDIO_HOST_H

#include <stdbool.h>

#include "base/compiler.h"
#include "base/err.h"

struct stdio_host {
	int fd;   /* -1: not wanted. Does not block. */
	int keep; /* the fifo's other end, held so that a client that leaves hurts nobody; or -1 */
};

#define STDIO_HOST_INIT                                                                            \
	{                                                                                          \
		.fd = -1, .keep = -1                                                               \
	}

bool stdio_host_is_inherited(const char *name);
/* Of those only. */
int stdio_host_inherit(const char *name, bool input, struct stdio_host *out,
		       struct err *err) MUST_CHECK;
/* The path of a "file://" name, the caller's; NULL: it is none, or there is no memory. */
char *stdio_host_log_path(const char *name) MUST_CHECK;
/* A log file by its last name, in a directory that is held: a regular file and no link. */
int stdio_host_open_log(int dir, const char *leaf, struct stdio_host *out,
			struct err *err) MUST_CHECK;
/* A fifo or a log file by name: what lies at a fifo's path has to be one, and so for a log file. */
int stdio_host_open(const char *name, bool input, struct stdio_host *out,
		    struct err *err) MUST_CHECK;
void stdio_host_close(struct stdio_host *h);

#endif
