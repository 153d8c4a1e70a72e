/* The seccomp filter of the spec, by libseccomp. */
#ifndef NACRE_AGENT_SECCOMP_H
#define NACRE_AGENT_SECCOMP_H

#include "base/compiler.h"
#include "base/err.h"
#include "config/oci.h"

/*
 * Loads the filter for the calling process; nothing when the spec has none. Needs no_new_privs or CAP_SYS_ADMIN. System
 * calls that this libseccomp does not know by name are passed over, as runc does: a profile names those of all kernels.
 */
int seccomp_apply(const struct oci_seccomp *seccomp, struct err *err) MUST_CHECK;

#endif
