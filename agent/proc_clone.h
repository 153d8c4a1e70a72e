/* clone3(2) of a container's process: straight into its cgroup and namespaces, with a pidfd. */
#ifndef NACRE_AGENT_PROC_CLONE_H
#define NACRE_AGENT_PROC_CLONE_H

#include <stdbool.h>
#include <sys/types.h>

#include "agent/child.h"
#include "base/compiler.h"
#include "base/err.h"
#include "config/oci.h"

/* CLONE_NEW* of the namespaces that the spec wants new ones of; mount and cgroup always. */
int proc_namespaces(const struct oci_spec *spec);

/* The child runs `plan` and waits for its first go. *pidfd is the caller's. */
int proc_clone(const struct child_plan *plan, int cgroup_fd, pid_t *pid, int *pidfd,
	       struct err *err) MUST_CHECK;

/* Agent's part of the set-up, before the first go: id maps (init only) and oom score. */
int proc_prepare(const struct child_plan *plan, pid_t pid, struct err *err) MUST_CHECK;

/*
 * Whether a child, alive or not reaped yet, has become another program by execve(2). True where the kernel does not say.
 */
bool proc_has_executed(pid_t pid);

#endif
