/*
 * What a driver reads and writes through a transport (virtio 1.2, 2.1 to 2.4 and 3.1): features, status, configuration space,
 * queues. It may do so in any order and from several vCPUs: each write is checked against the state it finds under the
 * device's lock, and what does not fit is ignored.
 */
#include <linux/virtio_config.h>
#include <string.h>

#include "vmm/virtio/internal.h"

#define STATUS_DRIVER_BITS                                                                         \
	(VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER | VIRTIO_CONFIG_S_FEATURES_OK |      \
	 VIRTIO_CONFIG_S_DRIVER_OK | VIRTIO_CONFIG_S_FAILED)

uint64_t virtio_features_offered(const struct virtio_dev *dev)
{
	return dev->features_offered;
}

void virtio_features_accept(struct virtio_dev *dev, uint32_t word, uint32_t bits)
{
	virtio_lock(dev);
	if (word < 2 && !dev->resetting && !(dev->status & VIRTIO_CONFIG_S_FEATURES_OK)) {
		uint32_t shift = 32 * word;

		dev->features &= ~(0xffffffffULL << shift);
		dev->features |= (uint64_t)bits << shift;
	}
	virtio_unlock(dev);
}

uint32_t virtio_status(struct virtio_dev *dev)
{
	uint32_t status;

	virtio_lock(dev);
	status = dev->status;
	virtio_unlock(dev);
	return status;
}

static void reset_locked(struct virtio_dev *dev)
{
	/* Queues first: a device that pushes what it still holds must write nothing. */
	for (uint16_t i = 0; i < dev->nqueues; i++)
		vq_reset(&dev->queues[i].vq);
	dev->resetting = true;
	dev->status = VIRTIO_CONFIG_S_NEEDS_RESET;
	dev->ops->reset(dev->self);
	if (dev->transport.reset)
		dev->transport.reset(dev->transport.self);
	dev->resetting = false;
	dev->features = 0;
	dev->status = 0;
}

static bool features_fit(const struct virtio_dev *dev)
{
	return (dev->features & ~dev->features_offered) == 0 &&
	       (dev->features & VIRTIO_F_VERSION_1_BIT);
}

static void start_locked(struct virtio_dev *dev)
{
	dev->status |= VIRTIO_CONFIG_S_DRIVER_OK;
	dev->ops->start(dev->self, dev->features);
	/* virtio 1.2, 3.1.1: the driver may have filled queues before this, without a notification. */
	for (uint16_t i = 0; i < dev->nqueues; i++)
		if (dev->queues[i].vq.ready)
			virtio_notify(dev, i);
}

/*
 * virtio 1.2, 3.1.1: each step is taken only on top of the one before; a later step without it, or a bit taken back
 * without a reset, changes nothing.
 */
static void set_status_locked(struct virtio_dev *dev, uint32_t status)
{
	uint32_t added = status & STATUS_DRIVER_BITS & ~dev->status;

	if (dev->resetting)
		return;
	if (status == 0)
		reset_locked(dev);
	if (added & VIRTIO_CONFIG_S_FAILED)
		dev->status |= VIRTIO_CONFIG_S_FAILED;
	if (added & VIRTIO_CONFIG_S_ACKNOWLEDGE)
		dev->status |= VIRTIO_CONFIG_S_ACKNOWLEDGE;
	if ((added & VIRTIO_CONFIG_S_DRIVER) && (dev->status & VIRTIO_CONFIG_S_ACKNOWLEDGE))
		dev->status |= VIRTIO_CONFIG_S_DRIVER;
	if ((added & VIRTIO_CONFIG_S_FEATURES_OK) && (dev->status & VIRTIO_CONFIG_S_DRIVER) &&
	    features_fit(dev))
		dev->status |= VIRTIO_CONFIG_S_FEATURES_OK;
	if ((added & VIRTIO_CONFIG_S_DRIVER_OK) && (dev->status & VIRTIO_CONFIG_S_FEATURES_OK) &&
	    !(dev->status & (VIRTIO_CONFIG_S_FAILED | VIRTIO_CONFIG_S_NEEDS_RESET)))
		start_locked(dev);
}

