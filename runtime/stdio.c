/* The standard streams of one process. Exit is reported after the last byte, so the output pumps are counted. */
#include "runtime/stdio.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

#include "runtime/guest_stream.h"
#include "runtime/pump.h"

#define CONNECT_TIMEOUT_MS 20000

struct stream {
	struct stdio *owner;
	struct stdio_host host;
	uint8_t token[STREAM_TOKEN_BYTES];
	bool wanted;
	struct guest_stream *opening;
	int guest_fd; /* standard input's, until the process is started */
	struct pump *pump;
};

struct stdio {
	struct loop *loop;
	const struct stdio_ways *ways;
	struct stream stream[STDIO_STREAMS];
	unsigned int opening; /* streams whose opening is not decided yet */
	bool connected_said;
	stdio_connected_fn on_connected;
	void *connected_arg;
	stdio_drained_fn on_drained;
	void *drained_arg;
};

static void stream_close(struct stream *st)
{
	guest_stream_cancel(st->opening);
	st->opening = NULL;
	pump_destroy(st->pump);
	st->pump = NULL;
	own_close(&st->guest_fd);
	stdio_host_close(&st->host);
}

void stdio_destroy(struct stdio *s)
{
	if (!s)
		return;
	for (int i = 0; i < STDIO_STREAMS; i++)
		stream_close(&s->stream[i]);
	free(s);
}

static int open_host(const struct stdio *s, const char *name, bool input, struct stdio_host *out,
		     struct err *err)
{
	if (!name || !*name)
		return 0;
	if (stdio_host_is_inherited(name))
		return stdio_host_inherit(name, input, out, err);
	return s->ways->open_host(s->ways->arg, name, input, out, err);
}

int stdio_open(struct loop *loop, const struct stdio_ways *ways,
	       const char *const names[STDIO_STREAMS], bool terminal, struct stdio **out,
	       struct err *err)
{
	CLEANUP(own_stdio_destroy) struct stdio *s = calloc(1, sizeof(*s));

	if (!s)
		return err_set(err, ENOMEM, "open the standard streams");
	s->loop = loop;
	s->ways = ways;
	for (int i = 0; i < STDIO_STREAMS; i++)
		s->stream[i] = (struct stream){
			.owner = s, .host = STDIO_HOST_INIT, .guest_fd = -1, .wanted = false};
	for (int i = 0; i < STDIO_STREAMS; i++) {
		struct stream *st = &s->stream[i];

		if (terminal && i == STDIO_ERR)
			continue;
		int rc = open_host(s, names[i], i == STDIO_IN, &st->host, err);
		if (rc)
			return rc;
		st->wanted = st->host.fd >= 0;
		if (getrandom(st->token, sizeof(st->token), 0) != (ssize_t)sizeof(st->token))
			return err_set(err, errno, "draw a stream's token");
	}
	*out = TAKE_PTR(&s);
	return 0;
}

const uint8_t *stdio_token(const struct stdio *s, enum stdio_stream which)
{
	return s->stream[which].wanted ? s->stream[which].token : NULL;
}

static bool drained(const struct stdio *s)
{
	for (int i = STDIO_OUT; i < STDIO_STREAMS; i++)
		if (s->stream[i].pump || s->stream[i].opening)
			return false;
	return true;
}

static void tell_drained(struct stdio *s)
{
	stdio_drained_fn fn = s->on_drained;

	if (!fn || !drained(s))
		return;
	s->on_drained = NULL;
	fn(s->drained_arg);
}

void stdio_when_drained(struct stdio *s, stdio_drained_fn fn, void *arg)
{
	s->on_drained = fn;
	s->drained_arg = arg;
	tell_drained(s);
}

static void on_pump_done(void *arg)
{
	struct stream *st = arg;

	pump_destroy(st->pump);
	st->pump = NULL;
	stdio_host_close(&st->host);
	tell_drained(st->owner);
}

static void tell_connected(struct stdio *s, const struct err *why)
{
	if (s->connected_said)
		return;
	s->connected_said = true;
	s->on_connected(s->connected_arg, why);
}

static int start_pump(struct stream *st, struct err *err)
{
	const bool input = st == &st->owner->stream[STDIO_IN];
	const int from = input ? st->host.fd : st->guest_fd;
	const int to = input ? st->guest_fd : st->host.fd;
	int rc = pump_create(st->owner->loop, from, to, on_pump_done, st, &st->pump, err);

	if (rc)
		return rc;
	(void)TAKE_FD(&st->guest_fd);
	(void)TAKE_FD(&st->host.fd);
	return 0;
}

static void on_stream_open(void *arg, int fd, const struct err *why)
{
	struct stream *st = arg;
	struct stdio *s = st->owner;
	struct err err = ERR_INIT;

	st->opening = NULL;
	s->opening--;
	st->guest_fd = fd;
	/* What the caller has to say is not taken from it before there is somebody to read it. */
	if (!why && st != &s->stream[STDIO_IN] && start_pump(st, &err))
		why = &err;
	if (why)
		tell_connected(s, why);
	else if (s->opening == 0)
		tell_connected(s, NULL);
}

static int open_guest(struct stream *st, struct err *err)
{
	struct stdio *s = st->owner;
	int fd = -1;
	int rc = s->ways->connect_guest(s->ways->arg, &fd, err);

	return rc ? rc
		  : guest_stream_open(s->loop, fd, st->token, CONNECT_TIMEOUT_MS, on_stream_open,
				      st, &st->opening, err);
}

void stdio_connect(struct stdio *s, stdio_connected_fn fn, void *arg)
{
	struct err err = ERR_INIT;

	s->on_connected = fn;
	s->connected_arg = arg;
	for (int i = 0; i < STDIO_STREAMS; i++) {
		struct stream *st = &s->stream[i];

		if (!st->wanted)
			continue;
		if (open_guest(st, &err)) {
			tell_connected(s, &err);
			return;
		}
		s->opening++;
	}
	if (s->opening == 0)
		tell_connected(s, NULL);
}

int stdio_start_input(struct stdio *s, struct err *err)
{
	struct stream *st = &s->stream[STDIO_IN];

	return st->guest_fd >= 0 ? start_pump(st, err) : 0;
}

void stdio_close_stdin(struct stdio *s)
{
	own_close(&s->stream[STDIO_IN].host.keep);
}
