/*
 * CPUID as the guest sees it: what KVM supports here, made consistent with the machine we build (Intel SDM 2A, CPUID; AMD
 * APM 3, appendix E). One socket, one thread a core, APIC id = vCPU number. A pure function of its inputs.
 */
#ifndef NACRE_VMM_ARCH_X86_64_CPUID_H
#define NACRE_VMM_ARCH_X86_64_CPUID_H

#include <linux/kvm.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CPUID_MAX_ENTRIES 256

/* Laid out as struct kvm_cpuid2, whose array has no bound. */
struct cpuid_table {
	uint32_t n;
	uint32_t padding;
	struct kvm_cpuid_entry2 e[CPUID_MAX_ENTRIES];
};

_Static_assert(offsetof(struct cpuid_table, e) == sizeof(struct kvm_cpuid2), "linux/kvm.h");

/* What the table is made for. */
struct cpuid_guest {
	uint32_t vcpu_idx;
	uint32_t vcpus;    /* 1..254 */
	bool tsc_deadline; /* KVM_CAP_TSC_DEADLINE_TIMER */
	/* The host's own leaf 0xD.1, eax: which XSAVE instructions it has. */
	uint32_t host_xsave_eax;
	/* The host's processor brand string, leaves 0x80000002 to 4, eax to edx; all zero: it has none. */
	uint32_t host_brand[3][4];
};

/* `table` holds what KVM_GET_SUPPORTED_CPUID said. */
void cpuid_adjust(struct cpuid_table *table, const struct cpuid_guest *guest);

/* The states XCR0 may enable; 0 when there is no XSAVE. */
uint64_t cpuid_xcr0(const struct cpuid_table *table);

#endif
