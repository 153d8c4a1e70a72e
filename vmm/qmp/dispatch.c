/* A request: {"execute": NAME, "arguments": {...}, "id": ANY}. Checked, carried out, answered with its id. */
#include "vmm/qmp/internal.h"

#include <errno.h>
#include <string.h>

static const char *class_name(enum qmp_error_class error_class)
{
	switch (error_class) {
	case QMP_GENERIC_ERROR:
		return "GenericError";
	case QMP_COMMAND_NOT_FOUND:
		return "CommandNotFound";
	case QMP_DEVICE_NOT_FOUND:
		return "DeviceNotFound";
	}
	return "GenericError";
}

void qmp_send_error(struct qmp_client *client, struct json_object *id,
		    enum qmp_error_class error_class, const char *text)
{
	AUTO_JSON struct json_object *answer = json_object_new_object();
	struct json_object *error = qj_put_object(answer, "error");

	qj_put_str(error, "class", class_name(error_class));
	qj_put_str(error, "desc", text);
	if (id)
		qj_put(answer, "id", json_object_get(id));
	qmp_client_send(client, answer);
}

static void send_return(struct qmp_client *client, struct json_object *id, struct json_object *ret)
{
	AUTO_JSON struct json_object *answer = json_object_new_object();

	qj_put(answer, "return", ret ? json_object_get(ret) : json_object_new_object());
	if (id)
		qj_put(answer, "id", json_object_get(id));
	qmp_client_send(client, answer);
}

static int check_request(struct json_object *request, struct err *err)
{
	if (!json_object_is_type(request, json_type_object))
		return err_say(err, EINVAL, "a request is an object: {\"execute\": \"COMMAND\"}");
	json_object_object_foreach(request, key, value)
	{
		if (!strcmp(key, "exec-oob"))
			return err_say(err, EINVAL,
				       "exec-oob: out-of-band execution was not offered");
		if (strcmp(key, "execute") != 0 && strcmp(key, "arguments") != 0 &&
		    strcmp(key, "id") != 0)
			return err_say(err, EINVAL, "a request has no member '%.64s'", key);
		if (!strcmp(key, "arguments") && !json_object_is_type(value, json_type_object))
			return err_say(err, EINVAL, "'arguments': an object is needed");
	}
	if (!json_object_is_type(qj_get(request, "execute"), json_type_string))
		return err_say(err, EINVAL, "'execute': the name of a command is needed");
	return 0;
}

/* The negotiation comes first, and once. */
static int find(struct qmp_call *call, const char *name, const struct qmp_command **out,
		struct err *err)
{
	const struct qmp_command *command = qmp_find_command(name);
	bool negotiation = command && command->handler == qmp_capabilities;

	call->error_class = QMP_COMMAND_NOT_FOUND;
	if (!qmp_client_negotiated(call->client) && !negotiation)
		return err_say(err, ENOENT, "qmp_capabilities must come first, before '%.64s'",
			       name);
	if (qmp_client_negotiated(call->client) && negotiation)
		return err_say(err, ENOENT,
			       "qmp_capabilities was given already, the negotiation is over");
	if (!command)
		return err_say(err, ENOENT,
			       "there is no command '%.64s': query-commands lists them", name);
	call->error_class = QMP_GENERIC_ERROR;
	*out = command;
	return 0;
}

static int carry_out(struct qmp_call *call, struct json_object *request, struct err *err)
{
	const struct qmp_command *command = NULL;
	int rc = check_request(request, err);

	if (rc == 0)
		rc = find(call, qj_str(request, "execute"), &command, err);
	if (rc == 0)
		rc = qmp_check(command->arg, call->args, "arguments", err);
	if (rc == 0)
		rc = command->handler(call, err);
	return rc;
}

void qmp_dispatch(struct qmp *qmp, struct qmp_client *client, struct json_object *request)
{
	struct json_object *given = qj_get(request, "arguments");
	AUTO_JSON struct json_object *args =
		given ? json_object_get(given) : json_object_new_object();
	struct qmp_call call = {.qmp = qmp, .client = client, .args = args};
	struct json_object *id = qj_get(request, "id");
	struct err err = ERR_INIT;

	if (carry_out(&call, request, &err) < 0)
		qmp_send_error(client, id, call.error_class, err.text);
	else
		send_return(client, id, call.ret);
	if (call.announce && qmp->started)
		qmp_send_running(qmp, client);
	own_json(&call.ret);
}
