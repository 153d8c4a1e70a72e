/*
 * The opening of a vsock stream, a small state machine: write the request, read the answer's line, write the token. The answer
 * is read byte by byte, so that what the guest sends right behind it stays in the socket.
 */
#include "runtime/guest_stream.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/own.h"

#define ANSWER_MAX_BYTES 64

enum phase { PHASE_REQUEST, PHASE_ANSWER, PHASE_TOKEN };

struct guest_stream {
	int fd;
	struct loop_source *src, *timer;
	enum phase phase;
	uint8_t out[64]; /* what the phase writes */
	size_t out_len, out_done;
	char answer[ANSWER_MAX_BYTES];
	size_t answer_len;
	uint8_t token[STREAM_TOKEN_BYTES];
	guest_stream_fn fn;
	void *arg;
};

void guest_stream_cancel(struct guest_stream *s)
{
	if (!s)
		return;
	loop_remove(s->src);
	loop_remove(s->timer);
	own_close(&s->fd);
	free(s);
}
DEFINE_OWNER(guest_stream_cancel, struct guest_stream)

static void finish(struct guest_stream *s, const struct err *why)
{
	guest_stream_fn fn = s->fn;
	void *arg = s->arg;

	loop_remove(s->src);
	loop_remove(s->timer);
	s->src = s->timer = NULL;
	int fd = why ? -1 : TAKE_FD(&s->fd);

	guest_stream_cancel(s);
	fn(arg, fd, why);
}

static void fail(struct guest_stream *s, int code, const char *what)
{
	struct err err = ERR_INIT;

	(void)err_set(&err, code, "open a stream to the guest: %s", what);
	finish(s, &err);
}

static void say(struct guest_stream *s, enum phase phase, const void *data, size_t len)
{
	s->phase = phase;
	memcpy(s->out, data, len);
	s->out_len = len;
	s->out_done = 0;
}

/* True when all of the phase's bytes are out; false when more room is needed or the stream was finished. */
static bool flush(struct guest_stream *s)
{
	while (s->out_done < s->out_len) {
		ssize_t n = send(s->fd, s->out + s->out_done, s->out_len - s->out_done,
				 MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return false;
		if (n < 0) {
			fail(s, errno, "send");
			return false;
		}
		s->out_done += (size_t)n;
	}
	return true;
}

/* True when the whole line is there and says OK. */
static bool read_answer(struct guest_stream *s)
{
	for (;;) {
		char c = 0;
		ssize_t n = recv(s->fd, &c, 1, MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return false;
		if (n <= 0) {
			fail(s, n < 0 ? errno : ECONNREFUSED, "the agent does not listen");
			return false;
		}
		if (c == '\n')
			break;
		if (s->answer_len + 1 >= sizeof(s->answer)) {
			fail(s, EPROTO, "the answer is too long");
			return false;
		}
		s->answer[s->answer_len++] = c;
	}
	if (s->answer_len < 2 || memcmp(s->answer, "OK", 2) != 0) {
		fail(s, ECONNREFUSED, "refused");
		return false;
	}
	return true;
}

static void on_ready(void *arg, int fd, uint32_t events)
{
	struct guest_stream *s = arg;

	(void)fd;
	(void)events;
	if (s->phase == PHASE_REQUEST) {
		if (!flush(s))
			return;
		s->phase = PHASE_ANSWER;
		if (loop_mod_fd(s->src, EPOLLIN))
			fail(s, errno, "watch");
		return;
	}
	if (s->phase == PHASE_ANSWER) {
		if (!read_answer(s))
			return;
		say(s, PHASE_TOKEN, s->token, sizeof(s->token));
		if (loop_mod_fd(s->src, EPOLLOUT)) {
			fail(s, errno, "watch");
			return;
		}
	}
	if (flush(s))
		finish(s, NULL);
}

static void on_deadline(void *arg)
{
	fail(arg, ETIMEDOUT, "no answer");
}

int guest_stream_open(struct loop *loop, int connection, const uint8_t token[STREAM_TOKEN_BYTES],
		      uint64_t timeout_ms, guest_stream_fn fn, void *arg, struct guest_stream **out,
		      struct err *err)
{
	char request[32];
	AUTO_FD int fd = connection;
	CLEANUP(own_guest_stream_cancel) struct guest_stream *s = calloc(1, sizeof(*s));

	if (!s)
		return err_set(err, ENOMEM, "open a stream to the guest");
	s->fd = TAKE_FD(&fd);
	s->fn = fn;
	s->arg = arg;
	memcpy(s->token, token, sizeof(s->token));
	int n = snprintf(request, sizeof(request), "CONNECT %d\n", GUEST_AGENT_PORT);
	say(s, PHASE_REQUEST, request, (size_t)n);
	int rc = loop_add_fd(loop, s->fd, EPOLLOUT, on_ready, s, &s->src, err);
	if (!rc)
		rc = loop_add_timer(loop, on_deadline, s, &s->timer, err);
	if (!rc && loop_arm(s->timer, timeout_ms))
		rc = err_set(err, errno, "set a deadline");
	if (rc)
		return rc;
	*out = TAKE_PTR(&s);
	return 0;
}
