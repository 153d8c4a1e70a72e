/* What is known of drives, of the disks in front of them, and of the threads that serve devices. */
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "vmm/qmp/internal.h"

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

/* What no drive of ours has, or does. */
static void put_absent(struct json_object *inserted)
{
	static const char *const none[] = {
		"backing_file_depth", "bps", "bps_rd", "bps_wr", "iops", "iops_rd", "iops_wr",
		"write_threshold",
	};

	for (size_t i = 0; i < ARRAY_SIZE(none); i++)
		qj_put_int(inserted, none[i], 0);
	qj_put_bool(inserted, "encrypted", false);
	qj_put_str(inserted, "detect_zeroes", "off");
}

static void put_inserted(struct json_object *o, const struct backend *drive)
{
	struct json_object *inserted = qj_put_object(o, "inserted");
	struct json_object *cache, *image;

	qj_put_str(inserted, "file", drive->file);
	qj_put_str(inserted, "node-name", drive->id);
	qj_put_bool(inserted, "ro", drive->readonly);
	qj_put_str(inserted, "drv", "raw");
	put_absent(inserted);
	cache = qj_put_object(inserted, "cache");
	qj_put_bool(cache, "writeback", true);
	qj_put_bool(cache, "direct", drive->direct);
	qj_put_bool(cache, "no-flush", false);
	image = qj_put_object(inserted, "image");
	qj_put_str(image, "filename", drive->file);
	qj_put_str(image, "format", "raw");
	qj_put_int(image, "virtual-size", size_of(drive->fd));
}

/* QEMU's device: what -drive gives a name to; a drive of blockdev-add has none, only that of its node. */
static void put_device(struct json_object *o, const struct backend *drive)
{
	qj_put_str(o, "device", drive && drive->from_start ? drive->id : "");
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
		put_device(o, drive);
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
	const struct {
		const char *before, *after;
		uint64_t count;
	} counts[] = {
		{"", "_operations", n->operations},
		{"failed_", "_operations", n->failed},
		{"invalid_", "_operations", n->invalid},
		{"", "_total_time_ns", n->time_ns},
		{"", "_bytes", n->bytes},
		{"", "_merged", n->merged},
	};
	/* A flush moves no bytes, and one of them is as good as two. */
	size_t ncounts = ARRAY_SIZE(counts) - (strcmp(what, "flush") ? 0 : 2);

	for (size_t i = 0; i < ncounts; i++) {
		char key[64];

		(void)snprintf(key, sizeof(key), "%s%s%s", counts[i].before, what, counts[i].after);
		qj_put_int(stats, key, (int64_t)counts[i].count);
	}
}

static void put_stats(struct json_object *o, const struct dev_blk_stats *s)
{
	struct json_object *stats = qj_put_object(o, "stats");

	put_counts(stats, "rd", &s->read);
	put_counts(stats, "wr", &s->write);
	put_counts(stats, "flush", &s->flush);
	put_counts(stats, "unmap", &s->unmap);
	qj_put_int(stats, "wr_highest_offset", (int64_t)s->written_end_bytes);
	/* Whether times count what failed: no. */
	qj_put_bool(stats, "account_invalid", false);
	qj_put_bool(stats, "account_failed", false);
	qj_put(stats, "timed_stats", json_object_new_array());
}

/* The drive that the device is in front of. */
static const struct backend *drive_of(const struct backends *b, const char *device)
{
	for (size_t i = 0; i < b->n; i++) {
		if (b->list[i]->kind == BACKEND_DRIVE && !strcmp(b->list[i]->user, device))
			return b->list[i];
	}
	return NULL;
}

/* By device: a spare slot counts on when its disk is changed, and is not listed while it is empty. */
static void list_devices(const struct qmp_engine *engine, struct json_object *list)
{
	struct machine_slot slot;

	for (size_t i = 0; engine->ops->look(engine->self, i, &slot); i++) {
		const struct backend *drive;
		struct json_object *o;

		if (slot.kind != DEVICE_BLK || !slot.id[0])
			continue;
		drive = drive_of(engine->backends, slot.id);
		o = qj_append_object(list);
		put_device(o, drive);
		qj_put_str(o, "qdev", slot.id);
		if (drive)
			qj_put_str(o, "node-name", drive->id);
		put_stats(o, &slot.blk);
	}
}

/* What the disk in front of a drive has counted; all zeros without one. */
static struct dev_blk_stats stats_of(const struct qmp_engine *engine, const char *device)
{
	struct machine_slot slot;

	for (size_t i = 0; *device && engine->ops->look(engine->self, i, &slot); i++) {
		if (slot.kind == DEVICE_BLK && !strcmp(slot.id, device))
			return slot.blk;
	}
	return (struct dev_blk_stats){0};
}

static void list_nodes(const struct qmp_engine *engine, struct json_object *list)
{
	const struct backends *b = engine->backends;

	for (size_t i = 0; i < b->n; i++) {
		struct dev_blk_stats stats;
		struct json_object *o;

		if (b->list[i]->kind != BACKEND_DRIVE)
			continue;
		stats = stats_of(engine, b->list[i]->user);
		o = qj_append_object(list);
		qj_put_str(o, "node-name", b->list[i]->id);
		put_stats(o, &stats);
	}
}

int qmp_query_blockstats(struct qmp_call *call, struct err *err UNUSED)
{
	call->ret = json_object_new_array();
	if (qj_bool(call->args, "query-nodes", false))
		list_nodes(&call->qmp->engine, call->ret);
	else
		list_devices(&call->qmp->engine, call->ret);
	return 0;
}

static bool is_listed(struct json_object *list, const char *id)
{
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		if (!strcmp(qj_str(json_object_array_get_idx(list, i), "id"), id))
			return true;
	}
	return false;
}

/*
 * Each device that has a thread has one of its own. It goes by the object's name that the device was given, if it is the first
 * that was, else by the device's, and an empty slot's by its number.
 */
int qmp_query_iothreads(struct qmp_call *call, struct err *err UNUSED)
{
	static const char *const polling[] = {"poll-max-ns", "poll-grow", "poll-shrink",
					      "aio-max-batch"};
	const struct qmp_engine *engine = &call->qmp->engine;
	struct machine_slot slot;

	call->ret = json_object_new_array();
	for (size_t i = 0; engine->ops->look(engine->self, i, &slot); i++) {
		struct json_object *o;
		const char *id = slot.iothread;
		char place[32];

		if (slot.tid == 0)
			continue;
		(void)snprintf(place, sizeof(place), "slot%zu", i);
		if (!*id || is_listed(call->ret, id))
			id = slot.id[0] ? slot.id : place;
		o = qj_append_object(call->ret);
		qj_put_str(o, "id", id);
		qj_put_int(o, "thread-id", slot.tid);
		/* It sleeps until something comes. */
		for (size_t k = 0; k < ARRAY_SIZE(polling); k++)
			qj_put_int(o, polling[k], 0);
	}
	return 0;
}
