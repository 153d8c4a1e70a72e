/* Requests of the Task service in flight. */
#include "runtime/task_call.h"

#include <errno.h>
#include <stdlib.h>

#include "base/own.h"
#include "runtime/container.h"
#include "runtime/sandbox.h"
#include "runtime/task_service.h"

static void on_cancel(void *arg)
{
	struct task_call *call = arg;

	call->req = NULL;
}

static void task_call_free(struct task_call *call)
{
	protobuf_c_message_free_unpacked(call->message, NULL);
	process_put(call->p);
	free(call);
}

static void reply(struct ttrpc_request *req, const ProtobufCMessage *message)
{
	size_t len = protobuf_c_message_get_packed_size(message);
	AUTO_FREE uint8_t *bytes = malloc(len ? len : 1);

	if (!bytes) {
		ttrpc_fail(req, TTRPC_RESOURCE_EXHAUSTED, "out of memory");
		return;
	}
	(void)protobuf_c_message_pack(message, bytes);
	ttrpc_reply(req, bytes, len);
}

void task_call_reply(struct task_call *call, const ProtobufCMessage *message)
{
	if (call->req && message)
		reply(call->req, message);
	else if (call->req)
		ttrpc_reply(call->req, "", 0);
	task_call_free(call);
}

void task_call_fail(struct task_call *call, const struct err *why)
{
	if (call->req)
		ttrpc_fail_err(call->req, why);
	task_call_free(call);
}

void task_call_done(void *arg, const struct err *status)
{
	if (status->code)
		task_call_fail(arg, status);
	else
		task_call_reply(arg, NULL);
}

/* A text field of any request; "" when its kind has none of that name. */
static const char *text_of(const ProtobufCMessage *m, const char *name)
{
	const ProtobufCFieldDescriptor *f =
		protobuf_c_message_descriptor_get_field_by_name(m->descriptor, name);

	return f && f->type == PROTOBUF_C_TYPE_STRING
		       ? *(const char *const *)((const char *)m + f->offset)
		       : "";
}

static int find(struct task_call *call, enum task_of of, struct err *err)
{
	const char *id = text_of(call->message, "id");
	const char *exec_id = of == TASK_OF_PROCESS ? text_of(call->message, "exec_id") : "";
	struct container *c = sandbox_container(call->service->sandbox, id);

	if (!c || !c->init)
		return err_say(err, ENOENT, "container does not exist");
	struct process *p = container_process(c, exec_id);
	if (!p)
		return err_say(err, ENOENT, "process '%s' does not exist in container '%s'",
			       exec_id, id);
	call->p = process_get(p);
	return 0;
}

void task_serve(const struct task_method *m, struct task_client *client, struct ttrpc_request *req,
		const uint8_t *payload, size_t len)
{
	struct task_call *call = calloc(1, sizeof(*call));
	struct err err = ERR_INIT;

	if (!call) {
		ttrpc_fail(req, TTRPC_RESOURCE_EXHAUSTED, "out of memory");
		return;
	}
	*call = (struct task_call){.req = req, .client = client, .service = client->service};
	ttrpc_on_cancel(req, on_cancel, call);
	call->message = protobuf_c_message_unpack(m->request, NULL, len, payload);
	if (!call->message)
		(void)err_say(&err, EINVAL, "the request is not a %s", m->request->short_name);
	else if (m->of != TASK_OF_NOBODY)
		(void)find(call, m->of, &err);
	if (err.code)
		task_call_fail(call, &err);
	else
		m->fn(call);
}
