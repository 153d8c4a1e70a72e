/*
 * A 16550A UART (National Semiconductor PC16550D), as far as Linux's 8250 driver and early consoles use it: output is
 * always taken at once, input waits in a FIFO, an interrupt is one edge on an eventfd.
 *
 * Threads: the registers by any vCPU thread, input by the loop's thread.
 */
#ifndef NACRE_VMM_SERIAL_H
#define NACRE_VMM_SERIAL_H

#include "base/compiler.h"
#include "base/err.h"
#include "base/loop.h"
#include "base/own.h"
#include "vmm/address_space.h"

#define SERIAL_WINDOW_BYTES 8

struct serial;

struct serial_params {
	int out_fd; /* duplicated; -1: output is dropped */
	int in_fd;  /* duplicated; -1: no input */
	int irq_fd; /* borrowed: an eventfd, one count is one edge */
	struct loop *loop;
};

int serial_create(const struct serial_params *p, struct serial **out, struct err *err) MUST_CHECK;
void serial_destroy(struct serial *serial);
DEFINE_OWNER(serial_destroy, struct serial)

/* The registers, for a region whose `self` is the struct serial. */
const struct region_ops *serial_region_ops(void);

/* The registers and the FIFO as after creation; what the guest wrote before stays in line to be written out. Any thread. */
void serial_reset(struct serial *serial);

/* What the guest has written reaches the descriptor, or `timeout_ms` pass. The loop does not run any more. */
void serial_drain(struct serial *serial, int timeout_ms);

#endif
