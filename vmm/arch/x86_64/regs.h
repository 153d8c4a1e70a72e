/*
 * Registers of a vCPU at its first instruction: 32-bit protected mode without paging, flat segments (PVH and the 32-bit
 * Linux boot protocol agree on that), and the MSRs a firmware would have set.
 */
#ifndef NACRE_VMM_ARCH_X86_64_REGS_H
#define NACRE_VMM_ARCH_X86_64_REGS_H

#include "base/compiler.h"
#include "base/err.h"
#include "vmm/gmem.h"
#include "vmm/kvm.h"

/* The flat GDT that regs_set_flat's selectors come from, at X86_GDT_ADDR. */
void regs_write_gdt(struct gmem *mem);

/* `ebx` and `esi` as the protocol has them, all other general registers zero. */
int regs_set_flat(struct kvm_vcpu *vcpu, struct gpa pc, uint32_t ebx, uint32_t esi,
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
