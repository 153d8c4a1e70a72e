/*
 * The record of a sandbox's start: when each phase was over, on the host's CLOCK_MONOTONIC, so that the vmm's own figures, the
 * guest's and the monitor's stand in one row. Written to start.json in the state directory when the first container runs, and
 * shown by `nacre state`; where others can speak QMP to the vmm it is told what it does not know, so that query-start-times has
 * it all:
 *
 *	{"version":1,"monotonic_us":{"monitor":N,"spawn":N,"exec":N,...,"started":N}}
 *
 * The guest's phases are told on its boot clock. That clock's zero is the host's time at which the agent's answer arrived minus
 * what the clock showed when it was sent: late by the answer's way through vsock and the vmm (well below a millisecond on a
 * host with an idle processor) and by what of the kernel's own start comes before its clock. A guest can lie about all of them:
 * they are for people and measurements, nothing is decided by them.
 */
#ifndef NACRE_RUNTIME_START_RECORD_H
#define NACRE_RUNTIME_START_RECORD_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"

#define START_RECORD_FILE      "start.json"
#define START_RECORD_MAX_BYTES 4096

/* In the order in which they happen. */
enum start_phase {
	START_MONITOR, /* the monitor runs */
	START_SPAWN,   /* it starts the vmm */
	START_EXEC,    /* from here: the vmm's words. Its main runs */
	START_MEMORY,  /* guest memory is mapped */
	START_DEVICES, /* every device is made */
	START_KERNEL,  /* the kernel image is in guest memory */
	START_JAIL,    /* it has given up what it does not need any more */
	START_ENTRY,   /* the first vCPU enters the guest */
	START_LINUX,   /* from here: the guest's words. The kernel's clock starts */
	START_INIT,    /* the agent's first line, as pid 1 */
	START_READY,   /* the agent listens */
	START_AGENT,   /* the agent's hello has arrived */
	START_CREATED, /* the first container is created */
	START_STARTED, /* its process runs */
	START_PHASES,
};

struct start_record {
	uint64_t us[START_PHASES]; /* 0: not yet */
	bool saved;
};

/* Now; only the first time counts. */
void start_record_mark(struct start_record *r, enum start_phase phase);

/* The data of the vmm's NACRE_RUNNING, checked for nothing yet; what is not a number is left out. */
void start_record_merge(struct start_record *r, struct json_object *times);

/* What the agent's hello said on the guest's boot clock, in nanoseconds. */
struct guest_times {
	uint64_t init_ns, ready_ns;
	uint64_t now_ns; /* when it answered */
};

/* Right after the hello has arrived. Times of a clock that runs backwards are left out. */
void start_record_guest(struct start_record *r, const struct guest_times *times);

/* What the vmm does not know by itself, as the arguments of its nacre-start-times; the caller's. */
struct json_object *start_record_for_vmm(const struct start_record *r);

/* As START_RECORD_FILE has it, the caller's; NULL: out of memory. */
char *start_record_text(const struct start_record *r) MUST_CHECK;

#endif
