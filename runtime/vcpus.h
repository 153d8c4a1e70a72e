/*
 * How many vCPUs of a sandbox are on line. The machine has as many as config/vm_plan gave it; the guest's kernel starts with some
 * of them, and its agent switches the others (no firmware tells the kernel of a new one). Those that are on line are the first
 * so many: as many as the containers' quotas can keep busy or QMP has plugged, whichever is more.
 */
#ifndef NACRE_RUNTIME_VCPUS_H
#define NACRE_RUNTIME_VCPUS_H

#include <stdbool.h>
#include <stdint.h>

struct sandbox;

struct vcpus {
	uint32_t online; /* or asked for; 0: not known */
	uint32_t by_quota, by_qmp;
};

/* The sandbox is ready: brings on line what the kernel was told to leave for later. */
void vcpus_after_boot(struct sandbox *s);

/*
 * A word from QMP: this one is wanted, and those below it; or it is no longer, nor those above it. The vmm hears when it is off line,
 * or why it cannot be.
 */
void vcpus_plug(struct sandbox *s, uint32_t idx, bool online);

/* The containers' quotas have changed. */
void vcpus_follow_quotas(struct sandbox *s);

#endif
