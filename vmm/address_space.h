/*
 * An address space of the guest: memory, or x86's ports. Owners of RAM and of device registers add regions, each with a
 * priority; what the guest sees is their flat view, a sorted array of ranges without overlaps, in which a region of
 * higher priority hides what lies under it:
 *
 *	priority 1           [ shm ]                  added regions
 *	priority 0   [        RAM        ]   [ blk ]
 *	view         [  RAM  ][ shm ][RAM]   [ blk ]  what an access meets, and what listeners are told of
 *
 * Listeners follow the view: KVM's memory slots and ioeventfds are one (vmm/kvm_listener.h).
 *
 * No lock on the way of an exit: a view never changes, an access takes the current one by an atomic pointer and searches it.
 * A change makes a new view while the gate holds all vCPUs outside of guest and devices; so nobody can still be in the old
 * one when it is freed, the owner of a removed region may free what stands behind it, and the guest never meets the
 * moment between the removal of a memory slot and the adding of what replaces it. Changes are rare and the host's
 * (a guest cannot cause one); counters on each exit, or a list of views to be freed some time later, would cost more.
 *
 * Threads: address_space_read and _write by any vCPU thread, all else by the main thread.
 */
#ifndef NACRE_VMM_ADDRESS_SPACE_H
#define NACRE_VMM_ADDRESS_SPACE_H

#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"
#include "base/log.h"

/* `off` is relative to the region; `len` is 1..8 and off + len is inside. Called by any vCPU thread, several at once. */
struct region_ops {
	uint64_t (*read)(void *self, uint64_t off, uint32_t len);
	void (*write)(void *self, uint64_t off, uint32_t len, uint64_t value);
};

/* A write of `value`, 4 bytes wide, at `off` is a signal to `fd` instead of a call of ops->write. */
struct region_eventfd {
	uint64_t off;
	uint32_t value;
	int fd;
};

/* Does not change while it is in an address space, and neither does what it points to. */
struct region {
	const char *name; /* for messages */
	uint64_t base;
	uint64_t len_bytes; /* > 0; the last byte is at most at UINT64_MAX */
	int priority; /* of two regions that overlap the higher one is seen; they may not be equal */

	/* A device's registers... */
	const struct region_ops *ops;
	void *self;
	const struct region_eventfd *eventfds;
	size_t neventfds;
	/* ... or, with `ops` NULL, RAM: the host's address of its first byte, for KVM's memory slots only. */
	void *host;
};

/* The part [first, last] of the address space is `region`'s. */
struct flat_range {
	uint64_t first, last;
	const struct region *region;
};

/*
 * Follows a view. In one change all removals come before all additions; ranges that stay as they are are not mentioned.
 * Additions go by address upwards, to listeners in the order in which they came; removals the other way round in both.
 */
struct address_listener {
	/* -errno undoes the whole change, by calls of its opposite. */
	int (*add)(void *self, const struct flat_range *range, struct err *err);
	void (*remove)(void *self, const struct flat_range *range);
	void *self;
};

/* Keeps vCPUs outside of guest and devices from a hold that returns 0 to the release. Calls nest. */
struct address_gate {
	int (*hold)(void *arg, struct err *err);
	void (*release)(void *arg);
	void *arg;
};

#define ADDRESS_SPACE_MAX_LISTENERS 4

struct flat_view;

struct address_space {
	const char *name; /* "memory", "port" */
	struct address_gate gate;
	_Atomic(const struct flat_view *) view; /* replaced whole */
	const struct region **regions;          /* by priority, the highest first */
	size_t nregions;
	const struct address_listener *listeners[ADDRESS_SPACE_MAX_LISTENERS];
	size_t nlisteners;
	struct log_limit unassigned;
};

/* `name` is a constant. Empty; nothing to free before the first addition. */
void address_space_init(struct address_space *as, const char *name,
			const struct address_gate *gate);
/* Tells no listener. No vCPU runs any more. */
void address_space_done(struct address_space *as);

/*
 * `region` is borrowed until it is removed. -EINVAL when it is empty or wraps, -EEXIST when it overlaps one of the same
 * priority; else what gate and listeners say. Nothing has changed on failure.
 */
int address_space_add(struct address_space *as, const struct region *region,
		      struct err *err) MUST_CHECK;
/* The region is there. It still is on failure: what it hid could not be shown again. */
int address_space_remove(struct address_space *as, const struct region *region,
			 struct err *err) MUST_CHECK;

/* The listener, borrowed, is told of the whole view as additions. On failure, of their removal, and does not listen. */
int address_space_listen(struct address_space *as, const struct address_listener *listener,
			 struct err *err) MUST_CHECK;
/* It listens no more, if it did, and is told nothing: what it has made of the view is about to go as a whole. */
void address_space_forget(struct address_space *as, const struct address_listener *listener);

/*
 * One access of the guest, little-endian in `data`, len 1..8. It meets a device only when all of it lies in one range. One
 * that meets none reads as all ones and is ignored when written, as on a real bus, with a rate-limited log line.
 */
void address_space_read(struct address_space *as, uint64_t addr, void *data, uint32_t len);
void address_space_write(struct address_space *as, uint64_t addr, const void *data, uint32_t len);

#endif
