/*
 * The calling side of a ttrpc connection. Every call ends by exactly one call of its function: an answer, a deadline, a
 * failure to send, or the end of the connection.
 */
#include <errno.h>
#include <stdlib.h>

#include "agent-proto/ttrpc_conn.h"
#include "agent-proto/ttrpc_wire.pb-c.h"
#include "base/clock.h"

uint64_t conn_next_deadline_ms(const struct ttrpc_conn *conn)
{
	const struct ttrpc_pending *p = NULL;
	uint64_t next = 0;

	TAILQ_FOREACH(p, &conn->calls, link)
	{
		if (p->deadline_ms && (next == 0 || p->deadline_ms < next))
			next = p->deadline_ms;
	}
	return next;
}

/* Frees the call before its function is called: that may end the connection, and all calls with it. */
static void end_call(struct ttrpc_conn *conn, struct ttrpc_pending *p, const struct err *status,
		     const uint8_t *payload, size_t len)
{
	struct ttrpc_pending call = *p;

	TAILQ_REMOVE(&conn->calls, p, link);
	free(p);
	call.fn(call.arg, status, payload, len);
}

static struct ttrpc_pending *first_expired(struct ttrpc_conn *conn, uint64_t now_ms)
{
	struct ttrpc_pending *p = NULL;

	TAILQ_FOREACH(p, &conn->calls, link)
	{
		if (p->deadline_ms && p->deadline_ms <= now_ms)
			return p;
	}
	return NULL;
}

void conn_expire_calls(struct ttrpc_conn *conn)
{
	uint64_t now_ms = clock_now_ms();
	struct ttrpc_pending *p = NULL;

	/* From the front each time: the function called may have taken any other call away. */
	while ((p = first_expired(conn, now_ms)) != NULL) {
		struct err status = ERR_INIT;

		err_say(&status, ETIMEDOUT, "no answer within %u ms", p->timeout_ms);
		end_call(conn, p, &status, NULL, 0);
	}
}

void conn_fail_calls(struct ttrpc_conn *conn)
{
	while (!TAILQ_EMPTY(&conn->calls)) {
		struct err status = ERR_INIT;

		err_say(&status, ttrpc_errno_of_code(TTRPC_UNAVAILABLE),
			"the connection ended before the answer came%s%s",
			conn->why.code ? ": " : "", conn->why.text);
		end_call(conn, TAILQ_FIRST(&conn->calls), &status, NULL, 0);
	}
}

static struct ttrpc_pending *find_call(struct ttrpc_conn *conn, uint32_t stream)
{
	struct ttrpc_pending *p = NULL;

	TAILQ_FOREACH(p, &conn->calls, link)
	{
		if (p->stream == stream)
			return p;
	}
	return NULL;
}

void conn_answer(struct ttrpc_conn *conn)
{
	uint32_t stream = conn->reader.header.stream;
	struct ttrpc_pending *p = find_call(conn, stream);

	if (!p) {
		struct err why = ERR_INIT;

		/* Late, after its deadline: nobody waits any more. */
		if (stream % 2 == 1 && stream < conn->next_stream)
			return;
		err_say(&why, EPROTO, "the peer answered stream %u, which was never opened",
			stream);
		conn_fail(conn, &why);
		return;
	}

	Nacre__Ttrpc__Response *body = NULL;
	struct err status = ERR_INIT;
	ttrpc_decode_response(&conn->reader, conn->budget, &body, &status);
	if (status.code == 0)
		end_call(conn, p, &status, body->payload.data, body->payload.len);
	else
		end_call(conn, p, &status, NULL, 0);
	nacre__ttrpc__response__free_unpacked(body, proto_budget_alloc(conn->budget));
}

/* Queues the frame and the wait for its answer; -errno with nothing queued. */
static int start_call(struct ttrpc_conn *conn, const struct ttrpc_request_words *words,
		      const void *payload, size_t len, ttrpc_answer fn, void *arg)
{
	struct ttrpc_frame *frame = NULL;
	struct ttrpc_pending *p = malloc(sizeof(*p));

	if (!p)
		return -ENOMEM;

	int rc = ttrpc_encode_request(words, payload, len, &frame);
	if (rc < 0) {
		free(p);
		return rc;
	}
	*p = (struct ttrpc_pending){
		.stream = words->stream,
		.timeout_ms = words->timeout_ms,
		.deadline_ms = words->timeout_ms ? clock_now_ms() + words->timeout_ms : 0,
		.fn = fn,
		.arg = arg,
	};
	TAILQ_INSERT_TAIL(&conn->calls, p, link);
	conn->next_stream += 2;
	conn_send(conn, frame);
	if (p->deadline_ms)
		conn_arm(conn);
	return 0;
}

void ttrpc_call(struct ttrpc_conn *conn, const char *service, const char *method,
		const void *payload, size_t len, uint32_t timeout_ms, ttrpc_answer fn, void *arg)
{
	struct ttrpc_request_words words = {.stream = conn->next_stream,
					    .service = service,
					    .method = method,
					    .timeout_ms = timeout_ms};
	struct err status = ERR_INIT;

	/* The last id stays unused, so that next_stream never wraps to one a late answer may name. */
	if (conn->closed || conn->failed || conn->next_stream == UINT32_MAX) {
		err_say(&status, ttrpc_errno_of_code(TTRPC_UNAVAILABLE), "%s/%s: not connected%s%s",
			service, method, conn->why.code ? ": " : "", conn->why.text);
		fn(arg, &status, NULL, 0);
		return;
	}

	int rc = start_call(conn, &words, payload, len, fn, arg);
	if (rc < 0) {
		err_set(&status, -rc, "call %s/%s", service, method);
		fn(arg, &status, NULL, 0);
	}
}
