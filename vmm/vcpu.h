/*
 * A vCPU and its thread: KVM_RUN until the guest ends or somebody stops it. Accesses to devices go to the two buses
 * without a lock.
 *
 * Threads: all functions by the main thread; on_end is called by the vCPU's own.
 */
#ifndef NACRE_VMM_VCPU_H
#define NACRE_VMM_VCPU_H

#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"
#include "base/own.h"
#include "vmm/bus.h"
#include "vmm/kvm.h"

/* How a guest's life ends. */
enum guest_end {
	GUEST_RESET,
	GUEST_SHUTDOWN,
	GUEST_TRIPLE_FAULT,
	GUEST_INTERNAL_ERROR, /* KVM could not go on; the detail says why */
};

/* The word for messages: "reset", "shutdown", "triple-fault", "internal-error". */
const char *guest_end_name(enum guest_end end);

struct vcpu;

struct vcpu_env {
	struct bus *pio, *mmio; /* borrowed, frozen */
	/* This vCPU saw the guest end and runs no further. `detail` is "" or plain text, valid during the call. */
	void (*on_end)(void *arg, enum guest_end end, const char *detail);
	void *arg;
};

int vcpu_create(struct kvm *kvm, uint32_t idx, const struct vcpu_env *env, struct vcpu **out,
		struct err *err) MUST_CHECK;
/* For arch_vcpu_init. */
struct kvm_vcpu *vcpu_kvm(struct vcpu *vcpu);
int vcpu_start(struct vcpu *vcpu, struct err *err) MUST_CHECK;
/* Takes it out of the guest and joins its thread. Nothing when it was not started. */
void vcpu_stop(struct vcpu *vcpu);
/* Stops it first. NULL is fine. */
void vcpu_destroy(struct vcpu *vcpu);
DEFINE_OWNER(vcpu_destroy, struct vcpu)

#endif
