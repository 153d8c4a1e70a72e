/*
 * Guest memory: the RAM regions of one guest, mapped anonymous and private (huge pages apply, ballooned pages really go
 * back) or from a memfd. A guest physical address is a struct gpa, so that it cannot be dereferenced by mistake; every
 * access goes with its length, stays in one region, and touches RAM only. This file and virtio/chain.c are the only
 * two that hold host pointers into guest memory (docs/style.md, rule 17; `make lint` checks it).
 *
 * Threads: create and destroy by the main thread before and after all others run; the accessors by any thread. The guest
 * may change what it likes at any time: read once into a local, check and use the local.
 */
#ifndef NACRE_VMM_GMEM_H
#define NACRE_VMM_GMEM_H

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"
#include "base/own.h"

struct gpa {
	uint64_t v;
};

#define GPA(x) ((struct gpa){.v = (x)})

#define GMEM_MAX_REGIONS 8

struct gmem_range {
	struct gpa at;
	uint64_t len_bytes; /* multiple of 4096, not 0 */
};

struct gmem;

/* `ranges` sorted by address, not overlapping, n in 1..GMEM_MAX_REGIONS. */
int gmem_create(const struct gmem_range *ranges, size_t n, struct gmem **out,
		struct err *err) MUST_CHECK;
void gmem_destroy(struct gmem *mem);
DEFINE_OWNER(gmem_destroy, struct gmem)

/* false when [at, at+len) is not inside one RAM region; nothing is copied then (read: *dst untouched). */
bool gmem_read(const struct gmem *mem, struct gpa at, void *dst, size_t len) MUST_CHECK;
bool gmem_write(struct gmem *mem, struct gpa at, const void *src, size_t len) MUST_CHECK;

/* All RAM reads as zero again, and its pages go back to the host. No other thread runs in the guest or in a device. */
void gmem_clear(struct gmem *mem);

/* The host address of [at, at+len), NULL as above. For gmem.c, virtio/chain.c and the image loaders (read(2) into RAM). */
void *gmem_span(const struct gmem *mem, struct gpa at, size_t len) MUST_CHECK;

/* Whether [at, at+len) could be spanned, for who only needs to know. */
static inline bool gmem_is_ram(const struct gmem *mem, struct gpa at, size_t len)
{
	return gmem_span(mem, at, len);
}

/*
 * A ring index shared with the guest, little-endian, `at` a multiple of 2: one load that later loads do not overtake, and
 * one store that earlier stores do not fall behind. false when outside RAM.
 */
static inline bool gmem_load16(const struct gmem *mem, struct gpa at, uint16_t *out)
{
	const uint16_t *p = gmem_span(mem, at, sizeof(*p));

	if (p)
		*out = le16toh(__atomic_load_n(p, __ATOMIC_ACQUIRE));
	return p;
}

static inline bool gmem_store16(struct gmem *mem, struct gpa at, uint16_t value)
{
	uint16_t *p = gmem_span(mem, at, sizeof(*p));

	if (p)
		__atomic_store_n(p, htole16(value), __ATOMIC_RELEASE);
	return p;
}

/* Regions in address order, for KVM memory slots and boot tables. host is for the KVM slot only. */
size_t gmem_region_count(const struct gmem *mem);
struct gmem_range gmem_region(const struct gmem *mem, size_t i, void **host);

#endif
