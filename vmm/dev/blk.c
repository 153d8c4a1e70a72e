/*
 * Block device (virtio 1.2, 5.2): queues of requests over one disk image, which an engine of vmm/block reads and writes
 * straight from and to guest memory. All queues are served by the device's one loop: its work is to hand requests over, and
 * docs/architecture.md has the measurement. A spare slot has no image until it is filled.
 *
 * A reset waits for what is under way, since the driver may use that memory for other things right after it; only the vCPU
 * that asked for it stands still meanwhile. What the disk does not give back in time is never answered, and no new request is
 * taken before it has come back.
 */
#include "vmm/dev/blk.h"

#include <endian.h>
#include <errno.h>
#include <linux/virtio_ids.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "base/log.h"
#include "base/own.h"

#define RESET_WAIT_MS 5000
#define EMPTY_WAIT_MS 1000

static void blk_config_read(void *self, uint32_t off, void *out, uint32_t len)
{
	const struct blk *blk = self;

	memcpy(out, (const uint8_t *)&blk->config + off, len);
}

/* The one field a driver may write is `writeback` (virtio 1.2, 5.2.5). */
static void blk_config_write(void *self, uint32_t off, const void *in, uint32_t len)
{
	struct blk *blk = self;
	uint8_t writeback;

	if (off != offsetof(struct virtio_blk_config, wce) || len != sizeof(writeback) ||
	    !(blk->features & (1ULL << VIRTIO_BLK_F_CONFIG_WCE)))
		return;
	memcpy(&writeback, in, sizeof(writeback));
	blk->config.wce = writeback & 1;
	blk->write_through = blk_is_write_through(blk->features, blk->config.wce);
}

static int blk_run(void *self, struct err *err)
{
	struct blk *blk = self;

	return block_engine_start(blk->engine, err);
}

static void blk_start(void *self, uint64_t features)
{
	struct blk *blk = self;

	blk->features = features;
	blk->write_through = blk_is_write_through(features, blk->config.wce);
	if (!(features & (1ULL << VIRTIO_BLK_F_FLUSH)))
		blk->config.wce = 0;
}

static void blk_kick(void *self, uint16_t queue)
{
	struct blk *blk = self;
	struct vq *q = virtio_queue(blk->dev, queue);
	bool ok = blk_batch_take(blk, q);

	blk_batch_go(blk);
	if (ok)
		virtio_interrupt(blk->dev, q);
	else
		virtio_break(blk->dev, "block request without header or status");
}

static bool blk_quiesce(void *self, int timeout_ms)
{
	return blk_io_drain(self, timeout_ms);
}

static void blk_reset(void *self)
{
	struct blk *blk = self;

	blk->epoch++;
	blk->features = 0;
	blk->config.wce = 1;
	blk->stalled = false;
	if (blk_io_drain(blk, blk->reset_wait_ms))
		return;
	blk->draining = true;
	log_warn("virtio-blk: the disk has not finished %u requests of before a reset yet",
		 blk->in_flight);
}

static void blk_destroy(void *self)
{
	struct blk *blk = self;

	if (!blk)
		return;
	loop_remove(blk->engine_source);
	loop_remove(blk->retry);
	block_engine_destroy(blk->engine);
	block_node_close(&blk->node);
	own_close(&blk->idle_fd);
	if (blk->bounce)
		free(blk->bounce->buf);
	free(blk->bounce);
	free(blk->long_iov);
	free(blk);
}

DEFINE_OWNER(blk_destroy, struct blk)

static const struct virtio_ops blk_ops = {
	.name = "virtio-blk",
	.id = VIRTIO_ID_BLOCK,
	.config_read = blk_config_read,
	.config_write = blk_config_write,
	.run = blk_run,
	.start = blk_start,
	.kick = blk_kick,
	.quiesce = blk_quiesce,
	.reset = blk_reset,
	.destroy = blk_destroy,
};

static void on_engine(void *arg, int fd UNUSED, uint32_t events UNUSED)
{
	struct blk *blk = arg;

	virtio_lock(blk->dev);
	(void)blk_io_reap(blk);
	virtio_unlock(blk->dev);
}

static void on_retry(void *arg)
{
	on_engine(arg, -1, 0);
}

static int open_node(const struct blk *blk, const struct dev_blk_params *p, struct block_node *out,
		     struct err *err)
{
	struct block_node_params params = {
		.fd = p->fd,
		.name = p->name,
		.readonly = p->readonly,
		.direct = p->direct,
		.no_lock = p->no_lock,
		.block_max_bytes = blk->block_max_bytes,
	};

	return block_node_open(&params, out, err);
}

/* For disks that want memory aligned; kept for the next one. */
static int make_bounce(struct blk *blk, const struct block_node *node, struct err *err)
{
	AUTO_FREE struct blk_bounce *b = NULL;

	if (node->align_bytes == 1 || blk->bounce)
		return 0;
	b = calloc(1, sizeof(*b));
	if (!b || posix_memalign((void **)&b->buf, BLK_BOUNCE_ALIGN, BLK_BOUNCE_BYTES) != 0)
		return err_set(err, ENOMEM, "virtio-blk");
	blk->bounce = TAKE_PTR(&b);
	return 0;
}

/* Lock held once the device exists. */
static void set_disk(struct blk *blk, const struct block_node *node, const char *serial)
{
	blk->node = *node;
	blk->present = true;
	blk->stats.written_end_bytes = 0;
	memcpy(blk->serial, serial, VIRTIO_BLK_ID_BYTES);
	blk->config.capacity = htole64(node->capacity_bytes >> BLK_SECTOR_SHIFT);
}

