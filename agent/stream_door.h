/*
 * The one listener of the guest: standard streams arrive here, each known by a one-time token in its first 32 bytes, not by
 * its port. Any process of the guest could try the door, so: connections from elsewhere than the host are closed, a token
 * is compared in constant time, a connection that does not show one within 10 s is closed, and only so many may stand
 * waiting.
 *
 * Thread: the loop's.
 */
#ifndef NACRE_AGENT_STREAM_DOOR_H
#define NACRE_AGENT_STREAM_DOOR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"
#include "base/loop.h"

#define STREAM_TOKEN_BYTES 32
#define STREAM_DOOR_PORT   1024

struct stream_door;
struct stream_ticket;

/* fd: the connection, non-blocking, given to the callee. The ticket is used up. */
typedef void (*stream_arrived_fn)(void *arg, int fd);

/* listen_fd is owned from success on. host_only: peers must be vsock CID 2. */
int stream_door_create(struct loop *loop, int listen_fd, bool host_only, struct stream_door **out,
		       struct err *err) MUST_CHECK;
void stream_door_destroy(struct stream_door *door);

/* Expects one connection with this token (-EEXIST: it is expected already). */
int stream_door_expect(struct stream_door *door, const uint8_t token[STREAM_TOKEN_BYTES],
		       stream_arrived_fn fn, void *arg, struct stream_ticket **out,
		       struct err *err) MUST_CHECK;
/* NULL is fine; not for one that was used up. */
void stream_ticket_cancel(struct stream_ticket *ticket);

#endif
