/*
 * The MultiProcessor table (Intel MultiProcessor Specification 1.4, chapter 4): tells a kernel without ACPI of the vCPUs
 * and of the I/O APIC's pins.
 */
#ifndef NACRE_VMM_ARCH_X86_64_MPTABLE_H
#define NACRE_VMM_ARCH_X86_64_MPTABLE_H

#include <stdint.h>

#include "vmm/gmem.h"

/*
 * `vcpus` is 1..X86_MAX_VCPUS; bit n of `irqs` says that line n has a device. The places are those of layout.h, which are
 * RAM.
 */
void mptable_write(struct gmem *mem, uint32_t vcpus, uint32_t irqs);

#endif
