/*
 * What a cloned child does until it is the container's program. A child of the agent, single-threaded, with a copy of the
 * agent's memory, and like it not dumpable (agent.c); every failure travels over the channel and ends the child.
 *
 *	wait for the first go (user mappings and oom score are written by the agent)
 *	init: new root, mounts, devices, hiding, sysctl, pivot      exec: join init's namespaces
 *	terminal, credentials, working directory, executable, seccomp
 *	say ready, wait for the second go, startContainer hooks (init), execve
 */
#ifndef NACRE_AGENT_CHILD_H
#define NACRE_AGENT_CHILD_H

#include <sys/resource.h>

#include "base/compiler.h"
#include "config/oci.h"

struct child_plan {
	const struct oci_spec *spec;       /* of the container */
	const struct oci_process *process; /* its own process, or that of an exec */
	const char *id;                    /* init: the container's */
	const char *rootfs;                /* init: below the shared tree */
	const char *shared_dir;            /* init: the shared tree */
	int join_pidfd;                    /* exec: the container's init process; init: -1 */
	int join_namespaces;               /* exec: CLONE_NEW* of setns(2) */
	int stdio[3];                      /* -1 with a terminal, or the child's end */
	int channel;                       /* child's end of child_channel.h */
	struct rlimit nofile; /* the limit of descriptors before the process's own; 0: ours */
};

NORETURN void child_run(const struct child_plan *plan);

#endif
