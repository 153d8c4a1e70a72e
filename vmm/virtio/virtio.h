/*
 * The virtio core: what is common to all devices, between a device (struct virtio_ops) and a transport (virtio-mmio).
 * A device knows its queues, its back end and virtio_interrupt(): not KVM, not the transport, not other devices. Status,
 * feature negotiation and resets follow virtio 1.2, 2.1-2.4 and 3.1; a device whose driver breaks the rules goes to
 * DEVICE_NEEDS_RESET and does nothing until it is reset.
 *
 * Locking: one mutex a device. Every op below is called with it held: by a vCPU thread (config_*, start, reset) or by the
 * thread of the device's loop (kick). A device that works on other descriptors in its loop takes it by
 * virtio_lock/virtio_unlock and must check virtio_running() then.
 */
#ifndef NACRE_VMM_VIRTIO_VIRTIO_H
#define NACRE_VMM_VIRTIO_VIRTIO_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"
#include "base/loop.h"
#include "vmm/gmem.h"
#include "vmm/virtio/queue.h"

#define VIRTIO_MAX_QUEUES 64

/* virtio 1.2, 6: feature bits every device may offer. The core adds these three to each device's own. */
#define VIRTIO_F_INDIRECT_DESC_BIT (1ULL << 28)
#define VIRTIO_F_EVENT_IDX_BIT     (1ULL << 29)
#define VIRTIO_F_VERSION_1_BIT     (1ULL << 32)

struct virtio_dev;

struct virtio_ops {
	const char *name; /* "virtio-blk" */
	uint32_t id;      /* virtio 1.2, 5 */
	/* The core has checked off + len <= config_len. config_write NULL: writes are ignored. */
	void (*config_read)(void *self, uint32_t off, void *out, uint32_t len);
	void (*config_write)(void *self, uint32_t off, const void *in, uint32_t len);
	/*
	 * Threads of the device's own may be made now. NULL: it has none. Once, by the main thread, after the process has
	 * entered its jail and before the loop runs; not locked.
	 */
	int (*run)(void *self, struct err *err);
	/* DRIVER_OK was set; `features` is what was negotiated. Queues that are ready can be used from now on. */
	void (*start)(void *self, uint64_t features);
	/* The driver notified `queue` (ready, not broken). The loop's thread. */
	void (*kick)(void *self, uint16_t queue);
	/*
	 * Waits at most `timeout_ms` until nothing of the device is under way outside of its loop, whose thread rests: guest
	 * memory stays as it is from then on. false: something still is. NULL: it works in its loop only.
	 */
	bool (*quiesce)(void *self, int timeout_ms);
	/*
	 * Back to the state after creation; no chain of before may be pushed any more. It may let go of the lock while it waits
	 * for its back end: the core lets nobody start the device meanwhile.
	 */
	void (*reset)(void *self);
	/* Frees self. Not locked: no thread runs any more. */
	void (*destroy)(void *self);
};

struct virtio_dev_params {
	const struct virtio_ops *ops;
	void *self;
	uint64_t features;   /* the device's own; the core's are added */
	uint16_t nqueues;    /* 1..VIRTIO_MAX_QUEUES */
	uint16_t queue_size; /* entries, power of two <= VQ_MAX_SIZE */
	uint32_t config_len;
	struct gmem *mem;  /* borrowed */
	struct loop *loop; /* borrowed: kicks are handled there */
};

/* A transport's way to tell the driver something; set once by the transport at attach. Any thread, lock held or not. */
struct virtio_transport {
	void *self;
	void (*interrupt)(
		void *self,
		uint32_t status_bits); /* 1: used ring, 2: configuration (virtio 1.2, 4.2.2) */
	/* The device was reset: what was told and not acknowledged is forgotten. Lock held. NULL: nothing to forget. */
	void (*reset)(void *self);
};

/* Owns `self` from success on (ops->destroy frees it). Makes one eventfd a queue and adds them to the loop. */
int virtio_dev_create(const struct virtio_dev_params *p, struct virtio_dev **out,
		      struct err *err) MUST_CHECK;
void virtio_dev_destroy(struct virtio_dev *dev);
DEFINE_OWNER(virtio_dev_destroy, struct virtio_dev)

/* See ops->run. */
int virtio_dev_run(struct virtio_dev *dev, struct err *err) MUST_CHECK;
/* See ops->quiesce. */
bool virtio_dev_quiesce(struct virtio_dev *dev, int timeout_ms) MUST_CHECK;

/* --- for devices --------------------------------------------------------------------------------------------- */
/* What virtio_dev_params had as `self`; for a device's functions that are called with its struct virtio_dev. */
void *virtio_self(const struct virtio_dev *dev);
struct vq *virtio_queue(struct virtio_dev *dev, uint16_t i);
/* Interrupts if the driver wants it for this queue; breaks the device when the queue is broken. Call after a batch. */
void virtio_interrupt(struct virtio_dev *dev, struct vq *q);
/* Configuration changed: generation is raised and the driver told. Lock held, as for all of this part but _lock itself. */
void virtio_config_changed(struct virtio_dev *dev);
/* The driver broke a rule: DEVICE_NEEDS_RESET, one rate-limited log line with `why`. */
void virtio_break(struct virtio_dev *dev, const char *why);
bool virtio_running(const struct virtio_dev *dev); /* DRIVER_OK, not broken */
void virtio_lock(struct virtio_dev *dev);
void virtio_unlock(struct virtio_dev *dev);

/* --- for transports: each takes the lock itself --------------------------------------------------------------- */
const struct virtio_ops *virtio_ops_of(const struct virtio_dev *dev);
uint16_t virtio_nqueues(const struct virtio_dev *dev);
int virtio_queue_eventfd(const struct virtio_dev *dev, uint16_t i); /* lent */
void virtio_attach(struct virtio_dev *dev, const struct virtio_transport *t);
uint64_t virtio_features_offered(const struct virtio_dev *dev);
/* `word` 0 or 1 (32 bits each); ignored after FEATURES_OK. */
void virtio_features_accept(struct virtio_dev *dev, uint32_t word, uint32_t bits);
uint32_t virtio_status(struct virtio_dev *dev);
/*
 * 0: reset, done when this returns. Until then, where a device waits for its back end, other threads read DEVICE_NEEDS_RESET
 * (virtio 1.2, 2.4.1: not 0) and what they write is ignored.
 */
void virtio_set_status(struct virtio_dev *dev, uint32_t status);
uint32_t virtio_config_generation(struct virtio_dev *dev);
/* Reads outside give zeros, writes outside are ignored. */
void virtio_config_read(struct virtio_dev *dev, uint64_t off, void *out, uint32_t len);
void virtio_config_write(struct virtio_dev *dev, uint64_t off, const void *in, uint32_t len);

enum virtio_queue_reg {
	VIRTIO_Q_SIZE,
	VIRTIO_Q_DESC,
	VIRTIO_Q_AVAIL,
	VIRTIO_Q_USED,
	VIRTIO_Q_READY
};
/* Register writes after READY (other than READY=0) or after DRIVER_OK are ignored. `high`: the upper 32 bits. */
void virtio_queue_set(struct virtio_dev *dev, uint32_t queue, enum virtio_queue_reg reg, bool high,
		      uint32_t value);
uint32_t virtio_queue_get(struct virtio_dev *dev, uint32_t queue, enum virtio_queue_reg reg);
uint16_t virtio_queue_size_max(struct virtio_dev *dev, uint32_t queue); /* 0: no such queue */
/* A notify that came without ioeventfd (a register write): wakes the loop. */
void virtio_notify(struct virtio_dev *dev, uint32_t queue);

#endif
