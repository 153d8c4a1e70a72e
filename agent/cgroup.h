/*
 * One cgroup v2 directory a container, below a directory that the agent owns (cgroup-v2.rst of the kernel). Opened once;
 * everything goes through the descriptor.
 */
#ifndef NACRE_AGENT_CGROUP_H
#define NACRE_AGENT_CGROUP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/compiler.h"
#include "base/err.h"
#include "config/oci.h"

/* Makes `name` below parent_fd with limits and device rules; removes it again when that fails. *fd is the caller's. */
int cgroup_create(int parent_fd, const char *name, const struct oci_resources *resources, int *fd,
		  struct err *err) MUST_CHECK;

/* rmdir, of nested ones too. -EBUSY while processes are left; absent is success. */
int cgroup_remove(int parent_fd, const char *name) MUST_CHECK;

/* SIGKILL to all, at once and for ever: a fork cannot win. */
int cgroup_kill(int fd, struct err *err) MUST_CHECK;

/* A descriptor that polls EPOLLPRI when "populated" or "frozen" changes; reading either re-arms it. */
int cgroup_watch(int fd, int *events_fd, struct err *err) MUST_CHECK;
bool cgroup_populated(int events_fd);
bool cgroup_frozen(int events_fd);

/* Stops every process, or lets them go on. Stopping is done when cgroup_frozen says so. */
int cgroup_freeze(int fd, bool freeze, struct err *err) MUST_CHECK;

/* How often the kernel killed here for want of memory, below included. */
uint64_t cgroup_oom_kills(int fd);

/* Calls fn for each process, nested cgroups included, in no order. */
int cgroup_each_pid(int fd, void (*fn)(void *arg, pid_t pid), void *arg,
		    struct err *err) MUST_CHECK;

/* Enables below dirfd every controller that is there. */
int cgroup_delegate(int dirfd, struct err *err) MUST_CHECK;

#endif
