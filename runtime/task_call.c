/* Requests of the Task service in flight. */
#include "runtime/task_call.h"

#include <errno.h>
#include <stdlib.h>

#include "base/own.h"

void *task_unpack(struct ttrpc_request *req, const ProtobufCMessageDescriptor *kind,
		  const uint8_t *payload, size_t len)
{
	void *message = protobuf_c_message_unpack(kind, NULL, len, payload);

	if (!message)
		ttrpc_fail(req, TTRPC_INVALID_ARGUMENT, "the request is not a %s",
			   kind->short_name);
	return message;
}

static void on_cancel(void *arg)
{
	struct task_call *call = arg;

	call->req = NULL;
}

struct task_call *task_call_begin(struct ttrpc_request *req, struct task_service *service,
				  void *message, struct process *p)
{
	struct task_call *call = malloc(sizeof(*call));

	if (!call) {
		protobuf_c_message_free_unpacked(message, NULL);
		ttrpc_fail(req, TTRPC_RESOURCE_EXHAUSTED, "out of memory");
		return NULL;
	}
	*call = (struct task_call){
		.req = req, .service = service, .message = message, .p = p ? process_get(p) : NULL};
	ttrpc_on_cancel(req, on_cancel, call);
	return call;
}

static void task_call_free(struct task_call *call)
{
	if (call->message)
		protobuf_c_message_free_unpacked(call->message, NULL);
	process_put(call->p);
	free(call);
}

void task_reply(struct ttrpc_request *req, const ProtobufCMessage *reply)
{
	size_t len = protobuf_c_message_get_packed_size(reply);
	AUTO_FREE uint8_t *bytes = malloc(len ? len : 1);

	if (!bytes) {
		ttrpc_fail(req, TTRPC_RESOURCE_EXHAUSTED, "out of memory");
		return;
	}
	(void)protobuf_c_message_pack(reply, bytes);
	ttrpc_reply(req, bytes, len);
}

void task_reply_empty(struct ttrpc_request *req)
{
	ttrpc_reply(req, "", 0);
}

void task_call_reply(struct task_call *call, const ProtobufCMessage *reply)
{
	if (call->req && reply)
		task_reply(call->req, reply);
	else if (call->req)
		task_reply_empty(call->req);
	task_call_free(call);
}

void task_call_fail(struct task_call *call, const struct err *why)
{
	if (call->req)
		ttrpc_fail_err(call->req, why);
	task_call_free(call);
}
