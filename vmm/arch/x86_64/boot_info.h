/*
 * What a kernel is told about its machine, in the two forms there are: PVH's start_info and Linux's boot_params (linux,
 * Documentation/arch/x86/boot.rst). Both lie where vmm/arch/x86_64/layout.h says. Main thread, before the vCPUs run.
 */
#ifndef NACRE_VMM_ARCH_X86_64_BOOT_INFO_H
#define NACRE_VMM_ARCH_X86_64_BOOT_INFO_H

#include <asm/bootparam.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"
#include "vmm/gmem.h"

#define X86_MEMMAP_MAX (GMEM_MAX_REGIONS + 2)

struct x86_initrd {
	uint64_t at;
	uint64_t size_bytes; /* 0: none */
};

struct x86_memmap_entry {
	uint64_t addr;
	uint64_t size;
	uint32_t type;
	uint32_t reserved;
};
_Static_assert(sizeof(struct x86_memmap_entry) == 24, "start_info.h");

/* The memory map, in address order; returns how many entries. */
size_t x86_memmap(const struct gmem *mem, struct x86_memmap_entry out[X86_MEMMAP_MAX]);

void pvh_info_write(struct gmem *mem, const struct x86_initrd *initrd);

/* The setup header for a vmlinux, which has none of its own. */
void linux_header_of_elf(struct setup_header *out);

/* `header` as the kernel's file has it. Fails when the host has no random bytes for the guest's seed. */
int linux_params_write(struct gmem *mem, const struct setup_header *header,
		       const struct x86_initrd *initrd, struct err *err) MUST_CHECK;

#endif
