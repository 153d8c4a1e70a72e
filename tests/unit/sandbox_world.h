/*
 * A sandbox for tests, whose microVM is up: its agent is played here, and every request to it is kept in `asked` until the test
 * answers it. A caller of its Task service is there as well.
 */
#ifndef NACRE_TESTS_SANDBOX_WORLD_H
#define NACRE_TESTS_SANDBOX_WORLD_H

#include <stdint.h>

#include "agent-proto/containerd.pb-c.h"
#include "agent-proto/ttrpc.h"
#include "base/loop.h"
#include "runtime/container.h"
#include "runtime/sandbox.h"
#include "runtime/task_service.h"

enum method {
	EXEC,
	START,
	WAIT,
	SIGNAL,
	DELETE,
	DELETE_EXEC,
	RESIZE,
	PAUSE,
	RESUME,
	UPDATE,
	VCPUS,
	SHUTDOWN,
	METHODS
};

struct world {
	struct loop *loop;
	struct sandbox *sandbox;
	struct ttrpc_conn *agent; /* the agent's side */
	struct ttrpc_request *asked[METHODS];
	uint32_t signo, vcpus;
	/* What happened, in order: S start answered, O an OOM kill, x exec's exit, X init's exit, D deleted, ! an error */
	char story[32];
	int code; /* of the last callback */
	struct task_service service;
	struct task_client *client; /* the Task service's side */
	struct ttrpc_conn *caller;
	int answers, answer_code;
	Containerd__Status status;
};

/* cmocka set-up and tear-down: *state is the world. */
int world_begin(void **state);
int world_end(void **state);

/* Runs the loop until nothing is left to do. */
void world_settle(struct world *w);
/* Adds to the story. */
void world_tell(struct world *w, char what);

/* A container "c" as container_create leaves it, without mounts; a process of it that the agent has. */
struct container *world_container(struct world *w);
struct process *world_process(struct world *w, struct container *c, const char *exec_id);
void world_start(struct world *w, struct process *p);

/* The agent's request, to be answered by hand; or its answer. */
struct ttrpc_request *world_take(struct world *w, enum method m);
void world_answer_empty(struct world *w, enum method m);
void world_answer_exit(struct world *w, struct ttrpc_request *req, uint32_t status);

/* Callbacks that tell of it. */
void world_on_plain(void *arg, const struct err *status);
void world_on_started(void *arg, const struct err *status);
void world_on_deleted(void *arg, const struct err *status);

#endif
