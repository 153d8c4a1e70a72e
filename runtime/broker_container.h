/* A container as the broker knows it. Its making and end are broker_containers.c, its mounts broker_share.c. */
#ifndef NACRE_RUNTIME_BROKER_CONTAINER_H
#define NACRE_RUNTIME_BROKER_CONTAINER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/compiler.h"
#include "base/err.h"
#include "base/loop.h"
#include "config/oci.h"
#include "config/plan.h"
#include "runtime/broker_state.h"

struct broker_container {
	struct broker_state *state;
	uint32_t number;
	char *id, *bundle;
	int bundle_fd;
	struct oci_spec *spec;
	struct container_plan *plan;
	pid_t stub_pid; /* 0: none */
	size_t nrootfs_mounts;
	bool shared;
	bool gone;                  /* taken out of the tree, for good */
	bool forgotten;             /* as soon as nobody shares it any more */
	struct loop_source *sharer; /* the child that shares it */
	unsigned int moments;       /* a mask of those whose hooks were run */
	int outcome_fd; /* hooks run, or a child shares it: who waits for them reads here; -1 */
	struct broker_container *next;
};

/* Lent; NULL: it does not have the one that is asked about. */
struct broker_container *broker_container_find(const struct broker_state *s,
					       const struct broker_request *r, struct err *err);

/* To who waits for hooks or mounts, if anybody does: one with EINPROGRESS before a step, the outcome last. */
void broker_container_say(const struct broker_container *c, const struct err *status);

/* Its mounts, all of them or as far as they came. */
void broker_container_take_back(struct broker_container *c);

/* Out of the list, with its mounts; whoever shares it is ended. */
void broker_container_remove(struct broker_container *c);

#endif
