/*
 * The record of a sandbox's start: when each phase was over, on the host's CLOCK_MONOTONIC, so that the vmm's own figures and
 * the monitor's stand in one row. Written to start.json in the state directory when the first container runs:
 *
 *	{"version":1,"monotonic_us":{"monitor":N,"spawn":N,"exec":N,...,"started":N}}
 */
#ifndef NACRE_RUNTIME_START_RECORD_H
#define NACRE_RUNTIME_START_RECORD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"

#define START_RECORD_FILE "start.json"

/* In the order in which they happen. */
enum start_phase {
	START_MONITOR, /* the monitor runs */
	START_SPAWN,   /* it starts the vmm */
	START_EXEC,    /* from here: the vmm's words. Its main runs */
	START_MEMORY,  /* guest memory is mapped */
	START_DEVICES, /* every device is made */
	START_KERNEL,  /* the kernel image is in guest memory */
	START_ENTRY,   /* the first vCPU enters the guest */
	START_AGENT,   /* the agent has said hello */
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

/* The vmm's "running" event, a line of JSON that was checked for nothing yet; what is not a number is left out. */
void start_record_merge(struct start_record *r, const char *event_line);

/* Once; later calls do nothing. */
int start_record_save(struct start_record *r, const char *state_dir, struct err *err) MUST_CHECK;

#endif
