/*
 * A pump waits for exactly one thing: input when its buffer is empty, else room for output. The end it does not wait for
 * stays in epoll edge-triggered with no events, since hang-ups are reported all the same: that is how a vanished reader is
 * noticed while the source is silent, without spinning on a source that hung up while the reader is slow.
 */
#include "runtime/pump.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define PUMP_BUFFER_BYTES 65536
#define PUMP_ROUNDS       8 /* buffers moved before others get their turn */

struct end {
	int fd;
	bool socket;
	struct loop_source *src; /* NULL: not pollable, always ready */
};

struct pump {
	struct end from, to;
	bool wait_output;  /* what epoll was last told */
	size_t start, len; /* buf[start, start + len) is still to be written */
	pump_done_fn on_done;
	void *arg;
	uint8_t buf[PUMP_BUFFER_BYTES];
};

static void end_close(struct end *e)
{
	loop_remove(e->src);
	e->src = NULL;
	own_close(&e->fd);
}

void pump_destroy(struct pump *p)
{
	if (!p)
		return;
	end_close(&p->from);
	end_close(&p->to);
	free(p);
}

static void finish(struct pump *p)
{
	end_close(&p->from);
	end_close(&p->to);
	p->on_done(p->arg);
}

static ssize_t end_read(const struct end *e, void *buf, size_t len)
{
	ssize_t n = 0;

	do {
		n = e->socket ? recv(e->fd, buf, len, MSG_DONTWAIT) : read(e->fd, buf, len);
	} while (n < 0 && errno == EINTR);
	return n;
}

static ssize_t end_write(const struct end *e, const void *buf, size_t len)
{
	ssize_t n = 0;

	do {
		n = e->socket ? send(e->fd, buf, len, MSG_DONTWAIT | MSG_NOSIGNAL)
			      : write(e->fd, buf, len);
	} while (n < 0 && errno == EINTR);
	return n;
}

/* False when epoll refuses: the pump cannot go on. */
static bool wait_for(struct pump *p, bool output)
{
	uint32_t in = output ? (uint32_t)EPOLLET : (uint32_t)EPOLLIN;
	uint32_t out = output ? (uint32_t)EPOLLOUT : (uint32_t)EPOLLET;

	/* A source that cannot be polled is ready whenever the destination is. */
	if (!p->from.src) {
		in = 0;
		out = EPOLLOUT;
		output = true;
	}
	if (output == p->wait_output)
		return true;
	p->wait_output = output;
	return (!p->from.src || loop_mod_fd(p->from.src, in) == 0) &&
	       (!p->to.src || loop_mod_fd(p->to.src, out) == 0);
}

enum step { STEP_AGAIN, STEP_WAIT_INPUT, STEP_WAIT_OUTPUT, STEP_DONE };

static enum step fill(struct pump *p)
{
	ssize_t n = end_read(&p->from, p->buf, sizeof(p->buf));

	if (n < 0 && errno == EAGAIN)
		return STEP_WAIT_INPUT;
	/* A pty whose other side is closed reads as EIO: an end like any other. */
	if (n <= 0)
		return STEP_DONE;
	p->start = 0;
	p->len = (size_t)n;
	return STEP_AGAIN;
}

static enum step drain(struct pump *p)
{
	ssize_t n = end_write(&p->to, p->buf + p->start, p->len);

	if (n < 0 && errno == EAGAIN)
		return STEP_WAIT_OUTPUT;
	if (n < 0)
		return STEP_DONE;
	p->start += (size_t)n;
	p->len -= (size_t)n;
	return STEP_AGAIN;
}

static void pump_run(struct pump *p)
{
	enum step step = STEP_AGAIN;

	for (int round = 0; round < 2 * PUMP_ROUNDS && step == STEP_AGAIN; round++)
		step = p->len ? drain(p) : fill(p);
	if (step == STEP_DONE) {
		finish(p);
		return;
	}
	bool output = step == STEP_WAIT_OUTPUT || (step == STEP_AGAIN && p->len);

	/* A regular file that would block cannot happen; an unpollable output is simply written. */
	if (output && !p->to.src)
		output = false;
	if (!wait_for(p, output))
		finish(p);
}

static void on_from(void *arg, int fd, uint32_t events)
{
	struct pump *p = arg;

	(void)fd;
	(void)events;
	if (!p->wait_output)
		pump_run(p);
}

static void on_to(void *arg, int fd, uint32_t events)
{
	struct pump *p = arg;

	(void)fd;
	if (p->wait_output)
		pump_run(p);
	else if (events & (EPOLLERR | EPOLLHUP))
		finish(p);
}

/* epoll refuses regular files and some devices with EPERM: those are always ready. */
static int end_watch(struct loop *loop, struct end *e, uint32_t events, loop_fd_fn fn,
		     struct pump *p, struct err *err)
{
	int rc = loop_add_fd(loop, e->fd, events, fn, p, &e->src, err);

	if (rc == -EPERM) {
		e->src = NULL;
		return 0;
	}
	return rc;
}

static struct end end_of(int fd)
{
	struct stat st;

	return (struct end){.fd = fd, .socket = fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode)};
}

int pump_create(struct loop *loop, int from, int to, pump_done_fn on_done, void *arg,
		struct pump **out, struct err *err)
{
	struct pump *p = malloc(sizeof(*p));

	if (!p)
		return err_set(err, ENOMEM, "make a stream");
	p->from = end_of(from);
	p->to = end_of(to);
	p->wait_output = false;
	p->start = p->len = 0;
	p->on_done = on_done;
	p->arg = arg;
	int rc = end_watch(loop, &p->from, EPOLLIN, on_from, p, err);
	if (!rc)
		rc = end_watch(loop, &p->to, EPOLLET, on_to, p, err);
	if (!rc && !p->from.src && !p->to.src)
		rc = err_say(err, EINVAL, "a stream between two files cannot be waited for");
	if (!rc && !wait_for(p, false))
		rc = err_set(err, errno, "watch a stream");
	if (rc) {
		/* The caller keeps its descriptors. */
		loop_remove(p->from.src);
		loop_remove(p->to.src);
		free(p);
		return rc;
	}
	*out = p;
	return 0;
}
