/* Drives by name: blockdev-add opens one, or makes one of another, and device_add puts it before the guest. */
#include "vmm/qmp/internal.h"

#include <errno.h>
#include <string.h>

#include "vmm/open.h"

/* The forms: {driver: raw, file: {driver, filename}}, {driver: raw, file: NODE-NAME} and {driver: file, filename}. */
struct form {
	struct json_object *args;
	struct json_object *part; /* the file as an object; NULL: another form */
	const char *node;         /* the file as a name; likewise */
	const char *filename;
};

static int read_form(struct json_object *args, struct form *out, struct err *err)
{
	struct json_object *file = qj_get(args, "file");
	bool is_object = json_object_is_type(file, json_type_object);
	bool raw = !strcmp(qj_str(args, "driver"), "raw");

	*out = (struct form){
		.args = args,
		.part = is_object ? file : NULL,
		.node = is_object ? NULL : qj_str(args, "file"),
		.filename = qj_str(is_object ? file : args, "filename"),
	};
	if (raw != (file != NULL) || !out->filename == !out->node ||
	    (file && qj_get(args, "filename")))
		return err_say(err, EINVAL,
			       "blockdev-add: the driver raw needs a file of the driver file or "
			       "host_device, or the name of such a drive; those need a filename");
	if (out->part && !strcmp(qj_str(file, "driver"), "raw"))
		return err_say(err, EINVAL, "blockdev-add: raw over raw is no file");
	return 0;
}

/* Wanted of the whole, or of its file. */
static bool wants(const struct form *f, const char *key)
{
	return qj_bool(f->args, key, false) || (f->part && qj_bool(f->part, key, false));
}

static bool wants_cache(const struct form *f, const char *key)
{
	return qj_bool(qj_get(f->args, "cache"), key, false) ||
	       (f->part && qj_bool(qj_get(f->part, "cache"), key, false));
}

/* What is not as it always is here. A member that is not among these has no other value, or is accepted with any. */
static int check_fixed(struct json_object *o, bool readonly, struct err *err)
{
	static const struct {
		const char *key, *value, *why;
	} refused[] = {
		{"discard", "ignore", "what the guest discards is given back: \"unmap\""},
		{"detect-zeroes", "on", "zeros are written as they come: \"off\""},
		{"detect-zeroes", "unmap", "zeros are written as they come: \"off\""},
		{"locking", "off", "a drive is locked: \"auto\" or \"on\""},
		{"force-share", "true", "a drive is locked, alone for a writer: false"},
	};

	for (size_t i = 0; o && i < ARRAY_SIZE(refused); i++) {
		struct json_object *value = qj_get(o, refused[i].key);

		if (!value || strcmp(json_object_get_string(value), refused[i].value) != 0)
			continue;
		if (readonly && !strcmp(refused[i].key, "discard"))
			continue; /* which is so: nothing is discarded */
		return err_say(err, ENOTSUP, "blockdev-add: '%s': %s", refused[i].key,
			       refused[i].why);
	}
	return 0;
}

static int check_cache(const struct form *f, struct err *err)
{
	if (!wants_cache(f, "no-flush"))
		return 0;
	return err_say(
		err, ENOTSUP,
		"blockdev-add: 'cache.no-flush': what the guest flushes is on the disk then: "
		"false");
}

/* The file's own name leads nowhere, but nothing else may go by it. */
static int check_name(const struct backends *b, const struct form *f, struct err *err)
{
	const char *name = f->part ? qj_str(f->part, "node-name") : NULL;

	if (!name || (!backends_find(b, BACKEND_DRIVE, name) &&
		      strcmp(name, qj_str(f->args, "node-name")) != 0))
		return 0;
	return err_say(err, EEXIST, "blockdev-add: 'file.node-name': there is a drive '%.64s'",
		       name);
}

static int find_below(const struct backends *b, const struct form *f, struct backend **out,
		      struct err *err)
{
	*out = f->node ? backends_find(b, BACKEND_DRIVE, f->node) : NULL;
	if (f->node && !*out)
		return err_say(err, ENOENT, "blockdev-add: there is no drive '%.64s'", f->node);
	return 0;
}

/* Of the file, as QEMU has it, or of the whole, as StratoVirt's clients send it. */
static int wanted_aio(const struct form *f, enum block_aio *out, struct err *err)
{
	const char *aio = qj_str(f->args, "aio");

	if (!aio && f->part)
		aio = qj_str(f->part, "aio");
	if (aio && block_aio_parse(aio, out, err) < 0)
		return err_wrap(err, "blockdev-add");
	return 0;
}

int qmp_blockdev_add(struct qmp_call *call, struct err *err)
{
	struct backends *backends = call->qmp->engine.backends;
	struct open_drive params = {.id = qj_str(call->args, "node-name"), .fd = -1};
	struct form f;
	int rc = read_form(call->args, &f, err);

	if (rc == 0)
		rc = find_below(backends, &f, &params.below, err);
	if (rc < 0)
		return rc;
	params.readonly = wants(&f, "read-only");
	params.auto_readonly = wants(&f, "auto-read-only");
	params.direct = wants_cache(&f, "direct") || (params.below && params.below->direct);
	params.aio = params.below ? params.below->aio : BLOCK_AIO_AUTO;
	rc = check_fixed(f.args, params.readonly, err);
	if (rc == 0)
		rc = check_fixed(f.part, params.readonly, err);
	if (rc == 0)
		rc = check_cache(&f, err);
	if (rc == 0)
		rc = check_name(backends, &f, err);
	if (rc == 0)
		rc = wanted_aio(&f, &params.aio, err);
	if (rc < 0)
		return rc;
	return open_drive(backends, &params, params.below ? params.below->file : f.filename,
			  "blockdev-add", err);
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
