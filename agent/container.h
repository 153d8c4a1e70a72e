/*
 * The guest's containers: each a parsed spec, a cgroup, its own process and its execs. Creating and removing take time
 * (a child sets up, processes die), so both answer by a callback, exactly once, some before the asking function returns.
 *
 * Thread: the loop's.
 */
#ifndef NACRE_AGENT_CONTAINER_H
#define NACRE_AGENT_CONTAINER_H

#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "agent/kernel_words.h"
#include "agent/proc.h"
#include "agent/stream_door.h"
#include "base/compiler.h"
#include "base/err.h"
#include "base/loop.h"

struct container;

struct containers {
	struct loop *loop;
	struct stream_door *door;
	const char *shared_dir; /* the shared tree, NULL before it is mounted; lent */
	int cgroup_fd;          /* where the containers' cgroups are made; lent */
	struct kernel_words kernel;
	struct rlimit nofile; /* of the processes, where their spec says nothing */
	struct container *first;
};

struct container_params {
	const char *id;
	const char *spec_json; /* lent, as all here */
	size_t spec_len;
	const char *rootfs;
	const uint8_t *tokens[3];
};

/* fn: the process waits at its barrier, or the words of what went wrong (nothing is left then). */
void containers_create(struct containers *set, const struct container_params *params, proc_fn fn,
		       void *arg);

/* fn as with containers_create; the exec is known as exec_id until containers_forget_exec. */
void containers_exec(struct containers *set, const char *id, const char *exec_id,
		     const char *process_json, size_t len, const uint8_t *const tokens[3],
		     proc_fn fn, void *arg);

/* exec_id "": the container's own. -ENOENT in the words that callers look for. Lent. */
int containers_find_process(struct containers *set, const char *id, const char *exec_id,
			    struct proc **out, struct err *err) MUST_CHECK;

/* -EBUSY while it runs. */
int containers_forget_exec(struct containers *set, const char *id, const char *exec_id,
			   struct err *err) MUST_CHECK;

int containers_signal_all(struct containers *set, const char *id, int signo,
			  struct err *err) MUST_CHECK;

int containers_each_pid(struct containers *set, const char *id, void (*fn)(void *arg, pid_t pid),
			void *arg, struct err *err) MUST_CHECK;

/* New limits: an OCI "linux.resources" object; what it does not name stays. On failure the old ones are put back. */
int containers_update(struct containers *set, const char *id, const char *resources_json,
		      size_t len, struct err *err) MUST_CHECK;

/* fn when every process of it stands still, or with -ETIMEDOUT, after which none does. */
void containers_pause(struct containers *set, const char *id, proc_fn fn, void *arg);
int containers_resume(struct containers *set, const char *id, struct err *err) MUST_CHECK;

/* Kills what is left, waits for the last process (5 s), then nothing of the container remains. */
void containers_remove(struct containers *set, const char *id, proc_fn fn, void *arg);

/* After SIGCHLD: collects every child, known or orphan; a removal that waited for the last one ends here. */
void containers_reap(struct containers *set);

/* Removes all; fn once, with the first failure if there was one. */
void containers_remove_all(struct containers *set, proc_fn fn, void *arg);

/* At the end of the agent itself: kills and forgets without waiting. */
void containers_destroy(struct containers *set);

#endif
