/*
 * One vsock connection. Bytes from the guest go straight to the socket while it takes them and into a ring buffer of the
 * size of the guest's credit when it does not; bytes for the guest stay in the socket until there is a receive buffer and
 * credit, so the kernel's socket buffer is the only one in that direction.
 *
 * Each direction ends by itself (half-close). When both have ended the socket is closed and the guest told by a SHUTDOWN of
 * both; it answers RST, or after VSOCK_CLOSE_MS gets one (virtio 1.2, 5.10.6.5).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "base/fd.h"
#include "base/own.h"
#include "vmm/dev/vsock.h"

/* Tell of freed credit when so much is freed: late enough to be rare, early enough that the guest need not stop. */
#define CREDIT_STEP_BYTES (VSOCK_BUF_BYTES / 4)

static bool state_waits(enum vsock_state state)
{
	return state == VSOCK_HANDSHAKE || state == VSOCK_CONNECTING;
}

void vsock_conn_set_state(struct vsock_conn *c, enum vsock_state state)
{
	c->v->nwaiting -= state_waits(c->state);
	c->v->nwaiting += state_waits(state);
	c->state = state;
}

static uint32_t hash_of(uint32_t host_port, uint32_t guest_port)
{
	return (host_port ^ guest_port) % VSOCK_HASH_SIZE;
}

void vsock_conn_set_ports(struct vsock_conn *c, uint32_t host_port, uint32_t guest_port)
{
	c->host_port = host_port;
	c->guest_port = guest_port;
	c->hashed = true;
	LIST_INSERT_HEAD(&c->v->hash[hash_of(host_port, guest_port)], c, hash_link);
}

struct vsock_conn *vsock_conn_find(struct vsock *v, uint32_t host_port, uint32_t guest_port)
{
	struct vsock_conn *c = NULL;

	LIST_FOREACH(c, &v->hash[hash_of(host_port, guest_port)], hash_link)
	{
		if (c->host_port == host_port && c->guest_port == guest_port)
			return c;
	}
	return NULL;
}

static void leave_hash(struct vsock_conn *c)
{
	if (c->hashed)
		LIST_REMOVE(c, hash_link);
	c->hashed = false;
}

static void leave_ready(struct vsock_conn *c)
{
	if (c->queued)
		TAILQ_REMOVE(&c->v->ready, c, ready_link);
	c->queued = false;
}

static void drop_buf(struct vsock_conn *c)
{
	c->fwd += c->buf_len;
	c->buf_len = 0;
	free(c->buf);
	c->buf = NULL;
}

static void close_fd(struct vsock_conn *c)
{
	loop_remove(c->source);
	c->source = NULL;
	own_close(&c->fd);
	drop_buf(c);
	c->readable = false;
	c->in_ended = true;
	c->out_dead = true;
}

void vsock_conn_free(struct vsock_conn *c)
{
	struct vsock *v = c->v;

	close_fd(c);
	leave_hash(c);
	leave_ready(c);
	v->nwaiting -= state_waits(c->state);
	v->nconns--;
	TAILQ_REMOVE(&v->conns, c, link);
	free(c);
	vsock_host_listen(v);
}

uint32_t vsock_conn_credit(const struct vsock_conn *c)
{
	uint32_t in_flight = c->sent - c->peer_fwd;

	return in_flight < c->peer_buf ? c->peer_buf - in_flight : 0;
}

static bool has_work(const struct vsock_conn *c)
{
	bool data = c->state == VSOCK_OPEN && c->readable && vsock_conn_credit(c) > 0;

	return data || c->want || c->state == VSOCK_RESETTING;
}

void vsock_conn_ready(struct vsock_conn *c)
{
	if (c->state == VSOCK_OPEN && c->readable && !c->credit_asked &&
	    vsock_conn_credit(c) == 0) {
		c->credit_asked = true;
		c->want |= VSOCK_WANT_CREDIT_REQUEST;
	}
	if (c->queued || !has_work(c))
		return;
	c->queued = true;
	TAILQ_INSERT_TAIL(&c->v->ready, c, ready_link);
}

static uint32_t wanted_events(const struct vsock_conn *c)
{
	uint32_t events = 0;

	if (c->state == VSOCK_HANDSHAKE)
		return EPOLLIN;
	if (c->state == VSOCK_OPEN && !c->readable && !c->in_ended)
		events |= EPOLLIN;
	if (c->buf_len > 0)
		events |= EPOLLOUT;
	return events;
}

