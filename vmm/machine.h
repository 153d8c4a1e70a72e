/*
 * The machine: a VM with its memory, devices, kernel and vCPUs, put together in the order of the address map and taken
 * apart in reverse. It knows what each part is made with; what the user typed is vmm/options.h.
 *
 *	create -> start -> [pause <-> resume, reset, plug, unplug, in any order and number] -> stop -> destroy
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
#include "vmm/fdset.h"
#include "vmm/vcpu.h"

#define MACHINE_MAX_DEVICES 64  /* spare slots included */
#define MACHINE_ID_BYTES    128 /* of what is plugged, NUL included */

enum machine_device_kind {
	DEVICE_RNG,
	DEVICE_BLK,
	DEVICE_NET,
	DEVICE_FS,
	DEVICE_VSOCK,
	DEVICE_CONSOLE
};

struct machine_device {
	enum machine_device_kind kind;
	const char *id;       /* copied, as the next; NULL: it has none */
	const char *iothread; /* what the user calls its thread; NULL: nothing */
	union {
		struct dev_blk_params blk;
		struct dev_net_params net; /* descriptors gone into the machine: ntaps is 0 */
		struct dev_fs_params fs;
		struct dev_vsock_params vsock;
		struct dev_console_params console; /* descriptors lent */
	};
};

struct machine_config {
	const char *kernel_path;
	const char *initrd_path; /* NULL: none */
	/* Where names of the form /dev/fdset/N lead; NULL: nowhere. */
	const struct fdsets *fdsets;
	const char *append; /* NULL: nothing */
	uint64_t memory_mib;
	uint32_t vcpus; /* on line when the kernel starts */
	/* Described to the guest, which may bring them on line; 0: as many as `vcpus`, else not fewer. */
	uint32_t max_vcpus;
	uint32_t spare_blk; /* empty slots for machine_plug */
	uint32_t spare_net; /* likewise */
	int kvm_fd;         /* -1: open /dev/kvm */
	bool no_pit;        /* the guest tells the time without the timer of old PCs */
	bool serial;        /* the guest has a console */
	int serial_out_fd;  /* duplicated, as the next: -1: output is dropped */
	int serial_in_fd;   /* -1: no input */
	struct machine_device devices[MACHINE_MAX_DEVICES];
	size_t ndevices;
};

/* When each phase of the start was over: CLOCK_MONOTONIC, microseconds; 0: it is not yet. */
struct machine_times {
	uint64_t exec_us;
	uint64_t memory_us;
	uint64_t devices_us;
	uint64_t kernel_us;
	uint64_t entry_us;
};

struct machine;

struct machine_events {
	/* The guest ended: once at most before a reset, and once more after each. `detail`, maybe "", is valid until then. */
	void (*on_end)(void *arg, enum guest_end end, const char *detail);
	void *arg;
};

/* Descriptors that went into the machine are -1 in `config` afterwards, also on failure. `config` may go away. */
int machine_create(struct machine_config *config, struct loop *loop,
		   const struct machine_events *events, struct machine **out,
		   struct err *err) MUST_CHECK;
/* Starts device threads, then vCPUs, at rest when paused. Signals to be handled by the loop are blocked by now. */
int machine_start(struct machine *m, struct err *err) MUST_CHECK;

/*
 * The guest stands still, and so do device threads, from the return of pause to that of resume: no sleep, no polling, and no
 * more than MACHINE_REST_MS, after which pause gives up with -ETIMEDOUT and all runs on. Both do nothing when it is so
 * already. Pause before start makes a machine that waits for its first resume. Requests of disks are finished by then; a
 * device that `loop` serves itself, rng or console, may still answer what the guest asked before.
 */
#define MACHINE_REST_MS 10000
int machine_pause(struct machine *m, struct err *err) MUST_CHECK;
int machine_resume(struct machine *m, struct err *err) MUST_CHECK;

/*
 * The whole machine back to its first instruction: a fresh VM with fresh vCPUs, devices reset, memory zero, the kernel loaded
 * again from the files opened at creation. A paused machine stays paused, one whose guest ended lives again, and what was
 * plugged stays plugged. When no fresh VM can be made the machine goes on as it was; a later failure (the kernel's
 * file cannot be read any more) ends the guest by GUEST_INTERNAL_ERROR.
 */
int machine_reset(struct machine *m, struct err *err) MUST_CHECK;

/*
 * Fills the spare slot `addr` with `d`, whose descriptors are the machine's from success on; the guest notices by itself. From 0,
 * all slots of a kind count, as the guest numbers its disks: those of the configuration come first, and are taken. -1: the first
 * free one. The id has 1 to MACHINE_ID_BYTES - 1 bytes. -ENOTSUP: no such slots were configured; -EINVAL: no slot of that
 * number, or an impossible id or device; -EEXIST: the id is taken; -EBUSY: the slot is; -ENOSPC: all of them are.
 */
int machine_plug(struct machine *m, struct machine_device *d, int addr, struct err *err) MUST_CHECK;
/* Empties the slot again: requests under way are finished, the descriptors closed. -ENODEV: nothing plugged has that id. */
int machine_unplug(struct machine *m, const char *id, struct err *err) MUST_CHECK;

/* Stops vCPUs, then device threads, then writes out what the console still has. The loop does not run any more. */
void machine_stop(struct machine *m);
/* Stops it first. NULL and half-built machines are fine. */
void machine_destroy(struct machine *m);
DEFINE_OWNER(machine_destroy, struct machine)

/* A slot as it is now. */
struct machine_slot {
	enum machine_device_kind kind;
	bool spare;
	const char *id; /* of the device in it, "" for none; lent until the next plug or unplug */
	const char *iothread;     /* likewise */
	pid_t tid;                /* its thread; 0: the main one serves it, or none runs */
	struct dev_blk_stats blk; /* DEVICE_BLK: since the machine was made */
	uint32_t console_clients; /* DEVICE_CONSOLE: dev_console_clients */
};
/* Slot `idx`: first the devices of the configuration, in their order, then the spare ones. false: there is none. */
bool machine_look(const struct machine *m, size_t idx, struct machine_slot *out);

/* The thread of a vCPU; 0 when none runs. `idx` is below the number of vCPUs. */
pid_t machine_vcpu_tid(const struct machine *m, uint32_t idx);

/* `exec_us` is the caller's to fill. */
struct machine_times machine_times(const struct machine *m);

#endif
