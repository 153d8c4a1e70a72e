/*
 * Opens one vsock stream to the agent over a connection to the unix socket the vmm serves for the guest's vsock: asks for the agent's
 * port ("CONNECT 1024\n", answered "OK ...\n"), and sends the token that says which standard stream this is. All without
 * blocking and under one deadline.
 */
#ifndef NACRE_RUNTIME_GUEST_STREAM_H
#define NACRE_RUNTIME_GUEST_STREAM_H

#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"
#include "base/loop.h"

#define GUEST_AGENT_PORT   1024
#define STREAM_TOKEN_BYTES 32

struct guest_stream;

/* fd >= 0: the open stream, non-blocking, the callee's. Else `why` says what failed. The object is gone after the call. */
typedef void (*guest_stream_fn)(void *arg, int fd, const struct err *why);

/* Takes the connection, which does not block, also when it fails. */
int guest_stream_open(struct loop *loop, int connection, const uint8_t token[STREAM_TOKEN_BYTES],
		      uint64_t timeout_ms, guest_stream_fn fn, void *arg, struct guest_stream **out,
		      struct err *err) MUST_CHECK;
/* Gives up: fn is not called. NULL is fine. */
void guest_stream_cancel(struct guest_stream *s);

#endif
