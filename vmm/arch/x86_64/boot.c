/*
 * Boot without firmware: what a firmware would have left in memory is written here, and the boot vCPU starts in the
 * kernel. PVH for an ELF vmlinux (Xen's docs/misc/pvh, public/arch-x86/hvm/start_info.h), the 32-bit Linux protocol for a
 * bzImage. The initramfs ends where low RAM ends, so that the kernel need not move it.
 */
#include <asm/bootparam.h>
#include <elf.h>
#include <errno.h>
#include <string.h>

#include "vmm/arch/arch.h"
#include "vmm/arch/x86_64/kernel.h"
#include "vmm/arch/x86_64/layout.h"
#include "vmm/arch/x86_64/mptable.h"
#include "vmm/arch/x86_64/regs.h"
#include "vmm/image.h"

#define PAGE_BYTES 4096ULL

#define E820_RAM      1
#define E820_RESERVED 2
#define MEMMAP_MAX    (GMEM_MAX_REGIONS + 2)

#define START_MAGIC 0x336ec578U

/* Xen, public/arch-x86/hvm/start_info.h, version 1. */
struct hvm_start_info {
	uint32_t magic;
	uint32_t version;
	uint32_t flags;
	uint32_t nr_modules;
	uint64_t modlist_paddr;
	uint64_t cmdline_paddr;
	uint64_t rsdp_paddr;
	uint64_t memmap_paddr;
	uint32_t memmap_entries;
	uint32_t reserved;
};
_Static_assert(sizeof(struct hvm_start_info) == 56, "start_info.h");

struct hvm_modlist_entry {
	uint64_t paddr;
	uint64_t size;
	uint64_t cmdline_paddr;
	uint64_t reserved;
};
_Static_assert(sizeof(struct hvm_modlist_entry) == 32, "start_info.h");

struct hvm_memmap_entry {
	uint64_t addr;
	uint64_t size;
	uint32_t type;
	uint32_t reserved;
};
_Static_assert(sizeof(struct hvm_memmap_entry) == 24, "start_info.h");

/* start_info, module list and memory map in one piece. */
struct pvh_info {
	struct hvm_start_info start;
	struct hvm_modlist_entry module;
	struct hvm_memmap_entry memmap[MEMMAP_MAX];
};
_Static_assert(X86_START_INFO_ADDR + sizeof(struct pvh_info) <= X86_BOOT_PARAMS_ADDR, "layout.h");

struct initrd {
	uint64_t at;
	uint64_t size_bytes; /* 0: none */
};

/* RAM below the table of 8 KiB, what firmware would keep reserved, and the rest of each region. */
static size_t make_memmap(const struct gmem *mem, struct hvm_memmap_entry out[MEMMAP_MAX])
{
	size_t n = 0;

	for (size_t i = 0; i < gmem_region_count(mem); i++) {
		void *host;
		struct gmem_range r = gmem_region(mem, i, &host);

		if (r.at.v == 0) {
			out[n++] = (struct hvm_memmap_entry){
				.addr = 0, .size = X86_MPTABLE_ADDR, .type = E820_RAM};
			out[n++] = (struct hvm_memmap_entry){.addr = X86_MPTABLE_ADDR,
							     .size = X86_HIGH_RAM_ADDR -
								     X86_MPTABLE_ADDR,
							     .type = E820_RESERVED};
			r.at = GPA(X86_HIGH_RAM_ADDR);
			r.len_bytes -= X86_HIGH_RAM_ADDR;
		}
		out[n++] = (struct hvm_memmap_entry){
			.addr = r.at.v, .size = r.len_bytes, .type = E820_RAM};
	}
	return n;
}

static uint64_t low_ram_end(const struct gmem *mem)
{
	void *host;
	struct gmem_range r = gmem_region(mem, 0, &host);

	return r.at.v + r.len_bytes;
}

