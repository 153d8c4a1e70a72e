/*
 * The virtio-fs device (virtio 1.2, 5.11) around the FUSE server: a queue for forgets, one for
 * requests, and a tag. There is no notification queue and no DAX window.
 */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "vmm/dev/dev.h"
#include "vmm/dev/fs/fs.h"

#define FS_DEVICE_ID  26 /* virtio 1.2, 5.11.1 */
#define FS_TAG_BYTES  36
#define FS_QUEUES     2   /* 0: high priority, 1: requests */
#define FS_QUEUE_SIZE 512 /* a request of FS_MAX_PAGES pages and its headers */

/* virtio 1.2, 5.11.4 */
struct fs_config {
	uint8_t tag[FS_TAG_BYTES]; /* padded with NUL, not terminated */
	uint32_t num_request_queues;
} PACKED;

_Static_assert(sizeof(struct fs_config) == 40, "virtio 1.2, 5.11.4");

/*
 * Requests served before the loop may look at something else. Each may take as long as the host's
 * file system likes to, and who holds the machine does not wait for ever.
 */
#define FS_TURN 8

struct dev_fs {
	struct virtio_dev *dev;
	struct fs *fs;
	struct fs_config config;
	struct vq_chain chain;
};

static void on_config_read(void *self, uint32_t off, void *out, uint32_t len)
{
	const struct dev_fs *d = self;

	memcpy(out, (const uint8_t *)&d->config + off, len);
}

static void on_start(void *self, uint64_t features)
{
	(void)self;
	(void)features;
}

static void on_kick(void *self, uint16_t queue)
{
	struct dev_fs *d = self;
	struct vq *q = virtio_queue(d->dev, queue);

	for (unsigned int n = 0; n < FS_TURN; n++) {
		const char *why = NULL;

		if (!vq_pop(q, &d->chain))
			return;
		if (!fs_serve(d->fs, &d->chain, &why)) {
			virtio_break(d->dev, why);
			return;
		}
		vq_push(&d->chain);
		/* Not once a batch: the caller of the first request need not wait for the last. */
		virtio_interrupt(d->dev, q);
	}
	virtio_notify(d->dev, queue);
}

static void on_reset(void *self)
{
	const struct dev_fs *d = self;

	fs_end_session(d->fs);
}

static void on_destroy(void *self)
{
	struct dev_fs *d = self;

	fs_destroy(d->fs);
	free(d);
}

static const struct virtio_ops fs_ops = {
	.name = "virtio-fs",
	.id = FS_DEVICE_ID,
	.config_read = on_config_read,
	.start = on_start,
	.kick = on_kick,
	.reset = on_reset,
	.destroy = on_destroy,
};

int dev_fs_create(const struct dev_fs_params *p, struct gmem *mem, struct loop *loop,
		  struct virtio_dev **out, struct err *err)
{
	size_t tag_len = strnlen(p->tag, sizeof(p->tag));
	if (tag_len == 0 || tag_len > FS_TAG_BYTES)
		return err_say(err, EINVAL, "a virtio-fs tag has 1 to %d bytes", FS_TAG_BYTES);

	struct dev_fs *d = calloc(1, sizeof(*d));
	if (!d)
		return err_set(err, ENOMEM, "allocate virtio-fs '%s'", p->tag);
	memcpy(d->config.tag, p->tag, tag_len);
	d->config.num_request_queues = htole32(1);

	const struct virtio_dev_params params = {
		.ops = &fs_ops,
		.self = d,
		.nqueues = FS_QUEUES,
		.queue_size = FS_QUEUE_SIZE,
		.config_len = sizeof(d->config),
		.mem = mem,
		.loop = loop,
	};
	CLEANUP(own_virtio_dev_destroy) struct virtio_dev *dev = NULL;
	int rc = virtio_dev_create(&params, &dev, err);
	if (rc < 0) {
		free(d);
		return rc;
	}
	d->dev = dev;
	/* Last, since from its success on the descriptor is not the caller's. */
	rc = fs_create(p->root_fd, p->proc_fd, p->readonly, &d->fs, err);
	if (rc < 0)
		return rc;

	*out = TAKE_PTR(&dev);
	return 0;
}
