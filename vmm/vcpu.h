/*
 * A vCPU and its thread: KVM_RUN until somebody holds or stops it, or the guest ends; after that it rests until it is
 * replaced. Accesses to devices go to the two address spaces without a lock.
 *
 *	               start                 hold                    replace
 *	  (no thread) -------> in the guest ------> resting <------+ (a fresh KVM vCPU,
 *	       ^                    ^                |   |         |  while held)
 *	       |  stop (joins)      +--- release ----+   +---------+
 *	       +---------------------------------------- from any state
 *
 * A vCPU at rest is between two instructions, with no access to a device under way, so its registers are whole, and what its
 * thread looks up (devices, views of the address space) may be changed.
 *
 * Threads: all functions by the main thread; on_end is called by the vCPU's own.
 */
#ifndef NACRE_VMM_VCPU_H
#define NACRE_VMM_VCPU_H

#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "base/compiler.h"
#include "base/err.h"
#include "base/own.h"
#include "vmm/address_space.h"
#include "vmm/kvm.h"

/* How a guest's life ends. */
enum guest_end {
	GUEST_RESET,
	GUEST_SHUTDOWN,
	GUEST_TRIPLE_FAULT,
	GUEST_INTERNAL_ERROR, /* KVM could not go on; the detail says why */
};

struct vcpu;

struct vcpu_env {
	struct address_space *memory, *ports; /* borrowed */
	/* This vCPU saw the guest end and runs no further. `detail` is "" or plain text, valid during the call. */
	void (*on_end)(void *arg, enum guest_end end, const char *detail);
	void *arg;
};

int vcpu_create(struct kvm *kvm, uint32_t idx, const struct vcpu_env *env, struct vcpu **out,
		struct err *err) MUST_CHECK;
/* For arch_vcpu_init. */
struct kvm_vcpu *vcpu_kvm(struct vcpu *vcpu);
int vcpu_start(struct vcpu *vcpu, struct err *err) MUST_CHECK;

/*
 * Asks it out of the guest; it enters again after as many releases. To hold several, hold all and then wait for each. A vCPU
 * whose thread does not run is at rest.
 */
void vcpu_hold(struct vcpu *vcpu);
/* Returns when it rests; -ETIMEDOUT at `deadline` (CLOCK_MONOTONIC), it stays held then. */
int vcpu_await_rest(struct vcpu *vcpu, const struct timespec *deadline, struct err *err) MUST_CHECK;
void vcpu_release(struct vcpu *vcpu);
/* While held and at rest: the KVM vCPU it runs from now on, taken from `with`. An end of the guest is forgotten. */
void vcpu_replace(struct vcpu *vcpu, struct kvm_vcpu *with);

/* Its thread, for those who pin it to a processor; 0 when none runs. */
pid_t vcpu_tid(struct vcpu *vcpu);

/* Takes it out of the guest and joins its thread. Nothing when it was not started. */
void vcpu_stop(struct vcpu *vcpu);
/* Stops it first. NULL is fine. */
void vcpu_destroy(struct vcpu *vcpu);
DEFINE_OWNER(vcpu_destroy, struct vcpu)

#endif