/* What fills a spare slot may be a device. */
static int make_engine(struct blk *blk, const struct dev_blk_params *p,
		       const struct block_node *node, struct loop *loop, struct err *err)
{
	bool discards = p->fd < 0 || (node->is_device && node->can_discard);
	int rc = block_engine_create(p->aio, p->fd, discards, &blk->engine, err);

	if (rc == 0)
		rc = loop_add_timer(loop, on_retry, blk, &blk->retry, err);
	if (rc == 0)
		rc = loop_add_fd(loop, block_engine_event_fd(blk->engine), EPOLLIN, on_engine, blk,
				 &blk->engine_source, err);
	return rc;
}

static int make_blk(const struct dev_blk_params *p, struct blk **out, struct err *err)
{
	CLEANUP(own_blk_destroy) struct blk *blk = calloc(1, sizeof(*blk));

	if (!blk)
		return err_set(err, ENOMEM, "virtio-blk");
	blk->node.fd = -1;
	blk->idle_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (blk->idle_fd < 0)
		return err_set(err, errno, "virtio-blk: eventfd");
	blk->reset_wait_ms = RESET_WAIT_MS;
	blk->empty_wait_ms = EMPTY_WAIT_MS;
	blk_batch_init(blk);
	blk->long_iov = calloc(BLK_LONG_VECTORS * BLK_LONG_IOV, sizeof(blk->long_iov[0]));
	if (!blk->long_iov)
		return err_set(err, ENOMEM, "virtio-blk");
	blk->block_max_bytes = p->fd >= 0 ? UINT32_MAX : BLOCK_SECTOR_BYTES;
	*out = TAKE_PTR(&blk);
	return 0;
}

int dev_blk_create(const struct dev_blk_params *p, struct gmem *mem, struct loop *loop,
		   struct virtio_dev **out, struct err *err)
{
	CLEANUP(own_blk_destroy) struct blk *blk = NULL;
	struct block_node node = BLOCK_NODE_NONE;
	struct virtio_dev_params params = {
		.ops = &blk_ops,
		.nqueues = p->queues ? p->queues : 1,
		.queue_size = BLK_QUEUE_SIZE,
		.config_len = sizeof(struct virtio_blk_config),
		.mem = mem,
		.loop = loop,
	};
	int rc;

	if (p->queues > VIRTIO_MAX_QUEUES)
		return err_say(err, EINVAL, "num-queues=%u: a disk has at most %d", p->queues,
			       VIRTIO_MAX_QUEUES);
	rc = make_blk(p, &blk, err);
	if (rc == 0 && p->fd >= 0)
		rc = open_node(blk, p, &node, err);
	if (rc < 0)
		return rc;
	params.self = blk;
	params.features = blk_configure(&blk->config, &node, p->fd < 0, params.nqueues);
	rc = make_bounce(blk, &node, err);
	if (rc == 0)
		rc = make_engine(blk, p, &node, loop, err);
	if (rc == 0)
		rc = virtio_dev_create(&params, &blk->dev, err);
	if (rc < 0) {
		block_node_unlock(&node);
		return rc;
	}
	if (p->fd >= 0)
		set_disk(blk, &node, p->serial);
	*out = blk->dev;
	(void)TAKE_PTR(&blk);
	return 0;
}

/* The slot's engine is made at the start, since the jailed vmm can make none. */
static int check_engine(const struct blk *blk, const struct dev_blk_params *p, struct err *err)
{
	static const char *const names[] = {
		[BLOCK_AIO_THREADS] = "threads",
		[BLOCK_AIO_IO_URING] = "io_uring",
	};

	if (p->aio == BLOCK_AIO_AUTO || !strcmp(names[p->aio], block_engine_name(blk->engine)))
		return 0;
	return err_say(err, ENOTSUP, "aio=%s: the disks of spare slots have aio=%s here",
		       names[p->aio], block_engine_name(blk->engine));
}

static int fill_locked(struct blk *blk, const struct block_node *node, const char *serial,
		       struct err *err)
{
	if (blk->present)
		return err_say(err, EBUSY, "the slot has a disk already");
	if (blk->node.fd >= 0)
		return err_say(err, EBUSY, "the slot's last disk still has %u requests under way",
			       blk->in_flight);
	set_disk(blk, node, serial);
	virtio_config_changed(blk->dev);
	return 0;
}

int dev_blk_fill(struct virtio_dev *dev, const struct dev_blk_params *p, struct err *err)
{
	struct blk *blk = virtio_self(dev);
	struct block_node node = BLOCK_NODE_NONE;
	int rc = check_engine(blk, p, err);

	/* Outside of the lock: opening tries reads and a hole. */
	if (rc == 0)
		rc = open_node(blk, p, &node, err);
	if (rc < 0)
		return rc;
	virtio_lock(dev);
	rc = make_bounce(blk, &node, err);
	if (rc == 0)
		rc = fill_locked(blk, &node, p->serial, err);
	virtio_unlock(dev);
	if (rc < 0)
		block_node_unlock(&node);
	return rc;
}

void dev_blk_empty(struct virtio_dev *dev)
{
	struct blk *blk = virtio_self(dev);

	virtio_lock(dev);
	if (blk->present) {
		blk->present = false;
		blk->config.capacity = 0;
		virtio_config_changed(dev);
		if (!blk_io_drain(blk, blk->empty_wait_ms))
			log_warn("virtio-blk: %u requests of a disk taken out are not finished yet",
				 blk->in_flight);
	}
	virtio_unlock(dev);
}

void dev_blk_stats(struct virtio_dev *dev, struct dev_blk_stats *out)
{
	const struct blk *blk = virtio_self(dev);

	virtio_lock(dev);
	*out = blk->stats;
	virtio_unlock(dev);
}