void vsock_conn_watch(struct vsock_conn *c)
{
	uint32_t events = wanted_events(c);

	if (!c->source || events == c->watched)
		return;
	c->watched = events;
	BUG_ON(loop_mod_fd(c->source, events) < 0); /* a source of ours: only a bug fails here */
}

void vsock_conn_reset(struct vsock_conn *c)
{
	if (!c->announced) {
		vsock_conn_free(c);
		return;
	}
	close_fd(c);
	vsock_host_deadline(c, 0);
	vsock_conn_set_state(c, VSOCK_RESETTING);
	c->want = 0;
	vsock_conn_ready(c);
}

void vsock_conn_guest_gone(struct vsock_conn *c)
{
	if (c->state != VSOCK_OPEN || c->buf_len == 0) {
		if (c->state != VSOCK_DRAINING)
			vsock_conn_free(c);
		return;
	}
	leave_hash(c);
	leave_ready(c);
	c->want = 0;
	vsock_conn_set_state(c, VSOCK_DRAINING);
	vsock_conn_watch(c);
}

/* May free `c`. */
static void check_end(struct vsock_conn *c)
{
	bool out_done =
		c->out_dead || ((c->shut_guest & VIRTIO_VSOCK_SHUTDOWN_SEND) && c->buf_len == 0);

	if (c->state == VSOCK_DRAINING) {
		if (c->out_dead || c->buf_len == 0)
			vsock_conn_free(c);
		return;
	}
	if (c->shut_guest == VSOCK_SHUTDOWN_BOTH && out_done) {
		vsock_conn_reset(c); /* the confirmation the guest waits for */
		return;
	}
	if (c->state != VSOCK_OPEN || !out_done || !c->in_ended)
		return;
	close_fd(c);
	vsock_conn_set_state(c, VSOCK_CLOSING);
	vsock_host_deadline(c, VSOCK_CLOSE_MS);
	c->shut_sent = VSOCK_SHUTDOWN_BOTH;
	c->want |= VSOCK_WANT_SHUTDOWN;
	vsock_conn_ready(c);
}

void vsock_conn_shutdown(struct vsock_conn *c, uint32_t flags)
{
	if (flags & VIRTIO_VSOCK_SHUTDOWN_SEND) {
		c->readable = false;
		c->in_ended = true;
	}
	if (flags & VIRTIO_VSOCK_SHUTDOWN_RCV) {
		c->out_dead = true;
		drop_buf(c);
	}
	if (c->state == VSOCK_OPEN && (c->shut_sent | flags) != c->shut_sent) {
		c->shut_sent |= flags;
		c->want |= VSOCK_WANT_SHUTDOWN;
		vsock_conn_ready(c);
	}
	check_end(c);
}

void vsock_conn_guest_shutdown(struct vsock_conn *c)
{
	if (c->shut_guest & VIRTIO_VSOCK_SHUTDOWN_RCV) {
		c->readable = false;
		c->in_ended = true;
		if (c->fd >= 0)
			(void)shutdown(c->fd, SHUT_RD); /* the client's writes fail from now on */
	}
	if ((c->shut_guest & VIRTIO_VSOCK_SHUTDOWN_SEND) && c->buf_len == 0 && c->fd >= 0)
		(void)shutdown(c->fd, SHUT_WR);
	check_end(c);
}

static void tell_credit(struct vsock_conn *c)
{
	if (c->state != VSOCK_OPEN || (c->shut_guest & VIRTIO_VSOCK_SHUTDOWN_SEND) ||
	    c->fwd - c->fwd_told < CREDIT_STEP_BYTES)
		return;
	c->want |= VSOCK_WANT_CREDIT_UPDATE;
	vsock_conn_ready(c);
}

/* Copies into the ring; false when out of memory. */
static bool buffer(struct vsock_conn *c, struct vq_chain *chain, uint32_t len)
{
	if (!c->buf) {
		c->buf = malloc(VSOCK_BUF_BYTES);
		c->buf_at = 0;
	}
	if (!c->buf)
		return false;

	uint32_t end = (c->buf_at + c->buf_len) % VSOCK_BUF_BYTES;
	uint32_t first = len < VSOCK_BUF_BYTES - end ? len : VSOCK_BUF_BYTES - end;
	size_t n = chain_read(chain, c->buf + end, first);
	n += chain_read(chain, c->buf, len - first);
	BUG_ON(n != len); /* the caller knew that so many are there */
	c->buf_len += len;
	return true;
}

