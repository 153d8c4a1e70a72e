/*
 * Registers of a vCPU at its first instruction: flat segments, and either 32-bit protected mode without paging (PVH and the
 * 32-bit Linux boot protocol agree on that) or long mode with an identity map (the 64-bit Linux boot protocol); and the MSRs
 * a firmware would have set.
 */
#ifndef NACRE_VMM_ARCH_X86_64_REGS_H
#define NACRE_VMM_ARCH_X86_64_REGS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"
#include "vmm/gmem.h"
#include "vmm/kvm.h"

/* What regs_set_entry's registers point to: the GDT at X86_GDT_ADDR, for long mode page tables at X86_PAGE_TABLES_ADDR. */
void regs_write_tables(struct gmem *mem, bool long_mode);

struct regs_entry {
	struct gpa pc;
	uint64_t rbx, rsi; /* as the protocol has them; all other general registers are zero */
	bool long_mode;
};
int regs_set_entry(struct kvm_vcpu *vcpu, const struct regs_entry *entry,
		   struct err *err) MUST_CHECK;

/* Memory types, the fast string bit. */
int regs_set_msrs(struct kvm_vcpu *vcpu, struct err *err) MUST_CHECK;

/*
 * Enables the extended states of `xcr0` from the start. CPUID leaf 0xD says how much room the enabled ones need, and KVM
 * answers from the XCR0 it knows of: on a host that is itself emulated, a guest's XSETBV may not reach KVM.
 */
int regs_set_xcr0(struct kvm_vcpu *vcpu, uint64_t xcr0, struct err *err) MUST_CHECK;

/* LINT0 takes the 8259's interrupts, LINT1 NMIs, as a firmware leaves them. */
int regs_set_lint(struct kvm_vcpu *vcpu, struct err *err) MUST_CHECK;

#endif
