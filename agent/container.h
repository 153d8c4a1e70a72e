/*
 * The guest's containers: each a parsed spec, a cgroup, its own process and its execs. Creating and removing take time
 * (a child sets up, processes die), so both answer by a callback, exactly once, some before the asking function returns.
 *
 * Thread: the loop's.
 */
#ifndef NACRE_AGENT_CONTAINER_H
#define NACRE_AGENT_CONTAINER_H

#include <stdint.h>
#include <sys/types.h>

#include "agent/process.h"
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
void container_create(struct containers *set, const struct container_params *params, process_fn fn,
		      void *arg);

/* fn as with container_create; the exec is known as exec_id until container_forget_exec. */
void container_exec(struct containers *set, const char *id, const char *exec_id,
		    const char *process_json, size_t len, const uint8_t *const tokens[3],
		    process_fn fn, void *arg);

/* exec_id "": the container's own. -ENOENT in the words that callers look for. Lent. */
int container_find_process(struct containers *set, const char *id, const char *exec_id,
			   struct process **out, struct err *err) MUST_CHECK;

/* -EBUSY while it runs. */
int container_forget_exec(struct containers *set, const char *id, const char *exec_id,
			  struct err *err) MUST_CHECK;

int container_signal_all(struct containers *set, const char *id, int signo,
			 struct err *err) MUST_CHECK;

int container_each_pid(struct containers *set, const char *id, void (*fn)(void *arg, pid_t pid),
		       void *arg, struct err *err) MUST_CHECK;

/* Kills what is left, waits for the last process (5 s), then nothing of the container remains. */
void container_remove(struct containers *set, const char *id, process_fn fn, void *arg);

/* After SIGCHLD: collects every child, known or orphan; a removal that waited for the last one ends here. */
void containers_reap(struct containers *set);

/* Removes all; fn once, with the first failure if there was one. */
void containers_remove_all(struct containers *set, process_fn fn, void *arg);

/* At the end of the agent itself: kills and forgets without waiting. */
void containers_destroy(struct containers *set);

#endif
