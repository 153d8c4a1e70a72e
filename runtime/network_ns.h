/* The pod's network namespace on the host: found or made, checked, and visited. Single-threaded processes only. */
#ifndef NACRE_RUNTIME_NETWORK_NS_H
#define NACRE_RUNTIME_NETWORK_NS_H

#include <stdbool.h>

#include "base/compiler.h"
#include "base/err.h"

/*
 * linux.namespaces[network].path, or a new namespace for "". What is none, and the host's own (ours, pid 1's), is refused. The
 * descriptor keeps it alive and is the caller's.
 */
int network_ns_open(const char *path, int *fd, struct err *err) MUST_CHECK;

/* Calls fn within the namespace and comes back. What is opened there (netlink sockets, taps) stays there. */
int network_ns_visit(int ns_fd, int (*fn)(void *arg, struct err *err), void *arg,
		     struct err *err) MUST_CHECK;

bool network_ns_same(int ns_fd, int other_fd);

#endif
