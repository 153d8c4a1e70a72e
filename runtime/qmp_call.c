/* See qmp_call.h. */
#include "runtime/qmp_call.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "base/str.h"
#include "config/json.h"

void qmp_call_destroy(struct qmp_call *call)
{
	own_close(&call->fd);
	free(call->command);
	free(call->text);
	free(call);
}

static char *compose(const char *command, struct json_object *arguments, uint64_t id)
{
	AUTO_JSON struct json_object *o = json_object_new_object();

	if (!o || json_object_object_add(o, "execute", json_object_new_string(command)) ||
	    (arguments && json_object_object_add(o, "arguments", json_object_get(arguments))) ||
	    json_object_object_add(o, "id", json_object_new_uint64(id)))
		return NULL;
	return str_printf("%s\n", json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN));
}

struct qmp_call *qmp_call_create(uint64_t id, const char *command, struct json_object *arguments,
				 int fd, struct err *err)
{
	struct qmp_call *call = calloc(1, sizeof(*call));

	if (!call) {
		(void)err_set(err, ENOMEM, "ask the vmm to %s", command);
		return NULL;
	}
	call->id = id;
	call->fd = fd >= 0 ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1;
	call->command = strdup(command);
	call->text = compose(command, arguments, call->id);
	if (call->command && call->text && (fd < 0 || call->fd >= 0)) {
		call->len = strlen(call->text);
		return call;
	}
	(void)err_set(err, errno ? errno : ENOMEM, "ask the vmm to %s", command);
	qmp_call_destroy(call);
	return NULL;
}

void qmp_call_refused(const struct qmp_call *call, struct json_object *error, struct err *err)
{
	const char *class = json_text(error, "class"), *desc = json_text(error, "desc");
	int code = EIO;

	if (strcmp(class, "CommandNotFound") == 0)
		code = ENOSYS;
	if (strcmp(class, "DeviceNotFound") == 0)
		code = ENODEV;
	(void)err_say(err, code, "%s: %.512s", call->command, *desc ? desc : "no reason given");
}
