/*
 * virtio-mmio registers (virtio 1.2, 4.2.2), version 2 only. This file decodes addresses and widths; what a register means
 * is decided in registers.c. The selectors are the transport's own state, under its own lock; the interrupt status is atomic,
 * because devices raise it with their lock held while a vCPU acknowledges.
 */
#include "vmm/virtio/mmio.h"

#include <endian.h>
#include <errno.h>
#include <linux/virtio_mmio.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

_Static_assert(VIRTIO_MMIO_NOTIFY_OFF == VIRTIO_MMIO_QUEUE_NOTIFY, "virtio 1.2, 4.2.2");

#define MAGIC     0x74726976U /* "virt" */
#define VERSION   2U
#define VENDOR_ID 0x5243414eU /* "NACR" */

struct virtio_mmio {
	struct virtio_dev *dev; /* borrowed */
	int irq_fd;             /* borrowed */
	_Atomic uint32_t interrupt_status;

	pthread_mutex_t lock; /* guards the selectors, taken before the device's */
	uint32_t device_features_sel;
	uint32_t driver_features_sel;
	uint32_t queue_sel;
};

static void on_interrupt(void *self, uint32_t status_bits)
{
	struct virtio_mmio *m = self;
	uint64_t one = 1;
	ssize_t n;

	/* The bits must be there when the edge arrives. */
	atomic_fetch_or(&m->interrupt_status, status_bits);
	n = write(m->irq_fd, &one, sizeof(one));
	BUG_ON(n < 0 && errno != EAGAIN);
}

static void on_reset(void *self)
{
	struct virtio_mmio *m = self;

	atomic_store(&m->interrupt_status, 0);
}

int virtio_mmio_create(struct virtio_dev *dev, int irq_fd, struct virtio_mmio **out,
		       struct err *err)
{
	struct virtio_mmio *m = calloc(1, sizeof(*m));

	if (!m)
		return err_set(err, ENOMEM, "%s: registers", virtio_ops_of(dev)->name);
	m->dev = dev;
	m->irq_fd = irq_fd;
	(void)pthread_mutex_init(&m->lock, NULL); /* glibc: a default mutex cannot fail */
	virtio_attach(dev, &(struct virtio_transport){
				   .self = m, .interrupt = on_interrupt, .reset = on_reset});
	*out = m;
	return 0;
}

void virtio_mmio_destroy(struct virtio_mmio *m)
{
	if (!m)
		return;
	virtio_attach(m->dev, &(struct virtio_transport){.self = NULL});
	(void)pthread_mutex_destroy(&m->lock);
	free(m);
}

static uint32_t device_features(const struct virtio_mmio *m)
{
	if (m->device_features_sel > 1)
		return 0;
	return (uint32_t)(virtio_features_offered(m->dev) >> (32 * m->device_features_sel));
}

static uint32_t register_read(struct virtio_mmio *m, uint64_t off)
{
	switch (off) {
	case VIRTIO_MMIO_MAGIC_VALUE:
		return MAGIC;
	case VIRTIO_MMIO_VERSION:
		return VERSION;
	case VIRTIO_MMIO_DEVICE_ID:
		return virtio_ops_of(m->dev)->id;
	case VIRTIO_MMIO_VENDOR_ID:
		return VENDOR_ID;
	case VIRTIO_MMIO_DEVICE_FEATURES:
		return device_features(m);
	case VIRTIO_MMIO_QUEUE_NUM_MAX:
		return virtio_queue_size_max(m->dev, m->queue_sel);
	case VIRTIO_MMIO_QUEUE_READY:
		return virtio_queue_get(m->dev, m->queue_sel, VIRTIO_Q_READY);
	case VIRTIO_MMIO_INTERRUPT_STATUS:
		return atomic_load(&m->interrupt_status);
	case VIRTIO_MMIO_STATUS:
		return virtio_status(m->dev);
	case VIRTIO_MMIO_SHM_LEN_LOW:
	case VIRTIO_MMIO_SHM_LEN_HIGH:
	case VIRTIO_MMIO_SHM_BASE_LOW:
	case VIRTIO_MMIO_SHM_BASE_HIGH:
		return UINT32_MAX; /* no such region, whatever SHMSel says */
	case VIRTIO_MMIO_CONFIG_GENERATION:
		return virtio_config_generation(m->dev);
	default:
		return 0;
	}
}

