/* What container.c and container_remove.c share. */
#ifndef NACRE_AGENT_CONTAINER_INTERNAL_H
#define NACRE_AGENT_CONTAINER_INTERNAL_H

#include <stdbool.h>

#include "agent/container.h"
#include "config/oci.h"

/* Who is to be told. */
struct question_of {
	proc_fn fn;
	void *arg;
};

struct exec {
	struct container *container;
	char *id;
	struct oci_process *spec;
	struct proc *process;
	struct question_of create;
	struct exec *next;
};

struct container {
	struct containers *set;
	char *id;
	struct oci_spec *spec;
	int cgroup_fd;
	int events_fd; /* cgroup.events, while removing */
	struct proc *init;
	struct exec *execs;
	struct question_of create;
	bool removing;
	struct question_of removed;
	struct loop_source *empty_source, *deadline; /* while removing */
	bool paused;                                 /* or about to be */
	struct freezing *freezing;                   /* until it stands still */
	struct container *next;
};

/* A create that failed, while what it made is removed. */
struct failed_create {
	proc_fn fn;
	void *arg;
	struct err why;
};

struct container *container_find(struct containers *set, const char *id);
/* Ends a pause that is under way; its asker is told `why`. */
void container_stop_freezing(struct container *c, const struct err *why);
int container_find_or_say(struct containers *set, const char *id, struct container **out,
			  struct err *err) MUST_CHECK;
/* Not in the set any more: kills, forgets, frees. */
void container_free(struct container *c);
/* Ends the removals whose last process is collected. Containers go away in it. */
void containers_finish_removals(struct containers *set);

#endif
