/*
 * Boot without firmware: what a firmware would have left in memory is written here, and the boot vCPU starts in the
 * kernel. A Linux vmlinux is entered by the 64-bit Linux protocol, any other ELF kernel by PVH, a bzImage by the 32-bit
 * Linux protocol. The initramfs ends where low RAM ends, so that the kernel need not move it.
 */
#include <elf.h>
#include <errno.h>
#include <string.h>

#include "vmm/arch/arch.h"
#include "vmm/arch/x86_64/boot_info.h"
#include "vmm/arch/x86_64/kernel.h"
#include "vmm/arch/x86_64/layout.h"
#include "vmm/arch/x86_64/mptable.h"
#include "vmm/arch/x86_64/regs.h"
#include "vmm/image.h"

#define PAGE_BYTES 4096ULL

static uint64_t low_ram_end(const struct gmem *mem)
{
	void *host;
	struct gmem_range r = gmem_region(mem, 0, &host);

	return r.at.v + r.len_bytes;
}

static int place_initrd(const struct image *image, const struct kernel_plan *plan,
			const struct gmem *mem, struct x86_initrd *out, struct err *err)
{
	uint64_t top = low_ram_end(mem);
	uint64_t at;

	if (!image)
		return 0;
	if (image->size_bytes == 0)
		return err_say(err, EINVAL, "initramfs '%s' is empty", image->path);
	if (plan->initrd_max < top - 1)
		top = plan->initrd_max + 1;
	if (image->size_bytes > top)
		at = 0;
	else
		at = (top - image->size_bytes) & ~(PAGE_BYTES - 1);
	if (at < plan->end.v)
		return err_say(
			err, ENOMEM,
			"initramfs '%s' of %llu KiB does not fit behind the kernel in %llu MiB: "
			"give the guest more memory",
			image->path, (unsigned long long)image->size_bytes >> 10,
			(unsigned long long)low_ram_end(mem) >> 20);
	*out = (struct x86_initrd){.at = at, .size_bytes = image->size_bytes};
	return 0;
}

static int load_cmdline(const char *cmdline, const struct kernel_plan *plan, struct gmem *mem,
			struct err *err)
{
	size_t len = strlen(cmdline) + 1;

	if (len > plan->cmdline_max_bytes || len > X86_MPTABLE_ADDR - X86_CMDLINE_ADDR)
		return err_say(err, E2BIG,
			       "the kernel command line of %zu bytes is too long, %u are possible: "
			       "it names each device and each spare slot in 36 bytes",
			       len, plan->cmdline_max_bytes);
	BUG_ON(!gmem_write(mem, GPA(X86_CMDLINE_ADDR), cmdline, len));
	return 0;
}

static int decode(const struct image *image, struct kernel_plan *plan, struct setup_header *header,
		  struct err *err)
{
	char magic[SELFMAG];

	if (image_read(image, 0, magic, sizeof(magic)) && !memcmp(magic, ELFMAG, SELFMAG)) {
		linux_header_of_elf(header);
		return elf_decode(image, plan, err);
	}
	return bzimage_decode(image, plan, header, err);
}

static int write_info(const struct kernel_plan *plan, const struct setup_header *header,
		      const struct x86_initrd *initrd, struct gmem *mem, struct gpa *at,
		      struct err *err)
{
	if (plan->protocol == X86_PROTOCOL_PVH) {
		*at = GPA(X86_START_INFO_ADDR);
		pvh_info_write(mem, initrd);
		return 0;
	}
	*at = GPA(X86_BOOT_PARAMS_ADDR);
	return linux_params_write(mem, header, initrd, err);
}

struct images {
	struct kernel_plan plan;
	struct setup_header header;
	struct x86_initrd initrd;
};

static int plan_images(const struct arch_boot *boot, const struct gmem *mem, struct images *out,
		       struct err *err)
{
	int rc = decode(boot->kernel, &out->plan, &out->header, err);

	if (rc == 0)
		rc = kernel_plan_check(&out->plan, boot->kernel, X86_HIGH_RAM_ADDR,
				       low_ram_end(mem), err);
	if (rc == 0)
		rc = place_initrd(boot->initrd, &out->plan, mem, &out->initrd, err);
	return rc;
}

static int load_images(const struct arch_boot *boot, const struct images *images, struct gmem *mem,
		       struct err *err)
{
	int rc = kernel_plan_load(&images->plan, boot->kernel, mem, err);

	if (rc < 0 || !boot->initrd)
		return rc;
	rc = image_load(boot->initrd, 0, images->initrd.size_bytes, mem, GPA(images->initrd.at),
			err);
	return rc < 0 ? err_wrap(err, "initramfs") : 0;
}

int arch_boot_load_images(const struct arch_boot *boot, struct gmem *mem, struct err *err)
{
	struct images images = {0};
	int rc = plan_images(boot, mem, &images, err);

	if (rc < 0)
		return rc;
	/* What arch_boot_load will write lies in a page of its own, on most hosts a huge one, which takes its time to clear. */
	BUG_ON(!gmem_write(mem, GPA(X86_CMDLINE_ADDR), "", 1));
	return load_images(boot, &images, mem, err);
}

int arch_boot_load(const struct arch_boot *boot, struct gmem *mem, struct arch_entry *out,
		   struct err *err)
{
	struct images images = {0};
	const struct kernel_plan *plan = &images.plan;
	struct gpa info;
	int rc = plan_images(boot, mem, &images, err);

	if (rc == 0 && !boot->images_loaded)
		rc = load_images(boot, &images, mem, err);
	if (rc == 0)
		rc = load_cmdline(boot->cmdline, plan, mem, err);
	if (rc == 0)
		rc = write_info(plan, &images.header, &images.initrd, mem, &info, err);
	if (rc < 0)
		return rc;
	regs_write_tables(mem, plan->protocol == X86_PROTOCOL_LINUX64);
	mptable_write(mem, boot->vcpus, boot->irqs);
	*out = (struct arch_entry){.pc = plan->entry, .info = info, .protocol = plan->protocol};
	return 0;
}
