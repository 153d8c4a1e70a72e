/*
 * KVM's system, VM and vCPU descriptors (linux, Documentation/virt/kvm/api.rst).
 */
#include "vmm/kvm.h"

#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "base/str.h"

#define KVM_PATH "/dev/kvm"

static const struct kvm_cap machine_caps[] = {
	{KVM_CAP_USER_MEMORY, "KVM_CAP_USER_MEMORY"},       {KVM_CAP_IRQCHIP, "KVM_CAP_IRQCHIP"},
	{KVM_CAP_IOEVENTFD, "KVM_CAP_IOEVENTFD"},           {KVM_CAP_IRQFD, "KVM_CAP_IRQFD"},
	{KVM_CAP_IMMEDIATE_EXIT, "KVM_CAP_IMMEDIATE_EXIT"}, {KVM_CAP_MP_STATE, "KVM_CAP_MP_STATE"},
};

static int open_failed(int code, struct err *err)
{
	switch (code) {
	case ENOENT:
		return err_say(err, code,
			       "no " KVM_PATH ": load the module kvm_intel or kvm_amd, switch on "
			       "virtualization in the firmware, or nested virtualization in the "
			       "hypervisor this machine runs on");
	case EACCES:
	case EPERM:
		return err_say(err, code,
			       KVM_PATH ": permission denied: run as root or as a member of the "
					"group kvm");
	case ENODEV:
	case ENXIO:
		return err_say(err, code,
			       KVM_PATH ": no virtualization behind it: load the module kvm_intel "
					"or kvm_amd");
	default:
		return err_set(err, code, "open '" KVM_PATH "'");
	}
}

static int check_version(int fd, struct err *err)
{
	int version = ioctl(fd, KVM_GET_API_VERSION, 0);

	if (version < 0)
		return err_set(err, errno, "the KVM descriptor %d is not " KVM_PATH, fd);
	if (version != KVM_API_VERSION)
		return err_say(err, ENOTSUP,
			       KVM_PATH " speaks API version %d, version %d is needed", version,
			       KVM_API_VERSION);
	return 0;
}

