/*
 * Guest memory. Each region is one anonymous private mapping, aligned to 2 MiB on the host as it is in the guest, so that
 * the host can back it with huge pages and KVM can map it so; a guard of inaccessible pages on both sides turns a
 * wrong length in our own code into a fault instead of a leak of the heap.
 */
#include "vmm/gmem.h"

#include <string.h>
#include <sys/mman.h>

#define PAGE_BYTES 4096ULL
#define HUGE_BYTES (2ULL << 20)

struct gmem_map {
	struct gmem_range range;
	uint8_t *host;
	void *reserved; /* the mapping with its guards */
	size_t reserved_bytes;
};

struct gmem {
	size_t n;
	struct gmem_map map[GMEM_MAX_REGIONS];
};

static bool ranges_valid(const struct gmem_range *ranges, size_t n)
{
	uint64_t free_from = 0;

	if (n == 0 || n > GMEM_MAX_REGIONS)
		return false;
	for (size_t i = 0; i < n; i++) {
		const struct gmem_range *r = &ranges[i];

		if (r->at.v % PAGE_BYTES != 0 || r->len_bytes % PAGE_BYTES != 0)
			return false;
		if (r->len_bytes == 0 || r->at.v < free_from)
			return false;
		if (__builtin_add_overflow(r->at.v, r->len_bytes, &free_from))
			return false;
	}
	return true;
}

static int map_region(struct gmem_map *m, const struct gmem_range *range, struct err *err)
{
	size_t len = range->len_bytes;
	size_t reserve = len + HUGE_BYTES + 2 * PAGE_BYTES;
	uint8_t *base =
		mmap(NULL, reserve, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	uintptr_t aligned;
	void *host;

	if (base == MAP_FAILED)
		return err_set(err, errno, "reserve %zu MiB of address space for guest memory",
			       len >> 20);
	m->reserved = base;
	m->reserved_bytes = reserve;
	aligned = ((uintptr_t)base + PAGE_BYTES + HUGE_BYTES - 1) & ~(HUGE_BYTES - 1);
	host = mmap(base + (aligned - (uintptr_t)base), len, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
	if (host == MAP_FAILED)
		return err_set(err, errno, "map %zu MiB of guest memory", len >> 20);
	m->host = host;
	m->range = *range;
	/* Advice: a host without huge pages or core dump filters serves the guest all the same. */
	(void)madvise(host, len, MADV_HUGEPAGE);
	(void)madvise(host, len, MADV_DONTDUMP);
	return 0;
}

int gmem_create(const struct gmem_range *ranges, size_t n, struct gmem **out, struct err *err)
{
	CLEANUP(own_gmem_destroy) struct gmem *mem = NULL;

	BUG_ON(!ranges_valid(ranges, n));
	mem = calloc(1, sizeof(*mem));
	if (!mem)
		return err_set(err, ENOMEM, "guest memory");
	for (size_t i = 0; i < n; i++) {
		int rc;

		mem->n = i + 1;
		rc = map_region(&mem->map[i], &ranges[i], err);
		if (rc < 0)
			return rc;
	}
	*out = TAKE_PTR(&mem);
	return 0;
}

void gmem_destroy(struct gmem *mem)
{
	if (!mem)
		return;
	for (size_t i = 0; i < mem->n; i++) {
		if (mem->map[i].reserved)
			(void)munmap(mem->map[i].reserved, mem->map[i].reserved_bytes);
	}
	free(mem);
}

void *gmem_span(const struct gmem *mem, struct gpa at, size_t len)
{
	for (size_t i = 0; i < mem->n; i++) {
		const struct gmem_map *m = &mem->map[i];
		uint64_t off;

		if (at.v < m->range.at.v)
			return NULL;
		off = at.v - m->range.at.v;
		/* Subtracting before comparing: at + len may wrap. */
		if (off < m->range.len_bytes && len <= m->range.len_bytes - off)
			return m->host + off;
	}
	return NULL;
}

bool gmem_read(const struct gmem *mem, struct gpa at, void *dst, size_t len)
{
	const void *host = gmem_span(mem, at, len);

	if (!host)
		return false;
	memcpy(dst, host, len);
	return true;
}

bool gmem_write(struct gmem *mem, struct gpa at, const void *src, size_t len)
{
	void *host = gmem_span(mem, at, len);

	if (!host)
		return false;
	memcpy(host, src, len);
	return true;
}

void gmem_clear(struct gmem *mem)
{
	for (size_t i = 0; i < mem->n; i++) {
		const struct gmem_map *m = &mem->map[i];

		/* Of private anonymous memory the next touch finds zeros (madvise(2)); it fails for bad arguments only. */
		BUG_ON(madvise(m->host, m->range.len_bytes, MADV_DONTNEED) < 0);
	}
}

size_t gmem_region_count(const struct gmem *mem)
{
	return mem->n;
}

struct gmem_range gmem_region(const struct gmem *mem, size_t i, void **host)
{
	BUG_ON(i >= mem->n);
	*host = mem->map[i].host;
	return mem->map[i].range;
}
