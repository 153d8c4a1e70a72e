/* Drives by name: blockdev-add opens one, device_add puts it before the guest. */
#include "vmm/qmp/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

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

static int64_t size_of(int fd)
{
	struct stat st;
	uint64_t bytes = 0;

	if (fstat(fd, &st) < 0)
		return 0;
	if (S_ISBLK(st.st_mode))
		return ioctl(fd, BLKGETSIZE64, &bytes) < 0 ? 0 : (int64_t)bytes;
	return st.st_size;
}

static void put_inserted(struct json_object *o, const struct backend *drive)
{
	struct json_object *inserted = qj_put_object(o, "inserted");
	struct json_object *cache, *image;

	qj_put_str(inserted, "file", drive->file);
	qj_put_str(inserted, "node-name", drive->id);
	qj_put_bool(inserted, "ro", drive->readonly);
	qj_put_str(inserted, "drv", "raw");
	cache = qj_put_object(inserted, "cache");
	qj_put_bool(cache, "writeback", true);
	qj_put_bool(cache, "direct", drive->direct);
	qj_put_bool(cache, "no-flush", false);
	image = qj_put_object(inserted, "image");
	qj_put_str(image, "filename", drive->file);
	qj_put_str(image, "format", "raw");
	qj_put_int(image, "virtual-size", size_of(drive->fd));
}

int qmp_query_block(struct qmp_call *call, struct err *err UNUSED)
{
	const struct backends *b = call->qmp->engine.backends;

	call->ret = json_object_new_array();
	for (size_t i = 0; i < b->n; i++) {
		const struct backend *drive = b->list[i];
		struct json_object *o;

		if (drive->kind != BACKEND_DRIVE)
			continue;
		o = qj_append_object(call->ret);
		qj_put_str(o, "device", "");
		if (drive->user[0])
			qj_put_str(o, "qdev", drive->user);
		qj_put_str(o, "type", "unknown");
		qj_put_bool(o, "removable", false);
		qj_put_bool(o, "locked", false);
		put_inserted(o, drive);
	}
	return 0;
}

static void put_counts(struct json_object *stats, const char *what, const struct dev_blk_count *n)
{
	char key[64];

	(void)snprintf(key, sizeof(key), "%s_operations", what);
	qj_put_int(stats, key, (int64_t)n->operations);
	(void)snprintf(key, sizeof(key), "failed_%s_operations", what);
	qj_put_int(stats, key, (int64_t)n->failed);
	/* A flush moves no bytes. */
	(void)snprintf(key, sizeof(key), "%s_bytes", what);
	if (strcmp(what, "flush") != 0)
		qj_put_int(stats, key, (int64_t)n->bytes);
}

/* By device: a spare slot counts on when its disk is changed, and is not listed while it is empty. */
int qmp_query_blockstats(struct qmp_call *call, struct err *err UNUSED)
{
	const struct qmp_engine *engine = &call->qmp->engine;
	struct machine_slot slot;

	call->ret = json_object_new_array();
	for (size_t i = 0; engine->ops->look(engine->self, i, &slot); i++) {
		struct json_object *o, *stats;

		if (slot.kind != DEVICE_BLK || !slot.id[0])
			continue;
		o = qj_append_object(call->ret);
		qj_put_str(o, "device", "");
		qj_put_str(o, "qdev", slot.id);
		stats = qj_put_object(o, "stats");
		put_counts(stats, "rd", &slot.blk.read);
		put_counts(stats, "wr", &slot.blk.write);
		put_counts(stats, "flush", &slot.blk.flush);
		put_counts(stats, "unmap", &slot.blk.unmap);
	}
	return 0;
}

/* Each device that has a thread has one of its own, by the device's name; an empty slot's goes by its number. */
int qmp_query_iothreads(struct qmp_call *call, struct err *err UNUSED)
{
	const struct qmp_engine *engine = &call->qmp->engine;
	struct machine_slot slot;

	call->ret = json_object_new_array();
	for (size_t i = 0; engine->ops->look(engine->self, i, &slot); i++) {
		struct json_object *o;
		char place[32];

		if (slot.tid == 0)
			continue;
		(void)snprintf(place, sizeof(place), "slot%zu", i);
		o = qj_append_object(call->ret);
		qj_put_str(o, "id", slot.id[0] ? slot.id : place);
		qj_put_int(o, "thread-id", slot.tid);
	}
	return 0;
}
