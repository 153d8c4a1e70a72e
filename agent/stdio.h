/*
 * The standard streams of one process: the pipes (or pty) on its side, one connection a stream on the host's, a relay
 * between them. Order: stdio_create, stdio_begin once all wanted streams stand, stdio_exited once the process was reaped.
 *
 * Thread: the loop's.
 */
#ifndef NACRE_AGENT_STDIO_H
#define NACRE_AGENT_STDIO_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/stream_door.h"
#include "base/compiler.h"
#include "base/err.h"
#include "base/loop.h"
#include "base/own.h"

struct stdio;

struct stdio_params {
	struct loop *loop;
	struct stream_door *door;
	const uint8_t *tokens
		[3]; /* of STREAM_TOKEN_BYTES, NULL: not wanted; with a terminal [2] is not looked at */
	bool terminal;
	void (*on_connected)(void *arg); /* all wanted streams stand */
	void (*on_drained)(
		void *arg); /* after stdio_exited: the last byte is on its way, the streams are shut */
	void *arg;
};

int stdio_create(const struct stdio_params *params, struct stdio **out, struct err *err) MUST_CHECK;
void stdio_destroy(struct stdio *stdio);
DEFINE_OWNER(stdio_destroy, struct stdio)

/* The process's end of stream i, -1 when it has none of its own (not wanted: /dev/null; terminal). Lent until begin. */
int stdio_child_fd(const struct stdio *stdio, int i);
/* Closes the process's ends: it has them. */
void stdio_close_child_fds(struct stdio *stdio);

/* Takes the master of the terminal. */
void stdio_set_pty(struct stdio *stdio, int master);
/* -1 when there is none. Lent. */
int stdio_pty(const struct stdio *stdio);

bool stdio_is_connected(const struct stdio *stdio);
int stdio_begin(struct stdio *stdio, struct err *err) MUST_CHECK;

/* What has come is still delivered, then the process reads end of file. A terminal has no such end. */
void stdio_close_stdin(struct stdio *stdio);

/*
 * The process is gone: what its output still holds is sent. Who else keeps an output open (a background child of an exec)
 * gets a short grace; a host that takes nothing for 10 s is given up. on_drained may be called before this returns.
 */
void stdio_exited(struct stdio *stdio);

#endif
