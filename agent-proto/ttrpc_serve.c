/*
 * The serving side of a ttrpc connection: a request is checked, looked up and handed to its method, which answers when it
 * likes. Every refusal is an answer on the request's own stream, and the connection goes on.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent-proto/ttrpc_conn.h"
#include "agent-proto/ttrpc_wire.pb-c.h"

static void send_response(struct ttrpc_conn *conn, uint32_t stream, enum ttrpc_code code,
			  const char *message, const void *payload, size_t len)
{
	struct ttrpc_frame *frame = NULL;
	struct err why = ERR_INIT;

	if (conn->closed)
		return;

	int rc = ttrpc_encode_response(stream, code, message, payload, len, &frame);
	if (rc == -EMSGSIZE)
		rc = ttrpc_encode_response(stream, TTRPC_RESOURCE_EXHAUSTED,
					   "the answer is too large for a ttrpc message", NULL, 0,
					   &frame);
	if (rc < 0) {
		err_set(&why, -rc, "encode a ttrpc response");
		conn_fail(conn, &why);
		return;
	}
	conn_send(conn, frame);
}

static void refuse(struct ttrpc_conn *conn, enum ttrpc_code code, const char *message)
{
	send_response(conn, conn->reader.header.stream, code, message, NULL, 0);
}

/* What can be said from the header alone. */
static bool header_is_good(struct ttrpc_conn *conn)
{
	const struct ttrpc_header *h = &conn->reader.header;

	if (h->stream % 2 != 1) {
		refuse(conn, TTRPC_INVALID_ARGUMENT, "a client's stream id must be odd");
		return false;
	}
	if (h->stream <= conn->last_served_stream) {
		refuse(conn, TTRPC_INVALID_ARGUMENT, "stream ids must increase");
		return false;
	}
	conn->last_served_stream = h->stream;
	if (conn->reader.drained) {
		refuse(conn, TTRPC_RESOURCE_EXHAUSTED, "the request is larger than 4 MiB");
		return false;
	}
	if (h->flags & TTRPC_FLAG_REMOTE_OPEN) {
		refuse(conn, TTRPC_UNIMPLEMENTED, "streaming calls are not served");
		return false;
	}
	if (conn->nserving >= conn->limits.max_requests) {
		refuse(conn, TTRPC_RESOURCE_EXHAUSTED, "too many requests at once");
		return false;
	}
	return true;
}

static const struct ttrpc_method *find_method(const struct ttrpc_conn *conn, const char *service,
					      const char *method)
{
	for (const struct ttrpc_method *m = conn->methods; m && m->service; m++) {
		if (strcmp(m->service, service) == 0 && strcmp(m->method, method) == 0)
			return m;
	}
	return NULL;
}

static void refuse_method(struct ttrpc_conn *conn, const char *service, const char *method)
{
	char text[256];

	(void)snprintf(text, sizeof(text), "no method %.100s/%.100s here", service, method);
	refuse(conn, TTRPC_UNIMPLEMENTED, text);
}

void conn_serve(struct ttrpc_conn *conn)
{
	if (!header_is_good(conn))
		return;

	Nacre__Ttrpc__Request *body = ttrpc_decode_request(&conn->reader, conn->budget);
	if (!body) {
		refuse(conn, TTRPC_INVALID_ARGUMENT, "the body is not a ttrpc request");
		return;
	}

	const struct ttrpc_method *m = find_method(conn, body->service, body->method);
	struct ttrpc_request *req = m ? malloc(sizeof(*req)) : NULL;
	if (req) {
		*req = (struct ttrpc_request){.conn = conn, .stream = conn->reader.header.stream};
		TAILQ_INSERT_TAIL(&conn->serving, req, link);
		conn->nserving++;
		m->fn(conn->arg, req, body->payload.data, body->payload.len);
	} else if (m) {
		refuse(conn, TTRPC_RESOURCE_EXHAUSTED, "out of memory");
	} else {
		refuse_method(conn, body->service, body->method);
	}
	nacre__ttrpc__request__free_unpacked(body, proto_budget_alloc(conn->budget));
}

static void finish(struct ttrpc_request *req)
{
	TAILQ_REMOVE(&req->conn->serving, req, link);
	req->conn->nserving--;
	free(req);
}

void ttrpc_reply(struct ttrpc_request *req, const void *payload, size_t len)
{
	send_response(req->conn, req->stream, TTRPC_OK, NULL, payload, len);
	finish(req);
}

void ttrpc_fail(struct ttrpc_request *req, enum ttrpc_code code, const char *fmt, ...)
{
	char text[ERR_TEXT_BYTES];
	va_list ap;

	BUG_ON(code == TTRPC_OK);
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	send_response(req->conn, req->stream, code, text, NULL, 0);
	finish(req);
}

void ttrpc_fail_err(struct ttrpc_request *req, const struct err *err)
{
	ttrpc_fail(req, ttrpc_code_of_errno(err->code), "%s", err->text);
}

void ttrpc_on_cancel(struct ttrpc_request *req, void (*fn)(void *arg), void *arg)
{
	req->on_cancel = fn;
	req->cancel_arg = arg;
}

void conn_cancel_requests(struct ttrpc_conn *conn)
{
	while (!TAILQ_EMPTY(&conn->serving)) {
		struct ttrpc_request *req = TAILQ_FIRST(&conn->serving);
		void (*fn)(void *arg) = req->on_cancel;
		void *arg = req->cancel_arg;

		finish(req);
		if (fn)
			fn(arg);
	}
}
