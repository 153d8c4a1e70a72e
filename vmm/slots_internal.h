/* Slots from inside, for slots.c and slots_plug.c. */
#ifndef NACRE_VMM_SLOTS_INTERNAL_H
#define NACRE_VMM_SLOTS_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/slots.h"

struct iothread;
struct virtio_mmio;

struct slot {
	enum machine_device_kind kind;
	struct virtio_dev *dev;
	struct virtio_mmio *mmio;
	struct iothread *thread; /* NULL: the main loop serves it */
	struct region region;
	struct region_eventfd *kicks; /* one a queue */
	bool spare;
	char id[MACHINE_ID_BYTES];       /* of the device in it; "": a spare slot is empty */
	char iothread[MACHINE_ID_BYTES]; /* of the device in it, "" for none */
};

/*
 * An interrupt line. Slots that share it share its eventfd: KVM makes a pulse of each signal, and pulses of two eventfds
 * on one line could merge into one edge, after which the guest does not look again. Those of one follow each other.
 */
struct line {
	uint32_t irq;
	int fd;
};

/* What the device in the slot is called; d->id fits, or is cut. */
void slot_name(struct slot *slot, const struct machine_device *d);

struct slots {
	struct slots_env env;
	struct line lines[MACHINE_MAX_DEVICES];
	size_t nlines;
	struct arch_slot places[MACHINE_MAX_DEVICES];
	struct slot slot[MACHINE_MAX_DEVICES];
	size_t n;
};

#endif
