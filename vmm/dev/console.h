/*
 * What the files of the console device share (virtio 1.2, 5.3):
 *
 *	console.c	queues, ports' bytes, the device's life
 *	console_ctrl.c	the control queues of VIRTIO_CONSOLE_F_MULTIPORT
 *	console_host.c	a port's other end: a socket's client, a file, the terminal
 *
 * Threads: everything under the device's lock. The host's end is the loop's thread's alone, so that a reset, which comes by a
 * vCPU's, does not touch it: who is connected stays connected.
 */
#ifndef NACRE_VMM_DEV_CONSOLE_H
#define NACRE_VMM_DEV_CONSOLE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/listener.h"
#include "vmm/dev/dev.h"
#include "vmm/sink.h"

/* virtio 1.2, 5.3.2: port 0 has queues 0 and 1, the control queues follow, then the other ports. */
#define CONSOLE_CTRL_RX 2
#define CONSOLE_CTRL_TX 3

struct console;

struct console_host {
	int listen_fd;
	struct listener *listener; /* paused while there is a client */
	int fd;                    /* input: the client, the terminal; -1: none */
	bool ended;                /* nothing more will be read; a client may still listen */
	struct loop_source
		*input; /* NULL: there is none, or it has hung up and the guest takes nothing now */
	bool resting;   /* the guest takes nothing now: only a hang-up is waited for */
	struct sink *sink; /* NULL: output is dropped */
};

struct console_port {
	struct console *console;
	uint16_t nr;
	bool present;
	bool open;       /* by the guest: only then does it look at what comes in */
	uint32_t unsaid; /* bits of console_ctrl.c: what the guest is still to be told */
	struct console_host host;
};

struct console {
	struct virtio_dev *dev; /* owns us */
	struct loop *loop;
	bool multiport; /* negotiated */
	struct vq_chain chain;
	struct console_port ports[DEV_CONSOLE_MAX_PORTS];
	uint16_t nports; /* numbers told to the guest; not all have to be present */
};

/* --- console.c: for the host's end, lock held ------------------------------------------------------------------------- */

/* The guest takes input of that port now: it has opened it. */
bool console_listens(const struct console_port *port);
/* Moves what `fd` has into one buffer of the guest's. Bytes, 0 at end of file, -ENOBUFS: there is no buffer, or -errno. */
ssize_t console_receive(struct console_port *port, int fd);

/* --- console_ctrl.c ---------------------------------------------------------------------------------------------------- */

/* Takes what the driver says. */
void console_ctrl_take(struct console *c);
/* Tells it what it is still to hear, as far as it has buffers for it. */
void console_ctrl_tell(struct console *c);

/* --- console_host.c ------------------------------------------------------------------------------------------------------ */

/* Descriptors of `p` are duplicated. What is half open on failure is closed by console_host_close. */
int console_host_open(struct console_port *port, const struct dev_console_port *p,
		      struct err *err) MUST_CHECK;
/* Writes out what is on its way, for a bounded time. */
void console_host_close(struct console_port *port);
/* The guest has opened the port, or has buffers again: input flows. */
void console_host_resume(struct console_port *port);

#endif
