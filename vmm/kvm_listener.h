/*
 * KVM's picture of the guest's memory: RAM of the flat view becomes memory slots, the eventfds of what is seen of a device
 * become ioeventfds (linux, Documentation/virt/kvm/api.rst, 4.35 and 4.59). One listener serves one VM; a reset makes both anew.
 */
#ifndef NACRE_VMM_KVM_LISTENER_H
#define NACRE_VMM_KVM_LISTENER_H

#include <stdbool.h>
#include <stdint.h>

#include "vmm/address_space.h"
#include "vmm/kvm.h"

#define KVM_LISTENER_SLOTS 32

struct kvm_listener {
	struct address_listener listener;
	struct kvm *kvm;
	struct {
		bool used;
		uint64_t first;
	} slots[KVM_LISTENER_SLOTS];
};

/* Borrows kvm. &l->listener is to be given to the memory's address space, and stays where it is. */
void kvm_listener_init(struct kvm_listener *l, struct kvm *kvm);

#endif
