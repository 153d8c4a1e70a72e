/*
 * The machine's virtio slots: each a device behind a window of registers, with an interrupt line and, where the device
 * wants one, a thread. All slots are there from the guest's first instruction on, for virtio-mmio cannot announce a
 * device later; a spare one holds a disk without sectors or a network interface without a link, and is filled and
 * emptied by a change of the device's configuration (virtio 1.2, 2.5.2).
 *
 *	index       0 .. n devices of the command line    n .. spare disks, spare network interfaces
 *	interrupt   a line each while lines last, then lines are shared (vmm/arch/arch.h, arch_virtio_slot)
 *
 * Threads: all functions by the main thread.
 */
#ifndef NACRE_VMM_SLOTS_H
#define NACRE_VMM_SLOTS_H

#include <stdbool.h>
#include <stddef.h>
#include <time.h>

#include "base/compiler.h"
#include "base/err.h"
#include "base/loop.h"
#include "base/own.h"
#include "vmm/address_space.h"
#include "vmm/arch/arch.h"
#include "vmm/gmem.h"
#include "vmm/kvm.h"
#include "vmm/machine.h"

struct slots;

struct slots_env {
	struct gmem *mem;
	struct loop *loop; /* of the main thread */
	struct address_space *memory;
};

/* Borrows what is in `env`. */
int slots_create(const struct slots_env *env, struct slots **out, struct err *err) MUST_CHECK;
/* No thread looks at the slots any more. NULL is fine. */
void slots_destroy(struct slots *slots);
DEFINE_OWNER(slots_destroy, struct slots)

/* The next slot, for good. On success the descriptors of `d` are the device's. -E2BIG when the address map is full. */
int slots_add(struct slots *slots, struct machine_device *d, struct err *err) MUST_CHECK;
/*
 * The next slot, spare: `kind` is DEVICE_BLK or DEVICE_NET. A spare network interface has the address that
 * base/spare_mac.h tells until it is filled.
 */
int slots_add_spare(struct slots *slots, enum machine_device_kind kind, struct err *err) MUST_CHECK;

/* Interrupts go to this VM, until it is closed. */
int slots_connect(struct slots *slots, struct kvm *kvm, struct err *err) MUST_CHECK;

/* Where they are, for the guest's kernel: an array of *n. */
const struct arch_slot *slots_places(const struct slots *slots, size_t *n);

/* Device threads, as in vmm/iothread.h. */
int slots_start(struct slots *slots, struct err *err) MUST_CHECK;
void slots_hold(struct slots *slots);
int slots_await_rest(struct slots *slots, const struct timespec *deadline,
		     struct err *err) MUST_CHECK;
void slots_release(struct slots *slots);
void slots_stop(struct slots *slots);

/* machine_plug and machine_unplug. */
int slots_fill(struct slots *slots, struct machine_device *d, int addr, struct err *err) MUST_CHECK;
int slots_empty(struct slots *slots, const char *id, struct err *err) MUST_CHECK;

/* machine_look. */
bool slots_look(const struct slots *slots, size_t idx, struct machine_slot *out);

/* Every device and its registers as after creation. vCPUs and device threads are held. */
void slots_reset(struct slots *slots);

#endif
