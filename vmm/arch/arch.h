/*
 * What a processor architecture gives to the machine: where things are in guest physical memory, the interrupt chip,
 * how a kernel is loaded and entered, and the few devices its kernel cannot boot without. vmm/arch/ARCH/ implements
 * it; nothing above knows which one it is.
 *
 * Called by the main thread in the order of this file, before vCPUs run.
 */
#ifndef NACRE_VMM_ARCH_ARCH_H
#define NACRE_VMM_ARCH_ARCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"
#include "base/own.h"
#include "vmm/address_space.h"
#include "vmm/gmem.h"
#include "vmm/image.h"
#include "vmm/kvm.h"

#define ARCH_MIN_MEMORY_MIB 32

/* The most vCPUs a machine can describe. */
uint32_t arch_max_vcpus(void);

/* RAM of `bytes` (a multiple of 1 MiB) around the holes of the address map; returns how many ranges. */
size_t arch_ram_ranges(uint64_t bytes, struct gmem_range out[GMEM_MAX_REGIONS]);

/* Where virtio-mmio device `slot` sits and which interrupt (gsi) it has, maybe with others: it is edge-triggered. */
struct arch_slot {
	struct gpa base;
	uint64_t window_bytes;
	uint32_t irq;
};
uint32_t arch_virtio_slots(void);
struct arch_slot arch_virtio_slot(uint32_t slot);

/* The console UART: in which address space, where, which interrupt, and what the guest kernel calls it ("ttyS0"). */
struct arch_uart {
	bool is_port;
	uint64_t base;
	uint32_t irq;
	const char *console;
};
struct arch_uart arch_uart(void);

/* Interrupt chip, timers and whatever KVM wants before the first vCPU. `pit`: also the timer of old PCs (x86: the 8254). */
int arch_vm_init(struct kvm *kvm, bool pit, struct err *err) MUST_CHECK;

/* Devices that are neither virtio nor the UART (x86: the reset line of the i8042). */
struct arch_platform;
struct arch_platform_params {
	struct address_space *memory, *ports;
	void (*on_reset)(void *arg); /* the guest asked for a reset; any vCPU thread */
	void *arg;
};
int arch_platform_create(const struct arch_platform_params *p, struct arch_platform **out,
			 struct err *err) MUST_CHECK;
void arch_platform_destroy(struct arch_platform *platform);
DEFINE_OWNER(arch_platform_destroy, struct arch_platform)

/* Where and how the boot vCPU starts. */
struct arch_entry {
	struct gpa pc;
	struct gpa info;   /* boot parameters, as the protocol has them */
	uint32_t protocol; /* the architecture's own */
};

struct arch_boot {
	const struct image *kernel;
	const struct image *initrd; /* NULL: none */
	const char *cmdline;
	uint32_t vcpus;
	uint32_t irqs;      /* bit n: interrupt line n has a device, or may get one */
	bool images_loaded; /* by arch_boot_load_images, into the same memory */
};
/* Loads kernel and initramfs into memory that is zero. Needs neither command line nor vCPUs. */
int arch_boot_load_images(const struct arch_boot *boot, struct gmem *mem,
			  struct err *err) MUST_CHECK;
/* Describes the machine to images that lie in `mem` already, or are loaded here first. */
int arch_boot_load(const struct arch_boot *boot, struct gmem *mem, struct arch_entry *out,
		   struct err *err) MUST_CHECK;

/* Identity and registers of a fresh vCPU; only vCPU 0 gets the entry, the others wait to be started by it. */
int arch_vcpu_init(struct kvm *kvm, struct kvm_vcpu *vcpu, uint32_t vcpus,
		   const struct arch_entry *entry, struct err *err) MUST_CHECK;

/*
 * The probe's guest (vmm/probe.h), for memory of at least 64 KiB at 0: it counts up the 32 bits at `counter` for ever,
 * once in `insns_per_count` instructions of its kernel mode.
 */
struct arch_probe {
	struct gpa counter;
	uint32_t insns_per_count;
};
void arch_probe_load(struct gmem *mem, struct arch_entry *entry, struct arch_probe *out);

#endif
