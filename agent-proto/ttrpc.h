/*
 * ttrpc: the RPC framing that containerd's shims and our agent speak (10-byte header: be32 length, be32 stream id, u8 type,
 * u8 flags; then a protobuf Request or Response). One connection object serves both directions on one non-blocking stream
 * socket in an event loop; a call is answered when its handler, or any later event, says so, so that a long Wait blocks
 * nobody. Bodies are at most TTRPC_MAX_BODY bytes; an oversized request is drained and answered RESOURCE_EXHAUSTED; what
 * cannot be framed closes the connection. Bytes come from a hostile peer: all is bounded (see ttrpc_limits).
 *
 * Thread: the loop's.
 */
#ifndef NACRE_AGENT_PROTO_TTRPC_H
#define NACRE_AGENT_PROTO_TTRPC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"
#include "base/loop.h"

#define TTRPC_MAX_BODY (4u << 20)

/* google.rpc.Code, as gRPC uses them. */
enum ttrpc_code {
	TTRPC_OK = 0,
	TTRPC_CANCELLED = 1,
	TTRPC_UNKNOWN = 2,
	TTRPC_INVALID_ARGUMENT = 3,
	TTRPC_DEADLINE_EXCEEDED = 4,
	TTRPC_NOT_FOUND = 5,
	TTRPC_ALREADY_EXISTS = 6,
	TTRPC_PERMISSION_DENIED = 7,
	TTRPC_RESOURCE_EXHAUSTED = 8,
	TTRPC_FAILED_PRECONDITION = 9,
	TTRPC_ABORTED = 10,
	TTRPC_OUT_OF_RANGE = 11,
	TTRPC_UNIMPLEMENTED = 12,
	TTRPC_INTERNAL = 13,
	TTRPC_UNAVAILABLE = 14,
};

/* The nearest code for an errno value (ENOENT: NOT_FOUND, EEXIST: ALREADY_EXISTS, EINVAL: INVALID_ARGUMENT, ...). */
enum ttrpc_code ttrpc_code_of_errno(int code);
/* And back, for a client that reports a peer's answer as a struct err. */
int ttrpc_errno_of_code(enum ttrpc_code code);

struct ttrpc_conn;
struct ttrpc_request; /* one request being served; lives until it is answered or its connection closes */

/*
 * A handler answers by exactly one of ttrpc_reply / ttrpc_fail, now or later. `payload` is lent for the call only. When the
 * connection closes first, the request is cancelled: see ttrpc_on_cancel.
 */
typedef void (*ttrpc_handler)(void *arg, struct ttrpc_request *req, const uint8_t *payload,
			      size_t len);

struct ttrpc_method {
	const char *service; /* "containerd.task.v2.Task" */
	const char *method;  /* "Create" */
	ttrpc_handler fn;
};

struct ttrpc_limits {
	uint32_t
		max_requests; /* being served at once; more are answered RESOURCE_EXHAUSTED (0: 256) */
	size_t max_queued_bytes; /* output not yet taken by the peer; past it the connection closes (0: 16 MiB) */
};

struct ttrpc_conn_params {
	struct loop *loop;
	int fd; /* stream socket, owned from success on, made non-blocking */
	const struct ttrpc_method *methods; /* terminated by a NULL service; NULL: serves nothing */
	void *arg;                          /* for the handlers and on_close */
	struct ttrpc_limits limits;
	/* The peer closed (code 0, or ECONNRESET in the middle of a message) or broke the rules (EPROTO, ENOBUFS). Calls
	 * have been answered and requests cancelled before. The connection is destroyed by the callee, now or later. */
	void (*on_close)(void *arg, struct ttrpc_conn *conn, const struct err *why);
};

int ttrpc_conn_create(const struct ttrpc_conn_params *p, struct ttrpc_conn **out,
		      struct err *err) MUST_CHECK;
/* Pending calls of ours are answered with UNAVAILABLE; requests being served are cancelled; the socket is closed. */
void ttrpc_conn_destroy(struct ttrpc_conn *conn);

/* --- serving --------------------------------------------------------------------------------------------------- */
void ttrpc_reply(struct ttrpc_request *req, const void *payload, size_t len);
void ttrpc_fail(struct ttrpc_request *req, enum ttrpc_code code, const char *fmt, ...)
	PRINTF_LIKE(3, 4);
void ttrpc_fail_err(struct ttrpc_request *req, const struct err *err);
/* Called instead of an answer when the connection goes first; the request must not be used after. */
void ttrpc_on_cancel(struct ttrpc_request *req, void (*fn)(void *arg), void *arg);

/* --- calling --------------------------------------------------------------------------------------------------- */
/* status->code 0: payload is the answer (lent). Otherwise status has errno and the peer's words. Always called once. */
typedef void (*ttrpc_answer)(void *arg, const struct err *status, const uint8_t *payload,
			     size_t len);
/* timeout_ms 0: none. Failure to queue is reported through fn as well, before this returns. */
void ttrpc_call(struct ttrpc_conn *conn, const char *service, const char *method,
		const void *payload, size_t len, uint32_t timeout_ms, ttrpc_answer fn, void *arg);

/*
 * For command lines: one call on a stream socket, without a loop. *next_stream_id starts as 1 with the connection.
 * timeout_ms 0: none. The answer's payload is owned by the caller (freed with free(), never NULL on success). 0 or -errno with the peer's words in err.
 */
int ttrpc_call_blocking(int fd, uint32_t *next_stream_id, const char *service, const char *method,
			const void *payload, size_t len, int timeout_ms, uint8_t **answer,
			size_t *answer_len, struct err *err) MUST_CHECK;

/* --- decoding under a capped allocator ------------------------------------------------------------------------- */
/*
 * A ProtobufCAllocator that gives out at most `max_bytes` at a time; a hostile message that asks for more fails to
 * decode instead of growing the process. The generated unpack functions take proto_budget_alloc(budget); free with the same.
 */
struct proto_budget;
struct ProtobufCAllocator;
struct proto_budget *proto_budget_create(size_t max_bytes) MUST_CHECK;
struct ProtobufCAllocator *proto_budget_alloc(struct proto_budget *b);
void proto_budget_destroy(struct proto_budget *b);

#endif
