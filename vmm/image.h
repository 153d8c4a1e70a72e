/*
 * A file that is to be loaded into the guest (kernel or initramfs), read by position with every bound checked against its
 * size. The decoders of vmm/arch read headers through it and make a struct kernel_plan of them, which is checked apart
 * from any format and then loaded.
 */
#ifndef NACRE_VMM_IMAGE_H
#define NACRE_VMM_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"
#include "vmm/gmem.h"

struct image {
	int fd; /* owned */
	uint64_t size_bytes;
	const char *path; /* for messages; borrowed */
};

int image_open(const char *path, struct image *out, struct err *err) MUST_CHECK;
/* The same for what is open already; takes `fd`, also on failure. */
int image_take(int fd, const char *path, struct image *out, struct err *err) MUST_CHECK;
void image_close(struct image *image);
#define AUTO_IMAGE CLEANUP(image_close)

/* false when [off, off+len) is not inside the file or cannot be read. */
bool image_read(const struct image *image, uint64_t off, void *buf, size_t len) MUST_CHECK;
/* The same, straight into guest RAM. */
int image_load(const struct image *image, uint64_t off, uint64_t len, struct gmem *mem,
	       struct gpa to, struct err *err) MUST_CHECK;

#define KERNEL_MAX_SEGMENTS 16

struct kernel_segment {
	uint64_t off; /* in the file */
	uint64_t file_bytes;
	uint64_t mem_bytes; /* >= file_bytes; the rest is zero */
	struct gpa to;
};

/* What a decoder found out about a kernel. */
struct kernel_plan {
	struct kernel_segment segments[KERNEL_MAX_SEGMENTS];
	size_t nsegments;
	struct gpa entry;
	struct gpa end; /* the kernel needs nothing at or above this before it knows its memory */
	uint64_t initrd_max;        /* the highest address the initramfs may touch */
	uint32_t cmdline_max_bytes; /* NUL included */
	uint32_t protocol;          /* how to enter it: the architecture's own */
};

/*
 * Every segment is inside the file and inside [low, high), the entry inside what is read from the file. -EINVAL with the
 * reason otherwise.
 */
int kernel_plan_check(const struct kernel_plan *plan, const struct image *image, uint64_t low,
		      uint64_t high, struct err *err) MUST_CHECK;
/* Loads all segments of a checked plan. Guest memory is fresh, hence zero where the file has no bytes. */
int kernel_plan_load(const struct kernel_plan *plan, const struct image *image, struct gmem *mem,
		     struct err *err) MUST_CHECK;

#endif
