/*
 * An address space of devices (memory-mapped or port I/O): a sorted array of regions, filled by the main thread and
 * frozen before the first vCPU runs, so that an exit takes no lock to find its device. RAM is not here: KVM knows it.
 *
 * An access belongs to a region only when all of it lies inside. One that belongs to none reads as all ones and is
 * ignored when written, as on a real bus, with a rate-limited log line.
 */
#ifndef NACRE_VMM_BUS_H
#define NACRE_VMM_BUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"
#include "base/log.h"

#define BUS_MAX_REGIONS 64

/* `off` is relative to the region; `len` is 1..8 and off + len is inside. Called by any vCPU thread, several at once. */
struct bus_ops {
	uint64_t (*read)(void *self, uint64_t off, uint32_t len);
	void (*write)(void *self, uint64_t off, uint32_t len, uint64_t value);
};

struct bus_region {
	const char *name; /* for messages; outlives the bus */
	uint64_t base;
	uint64_t len_bytes;
	const struct bus_ops *ops;
	void *self; /* borrowed */
};

struct bus {
	const char *name; /* "mmio", "pio" */
	struct bus_region regions[BUS_MAX_REGIONS];
	size_t n;
	bool frozen;
	struct log_limit unassigned;
};

void bus_init(struct bus *bus, const char *name);

/* -EEXIST when it overlaps another, -ENOSPC when the table is full, -EINVAL when empty or wrapping. */
int bus_add(struct bus *bus, const struct bus_region *region, struct err *err) MUST_CHECK;

/* No region is added from now on. */
void bus_freeze(struct bus *bus);

/* One access of the guest, little-endian in `data`, len 1..8. */
void bus_read(struct bus *bus, uint64_t addr, void *data, uint32_t len);
void bus_write(struct bus *bus, uint64_t addr, const void *data, uint32_t len);

#endif
