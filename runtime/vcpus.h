/*
 * How many vCPUs of a sandbox are on line. The machine has as many as config/vm_plan gave it; the guest's kernel starts with some
 * of them, and its agent switches the others (no firmware tells the kernel of a new one).
 */
#ifndef NACRE_RUNTIME_VCPUS_H
#define NACRE_RUNTIME_VCPUS_H

#include <stdbool.h>
#include <stdint.h>

struct sandbox;

/* The sandbox is ready: brings on line what the kernel was told to leave for later. */
void vcpus_after_boot(struct sandbox *s);

/* A word from QMP: this one is wanted, and those below it; or no longer. */
void vcpus_plug(struct sandbox *s, uint32_t idx, bool online);

/* The containers' quotas have changed: as many as those can keep busy, no fewer than the sandbox began with. */
void vcpus_follow_quotas(struct sandbox *s);

#endif
