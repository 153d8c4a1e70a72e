/* The register state that the boot protocols ask for (linux, Documentation/arch/x86/boot.rst; Xen, docs/misc/pvh). */
#include "vmm/arch/x86_64/regs.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>

#include "vmm/arch/x86_64/layout.h"

#define CR0_PE  0x01ULL
#define CR0_ET  0x10ULL
#define CR0_PG  0x80000000ULL
#define CR4_PAE 0x20ULL

#define EFER_LME 0x100ULL
#define EFER_LMA 0x400ULL

#define RFLAGS_FIXED 0x2

/* The Linux boot protocol's __BOOT_CS and __BOOT_DS, and a task register, which VMX wants to be valid. */
#define SELECTOR_CODE 0x10
#define SELECTOR_DATA 0x18
#define SELECTOR_TSS  0x20

/* Descriptor types (SDM 3, 3.4.5.1 and 3.5): execute/read, read/write, busy 32-bit TSS. */
#define TYPE_CODE 0xb
#define TYPE_DATA 0x3
#define TYPE_TSS  0xb

#define GDT_ENTRIES 5
#define GDT_CODE32  0x00cf9b000000ffffULL /* base 0, 4 GiB */
#define GDT_CODE64  0x00af9b000000ffffULL
#define GDT_DATA    0x00cf93000000ffffULL /* base 0, 4 GiB */
#define GDT_TSS     0x00008b0000000067ULL /* base 0 */

/* Page tables (SDM 3, 4.5): six pages map the first 4 GiB to themselves, by pages of 2 MiB. */
#define PT_ENTRIES   512
#define PT_BYTES     4096ULL
#define PT_DIRS      4
#define PT_LINK      0x3ULL  /* present, writable */
#define PT_LEAF      0x83ULL /* and large */
#define PT_LEAF_SIZE (2ULL << 20)
_Static_assert(X86_PAGE_TABLES_ADDR + (2 + PT_DIRS) * PT_BYTES <= X86_CMDLINE_ADDR, "layout.h");

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

static void write_page(struct gmem *mem, size_t idx, const uint64_t entries[PT_ENTRIES])
{
	BUG_ON(!gmem_write(mem, GPA(X86_PAGE_TABLES_ADDR + idx * PT_BYTES), entries, PT_BYTES));
}

static void write_page_tables(struct gmem *mem)
{
	uint64_t entries[PT_ENTRIES] = {X86_PAGE_TABLES_ADDR + PT_BYTES + PT_LINK};

	write_page(mem, 0, entries);
	for (size_t i = 0; i < PT_DIRS; i++)
		entries[i] = (X86_PAGE_TABLES_ADDR + (2 + i) * PT_BYTES) | PT_LINK;
	write_page(mem, 1, entries);
	for (size_t dir = 0; dir < PT_DIRS; dir++) {
		for (size_t i = 0; i < PT_ENTRIES; i++)
			entries[i] = (dir * PT_ENTRIES + i) * PT_LEAF_SIZE | PT_LEAF;
		write_page(mem, 2 + dir, entries);
	}
}

void regs_write_tables(struct gmem *mem, bool long_mode)
{
	const uint64_t gdt[GDT_ENTRIES] = {
		[SELECTOR_CODE / 8] = long_mode ? GDT_CODE64 : GDT_CODE32,
		[SELECTOR_DATA / 8] = GDT_DATA,
		[SELECTOR_TSS / 8] = GDT_TSS,
	};

	BUG_ON(!gmem_write(mem, GPA(X86_GDT_ADDR), gdt, sizeof(gdt)));
	if (long_mode)
		write_page_tables(mem);
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

static void set_mode(struct kvm_sregs *sregs, bool long_mode)
{
	sregs->cs = flat_segment(SELECTOR_CODE, TYPE_CODE);
	sregs->cr0 = CR0_PE | CR0_ET;
	sregs->cr3 = 0;
	sregs->cr4 = 0;
	sregs->efer = 0;
	if (!long_mode)
		return;
	sregs->cs.db = 0;
	sregs->cs.l = 1;
	sregs->cr0 |= CR0_PG;
	sregs->cr3 = X86_PAGE_TABLES_ADDR;
	sregs->cr4 = CR4_PAE;
	sregs->efer = EFER_LME | EFER_LMA;
}

static int set_sregs(struct kvm_vcpu *vcpu, bool long_mode, struct err *err)
{
	struct kvm_segment data = flat_segment(SELECTOR_DATA, TYPE_DATA);
	struct kvm_sregs sregs;

	if (ioctl(vcpu->fd, KVM_GET_SREGS, &sregs) < 0)
		return err_set(err, errno, "kvm: read the system registers of vCPU %u", vcpu->idx);
	sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = data;
	sregs.tr = (struct kvm_segment){
		.limit = 0x67, .selector = SELECTOR_TSS, .type = TYPE_TSS, .present = 1};
	sregs.gdt = (struct kvm_dtable){.base = X86_GDT_ADDR,
					.limit = GDT_ENTRIES * sizeof(uint64_t) - 1};
	set_mode(&sregs, long_mode);
	if (ioctl(vcpu->fd, KVM_SET_SREGS, &sregs) < 0)
		return err_set(err, errno, "kvm: set the system registers of vCPU %u", vcpu->idx);
	return 0;
}

int regs_set_entry(struct kvm_vcpu *vcpu, const struct regs_entry *entry, struct err *err)
{
	struct kvm_regs regs = {
		.rip = entry->pc.v, .rbx = entry->rbx, .rsi = entry->rsi, .rflags = RFLAGS_FIXED};
	int rc = set_sregs(vcpu, entry->long_mode, err);

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
