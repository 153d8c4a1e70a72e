/*
 * A request of the Task service being served: it is answered when the sandbox says so, or forgotten when its connection goes
 * first. Plus what every handler needs: decoding, replies.
 */
#ifndef NACRE_RUNTIME_TASK_CALL_H
#define NACRE_RUNTIME_TASK_CALL_H

#include <protobuf-c/protobuf-c.h>

#include "agent-proto/containerd.pb-c.h"
#include "agent-proto/ttrpc.h"
#include "base/compiler.h"
#include "base/err.h"
#include "runtime/process.h"

struct task_service;

struct task_call {
	struct ttrpc_request *req; /* NULL once its connection is gone */
	struct task_service *service;
	ProtobufCMessage *message; /* the request, owned */
	struct process *p;         /* a counted reference, or NULL */
};

/* Decodes the request; on failure it is answered and NULL returned. Free with protobuf_c_message_free_unpacked. */
void *task_unpack(struct ttrpc_request *req, const ProtobufCMessageDescriptor *kind,
		  const uint8_t *payload, size_t len) MUST_CHECK;

static inline void own_message(void *pp)
{
	protobuf_c_message_free_unpacked(*(ProtobufCMessage **)pp, NULL);
}
#define AUTO_MESSAGE CLEANUP(own_message)

/* Takes the message in any case; on failure the request is answered and NULL returned. p may be NULL. */
struct task_call *task_call_begin(struct ttrpc_request *req, struct task_service *service,
				  void *message, struct process *p) MUST_CHECK;

/* Answers, if anybody still waits, and frees. */
void task_call_reply(struct task_call *call, const ProtobufCMessage *reply);
void task_call_fail(struct task_call *call, const struct err *why);

void task_reply(struct ttrpc_request *req, const ProtobufCMessage *reply);
void task_reply_empty(struct ttrpc_request *req);

#endif
