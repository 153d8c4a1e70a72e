/* Requests that are answered now or later, and the answers. */
#include <stdlib.h>
#include <string.h>

#include "agent/agent_internal.h"
#include "base/own.h"

static void call_forget(void *arg)
{
	struct call *call = arg;

	call->req = NULL;
}

void call_destroy(struct call *call)
{
	if (!call)
		return;
	free(call->id);
	free(call->exec_id);
	free(call);
}

struct call *call_create(struct agent *agent, struct ttrpc_request *req, const char *id,
			 const char *exec_id)
{
	struct call *call = calloc(1, sizeof(*call));

	if (call) {
		call->id = strdup(id);
		call->exec_id = strdup(exec_id);
	}
	if (!call || !call->id || !call->exec_id) {
		call_destroy(call);
		ttrpc_fail(req, TTRPC_RESOURCE_EXHAUSTED, "the agent is out of memory");
		return NULL;
	}
	call->agent = agent;
	call->req = req;
	ttrpc_on_cancel(req, call_forget, call);
	return call;
}

void reply(struct ttrpc_request *req, const ProtobufCMessage *message)
{
	size_t len = protobuf_c_message_get_packed_size(message);
	AUTO_FREE uint8_t *bytes = malloc(len ? len : 1);

	if (!req)
		return;
	if (!bytes) {
		ttrpc_fail(req, TTRPC_RESOURCE_EXHAUSTED, "the agent is out of memory");
		return;
	}
	(void)protobuf_c_message_pack(message, bytes);
	ttrpc_reply(req, bytes, len);
}

void reply_empty(struct ttrpc_request *req)
{
	if (req)
		ttrpc_reply(req, NULL, 0);
}

void reply_error(struct ttrpc_request *req, const struct err *why)
{
	if (req)
		ttrpc_fail_err(req, why);
}
