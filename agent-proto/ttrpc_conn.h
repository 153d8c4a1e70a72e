/*
 * Inside one ttrpc connection: shared by ttrpc.c (life, reading, writing), ttrpc_serve.c (requests of the peer) and
 * ttrpc_call.c (our own). Not for users of ttrpc.h.
 *
 * A callback may destroy the connection under our feet. So every entry from the loop takes a use (conn_hold) and gives it
 * back (conn_release); destroy marks the connection dead, and the last use frees it. What follows a callback looks at
 * `closed` before it goes on.
 */
#ifndef NACRE_AGENT_PROTO_TTRPC_CONN_H
#define NACRE_AGENT_PROTO_TTRPC_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "agent-proto/ttrpc.h"
#include "agent-proto/ttrpc_frame.h"
#include "base/compiler.h"
#include "base/loop.h"

struct ttrpc_request {
	TAILQ_ENTRY(ttrpc_request) link;
	struct ttrpc_conn *conn;
	uint32_t stream;
	void (*on_cancel)(void *arg);
	void *cancel_arg;
};

/* A call of ours that waits for its answer. */
struct ttrpc_pending {
	TAILQ_ENTRY(ttrpc_pending) link;
	uint32_t stream;
	uint32_t timeout_ms;
	uint64_t deadline_ms; /* monotonic; 0: none */
	ttrpc_answer fn;
	void *arg;
};

struct ttrpc_conn {
	struct loop *loop;
	int fd;
	struct loop_source *io;
	struct loop_source *timer; /* earliest deadline, or a failure to be told */
	bool wants_out;            /* EPOLLOUT is being waited for */
	const struct ttrpc_method *methods;
	void *arg;
	struct ttrpc_limits limits;
	void (*on_close)(void *arg, struct ttrpc_conn *conn, const struct err *why);

	struct proto_budget *budget;
	struct ttrpc_reader reader;
	struct ttrpc_frames out;
	size_t out_bytes;

	TAILQ_HEAD(, ttrpc_request) serving;
	uint32_t nserving;
	uint32_t last_served_stream;

	TAILQ_HEAD(, ttrpc_pending) calls;
	uint32_t next_stream; /* odd */

	unsigned users;
	bool failed; /* `why` is set, on_close is still to be called */
	bool closed; /* no descriptor, no source, no call and no request any more */
	bool dead;   /* the owner destroyed it */
	struct err why;
};

/* Remembers the first reason; on_close follows from the loop, never from inside the caller's call. */
void conn_fail(struct ttrpc_conn *conn, const struct err *why);
/* Owns `frame`. Writes at once what the socket takes. */
void conn_send(struct ttrpc_conn *conn, struct ttrpc_frame *frame);
/* Sets the timer to what is due next. */
void conn_arm(struct ttrpc_conn *conn);

/* The reader holds a frame of the peer's. */
void conn_serve(struct ttrpc_conn *conn);
void conn_answer(struct ttrpc_conn *conn);

/* Ends all requests, all calls: their callbacks are called. */
void conn_cancel_requests(struct ttrpc_conn *conn);
void conn_fail_calls(struct ttrpc_conn *conn);

/* 0: no deadline. */
uint64_t conn_next_deadline_ms(const struct ttrpc_conn *conn);
void conn_expire_calls(struct ttrpc_conn *conn);

#endif
