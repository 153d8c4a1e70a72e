/*
 * The machine: a VM with its memory, devices, kernel and vCPUs, put together in the order of the address map and taken
 * apart in reverse. It knows what each part is made with; what the user typed is vmm/options.h.
 *
 * Threads: all functions by the main thread, whose loop is `loop`; on_end is called in that loop.
 */
#ifndef NACRE_VMM_MACHINE_H
#define NACRE_VMM_MACHINE_H

#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"
#include "base/loop.h"
#include "base/own.h"
#include "vmm/dev/dev.h"
#include "vmm/vcpu.h"

#define MACHINE_MAX_DEVICES 32

enum machine_device_kind { DEVICE_RNG, DEVICE_BLK, DEVICE_FS, DEVICE_VSOCK };

struct machine_device {
	enum machine_device_kind kind;
	union {
		struct dev_blk_params blk;
		struct dev_fs_params fs;
		struct dev_vsock_params vsock;
	};
};

struct machine_config {
	const char *kernel_path;
	const char *initrd_path; /* NULL: none */
	const char *append;      /* NULL: nothing */
	uint64_t memory_mib;
	uint32_t vcpus;
	int kvm_fd;        /* -1: open /dev/kvm */
	bool serial;       /* the guest has a console */
	int serial_out_fd; /* duplicated, as the next: -1: output is dropped */
	int serial_in_fd;  /* -1: no input */
	struct machine_device devices[MACHINE_MAX_DEVICES];
	size_t ndevices;
};

/* When each phase of the start was over: CLOCK_MONOTONIC, microseconds. */
struct machine_times {
	uint64_t exec_us;
	uint64_t memory_us;
	uint64_t devices_us;
	uint64_t kernel_us;
	uint64_t entry_us;
};

struct machine;

struct machine_events {
	/* The guest ended; called once at most. `detail` is "" or plain text, valid as long as the machine. */
	void (*on_end)(void *arg, enum guest_end end, const char *detail);
	void *arg;
};

uint64_t machine_now_us(void);

/* Descriptors that went into the machine are -1 in `config` afterwards, also on failure. `config` may go away. */
int machine_create(struct machine_config *config, struct loop *loop,
		   const struct machine_events *events, struct machine **out,
		   struct err *err) MUST_CHECK;
/* Starts device threads, then vCPUs. Signals to be handled by the loop are blocked by now. */
int machine_start(struct machine *m, struct err *err) MUST_CHECK;
/* Stops vCPUs, then device threads, then writes out what the console still has. The loop does not run any more. */
void machine_stop(struct machine *m);
/* Stops it first. NULL and half-built machines are fine. */
void machine_destroy(struct machine *m);
DEFINE_OWNER(machine_destroy, struct machine)

/* `exec_us` is the caller's to fill. */
struct machine_times machine_times(const struct machine *m);

#endif
