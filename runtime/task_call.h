/*
 * A request of the Task service being served: it is answered when the sandbox says so, or forgotten when its connection goes
 * first. What all methods have in common is done here: decoding, finding whom it is about, replying.
 */
#ifndef NACRE_RUNTIME_TASK_CALL_H
#define NACRE_RUNTIME_TASK_CALL_H

#include <protobuf-c/protobuf-c.h>

#include "agent-proto/containerd.pb-c.h"
#include "agent-proto/ttrpc.h"
#include "base/compiler.h"
#include "base/err.h"
#include "runtime/process.h"

struct task_client;
struct task_service;

struct task_call {
	struct ttrpc_request *req;  /* NULL once its connection is gone */
	struct task_client *client; /* good as long as req */
	struct task_service *service;
	ProtobufCMessage *message; /* the request, owned */
	struct process *p;         /* whom it names: a counted reference, or NULL */
};

/* Whom the fields id and exec_id of a request name; one who is not there is answered NOT_FOUND. */
enum task_of { TASK_OF_NOBODY, TASK_OF_INIT, TASK_OF_PROCESS };

/* A method: what its request is, whom it is about, what is done. fn answers, now or later. */
struct task_method {
	const ProtobufCMessageDescriptor *request;
	enum task_of of;
	void (*fn)(struct task_call *call);
};

/* A ttrpc handler's work: decodes, finds, calls. */
void task_serve(const struct task_method *m, struct task_client *client, struct ttrpc_request *req,
		const uint8_t *payload, size_t len);

static inline void own_message(void *pp)
{
	protobuf_c_message_free_unpacked(*(ProtobufCMessage **)pp, NULL);
}
#define AUTO_MESSAGE CLEANUP(own_message)

/* Answers, if anybody still waits, and frees. */
void task_call_reply(struct task_call *call, const ProtobufCMessage *reply);
void task_call_fail(struct task_call *call, const struct err *why);
/* A process_fn for calls that answer Empty or an error; arg is the call. */
void task_call_done(void *arg, const struct err *status);

#endif