int kvm_open(int fd, struct kvm **out, struct err *err)
{
	CLEANUP(own_kvm_close) struct kvm *kvm = calloc(1, sizeof(*kvm));
	AUTO_FD int opened = -1;
	int size;
	int rc;

	if (!kvm)
		return err_set(err, ENOMEM, "kvm");
	kvm->fd = -1;
	kvm->vm_fd = -1;
	if (fd < 0) {
		opened = open(KVM_PATH, O_RDWR | O_CLOEXEC);
		if (opened < 0)
			return open_failed(errno, err);
		fd = opened;
	}
	rc = check_version(fd, err);
	if (rc < 0)
		return rc;
	size = ioctl(fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (size < (int)sizeof(struct kvm_run))
		return err_say(err, ENOTSUP, KVM_PATH ": a vCPU's shared area of %d bytes", size);
	kvm->run_bytes = (size_t)size;
	kvm->fd = fd;
	opened = -1;
	*out = TAKE_PTR(&kvm);
	return 0;
}

void kvm_close(struct kvm *kvm)
{
	if (!kvm)
		return;
	own_close(&kvm->vm_fd);
	own_close(&kvm->fd);
	free(kvm);
}

int kvm_extension(const struct kvm *kvm, long cap)
{
	int n = ioctl(kvm->vm_fd >= 0 ? kvm->vm_fd : kvm->fd, KVM_CHECK_EXTENSION, cap);

	return n < 0 ? 0 : n;
}

int kvm_require(const struct kvm *kvm, const struct kvm_cap *caps, size_t n, struct err *err)
{
	char missing[256] = "";
	size_t len = 0;

	for (size_t i = 0; i < n; i++) {
		int more;

		if (kvm_extension(kvm, caps[i].id) != 0 || len >= sizeof(missing))
			continue;
		more = snprintf(missing + len, sizeof(missing) - len, " %s", caps[i].name);
		len += (size_t)more;
	}
	if (len == 0)
		return 0;
	return err_say(err, ENOTSUP, KVM_PATH " lacks%s: a newer kernel of the host is needed",
		       missing);
}

int kvm_create_vm(struct kvm *kvm, struct err *err)
{
	int rc = kvm_require(kvm, machine_caps, ARRAY_SIZE(machine_caps), err);

	if (rc < 0)
		return rc;
	do {
		rc = ioctl(kvm->fd, KVM_CREATE_VM, 0);
	} while (rc < 0 && errno == EINTR);
	if (rc < 0)
		return err_set(err, errno, KVM_PATH ": create a virtual machine");
	kvm->vm_fd = rc;
	return 0;
}

int kvm_set_memory(struct kvm *kvm, uint32_t slot, struct gmem_range range, void *host,
		   struct err *err)
{
	struct kvm_userspace_memory_region region = {
		.slot = slot,
		.guest_phys_addr = range.at.v,
		.memory_size = range.len_bytes,
		.userspace_addr = (uintptr_t)host,
	};

	if (ioctl(kvm->vm_fd, KVM_SET_USER_MEMORY_REGION, &region) < 0)
		return err_set(err, errno, "kvm: memory slot %u of %llu MiB at 0x%llx", slot,
			       (unsigned long long)range.len_bytes >> 20,
			       (unsigned long long)range.at.v);
	return 0;
}

void kvm_unset_memory(struct kvm *kvm, uint32_t slot)
{
	struct kvm_userspace_memory_region region = {.slot = slot};

	BUG_ON(ioctl(kvm->vm_fd, KVM_SET_USER_MEMORY_REGION, &region) < 0);
}

static struct kvm_ioeventfd ioeventfd_of(struct gpa at, uint32_t value, int fd, uint32_t flags)
{
	return (struct kvm_ioeventfd){
		.datamatch = value,
		.addr = at.v,
		.len = sizeof(value),
		.fd = fd,
		.flags = KVM_IOEVENTFD_FLAG_DATAMATCH | flags,
	};
}

int kvm_add_ioeventfd(struct kvm *kvm, struct gpa at, uint32_t value, int fd, struct err *err)
{
	struct kvm_ioeventfd io = ioeventfd_of(at, value, fd, 0);

	if (ioctl(kvm->vm_fd, KVM_IOEVENTFD, &io) < 0)
		return err_set(err, errno, "kvm: ioeventfd at 0x%llx", (unsigned long long)at.v);
	return 0;
}

void kvm_remove_ioeventfd(struct kvm *kvm, struct gpa at, uint32_t value, int fd)
{
	struct kvm_ioeventfd io = ioeventfd_of(at, value, fd, KVM_IOEVENTFD_FLAG_DEASSIGN);

	BUG_ON(ioctl(kvm->vm_fd, KVM_IOEVENTFD, &io) < 0);
}

int kvm_add_irqfd(struct kvm *kvm, uint32_t gsi, int fd, struct err *err)
{
	struct kvm_irqfd irq = {.fd = (uint32_t)fd, .gsi = gsi};

	if (ioctl(kvm->vm_fd, KVM_IRQFD, &irq) < 0)
		return err_set(err, errno, "kvm: irqfd for interrupt %u", gsi);
	return 0;
}

int kvm_vcpu_create(struct kvm *kvm, uint32_t idx, struct kvm_vcpu *out, struct err *err)
{
	AUTO_FD int fd = ioctl(kvm->vm_fd, KVM_CREATE_VCPU, (unsigned long)idx);
	void *run;

	if (fd < 0)
		return err_set(err, errno, "kvm: create vCPU %u", idx);
	run = mmap(NULL, kvm->run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (run == MAP_FAILED)
		return err_set(err, errno, "kvm: map the shared area of vCPU %u", idx);
	*out = (struct kvm_vcpu){
		.fd = TAKE_FD(&fd),
		.idx = idx,
		.run = run,
		.run_bytes = kvm->run_bytes,
	};
	return 0;
}

void kvm_vcpu_destroy(struct kvm_vcpu *vcpu)
{
	if (vcpu->run)
		(void)munmap(vcpu->run, vcpu->run_bytes);
	vcpu->run = NULL;
	own_close(&vcpu->fd);
}
