/*
 * KVM, as far as a machine needs it: the VM, its memory slots, its eventfds and its vCPUs. What is particular to a
 * processor architecture is behind vmm/arch/arch.h. Errors say what the user can do about them.
 *
 * Threads: all of it by the main thread, while vCPUs do not run or are held; but for KVM_RUN, by each vCPU's own thread.
 */
#ifndef NACRE_VMM_KVM_H
#define NACRE_VMM_KVM_H

#include <linux/kvm.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"
#include "base/own.h"
#include "vmm/gmem.h"

struct kvm {
	int fd;    /* /dev/kvm */
	int vm_fd; /* -1 until kvm_create_vm */
	size_t run_bytes;
};

/* A capability that must be there; the name is for the error. */
struct kvm_cap {
	long id;
	const char *name;
};

struct kvm_vcpu {
	int fd;
	uint32_t idx;        /* 0: the one that boots; also its APIC id or hart id */
	struct kvm_run *run; /* shared with the kernel */
	size_t run_bytes;
};

/*
 * `fd` is an open /dev/kvm, owned from success on, or -1 to open it here. Checks the API version. kvm_close takes NULL.
 */
int kvm_open(int fd, struct kvm **out, struct err *err) MUST_CHECK;
void kvm_close(struct kvm *kvm);
DEFINE_OWNER(kvm_close, struct kvm)

/* What KVM_CHECK_EXTENSION says: 0 when absent. */
int kvm_extension(const struct kvm *kvm, long cap);
/* Fails with the names of all capabilities of the table that are missing. */
int kvm_require(const struct kvm *kvm, const struct kvm_cap *caps, size_t n,
		struct err *err) MUST_CHECK;

/* Checks what every machine needs and makes the VM. The host's kernel spends nearly all of it waiting for grace periods. */
int kvm_create_vm(struct kvm *kvm, struct err *err) MUST_CHECK;

/* Memory slot `slot` is [range) of the guest, backed by `host`, which outlives it; all aligned to pages. */
int kvm_set_memory(struct kvm *kvm, uint32_t slot, struct gmem_range range, void *host,
		   struct err *err) MUST_CHECK;
/* The slot, which is there, goes. */
void kvm_unset_memory(struct kvm *kvm, uint32_t slot);

/* Writes of `value`, 4 bytes long, at `at` signal `fd` and do not leave the kernel. Borrows fd. */
int kvm_add_ioeventfd(struct kvm *kvm, struct gpa at, uint32_t value, int fd,
		      struct err *err) MUST_CHECK;
/* The one added with the same arguments, its `fd` still open. */
void kvm_remove_ioeventfd(struct kvm *kvm, struct gpa at, uint32_t value, int fd);

/* A write to the eventfd `fd` raises (and lowers) the interrupt `gsi`. Borrows fd. */
int kvm_add_irqfd(struct kvm *kvm, uint32_t gsi, int fd, struct err *err) MUST_CHECK;

int kvm_vcpu_create(struct kvm *kvm, uint32_t idx, struct kvm_vcpu *out,
		    struct err *err) MUST_CHECK;
void kvm_vcpu_destroy(struct kvm_vcpu *vcpu);

#endif
