/* PVH's start_info (Xen, public/arch-x86/hvm/start_info.h), and the memory map, whose form both protocols can take. */
#include <stddef.h>

#include "vmm/arch/x86_64/boot_info.h"
#include "vmm/arch/x86_64/layout.h"

#define E820_RAM      1
#define E820_RESERVED 2

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

/* start_info, module list and memory map in one piece. */
struct pvh_info {
	struct hvm_start_info start;
	struct hvm_modlist_entry module;
	struct x86_memmap_entry memmap[X86_MEMMAP_MAX];
};
_Static_assert(X86_START_INFO_ADDR + sizeof(struct pvh_info) <= X86_BOOT_PARAMS_ADDR, "layout.h");

/* RAM below the table of 8 KiB, what firmware would keep reserved, and the rest of each region. */
size_t x86_memmap(const struct gmem *mem, struct x86_memmap_entry out[X86_MEMMAP_MAX])
{
	size_t n = 0;

	for (size_t i = 0; i < gmem_region_count(mem); i++) {
		void *host;
		struct gmem_range r = gmem_region(mem, i, &host);

		if (r.at.v == 0) {
			out[n++] = (struct x86_memmap_entry){
				.addr = 0, .size = X86_MPTABLE_ADDR, .type = E820_RAM};
			out[n++] = (struct x86_memmap_entry){.addr = X86_MPTABLE_ADDR,
							     .size = X86_HIGH_RAM_ADDR -
								     X86_MPTABLE_ADDR,
							     .type = E820_RESERVED};
			r.at = GPA(X86_HIGH_RAM_ADDR);
			r.len_bytes -= X86_HIGH_RAM_ADDR;
		}
		out[n++] = (struct x86_memmap_entry){
			.addr = r.at.v, .size = r.len_bytes, .type = E820_RAM};
	}
	return n;
}

void pvh_info_write(struct gmem *mem, const struct x86_initrd *initrd)
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

	info.start.memmap_entries = (uint32_t)x86_memmap(mem, info.memmap);
	BUG_ON(!gmem_write(mem, GPA(X86_START_INFO_ADDR), &info, sizeof(info)));
}