static int load_initrd(const struct image *image, const struct kernel_plan *plan, struct gmem *mem,
		       struct initrd *out, struct err *err)
{
	uint64_t top = low_ram_end(mem);
	uint64_t at;
	int rc;

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
	rc = image_load(image, 0, image->size_bytes, mem, GPA(at), err);
	if (rc < 0)
		return err_wrap(err, "initramfs");
	*out = (struct initrd){.at = at, .size_bytes = image->size_bytes};
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

static void write_pvh_info(struct gmem *mem, const struct initrd *initrd)
{
	struct pvh_info info = {
		.start =
			{
				.magic = START_MAGIC,
				.version = 1,
				.nr_modules = initrd->size_bytes > 0,
				.modlist_paddr =
					X86_START_INFO_ADDR + offsetof(struct pvh_info, module),
				.cmdline_paddr = X86_CMDLINE_ADDR,
				.memmap_paddr =
					X86_START_INFO_ADDR + offsetof(struct pvh_info, memmap),
			},
		.module = {.paddr = initrd->at, .size = initrd->size_bytes},
	};

	info.start.memmap_entries = (uint32_t)make_memmap(mem, info.memmap);
	BUG_ON(!gmem_write(mem, GPA(X86_START_INFO_ADDR), &info, sizeof(info)));
}

static void write_boot_params(struct gmem *mem, const struct setup_header *header,
			      const struct initrd *initrd)
{
	struct boot_params params = {.hdr = *header};
	struct hvm_memmap_entry map[MEMMAP_MAX];
	size_t n = make_memmap(mem, map);

	params.hdr.cmd_line_ptr = (uint32_t)X86_CMDLINE_ADDR;
	params.hdr.ramdisk_image = (uint32_t)initrd->at;
	params.hdr.ramdisk_size = (uint32_t)initrd->size_bytes;
	params.e820_entries = (uint8_t)n;
	for (size_t i = 0; i < n; i++)
		params.e820_table[i] = (struct boot_e820_entry){
			.addr = map[i].addr, .size = map[i].size, .type = map[i].type};
	BUG_ON(!gmem_write(mem, GPA(X86_BOOT_PARAMS_ADDR), &params, sizeof(params)));
}

static int decode(const struct image *image, struct kernel_plan *plan, struct setup_header *header,
		  enum x86_protocol *protocol, struct err *err)
{
	char magic[SELFMAG];

	if (image_read(image, 0, magic, sizeof(magic)) && !memcmp(magic, ELFMAG, SELFMAG)) {
		*protocol = X86_PROTOCOL_PVH;
		return elf_decode(image, plan, err);
	}
	*protocol = X86_PROTOCOL_LINUX;
	return bzimage_decode(image, plan, header, err);
}

int arch_boot_load(const struct arch_boot *boot, struct gmem *mem, struct arch_entry *out,
		   struct err *err)
{
	struct setup_header header = {0};
	struct kernel_plan plan = {0};
	struct initrd initrd = {0};
	enum x86_protocol protocol;
	int rc = decode(boot->kernel, &plan, &header, &protocol, err);
	if (rc == 0)
		rc = kernel_plan_check(&plan, boot->kernel, X86_HIGH_RAM_ADDR, low_ram_end(mem),
				       err);
	if (rc == 0)
		rc = kernel_plan_load(&plan, boot->kernel, mem, err);
	if (rc == 0)
		rc = load_initrd(boot->initrd, &plan, mem, &initrd, err);
	if (rc == 0)
		rc = load_cmdline(boot->cmdline, &plan, mem, err);
	if (rc < 0)
		return rc;
	regs_write_gdt(mem);
	mptable_write(mem, boot->vcpus);
	if (protocol == X86_PROTOCOL_PVH)
		write_pvh_info(mem, &initrd);
	else
		write_boot_params(mem, &header, &initrd);
	*out = (struct arch_entry){
		.pc = plan.entry,
		.info = GPA(protocol == X86_PROTOCOL_PVH ? X86_START_INFO_ADDR
							 : X86_BOOT_PARAMS_ADDR),
		.protocol = protocol,
	};
	return 0;
}
