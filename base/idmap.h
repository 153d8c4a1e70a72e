/* The ids of a new user namespace: those we have ourselves, each under its own number (user_namespaces(7)). */
#ifndef NACRE_BASE_IDMAP_H
#define NACRE_BASE_IDMAP_H

#include <stddef.h>
#include <sys/types.h>

#include "base/compiler.h"
#include "base/err.h"

/*
 * Maps users and groups of the namespace of `pid`, a child that waits for it. All ids but the caller's own take CAP_SETUID,
 * CAP_SETGID and, for id 0, CAP_SETFCAP.
 */
int idmap_one_to_one(pid_t pid, struct err *err) MUST_CHECK;

/* From a map as the kernel shows it to one whose every range stands for itself. `out` is NUL-terminated; -EINVAL, -E2BIG. */
int idmap_identity(const char *own, char *out, size_t size) MUST_CHECK;

#endif
