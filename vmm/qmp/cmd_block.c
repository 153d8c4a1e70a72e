/* Drives by name: blockdev-add opens one, device_add puts it before the guest. */
#include "vmm/qmp/internal.h"

#include <errno.h>
#include <string.h>

#include "vmm/open.h"

/* What the two forms have in common: {driver: raw, file: {driver, filename}} and {driver: file, filename}. */
static int name_of_file(struct json_object *args, const char **out, struct err *err)
{
	struct json_object *file = qj_get(args, "file");
	const char *filename = qj_str(file ? file : args, "filename");
	bool raw = !strcmp(qj_str(args, "driver"), "raw");

	if (raw != (file != NULL) || !filename)
		return err_say(err, EINVAL,
			       "blockdev-add: the driver raw needs a file of the driver file or "
			       "host_device, "
			       "those need a filename");
	if (file && !strcmp(qj_str(file, "driver"), "raw"))
		return err_say(err, EINVAL, "blockdev-add: raw over raw is no file");
	*out = filename;
	return 0;
}

static bool wants_direct(struct json_object *args)
{
	struct json_object *file = qj_get(args, "file");
	bool direct = qj_bool(qj_get(args, "cache"), "direct", false);

	return direct || (file && qj_bool(qj_get(file, "cache"), "direct", false));
}

static bool wants_readonly(struct json_object *args)
{
	struct json_object *file = qj_get(args, "file");

	return qj_bool(args, "read-only", false) || (file && qj_bool(file, "read-only", false));
}

/* Of the file, as QEMU has it, or of the whole, as StratoVirt's clients send it. */
static int wanted_aio(struct json_object *args, enum block_aio *out, struct err *err)
{
	struct json_object *file = qj_get(args, "file");
	const char *aio = qj_str(args, "aio");

	if (!aio && file)
		aio = qj_str(file, "aio");
	if (aio && block_aio_parse(aio, out, err) < 0)
		return err_wrap(err, "blockdev-add");
	return 0;
}

int qmp_blockdev_add(struct qmp_call *call, struct err *err)
{
	struct open_drive params = {
		.id = qj_str(call->args, "node-name"),
		.readonly = wants_readonly(call->args),
		.direct = wants_direct(call->args),
		.fd = -1,
	};
	const char *file = NULL;
	int rc = name_of_file(call->args, &file, err);

	if (rc == 0)
		rc = wanted_aio(call->args, &params.aio, err);
	if (rc < 0)
		return rc;
	return open_drive(call->qmp->engine.backends, &params, file, "blockdev-add", err);
}

int qmp_blockdev_del(struct qmp_call *call, struct err *err)
{
	const char *name = qj_str(call->args, "node-name");
	struct backends *backends = call->qmp->engine.backends;
	struct backend *drive = backends_find(backends, BACKEND_DRIVE, name);

	if (!drive)
		return err_say(err, ENOENT, "there is no drive '%.64s'", name);
	return backends_remove(backends, drive, err);
}
