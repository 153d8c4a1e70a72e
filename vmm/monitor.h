/*
 * The vmm's end of the monitor socket: a connected unix stream socket over which events go as lines of JSON. Its end is
 * the vmm's: when the monitor is gone, nobody is left to want the guest.
 *
 *	{"event":"running","monotonic_us":{"exec":,"memory":,"devices":,"kernel":,"entry":}}
 *	{"event":"guest-ended","reason":"reset"|"shutdown"|"triple-fault"|"internal-error: ..."}
 *
 * Threads: the main one.
 */
#ifndef NACRE_VMM_MONITOR_H
#define NACRE_VMM_MONITOR_H

#include "base/compiler.h"
#include "base/err.h"
#include "base/loop.h"
#include "base/own.h"
#include "vmm/machine.h"
#include "vmm/vcpu.h"

struct monitor;

/* Owns `fd` from success on. `on_close` is called in the loop, once at most. */
int monitor_create(int fd, struct loop *loop, void (*on_close)(void *arg), void *arg,
		   struct monitor **out, struct err *err) MUST_CHECK;
/* NULL is fine, here and below: there is no monitor then. */
void monitor_destroy(struct monitor *monitor);
DEFINE_OWNER(monitor_destroy, struct monitor)

/* Sending never blocks: a monitor that does not read loses events. */
void monitor_send_running(struct monitor *monitor, const struct machine_times *times);
void monitor_send_ended(struct monitor *monitor, enum guest_end end, const char *detail);

#endif
