/* x86_64 behind vmm/arch/arch.h: the address map as data, the VM's interrupt chip, and a vCPU's identity. */
#include "vmm/arch/arch.h"

#include <cpuid.h>
#include <errno.h>
#include <sys/ioctl.h>

#include "vmm/arch/x86_64/cpuid.h"
#include "vmm/arch/x86_64/kernel.h"
#include "vmm/arch/x86_64/layout.h"
#include "vmm/arch/x86_64/regs.h"

static const struct kvm_cap x86_caps[] = {
	{KVM_CAP_EXT_CPUID, "KVM_CAP_EXT_CPUID"},
	{KVM_CAP_SET_TSS_ADDR, "KVM_CAP_SET_TSS_ADDR"},
	{KVM_CAP_SET_IDENTITY_MAP_ADDR, "KVM_CAP_SET_IDENTITY_MAP_ADDR"},
};
static const struct kvm_cap pit_caps[] = {{KVM_CAP_PIT2, "KVM_CAP_PIT2"}};

uint32_t arch_max_vcpus(void)
{
	return X86_MAX_VCPUS;
}

size_t arch_ram_ranges(uint64_t bytes, struct gmem_range out[GMEM_MAX_REGIONS])
{
	uint64_t low = bytes < X86_HOLE_ADDR ? bytes : X86_HOLE_ADDR;

	out[0] = (struct gmem_range){.at = GPA(0), .len_bytes = low};
	if (bytes == low)
		return 1;
	out[1] = (struct gmem_range){.at = GPA(X86_HOLE_END), .len_bytes = bytes - low};
	return 2;
}

uint32_t arch_virtio_slots(void)
{
	return X86_VIRTIO_SLOTS;
}

struct arch_slot arch_virtio_slot(uint32_t slot)
{
	uint32_t line = slot % X86_VIRTIO_LINES;

	BUG_ON(slot >= X86_VIRTIO_SLOTS);
	/* Sharing begins with the last lines: the first slots are the busy ones. */
	if (slot >= X86_VIRTIO_LINES)
		line = X86_VIRTIO_LINES - 1 - line;
	return (struct arch_slot){
		.base = GPA(X86_VIRTIO_ADDR + slot * X86_VIRTIO_SLOT_BYTES),
		.window_bytes = X86_VIRTIO_SLOT_BYTES,
		.irq = X86_VIRTIO_IRQ + line,
	};
}

struct arch_uart arch_uart(void)
{
	return (struct arch_uart){
		.is_port = true, .base = X86_UART_PORT, .irq = X86_UART_IRQ, .console = "ttyS0"};
}

static int make_pit(struct kvm *kvm, struct err *err)
{
	struct kvm_pit_config config = {.flags = KVM_PIT_SPEAKER_DUMMY};
	int rc = kvm_require(kvm, pit_caps, ARRAY_SIZE(pit_caps), err);

	if (rc < 0)
		return rc;
	if (ioctl(kvm->vm_fd, KVM_CREATE_PIT2, &config) < 0)
		return err_set(err, errno, "kvm: create the timer");
	return 0;
}

int arch_vm_init(struct kvm *kvm, bool pit, struct err *err)
{
	uint64_t identity = X86_IDENTITY_ADDR;
	int rc = kvm_require(kvm, x86_caps, ARRAY_SIZE(x86_caps), err);

	if (rc < 0)
		return rc;
	if (ioctl(kvm->vm_fd, KVM_SET_IDENTITY_MAP_ADDR, &identity) < 0)
		return err_set(err, errno, "kvm: place the identity map");
	if (ioctl(kvm->vm_fd, KVM_SET_TSS_ADDR, X86_TSS_ADDR) < 0)
		return err_set(err, errno, "kvm: place the task state segment");
	if (ioctl(kvm->vm_fd, KVM_CREATE_IRQCHIP, 0) < 0)
		return err_set(err, errno, "kvm: create the interrupt controllers");
	return pit ? make_pit(kvm, err) : 0;
}

static uint32_t host_xsave_eax(void)
{
	uint32_t eax = 0, ebx, ecx, edx;

	if (!__get_cpuid_count(0xd, 1, &eax, &ebx, &ecx, &edx))
		return 0;
	return eax;
}

static void host_brand(uint32_t brand[3][4])
{
	for (uint32_t i = 0; i < 3; i++)
		if (!__get_cpuid(0x80000002U + i, &brand[i][0], &brand[i][1], &brand[i][2],
				 &brand[i][3]))
			return;
}

static int set_cpuid(struct kvm *kvm, struct kvm_vcpu *vcpu, uint32_t vcpus, struct err *err)
{
	struct cpuid_guest guest = {
		.vcpu_idx = vcpu->idx,
		.vcpus = vcpus,
		.tsc_deadline = kvm_extension(kvm, KVM_CAP_TSC_DEADLINE_TIMER) != 0,
		.host_xsave_eax = host_xsave_eax(),
	};
	struct cpuid_table table = {.n = CPUID_MAX_ENTRIES};

	host_brand(guest.host_brand);
	if (ioctl(kvm->fd, KVM_GET_SUPPORTED_CPUID, &table) < 0)
		return err_set(err, errno, "kvm: ask for the supported CPUID");
	cpuid_adjust(&table, &guest);
	if (ioctl(vcpu->fd, KVM_SET_CPUID2, &table) < 0)
		return err_set(err, errno, "kvm: set the CPUID of vCPU %u", vcpu->idx);
	if (cpuid_xcr0(&table) == 0)
		return 0;
	return regs_set_xcr0(vcpu, cpuid_xcr0(&table), err);
}

int arch_vcpu_init(struct kvm *kvm, struct kvm_vcpu *vcpu, uint32_t vcpus,
		   const struct arch_entry *entry, struct err *err)
{
	bool pvh = entry->protocol == X86_PROTOCOL_PVH;
	const struct regs_entry regs = {
		.pc = entry->pc,
		.rbx = pvh ? entry->info.v : 0,
		.rsi = pvh ? 0 : entry->info.v,
		.long_mode = entry->protocol == X86_PROTOCOL_LINUX64,
	};
	int rc = set_cpuid(kvm, vcpu, vcpus, err);

	if (rc == 0)
		rc = regs_set_msrs(vcpu, err);
	if (rc == 0)
		rc = regs_set_lint(vcpu, err);
	if (rc == 0 && vcpu->idx == 0)
		rc = regs_set_entry(vcpu, &regs, err);
	return rc;
}
