/*
 * The two kernel formats of x86_64, decoded to a struct kernel_plan. Pure functions of the file: nothing is loaded, and
 * what they return is still to be checked (kernel_plan_check).
 */
#ifndef NACRE_VMM_ARCH_X86_64_KERNEL_H
#define NACRE_VMM_ARCH_X86_64_KERNEL_H

#include <asm/bootparam.h>

#include "base/compiler.h"
#include "base/err.h"
#include "vmm/image.h"

enum x86_protocol {
	X86_PROTOCOL_PVH,     /* 32-bit, ebx: hvm_start_info */
	X86_PROTOCOL_LINUX,   /* 32-bit, esi: boot_params */
	X86_PROTOCOL_LINUX64, /* long mode with an identity map, rsi: boot_params */
};

/*
 * A 64-bit ELF file: Linux's vmlinux, known by its build salt note, is entered by the 64-bit Linux protocol, which has room
 * for a random seed; any other by its XEN_ELFNOTE_PHYS32_ENTRY note (Xen's docs/misc/pvh).
 */
int elf_decode(const struct image *image, struct kernel_plan *out, struct err *err) MUST_CHECK;

/* A bzImage (linux, Documentation/arch/x86/boot.rst); `header` is its setup header, sanitized. */
int bzimage_decode(const struct image *image, struct kernel_plan *out, struct setup_header *header,
		   struct err *err) MUST_CHECK;

#endif
