/* Entropy device (virtio 1.2, 5.4): one queue of buffers, each filled from the host's getrandom(2). */
#include <errno.h>
#include <linux/virtio_ids.h>
#include <stdlib.h>
#include <sys/random.h>

#include "vmm/dev/dev.h"

#define QUEUE_SIZE 64

/* One request's share: what the guest asks for beyond it, it asks for again (virtio 1.2, 5.4.6: at least one byte). */
#define REQUEST_MAX_BYTES 4096

struct rng {
	struct virtio_dev *dev; /* owns us */
	struct vq_chain chain;
};

static bool rng_fill(struct vq_chain *c)
{
	uint8_t bytes[256]; /* getrandom(2): up to 256 bytes come whole */
	size_t done = 0;

	while (done < REQUEST_MAX_BYTES && chain_write_left(c) > 0) {
		size_t want =
			chain_write_left(c) < sizeof(bytes) ? chain_write_left(c) : sizeof(bytes);
		ssize_t n = getrandom(bytes, want, 0);

		if (n <= 0)
			break;
		done += chain_write(c, bytes, (size_t)n);
	}
	return done > 0;
}

static void rng_start(void *self, uint64_t features)
{
	(void)self;
	(void)features;
}

static void rng_kick(void *self, uint16_t queue)
{
	struct rng *rng = self;
	struct vq *q = virtio_queue(rng->dev, queue);

	while (vq_pop(q, &rng->chain)) {
		if (!rng_fill(&rng->chain)) {
			virtio_break(rng->dev, "entropy request without room for an answer");
			return;
		}
		vq_push(&rng->chain);
	}
	virtio_interrupt(rng->dev, q);
}

static void rng_reset(void *self)
{
	(void)self; /* nothing outlives a kick */
}

static void rng_destroy(void *self)
{
	free(self);
}

static const struct virtio_ops rng_ops = {
	.name = "virtio-rng",
	.id = VIRTIO_ID_RNG,
	.start = rng_start,
	.kick = rng_kick,
	.reset = rng_reset,
	.destroy = rng_destroy,
};

int dev_rng_create(struct gmem *mem, struct loop *loop, struct virtio_dev **out, struct err *err)
{
	AUTO_FREE struct rng *rng = calloc(1, sizeof(*rng));
	struct virtio_dev_params params = {
		.ops = &rng_ops,
		.self = rng,
		.nqueues = 1,
		.queue_size = QUEUE_SIZE,
		.mem = mem,
		.loop = loop,
	};
	int rc;

	if (!rng)
		return err_set(err, ENOMEM, "virtio-rng");
	rc = virtio_dev_create(&params, &rng->dev, err);
	if (rc < 0)
		return rc;
	*out = rng->dev;
	(void)TAKE_PTR(&rng);
	return 0;
}