void virtio_set_status(struct virtio_dev *dev, uint32_t status)
{
	virtio_lock(dev);
	set_status_locked(dev, status);
	virtio_unlock(dev);
}

uint32_t virtio_config_generation(struct virtio_dev *dev)
{
	uint32_t generation;

	virtio_lock(dev);
	generation = dev->generation;
	virtio_unlock(dev);
	return generation;
}

static bool config_inside(const struct virtio_dev *dev, uint64_t off, uint32_t len)
{
	return off <= dev->config_len && len <= dev->config_len - off;
}

void virtio_config_read(struct virtio_dev *dev, uint64_t off, void *out, uint32_t len)
{
	memset(out, 0, len);
	virtio_lock(dev);
	if (config_inside(dev, off, len) && len > 0)
		dev->ops->config_read(dev->self, (uint32_t)off, out, len);
	virtio_unlock(dev);
}

void virtio_config_write(struct virtio_dev *dev, uint64_t off, const void *in, uint32_t len)
{
	virtio_lock(dev);
	if (dev->ops->config_write && !dev->resetting && config_inside(dev, off, len) && len > 0)
		dev->ops->config_write(dev->self, (uint32_t)off, in, len);
	virtio_unlock(dev);
}

static void set_half(struct gpa *at, bool high, uint32_t value)
{
	uint32_t shift = high ? 32 : 0;

	at->v &= ~(0xffffffffULL << shift);
	at->v |= (uint64_t)value << shift;
}

/* What negotiation decided is part of how a ring looks, so none starts before FEATURES_OK. */
static void queue_start_locked(struct virtio_dev *dev, struct vq *q)
{
	if (!(dev->status & VIRTIO_CONFIG_S_FEATURES_OK))
		return;
	if (!vq_start(q, dev->mem, dev->features & VIRTIO_F_EVENT_IDX_BIT,
		      dev->features & VIRTIO_F_INDIRECT_DESC_BIT))
		virtio_break(dev, "queue size or ring address that cannot be");
}

static void queue_set_locked(struct virtio_dev *dev, struct vq *q, enum virtio_queue_reg reg,
			     bool high, uint32_t value)
{
	if (reg == VIRTIO_Q_READY && value == 0)
		q->ready = false;
	if (q->ready || dev->resetting || (dev->status & VIRTIO_CONFIG_S_DRIVER_OK))
		return;
	switch (reg) {
	case VIRTIO_Q_SIZE:
		/* 0 is a size vq_start refuses. */
		q->size = value <= q->size_max ? (uint16_t)value : 0;
		break;
	case VIRTIO_Q_DESC:
		set_half(&q->desc, high, value);
		break;
	case VIRTIO_Q_AVAIL:
		set_half(&q->avail, high, value);
		break;
	case VIRTIO_Q_USED:
		set_half(&q->used, high, value);
		break;
	case VIRTIO_Q_READY:
		if (value == 1)
			queue_start_locked(dev, q);
		break;
	}
}

void virtio_queue_set(struct virtio_dev *dev, uint32_t queue, enum virtio_queue_reg reg, bool high,
		      uint32_t value)
{
	if (queue >= dev->nqueues)
		return;
	virtio_lock(dev);
	queue_set_locked(dev, &dev->queues[queue].vq, reg, high, value);
	virtio_unlock(dev);
}

uint32_t virtio_queue_get(struct virtio_dev *dev, uint32_t queue, enum virtio_queue_reg reg)
{
	uint32_t value = 0;

	if (queue >= dev->nqueues)
		return 0;
	virtio_lock(dev);
	if (reg == VIRTIO_Q_READY)
		value = dev->queues[queue].vq.ready;
	else if (reg == VIRTIO_Q_SIZE)
		value = dev->queues[queue].vq.size;
	virtio_unlock(dev);
	return value;
}

uint16_t virtio_queue_size_max(struct virtio_dev *dev, uint32_t queue)
{
	return queue < dev->nqueues ? dev->queues[queue].vq.size_max : 0;
}
