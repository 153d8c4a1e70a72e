/* The smallest bzImage (Linux, Documentation/arch/x86/boot.rst): one setup sector behind the boot sector, then the kernel. */
#ifndef NACRE_TESTS_UNIT_BZIMAGE_H
#define NACRE_TESTS_UNIT_BZIMAGE_H

#include <asm/bootparam.h>
#include <stdint.h>
#include <string.h>

#define BZIMAGE_KERNEL_OFF 1024

/* Fills what stands before the kernel in `image`, which is zeroed; kernel_bytes is a multiple of 16. */
static inline void bzimage_head(uint8_t *image, uint32_t kernel_bytes, uint32_t initrd_max,
				uint32_t cmdline_max)
{
	const struct setup_header h = {
		.setup_sects = 1,
		.syssize = kernel_bytes / 16,
		.boot_flag = 0xaa55,
		.jump = 0x6aeb,
		.header = 0x53726448,
		.version = 0x20f,
		.loadflags = LOADED_HIGH,
		.initrd_addr_max = initrd_max,
		.cmdline_size = cmdline_max,
		.pref_address = 1 << 20,
		.init_size = 1 << 20,
	};

	memcpy(image + 0x1f1, &h, sizeof(h));
}

#endif
