/*
 * What QMP asks of the engine it controls. The engine is behind a table so that the protocol can be tested without a
 * guest. Threads: the main one, which all of QMP runs in.
 */
#ifndef NACRE_VMM_QMP_ENGINE_H
#define NACRE_VMM_QMP_ENGINE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/compiler.h"
#include "base/err.h"
#include "vmm/backends.h"
#include "vmm/machine.h"

/* When each phase of the start was over: CLOCK_MONOTONIC, microseconds; 0: it is not yet. */
struct qmp_start_times {
	uint64_t exec_us, jail_us, memory_us, devices_us, kernel_us, entry_us;
};

struct qmp_engine_ops {
	/* Take the vCPUs out of the guest, and let them in again. Also what was never in it yet. */
	int (*stop)(void *self, struct err *err);
	int (*cont)(void *self, struct err *err);
	/* 1: the engine ends instead, soon after the return. */
	int (*reset)(void *self, struct err *err);
	/* Ends the engine, soon after the return. */
	void (*quit)(void *self);
	/* The guest has an agent that the monitor can ask to power down, or to bring vCPUs on line. */
	bool (*has_agent)(void *self);
	struct qmp_start_times (*start_times)(void *self);
	/* machine_plug and machine_unplug of vmm/machine.h. */
	int (*plug)(void *self, struct machine_device *device, int addr, struct err *err);
	int (*unplug)(void *self, const char *id, struct err *err);
	/* Is there a client at the socket of the console with that chardev? */
	bool (*console_has_client)(void *self, const char *chardev);
	/* Has the user made an iothread of that name? */
	bool (*has_iothread)(void *self, const char *id);
	/* machine_look */
	bool (*look)(void *self, size_t idx, struct machine_slot *out);
	/* 0 when the thread does not run. */
	pid_t (*vcpu_tid)(void *self, uint32_t idx);
};

struct qmp_engine {
	const struct qmp_engine_ops *ops;
	void *self;
	struct backends *backends; /* borrowed */
	const char *name, *uuid;   /* NULL: none; borrowed */
	uint32_t vcpus;            /* on line from the start */
	uint32_t max_vcpus;        /* described to the guest */
};

#endif