void vsock_conn_put(struct vsock_conn *c, struct vq_chain *chain, uint32_t len)
{
	ssize_t n = 0;

	BUG_ON(len > VSOCK_BUF_BYTES - c->buf_len);
	if (!c->out_dead && c->buf_len == 0) {
		n = chain_to_fd(chain, len, c->fd, -1, 0);
		if (n == -EAGAIN)
			n = 0;
	}
	if (n < 0) { /* the reader is gone: the guest learns it, and what is under way is lost */
		c->fwd += len;
		vsock_conn_shutdown(c, VIRTIO_VSOCK_SHUTDOWN_RCV);
		return;
	}
	c->fwd += c->out_dead ? len : (uint32_t)n;
	if (!c->out_dead && (uint32_t)n < len && !buffer(c, chain, len - (uint32_t)n)) {
		vsock_conn_reset(c);
		return;
	}
	vsock_conn_watch(c);
	tell_credit(c);
}

/* What the socket takes of the ring. May free `c`. */
static void flush_buf(struct vsock_conn *c)
{
	uint32_t first =
		c->buf_len < VSOCK_BUF_BYTES - c->buf_at ? c->buf_len : VSOCK_BUF_BYTES - c->buf_at;
	struct iovec iov[2] = {
		{.iov_base = c->buf + c->buf_at, .iov_len = first},
		{.iov_base = c->buf, .iov_len = c->buf_len - first},
	};
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 2};
	ssize_t n = sendmsg(c->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n < 0) {
		vsock_conn_shutdown(c, VIRTIO_VSOCK_SHUTDOWN_RCV);
		return;
	}
	c->fwd += (uint32_t)n;
	c->buf_at = (c->buf_at + (uint32_t)n) % VSOCK_BUF_BYTES;
	c->buf_len -= (uint32_t)n;
	tell_credit(c);
	if (c->buf_len > 0)
		return;
	drop_buf(c);
	vsock_conn_watch(c);
	vsock_conn_guest_shutdown(c);
}

/*
 * Both directions of the socket are shut: nothing can be written, bytes may be left to read. epoll would report it for
 * ever, so the descriptor leaves the loop and is read as credit and receive buffers come.
 */
static void hung_up(struct vsock_conn *c)
{
	loop_remove(c->source);
	c->source = NULL;
	if (c->state == VSOCK_HANDSHAKE || c->state == VSOCK_CONNECTING) {
		vsock_conn_reset(c);
		return;
	}
	c->readable = !c->in_ended;
	vsock_conn_ready(c);
	vsock_conn_shutdown(c, VIRTIO_VSOCK_SHUTDOWN_RCV);
}

static void on_socket(void *arg, int fd, uint32_t events)
{
	struct vsock_conn *c = arg;
	struct vsock *v = c->v;

	(void)fd;
	virtio_lock(v->dev);
	if (v->reset_pending) {
		vsock_sync(v); /* may end this connection; if not, the event comes again */
	} else if (c->state == VSOCK_HANDSHAKE) {
		vsock_host_handshake(c);
	} else if (events & (EPOLLHUP | EPOLLERR)) {
		hung_up(c);
	} else {
		if ((events & EPOLLIN) && c->state == VSOCK_OPEN && !c->in_ended) {
			c->readable = true;
			vsock_conn_ready(c);
			if (!c->queued) /* else after its turn */
				vsock_conn_watch(c);
		}
		if ((events & EPOLLOUT) && c->buf_len > 0)
			flush_buf(c);
	}
	vsock_rx(v);
	virtio_unlock(v->dev);
}

struct vsock_conn *vsock_conn_new(struct vsock *v, int fd, enum vsock_state state)
{
	struct vsock_conn *c = malloc(sizeof(*c));

	if (!c)
		return NULL;
	*c = (struct vsock_conn){.v = v, .state = state, .fd = fd};
	c->watched = wanted_events(c);
	if (fd_set_nonblock(fd, true) < 0 ||
	    loop_add_fd(v->loop, fd, c->watched, on_socket, c, &c->source, NULL) < 0) {
		free(c);
		return NULL;
	}
	TAILQ_INSERT_TAIL(&v->conns, c, link);
	v->nconns++;
	v->nwaiting += state_waits(state);
	return c;
}
