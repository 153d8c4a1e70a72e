/* What agent.c (life), service*.c (methods) and call.c (answers) share. */
#ifndef NACRE_AGENT_AGENT_INTERNAL_H
#define NACRE_AGENT_AGENT_INTERNAL_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stdint.h>

#include "agent-proto/ttrpc.h"
#include "agent/container.h"
#include "agent/network.h"
#include "base/loop.h"

/*
 * How long the host may take to hang up after the goodbye: its answer has to get out before the guest ends, no more. The monitor
 * waits for the end instead, so each stop costs this.
 */
#define GOODBYE_MS 100

struct agent {
	struct loop *loop;
	struct ttrpc_conn *control;
	struct containers containers;
	struct network network;
	struct loop_source *goodbye;
	bool is_guest;
	uint64_t init_ns, ready_ns; /* guest_clock_ns then */
};

/* A request that is answered later. The connection may go first: req is NULL then. */
struct call {
	struct agent *agent;
	struct ttrpc_request *req;
	char *id, *exec_id; /* of whom, where the answer needs it */
};

/* NULL: the request was answered with a failure. */
struct call *call_create(struct agent *agent, struct ttrpc_request *req, const char *id,
			 const char *exec_id);
void call_destroy(struct call *call);

/* Answers; a NULL req is one whose connection has gone. */
void reply(struct ttrpc_request *req, const ProtobufCMessage *message);
void reply_empty(struct ttrpc_request *req);
void reply_error(struct ttrpc_request *req, const struct err *why);

/* The service nacre.agent.v1.Agent; the handlers' arg is the struct agent. */
const struct ttrpc_method *service_methods(void);

#endif
