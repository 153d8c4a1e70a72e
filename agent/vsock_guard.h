/*
 * Every container is denied AF_VSOCK, which network namespaces do not isolate: it is the way to the agent and the host. A
 * seccomp filter of our own, beside that of the spec (the kernel takes the stricter answer of the two).
 *
 * io_uring_setup is denied too (ENOSYS, so that programs fall back): IORING_OP_SOCKET makes sockets that no seccomp filter
 * sees. System calls of an unknown architecture kill the process.
 */
#ifndef NACRE_AGENT_VSOCK_GUARD_H
#define NACRE_AGENT_VSOCK_GUARD_H

#include <linux/filter.h>

#include "base/compiler.h"
#include "base/err.h"

/* The program alone, for tests; lent. */
const struct sock_filter *vsock_guard_program(unsigned short *len);

/* For the calling thread and all that it becomes. Needs no_new_privs or CAP_SYS_ADMIN. */
int vsock_guard_load(struct err *err) MUST_CHECK;

#endif
