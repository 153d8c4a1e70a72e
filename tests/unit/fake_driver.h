/*
 * A virtio driver for tests: guest memory, a loop, rings laid out in that memory, and the calls a transport would make. It
 * knows nothing of cmocka, so fuzz targets use it too; what cannot go wrong in a sane test is a BUG_ON. One thread.
 *
 *	struct fake_driver d;
 *	fake_init(&d);
 *	dev_rng_create(d.mem, d.loop, &dev, &err);
 *	fake_probe(&d, dev, UINT64_MAX);
 *	fake_add(&d, 0, (struct fake_seg[]){{.at = fake_alloc(&d, 64), .len = 64, .writable = true}}, 1);
 *	fake_kick(&d, 0);
 *	fake_used(&d, 0, &head, &len);
 *	virtio_dev_destroy(dev);
 *	fake_done(&d);
 */
#ifndef NACRE_TESTS_FAKE_DRIVER_H
#define NACRE_TESTS_FAKE_DRIVER_H

#include <linux/virtio_ring.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/loop.h"
#include "vmm/gmem.h"
#include "vmm/virtio/virtio.h"

/* RAM is [FAKE_RAM_AT, FAKE_RAM_AT + FAKE_RAM_BYTES): address 0 is not RAM. */
#define FAKE_RAM_AT    0x100000ULL
#define FAKE_RAM_BYTES (16ULL << 20)

struct fake_queue {
	uint16_t size;
	bool event_idx;
	struct gpa desc, avail, used;
	uint16_t
		next_desc; /* descriptors are used round and round: keep fewer than size in flight */
	uint16_t avail_idx;
	uint16_t used_seen;
};

struct fake_driver {
	struct gmem *mem;
	struct loop *loop;
	struct virtio_dev *dev; /* borrowed by fake_probe */
	uint64_t features;      /* negotiated */
	uint64_t alloc_next;
	unsigned used_interrupts, config_interrupts; /* counted since fake_init */
	struct fake_queue queues[VIRTIO_MAX_QUEUES];
};

struct fake_seg {
	struct gpa at;
	uint32_t len;
	bool writable;
};

void fake_init(struct fake_driver *d);
/* After the device is destroyed. */
void fake_done(struct fake_driver *d);

/* As after fake_init, in the same memory and loop, for the next of many short lives: what was allocated is zeroed and taken
 * back. No device is left, or none that is not reset. */
void fake_rewind(struct fake_driver *d);

/* Guest memory, 16-byte aligned, zeroed, never given back. fake_put fills it, fake_get copies it out. */
struct gpa fake_alloc(struct fake_driver *d, size_t len);
struct gpa fake_put(struct fake_driver *d, const void *data, size_t len);
void fake_get(const struct fake_driver *d, struct gpa at, void *out, size_t len);

/* Lays an empty ring of `size` entries out in guest memory. */
void fake_ring_init(struct fake_driver *d, uint16_t queue, uint16_t size, bool event_idx);

/* The whole of virtio 1.2, 3.1.1: accepts offered & wanted (and VERSION_1), sets up every queue, DRIVER_OK. */
void fake_probe(struct fake_driver *d, struct virtio_dev *dev, uint64_t wanted);

/* Writes a chain and makes it available; the head's index. The _indirect one puts it in a table. */
uint16_t fake_add(struct fake_driver *d, uint16_t queue, const struct fake_seg *segs, size_t n);
uint16_t fake_add_indirect(struct fake_driver *d, uint16_t queue, const struct fake_seg *segs,
			   size_t n);

/* Single pieces, for what fake_add would never do. */
void fake_desc(struct fake_driver *d, uint16_t queue, uint16_t i, struct vring_desc desc);
void fake_avail(struct fake_driver *d, uint16_t queue, uint16_t head);
void fake_avail_idx(struct fake_driver *d, uint16_t queue, uint16_t idx);
/* What the driver tells the device in used_event (EVENT_IDX) or in the available ring's flags. */
void fake_used_event(struct fake_driver *d, uint16_t queue, uint16_t idx);
void fake_avail_flags(struct fake_driver *d, uint16_t queue, uint16_t flags);
/* What the device tells the driver: avail_event, or the used ring's flags. */
uint16_t fake_avail_event(const struct fake_driver *d, uint16_t queue);

/* Notifies and runs the loop until it is quiet. */
void fake_kick(struct fake_driver *d, uint16_t queue);
/* Runs the loop until it is quiet for `quiet_ms`. */
void fake_run(struct fake_driver *d, int quiet_ms);

/* The next used element, false when there is none. _wait runs the loop for at most timeout_ms meanwhile. */
bool fake_used(struct fake_driver *d, uint16_t queue, uint16_t *head, uint32_t *len);
bool fake_used_wait(struct fake_driver *d, uint16_t queue, uint16_t *head, uint32_t *len,
		    int timeout_ms);

#endif
