/*
 * startContainer hooks (runtime-spec 1.2, config.md "POSIX-platform Hooks"): run in the container, as its user, between start and
 * the execve of its program, in the child that is about to become it.
 */
#ifndef NACRE_AGENT_START_HOOKS_H
#define NACRE_AGENT_START_HOOKS_H

#include "base/compiler.h"
#include "base/err.h"
#include "config/oci.h"

/* One after the other; the first failure ends the row. Blocks, 20 s at most for all. */
int start_hooks_run(const struct oci_spec *spec, const char *id, struct err *err) MUST_CHECK;

#endif
