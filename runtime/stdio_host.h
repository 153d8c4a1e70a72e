/*
 * The host end of one standard stream, opened by the name the caller gave: "" (not wanted), a fifo's path (containerd),
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

int stdio_host_open(const char *name, bool input, struct stdio_host *out,
		    struct err *err) MUST_CHECK;
void stdio_host_close(struct stdio_host *h);

#endif
