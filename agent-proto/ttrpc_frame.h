/*
 * ttrpc frames without a descriptor: bytes in, frames out, and back. The event-loop connection, the blocking client and
 * the fuzz target all go through here.
 *
 *	 0        4           8      9       10
 *	+--------+-----------+------+-------+--------------- - -
 *	| length | stream id | type | flags | body (protobuf)
 *	+--------+-----------+------+-------+--------------- - -      integers big-endian
 */
#ifndef NACRE_AGENT_PROTO_TTRPC_FRAME_H
#define NACRE_AGENT_PROTO_TTRPC_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "agent-proto/ttrpc.h"
#include "base/compiler.h"
#include "base/err.h"

#define TTRPC_HEADER_BYTES 10
/* What decoding one body may allocate: the payload's copy and some room for names and metadata. */
#define TTRPC_DECODE_BYTES (TTRPC_MAX_BODY + (256u << 10))

enum ttrpc_type { TTRPC_TYPE_REQUEST = 1, TTRPC_TYPE_RESPONSE = 2, TTRPC_TYPE_DATA = 3 };

#define TTRPC_FLAG_REMOTE_CLOSED 1
#define TTRPC_FLAG_REMOTE_OPEN   2
#define TTRPC_FLAG_NO_DATA       4

struct ttrpc_header {
	uint32_t body_bytes;
	uint32_t stream;
	uint8_t type; /* any value: the peer's */
	uint8_t flags;
};

/*
 * The frame being assembled. Zero-initialised is ready. Memory follows the bytes that have come, not the length that was
 * announced. A body that is too large, or of a type nobody reads, is stepped over: `drained`, body empty.
 */
struct ttrpc_reader {
	uint8_t raw[TTRPC_HEADER_BYTES];
	size_t raw_have;
	struct ttrpc_header header; /* valid once raw is full */
	bool drained;
	uint8_t *body;
	size_t body_cap;
	uint32_t body_have; /* bytes of body_bytes seen */
};

/* Bytes until the frame, or its header, is whole; 0: a frame is ready. A reader given no more than this never overshoots. */
size_t ttrpc_reader_wants(const struct ttrpc_reader *r);
/* Takes at most `len` bytes, *used of them, up to the end of one frame. 1: a frame is ready; 0: more, please; -ENOMEM. */
int ttrpc_reader_feed(struct ttrpc_reader *r, const uint8_t *data, size_t len,
		      size_t *used) MUST_CHECK;
/* The frame was dealt with: on to the next. */
void ttrpc_reader_next(struct ttrpc_reader *r);
/* In the middle of a frame? Then an end of file is not a clean one. */
bool ttrpc_reader_partial(const struct ttrpc_reader *r);
void ttrpc_reader_done(struct ttrpc_reader *r);

/* A whole frame on its way out. */
struct ttrpc_frame {
	TAILQ_ENTRY(ttrpc_frame) link;
	size_t len;
	size_t sent;
	uint8_t bytes[];
};
TAILQ_HEAD(ttrpc_frames, ttrpc_frame);

struct ttrpc_request_words {
	uint32_t stream;
	const char *service;
	const char *method;
	uint32_t timeout_ms; /* 0: none */
};

/* *out is freed with free(). 0, -EMSGSIZE (body over TTRPC_MAX_BODY) or -ENOMEM. */
int ttrpc_encode_request(const struct ttrpc_request_words *words, const void *payload, size_t len,
			 struct ttrpc_frame **out) MUST_CHECK;
/* code TTRPC_OK: payload, no status. Otherwise status, no payload; `message` may hold any bytes, Go gets UTF-8. */
int ttrpc_encode_response(uint32_t stream, enum ttrpc_code code, const char *message,
			  const void *payload, size_t len, struct ttrpc_frame **out) MUST_CHECK;

struct Nacre__Ttrpc__Request;
struct Nacre__Ttrpc__Response;

/* NULL: not a message, or over the budget. Freed with the generated free_unpacked and the same budget. */
struct Nacre__Ttrpc__Request *ttrpc_decode_request(const struct ttrpc_reader *r,
						   struct proto_budget *budget) MUST_CHECK;
/*
 * The answer in a reader's frame. status->code 0: *out holds the payload. Otherwise status says what went wrong, a
 * drained or undecodable body included, and *out may be NULL.
 */
void ttrpc_decode_response(const struct ttrpc_reader *r, struct proto_budget *budget,
			   struct Nacre__Ttrpc__Response **out, struct err *status);

/* In place: what is not UTF-8, and control characters that could drive a terminal, become '?'. */
void ttrpc_clean_text(char *text);

#endif
