/*
 * See relay.h. A descriptor is in the loop only while it is waited for: epoll reports a hang-up whether asked or not, and
 * one that cannot be acted upon yet (buffer full) would spin.
 */
#include "agent/relay.h"

#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/own.h"

#define BUFFER_BYTES 65536
#define TURN_BUFFERS 8 /* a turn of the loop, so that one stream does not starve the others */

/* After the last call: the largest pipe an ordinary user can have (pipe(7), pipe-max-size). */
#define LAST_BYTES (1u << 20)

struct relay {
	struct relay_params p;
	loop_fd_fn on_ready;
	struct loop_source *reading, *writing;
	uint8_t *buf; /* made at the first byte */
	size_t head, len;
	bool last_call;
	size_t last_left; /* bytes that may still be read after the last call */
	uint64_t moved;
};

static void forget(struct loop_source **source)
{
	loop_remove(*source);
	*source = NULL;
}

static void close_both(struct relay *r)
{
	forget(&r->reading);
	forget(&r->writing);
	/* Shut down first: the peer must see the end even if the socket lives on in a child that was just cloned. */
	if (r->p.to_fd >= 0)
		(void)shutdown(r->p.to_fd, SHUT_WR);
	own_close(&r->p.to_fd);
	own_close(&r->p.from_fd);
}

void relay_destroy(struct relay *r)
{
	if (!r)
		return;
	close_both(r);
	free(r->buf);
	free(r);
}

enum step { STEP_MOVED, STEP_WAIT, STEP_END };

static enum step lose_destination(struct relay *r)
{
	forget(&r->writing);
	own_close(&r->p.to_fd);
	r->len = 0;
	return r->p.on_loss == RELAY_ENDS ? STEP_END : STEP_MOVED;
}

static enum step write_some(struct relay *r)
{
	ssize_t n = write(r->p.to_fd, r->buf + r->head, r->len);

	if (n < 0 && errno == EINTR)
		return STEP_MOVED;
	if (n < 0 && errno == EAGAIN)
		return STEP_WAIT;
	if (n < 0)
		return lose_destination(r);
	r->head += (size_t)n;
	r->len -= (size_t)n;
	r->moved += (uint64_t)n;
	return STEP_MOVED;
}

static enum step read_some(struct relay *r)
{
	size_t want = BUFFER_BYTES;
	ssize_t n;

	if (r->last_call && want > r->last_left)
		want = r->last_left;
	if (!r->buf)
		r->buf = malloc(BUFFER_BYTES);
	if (want == 0 || !r->buf)
		return STEP_END;
	n = read(r->p.from_fd, r->buf, want);
	if (n < 0 && errno == EINTR)
		return STEP_MOVED;
	if (n < 0 && errno == EAGAIN)
		return r->last_call ? STEP_END : STEP_WAIT;
	if (n <= 0)
		return STEP_END; /* a pty whose other end was closed says EIO */
	r->head = 0;
	r->len = r->p.to_fd >= 0 ? (size_t)n : 0; /* without a destination it is thrown away */
	r->moved += (uint64_t)n;
	if (r->last_call)
		r->last_left -= (size_t)n;
	return STEP_MOVED;
}

static int watch(struct relay *r, bool write, struct err *err)
{
	struct loop_source **source = write ? &r->writing : &r->reading;
	int fd = write ? r->p.to_fd : r->p.from_fd;

	if (*source)
		return 0;
	return loop_add_fd(r->p.loop, fd, write ? EPOLLOUT : EPOLLIN, r->on_ready, r, source, err);
}

/* Moves what can be moved, then waits for what is in the way. The relay may be gone afterwards. */
static void pump(struct relay *r)
{
	struct err err = ERR_INIT;
	enum step step = STEP_MOVED;

	for (int i = 0; i < 2 * TURN_BUFFERS && step == STEP_MOVED; i++)
		step = r->len ? write_some(r) : read_some(r);
	if (step != STEP_END) {
		forget(r->len ? &r->reading : &r->writing);
		if (watch(r, r->len > 0, &err) == 0)
			return;
	}
	close_both(r);
	r->p.on_end(r->p.arg);
}

static void on_ready(void *arg, int fd, uint32_t events)
{
	(void)fd;
	(void)events;
	pump(arg);
}

int relay_create(const struct relay_params *params, struct relay **out, struct err *err)
{
	AUTO_FREE struct relay *r = calloc(1, sizeof(*r));
	int ret;

	if (!r)
		return err_set(err, ENOMEM, "relay a stream");
	r->p = *params;
	r->on_ready = on_ready;
	ret = watch(r, false, err);
	if (ret < 0)
		return ret;
	*out = TAKE_PTR(&r);
	return 0;
}

void relay_finish(struct relay *r)
{
	if (r->last_call || r->p.from_fd < 0)
		return;
	r->last_call = true;
	r->last_left = LAST_BYTES;
	pump(r);
}

uint64_t relay_progress(const struct relay *r)
{
	return r->moved;
}
