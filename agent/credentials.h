/*
 * Who the process is: limits, groups, ids, capabilities, no_new_privs. In the child, after the root was entered. The
 * order matters and is credentials_take, (lookups as the user), credentials_seal.
 */
#ifndef NACRE_AGENT_CREDENTIALS_H
#define NACRE_AGENT_CREDENTIALS_H

#include "base/compiler.h"
#include "base/err.h"
#include "config/oci.h"

/*
 * Limits, bounding set, groups, gid, uid, umask, no_new_privs. Afterwards the process is the user, with the capabilities of
 * the spec and CAP_SYS_ADMIN on top, which loading a seccomp filter needs.
 */
int credentials_take(const struct oci_process *process, struct err *err) MUST_CHECK;

/* The capabilities of the spec and no others. */
int credentials_seal(const struct oci_process *process, struct err *err) MUST_CHECK;

/* In a new user namespace: id 0 of it, with no groups of outside. */
int credentials_become_root(struct err *err) MUST_CHECK;

#endif
