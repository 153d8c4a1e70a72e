/*
 * bzImage: a setup header in the second sector, real-mode code that is not run, and the protected-mode kernel, which is
 * entered at its first byte by the 32-bit boot protocol (linux, Documentation/arch/x86/boot.rst).
 */
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "vmm/arch/x86_64/kernel.h"
#include "vmm/arch/x86_64/layout.h"

#define HEADER_OFF     0x1f1
#define HEADER_MAGIC   0x53726448U /* "HdrS" */
#define BOOT_FLAG      0xaa55
#define SECTOR_BYTES   512ULL
#define SYSSIZE_UNIT   16ULL
#define LOADER_UNKNOWN 0xff

/* Boot protocol versions that brought the fields used here. */
#define VERSION_CMDLINE_SIZE 0x206
#define VERSION_INIT_SIZE    0x20a

static int refuse(const struct image *image, const char *why, struct err *err)
{
	return err_say(err, EINVAL, "kernel '%s': %s", image->path, why);
}

static int check_header(const struct image *image, const struct setup_header *h, struct err *err)
{
	if (h->boot_flag != BOOT_FLAG || h->header != HEADER_MAGIC)
		return refuse(image, "neither an ELF vmlinux nor a bzImage", err);
	if (h->version < VERSION_CMDLINE_SIZE)
		return refuse(image, "a bzImage of a boot protocol older than 2.06", err);
	if (!(h->loadflags & LOADED_HIGH))
		return refuse(image, "a zImage; a bzImage is needed", err);
	if (h->cmdline_size == UINT32_MAX)
		return refuse(image, "a bzImage with a broken command line size", err);
	return 0;
}

/* The first address after what the kernel uses while it unpacks itself. */
static int find_end(const struct image *image, const struct setup_header *h, uint64_t len,
		    struct gpa *end, struct err *err)
{
	uint64_t start = X86_HIGH_RAM_ADDR;
	uint64_t size = len;

	if (h->version >= VERSION_INIT_SIZE) {
		if (h->pref_address > start)
			start = h->pref_address;
		if (h->init_size > size)
			size = h->init_size;
	}
	if (__builtin_add_overflow(start, size, &end->v))
		return refuse(image, "its preferred address is out of range", err);
	return 0;
}

/* The header is as long as the jump at 0x200 says; what an old kernel lacks reads as zero (boot.rst, 1.1). */
static void sanitize(struct setup_header *h)
{
	size_t len = 0x202 - HEADER_OFF + (size_t)(h->jump >> 8);

	if (len < sizeof(*h))
		memset((uint8_t *)h + len, 0, sizeof(*h) - len);
	if (h->setup_sects == 0)
		h->setup_sects = 4;
	h->type_of_loader = LOADER_UNKNOWN;
	h->setup_data = 0;
}

int bzimage_decode(const struct image *image, struct kernel_plan *out, struct setup_header *header,
		   struct err *err)
{
	struct kernel_plan plan = {.nsegments = 1, .protocol = X86_PROTOCOL_LINUX};
	struct setup_header h;
	uint64_t off, len;
	int rc;

	if (!image_read(image, HEADER_OFF, &h, sizeof(h)))
		return refuse(image, "neither an ELF vmlinux nor a bzImage", err);
	rc = check_header(image, &h, err);
	if (rc < 0)
		return rc;
	sanitize(&h);
	off = (h.setup_sects + 1ULL) * SECTOR_BYTES;
	if (off >= image->size_bytes)
		return refuse(image, "a bzImage that is cut off", err);
	/* What follows the payload (a signature) is not the kernel's. */
	len = h.syssize * SYSSIZE_UNIT;
	if (len == 0 || image->size_bytes - off + SYSSIZE_UNIT <= len)
		return refuse(image, "a bzImage that is cut off", err);
	if (len > image->size_bytes - off)
		len = image->size_bytes - off;
	rc = find_end(image, &h, len, &plan.end, err);
	if (rc < 0)
		return rc;
	plan.segments[0] = (struct kernel_segment){
		.off = off, .file_bytes = len, .mem_bytes = len, .to = GPA(X86_HIGH_RAM_ADDR)};
	plan.entry = GPA(X86_HIGH_RAM_ADDR);
	plan.initrd_max = h.initrd_addr_max;
	plan.cmdline_max_bytes = h.cmdline_size + 1;
	*out = plan;
	*header = h;
	return 0;
}
