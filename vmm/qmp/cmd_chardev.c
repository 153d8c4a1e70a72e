/* Character devices by name. What uses one today is set up by the command line: QMP itself and the console. */
#include "vmm/qmp/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "vmm/open.h"

static int open_file(struct qmp_call *call, const char *id, struct json_object *data,
		     struct err *err)
{
	const char *out = qj_str(data, "out");
	const struct open_chardev params = {.id = id,
					    .kind = "file",
					    .path = out,
					    .fd = -1,
					    .append = qj_bool(data, "append", false)};

	if (!out)
		return err_say(err, EINVAL, "chardev-add: a file needs 'out', its name");
	return open_chardev(call->qmp->engine.backends, &params, "chardev-add", err);
}

static int open_socket(struct qmp_call *call, const char *id, struct json_object *data,
		       struct err *err)
{
	struct json_object *addr = qj_get(data, "addr");
	const struct open_chardev params = {
		.id = id,
		.kind = "socket",
		.fd = -1,
		.path = addr ? qj_str(qj_get(addr, "data"), "path") : NULL,
	};

	if (!params.path || !qj_bool(data, "server", true) || qj_bool(data, "wait", false))
		return err_say(
			err, EINVAL,
			"chardev-add: a socket needs 'addr', and is a server that does not wait");
	return open_chardev(call->qmp->engine.backends, &params, "chardev-add", err);
}

int qmp_chardev_add(struct qmp_call *call, struct err *err)
{
	const char *id = qj_str(call->args, "id");
	struct json_object *backend = qj_get(call->args, "backend");
	const char *type = qj_str(backend, "type");
	struct json_object *data = qj_get(backend, "data");
	const struct open_chardev none = {.id = id, .kind = "null", .fd = -1};

	if (!strcmp(type, "file"))
		return open_file(call, id, data, err);
	if (!strcmp(type, "socket"))
		return open_socket(call, id, data, err);
	return open_chardev(call->qmp->engine.backends, &none, "chardev-add", err);
}

int qmp_chardev_remove(struct qmp_call *call, struct err *err)
{
	const char *id = qj_str(call->args, "id");
	struct backends *backends = call->qmp->engine.backends;
	struct backend *chardev = backends_find(backends, BACKEND_CHARDEV, id);

	if (!chardev)
		return err_say(err, ENOENT, "there is no chardev '%.64s'", id);
	return backends_remove(backends, chardev, err);
}

/* As QEMU writes it: the kind alone, but of a socket where it is and whether nobody has come. */
static void put_filename(const struct qmp_call *call, struct json_object *o,
			 const struct backend *b)
{
	const struct qmp_engine *engine = &call->qmp->engine;
	char name[512];

	if (strcmp(b->type, "socket") != 0) {
		qj_put_str(o, "filename", b->type);
		return;
	}
	(void)snprintf(name, sizeof(name), "%sunix:%s,server=on",
		       qmp_has_client(call->qmp, b->id) ||
				       engine->ops->console_has_client(engine->self, b->id)
			       ? ""
			       : "disconnected:",
		       b->file);
	qj_put_str(o, "filename", name);
}

int qmp_query_chardev(struct qmp_call *call, struct err *err UNUSED)
{
	const struct backends *b = call->qmp->engine.backends;

	call->ret = json_object_new_array();
	for (size_t i = 0; i < b->n; i++) {
		struct json_object *o;

		if (b->list[i]->kind != BACKEND_CHARDEV)
			continue;
		o = qj_append_object(call->ret);
		qj_put_str(o, "label", b->list[i]->id);
		put_filename(call, o, b->list[i]);
		qj_put_bool(o, "frontend-open", b->list[i]->user[0] != '\0');
	}
	return 0;
}
