/*
 * One ttrpc call for a command line: send, then wait for that answer, with one deadline over both. Works on blocking and
 * non-blocking sockets alike, since it only waits in poll(2).
 */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "agent-proto/ttrpc_conn.h"
#include "agent-proto/ttrpc_wire.pb-c.h"
#include "base/clock.h"
#include "base/own.h"

/* Waits until `events`, or the deadline (0: none). 0 or -errno. */
static int wait_for(int fd, short events, uint64_t deadline_ms)
{
	for (;;) {
		struct pollfd p = {.fd = fd, .events = events};
		int wait_ms = -1;

		if (deadline_ms) {
			wait_ms = clock_ms_left(deadline_ms);
			if (wait_ms == 0)
				return -ETIMEDOUT;
		}

		int n = poll(&p, 1, wait_ms);
		if (n > 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return -errno;
	}
}

static int send_frame(int fd, struct ttrpc_frame *f, uint64_t deadline_ms)
{
	while (f->sent < f->len) {
		ssize_t n =
			send(fd, f->bytes + f->sent, f->len - f->sent, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n >= 0) {
			f->sent += (size_t)n;
			continue;
		}
		if (errno != EAGAIN && errno != EINTR)
			return -errno;

		int rc = wait_for(fd, POLLOUT, deadline_ms);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* Reads up to the end of one frame and not a byte further: what follows belongs to the next call. */
static int recv_frame(int fd, struct ttrpc_reader *r, uint64_t deadline_ms)
{
	uint8_t buf[16384];

	for (;;) {
		size_t want = ttrpc_reader_wants(r);
		ssize_t n = recv(fd, buf, want < sizeof(buf) ? want : sizeof(buf), MSG_DONTWAIT);

		if (n == 0)
			return -ECONNRESET;
		if (n > 0) {
			size_t used = 0;
			int rc = ttrpc_reader_feed(r, buf, (size_t)n, &used);
			if (rc != 0)
				return rc < 0 ? rc : 0;
			continue;
		}
		if (errno != EAGAIN && errno != EINTR)
			return -errno;

		int rc = wait_for(fd, POLLIN, deadline_ms);
		if (rc < 0)
			return rc;
	}
}

/* Frames that are not the answer to `stream` are late answers to earlier calls: skipped until the deadline. */
static int recv_answer(int fd, uint32_t stream, struct ttrpc_reader *r, uint64_t deadline_ms)
{
	for (;;) {
		int rc = recv_frame(fd, r, deadline_ms);

		if (rc < 0)
			return rc;
		if (r->header.type == TTRPC_TYPE_RESPONSE && r->header.stream == stream)
			return 0;
		ttrpc_reader_next(r);
	}
}

/* The answer's payload becomes the caller's. */
static int take_answer(const struct ttrpc_reader *r, uint8_t **answer, size_t *answer_len,
		       struct err *err)
{
	struct proto_budget *budget = proto_budget_create(TTRPC_DECODE_BYTES);
	Nacre__Ttrpc__Response *body = NULL;
	struct err status = ERR_INIT;

	if (!budget)
		return err_set(err, ENOMEM, "receive an answer");

	ttrpc_decode_response(r, budget, &body, &status);
	if (status.code == 0) {
		uint8_t *copy = malloc(body->payload.len + 1); /* never NULL for an empty answer */
		if (!copy) {
			err_set(&status, ENOMEM, "receive an answer");
		} else {
			if (body->payload.len > 0)
				memcpy(copy, body->payload.data, body->payload.len);
			*answer = copy;
			*answer_len = body->payload.len;
		}
	}
	nacre__ttrpc__response__free_unpacked(body, proto_budget_alloc(budget));
	proto_budget_destroy(budget);
	if (status.code && err)
		*err = status;
	return -status.code;
}

int ttrpc_call_blocking(int fd, uint32_t *next_stream_id, const char *service, const char *method,
			const void *payload, size_t len, int timeout_ms, uint8_t **answer,
			size_t *answer_len, struct err *err)
{
	struct ttrpc_request_words words = {.stream = *next_stream_id,
					    .service = service,
					    .method = method,
					    .timeout_ms =
						    timeout_ms > 0 ? (uint32_t)timeout_ms : 0};
	uint64_t deadline_ms = timeout_ms > 0 ? clock_now_ms() + (uint64_t)timeout_ms : 0;
	AUTO_FREE struct ttrpc_frame *frame = NULL;
	struct ttrpc_reader reader = {0};

	int rc = ttrpc_encode_request(&words, payload, len, &frame);
	if (rc < 0)
		return err_set(err, -rc, "call %s/%s", service, method);
	*next_stream_id += 2;

	rc = send_frame(fd, frame, deadline_ms);
	if (rc == 0)
		rc = recv_answer(fd, words.stream, &reader, deadline_ms);
	if (rc == 0)
		rc = take_answer(&reader, answer, answer_len, err);
	else
		err_set(err, -rc, "call %s/%s", service, method);
	ttrpc_reader_done(&reader);
	return rc;
}