static void register_write(struct virtio_mmio *m, uint64_t off, uint32_t value)
{
	switch (off) {
	case VIRTIO_MMIO_DEVICE_FEATURES_SEL:
		m->device_features_sel = value;
		break;
	case VIRTIO_MMIO_DRIVER_FEATURES:
		virtio_features_accept(m->dev, m->driver_features_sel, value);
		break;
	case VIRTIO_MMIO_DRIVER_FEATURES_SEL:
		m->driver_features_sel = value;
		break;
	case VIRTIO_MMIO_QUEUE_SEL:
		m->queue_sel = value;
		break;
	case VIRTIO_MMIO_QUEUE_NUM:
		virtio_queue_set(m->dev, m->queue_sel, VIRTIO_Q_SIZE, false, value);
		break;
	case VIRTIO_MMIO_QUEUE_READY:
		virtio_queue_set(m->dev, m->queue_sel, VIRTIO_Q_READY, false, value);
		break;
	case VIRTIO_MMIO_QUEUE_NOTIFY:
		virtio_notify(m->dev, value);
		break;
	case VIRTIO_MMIO_INTERRUPT_ACK:
		atomic_fetch_and(&m->interrupt_status, ~value);
		break;
	case VIRTIO_MMIO_QUEUE_DESC_LOW:
	case VIRTIO_MMIO_QUEUE_DESC_HIGH:
		virtio_queue_set(m->dev, m->queue_sel, VIRTIO_Q_DESC,
				 off == VIRTIO_MMIO_QUEUE_DESC_HIGH, value);
		break;
	case VIRTIO_MMIO_QUEUE_AVAIL_LOW:
	case VIRTIO_MMIO_QUEUE_AVAIL_HIGH:
		virtio_queue_set(m->dev, m->queue_sel, VIRTIO_Q_AVAIL,
				 off == VIRTIO_MMIO_QUEUE_AVAIL_HIGH, value);
		break;
	case VIRTIO_MMIO_QUEUE_USED_LOW:
	case VIRTIO_MMIO_QUEUE_USED_HIGH:
		virtio_queue_set(m->dev, m->queue_sel, VIRTIO_Q_USED,
				 off == VIRTIO_MMIO_QUEUE_USED_HIGH, value);
		break;
	default: /* read-only, or no register */
		break;
	}
}

/* virtio 1.2, 4.2.2.2: 32 bits wide and aligned; what is not aligned is no register's offset. */
static bool register_access(uint64_t off, uint32_t len)
{
	return off < VIRTIO_MMIO_CONFIG && len == sizeof(uint32_t);
}

/* How far the configuration space goes is the core's to check. */
static bool config_access(uint64_t off, uint32_t len)
{
	return off >= VIRTIO_MMIO_CONFIG && (len == 1 || len == 2 || len == 4 || len == 8);
}

uint64_t virtio_mmio_read(struct virtio_mmio *m, uint64_t off, uint32_t len)
{
	uint64_t value = 0;

	if (config_access(off, len)) {
		virtio_config_read(m->dev, off - VIRTIO_MMIO_CONFIG, &value, len);
		return le64toh(value);
	}
	if (!register_access(off, len))
		return 0;
	(void)pthread_mutex_lock(&m->lock);
	value = register_read(m, off);
	(void)pthread_mutex_unlock(&m->lock);
	return value;
}

void virtio_mmio_write(struct virtio_mmio *m, uint64_t off, uint32_t len, uint64_t value)
{
	if (config_access(off, len)) {
		uint64_t bytes = htole64(value);

		virtio_config_write(m->dev, off - VIRTIO_MMIO_CONFIG, &bytes, len);
		return;
	}
	if (!register_access(off, len))
		return;
	/* Needs no selector, and a reset may take long. */
	if (off == VIRTIO_MMIO_STATUS) {
		virtio_set_status(m->dev, (uint32_t)value);
		return;
	}
	(void)pthread_mutex_lock(&m->lock);
	register_write(m, off, (uint32_t)value);
	(void)pthread_mutex_unlock(&m->lock);
}

void virtio_mmio_reset(struct virtio_mmio *m)
{
	(void)pthread_mutex_lock(&m->lock);
	m->device_features_sel = m->driver_features_sel = m->queue_sel = 0;
	(void)pthread_mutex_unlock(&m->lock);
	virtio_set_status(m->dev, 0);
}
