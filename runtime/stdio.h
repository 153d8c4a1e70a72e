/*
 * The standard streams of one process: host ends, the tokens that name them to the agent, and the pumps between host ends and
 * vsock streams. Order: stdio_open, tokens into the request to the agent, stdio_connect, then it runs by itself.
 */
#ifndef NACRE_RUNTIME_STDIO_H
#define NACRE_RUNTIME_STDIO_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"
#include "base/loop.h"
#include "runtime/stdio_host.h"

enum stdio_stream { STDIO_IN, STDIO_OUT, STDIO_ERR, STDIO_STREAMS };

struct stdio;

typedef void (*stdio_connected_fn)(void *arg, const struct err *why); /* why NULL: connected */
typedef void (*stdio_drained_fn)(void *arg);

/* Who opens and connects: a monitor may do neither itself any more. Lent for the life of the streams. */
struct stdio_ways {
	/* As stdio_host_open. */
	int (*open_host)(void *arg, const char *name, bool input, struct stdio_host *out,
			 struct err *err);
	/* A connection for guest_stream_open. */
	int (*connect_guest)(void *arg, int *fd, struct err *err);
	void *arg;
};

/* `names` as stdio_host.h has them; NULL is "". A terminal has no standard error of its own. */
int stdio_open(struct loop *loop, const struct stdio_ways *ways,
	       const char *const names[STDIO_STREAMS], bool terminal, struct stdio **out,
	       struct err *err) MUST_CHECK;
/* NULL is fine. No callback is called any more. */
void stdio_destroy(struct stdio *s);
DEFINE_OWNER(stdio_destroy, struct stdio)

/* STREAM_TOKEN_BYTES bytes, lent; NULL when the stream is not wanted. */
const uint8_t *stdio_token(const struct stdio *s, enum stdio_stream which);

/* Opens the vsock streams and starts pumping output. fn is called once, possibly before this returns. */
void stdio_connect(struct stdio *s, stdio_connected_fn fn, void *arg);

/* The process runs: from now on its input is read. A process that was only created must leave it to others. */
int stdio_start_input(struct stdio *s, struct err *err) MUST_CHECK;

/* Lets go of the end that keeps standard input open: the process sees the end of it when all clients are gone too. */
void stdio_close_stdin(struct stdio *s);

/* Calls fn once when the last byte of standard output and error has been written; at once when that is so already. */
void stdio_when_drained(struct stdio *s, stdio_drained_fn fn, void *arg);

#endif
