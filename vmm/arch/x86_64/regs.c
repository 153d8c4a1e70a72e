/* The register state that the boot protocols ask for (linux, Documentation/arch/x86/boot.rst; Xen, docs/misc/pvh). */
#include "vmm/arch/x86_64/regs.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>

#include "vmm/arch/x86_64/layout.h"

#define CR0_PE 0x01
#define CR0_ET 0x10

#define RFLAGS_FIXED 0x2

/* The Linux boot protocol's __BOOT_CS and __BOOT_DS, and a task register, which VMX wants to be valid. */
#define SELECTOR_CODE 0x10
#define SELECTOR_DATA 0x18
#define SELECTOR_TSS  0x20

/* Descriptor types (SDM 3, 3.4.5.1 and 3.5): execute/read, read/write, busy 32-bit TSS. */
#define TYPE_CODE 0xb
#define TYPE_DATA 0x3
#define TYPE_TSS  0xb

static const uint64_t gdt[] = {
	0,
	0,
	0x00cf9b000000ffffULL, /* code, base 0, 4 GiB */
	0x00cf93000000ffffULL, /* data, base 0, 4 GiB */
	0x00008b0000000067ULL, /* TSS, base 0 */
};

/* SDM 4. */
#define MSR_IA32_MISC_ENABLE 0x1a0U
#define MISC_FAST_STRINGS    0x1ULL
#define MSR_MTRR_DEF_TYPE    0x2ffU
#define MTRR_ENABLE          0x800ULL
#define MTRR_WRITE_BACK      0x6ULL

/* Local vector table (SDM 3, 11.5.1). */
#define APIC_LVT0        0x350
#define APIC_LVT1        0x360
#define APIC_MODE_NMI    0x400U
#define APIC_MODE_EXTINT 0x700U

void regs_write_gdt(struct gmem *mem)
{
	BUG_ON(!gmem_write(mem, GPA(X86_GDT_ADDR), gdt, sizeof(gdt)));
}

static struct kvm_segment flat_segment(uint16_t selector, uint8_t type)
{
	return (struct kvm_segment){
		.limit = 0xffffffff,
		.selector = selector,
		.type = type,
		.present = 1,
		.db = 1,
		.s = 1,
		.g = 1,
	};
}

static int set_sregs(struct kvm_vcpu *vcpu, struct err *err)
{
	struct kvm_segment data = flat_segment(SELECTOR_DATA, TYPE_DATA);
	struct kvm_sregs sregs;

	if (ioctl(vcpu->fd, KVM_GET_SREGS, &sregs) < 0)
		return err_set(err, errno, "kvm: read the system registers of vCPU %u", vcpu->idx);
	sregs.cs = flat_segment(SELECTOR_CODE, TYPE_CODE);
	sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = data;
	sregs.tr = (struct kvm_segment){
		.limit = 0x67, .selector = SELECTOR_TSS, .type = TYPE_TSS, .present = 1};
	sregs.gdt = (struct kvm_dtable){.base = X86_GDT_ADDR, .limit = sizeof(gdt) - 1};
	sregs.cr0 = CR0_PE | CR0_ET;
	sregs.cr3 = 0;
	sregs.cr4 = 0;
	sregs.efer = 0;
	if (ioctl(vcpu->fd, KVM_SET_SREGS, &sregs) < 0)
		return err_set(err, errno, "kvm: set the system registers of vCPU %u", vcpu->idx);
	return 0;
}

int regs_set_flat(struct kvm_vcpu *vcpu, struct gpa pc, uint32_t ebx, uint32_t esi, struct err *err)
{
	struct kvm_regs regs = {.rip = pc.v, .rbx = ebx, .rsi = esi, .rflags = RFLAGS_FIXED};
	int rc = set_sregs(vcpu, err);

	if (rc < 0)
		return rc;
	if (ioctl(vcpu->fd, KVM_SET_REGS, &regs) < 0)
		return err_set(err, errno, "kvm: set the registers of vCPU %u", vcpu->idx);
	return 0;
}

/* struct kvm_msrs, whose array has no bound. */
struct msrs {
	uint32_t n;
	uint32_t padding;
	struct kvm_msr_entry entries[2];
};
_Static_assert(offsetof(struct msrs, entries) == sizeof(struct kvm_msrs), "linux/kvm.h");

int regs_set_msrs(struct kvm_vcpu *vcpu, struct err *err)
{
	struct msrs msrs = {
		.n = 2,
		.entries =
			{
				{.index = MSR_IA32_MISC_ENABLE, .data = MISC_FAST_STRINGS},
				/* Without it a kernel takes memory for uncached and does without PAT. */
				{.index = MSR_MTRR_DEF_TYPE, .data = MTRR_ENABLE | MTRR_WRITE_BACK},
			},
	};
	int n = ioctl(vcpu->fd, KVM_SET_MSRS, &msrs);

	if (n < 0)
		return err_set(err, errno, "kvm: set the MSRs of vCPU %u", vcpu->idx);
	if (n != 2)
		return err_say(err, EIO, "kvm: MSR 0x%x of vCPU %u is refused",
			       msrs.entries[n].index, vcpu->idx);
	return 0;
}

int regs_set_xcr0(struct kvm_vcpu *vcpu, uint64_t xcr0, struct err *err)
{
	struct kvm_xcrs xcrs = {.nr_xcrs = 1, .xcrs = {{.xcr = 0, .value = xcr0}}};

	if (ioctl(vcpu->fd, KVM_SET_XCRS, &xcrs) < 0)
		return err_set(err, errno, "kvm: set XCR0 of vCPU %u", vcpu->idx);
	return 0;
}

static void set_lvt(struct kvm_lapic_state *lapic, size_t reg, uint32_t mode)
{
	uint32_t value;

	memcpy(&value, &lapic->regs[reg], sizeof(value));
	value = (value & ~0x700U) | mode;
	memcpy(&lapic->regs[reg], &value, sizeof(value));
}

int regs_set_lint(struct kvm_vcpu *vcpu, struct err *err)
{
	struct kvm_lapic_state lapic;

	if (ioctl(vcpu->fd, KVM_GET_LAPIC, &lapic) < 0)
		return err_set(err, errno, "kvm: read the local APIC of vCPU %u", vcpu->idx);
	set_lvt(&lapic, APIC_LVT0, APIC_MODE_EXTINT);
	set_lvt(&lapic, APIC_LVT1, APIC_MODE_NMI);
	if (ioctl(vcpu->fd, KVM_SET_LAPIC, &lapic) < 0)
		return err_set(err, errno, "kvm: set the local APIC of vCPU %u", vcpu->idx);
	return 0;
}
