/*
 * The standard streams of one process: the pipes (or pty) on its side, one connection a stream on the host's, a relay
 * between them. Order: proc_io_create, proc_io_begin once all wanted streams stand, proc_io_exited once the process was reaped.
 *
 * Thread: the loop's.
 */
#ifndef NACRE_AGENT_PROC_IO_H
#define NACRE_AGENT_PROC_IO_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/stream_door.h"
#include "base/compiler.h"
#include "base/err.h"
#include "base/loop.h"
#include "base/own.h"

struct proc_io;

struct proc_io_params {
	struct loop *loop;
	struct stream_door *door;
	const uint8_t *tokens
		[3]; /* of STREAM_TOKEN_BYTES, NULL: not wanted; with a terminal [2] is not looked at */
	bool terminal;
	void (*on_connected)(void *arg); /* all wanted streams stand */
	void (*on_drained)(
		void *arg); /* after proc_io_exited: the last byte is on its way, the streams are shut */
	void *arg;
};

int proc_io_create(const struct proc_io_params *params, struct proc_io **out,
		   struct err *err) MUST_CHECK;
void proc_io_destroy(struct proc_io *stdio);
DEFINE_OWNER(proc_io_destroy, struct proc_io)

/* The process's end of stream i, -1 when it has none of its own (not wanted: /dev/null; terminal). Lent until begin. */
int proc_io_child_fd(const struct proc_io *stdio, int i);
/* Closes the process's ends: it has them. */
void proc_io_close_child_fds(struct proc_io *stdio);

/* Takes the master of the terminal. */
void proc_io_set_pty(struct proc_io *stdio, int master);
/* -1 when there is none. Lent. */
int proc_io_pty(const struct proc_io *stdio);

bool proc_io_is_connected(const struct proc_io *stdio);
int proc_io_begin(struct proc_io *stdio, struct err *err) MUST_CHECK;

/* What has come is still delivered, then the process reads end of file. A terminal has no such end. */
void proc_io_close_stdin(struct proc_io *stdio);

/*
 * The process is gone: what its output still holds is sent. Who else keeps an output open (a background child of an exec)
 * gets a short grace; a host that takes nothing for 10 s is given up. on_drained may be called before this returns.
 */
void proc_io_exited(struct proc_io *stdio);
/* ... and some output with it. */
bool proc_io_has_lost(const struct proc_io *stdio);

#endif
