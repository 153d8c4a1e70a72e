/*
 * One direction of one standard stream: bytes from a descriptor to another through a bounded buffer, with back-pressure
 * (nothing is read while the buffer is full) and half-close (the end of the source becomes the end of the destination,
 * after the last byte).
 *
 * Thread: the loop's. Both descriptors are non-blocking and owned by the relay.
 */
#ifndef NACRE_AGENT_RELAY_H
#define NACRE_AGENT_RELAY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"
#include "base/loop.h"

enum relay_loss {
	RELAY_ENDS, /* the destination is gone: so is the relay (input) */
	RELAY_DRAINS, /* the source is read on and thrown away (output: the process must not be hurt) */
};

struct relay_params {
	struct loop *loop;
	int from_fd;
	int to_fd; /* -1: everything is thrown away */
	enum relay_loss on_loss;
	/* Once, after both descriptors were closed; the callee may destroy the relay. */
	void (*on_end)(void *arg);
	void *arg;
};

struct relay;

/* Takes the descriptors on success. */
int relay_create(const struct relay_params *params, struct relay **out, struct err *err) MUST_CHECK;
/* Closes at once what is still open; on_end is not called. NULL is fine. */
void relay_destroy(struct relay *relay);

/* Last call: what the source has now (within reason) is still sent, then the relay ends, maybe before this returns. */
void relay_finish(struct relay *relay);

/* Bytes read so far plus bytes written so far: has it moved since last asked? */
uint64_t relay_progress(const struct relay *relay);

#endif
