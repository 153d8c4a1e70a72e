/*
 * Packets to the guest. Receive buffers are the scarce thing: the connections that have something to say stand in line, and
 * each turn is one packet. Data is read from the socket straight into the buffer, behind the place of its header, which is
 * written when the length is known.
 */
#include <endian.h>
#include <errno.h>

#include "vmm/dev/vsock.h"

/* Packets in one go; after that the loop sees to its other descriptors. */
#define RX_BUDGET 256

#define HDR_BYTES ((uint32_t)sizeof(struct virtio_vsock_hdr))

/* false: the device broke, or the guest has no buffer for us now and will notify when it has. */
static bool pop_buffer(struct vsock *v, struct vq *q)
{
	struct vq_chain *c = &v->rx_chain;

	if (!vq_pop(q, c))
		return false;
	if (chain_write_left(c) > HDR_BYTES && chain_write_skip(c, HDR_BYTES))
		return true;
	virtio_break(v->dev, "receive buffer without room for a packet");
	return false;
}

static void put_header(struct vsock *v, const struct virtio_vsock_hdr *like)
{
	struct virtio_vsock_hdr h = *like;

	h.src_cid = htole64(VSOCK_HOST_CID);
	h.dst_cid = htole64(v->guest_cid);
	BUG_ON(!chain_write_at(&v->rx_chain, 0, &h, sizeof(h))); /* skipped by pop_buffer */
	vq_push(&v->rx_chain);
}

static void put_packet(struct vsock_conn *c, uint16_t op, uint32_t flags, uint32_t len)
{
	struct virtio_vsock_hdr h = {
		.src_port = htole32(c->host_port),
		.dst_port = htole32(c->guest_port),
		.len = htole32(len),
		.type = htole16(VIRTIO_VSOCK_TYPE_STREAM),
		.op = htole16(op),
		.flags = htole32(flags),
		.buf_alloc = htole32(VSOCK_BUF_BYTES),
		.fwd_cnt = htole32(c->fwd),
	};

	c->fwd_told = c->fwd;
	c->want &= ~VSOCK_WANT_CREDIT_UPDATE; /* every packet is one */
	c->announced = true;
	put_header(c->v, &h);
}

static void put_rst(struct vsock *v)
{
	const struct vsock_rst *r = &v->rsts[v->rst_at];
	struct virtio_vsock_hdr h = {
		.src_port = htole32(r->host_port),
		.dst_port = htole32(r->guest_port),
		.type = htole16(r->type),
		.op = htole16(VIRTIO_VSOCK_OP_RST),
	};

	v->rst_at = (v->rst_at + 1) % VSOCK_MAX_RSTS;
	v->rst_len--;
	put_header(v, &h);
}

/* What the loop is to do for this connection. */
enum turn {
	TURN_USED,  /* a packet was put in the buffer */
	TURN_EMPTY, /* nothing after all: the buffer is still free */
	TURN_GONE,  /* as EMPTY, and the connection may be freed */
};

static enum turn put_data(struct vsock_conn *c)
{
	struct vq_chain *chain = &c->v->rx_chain;
	size_t room = chain_write_left(chain);
	uint32_t credit = vsock_conn_credit(c);
	size_t len = room < credit ? room : credit;
	ssize_t n = chain_from_fd(chain, len, c->fd, -1, 0);

	if (n == -EAGAIN) {
		c->readable = false;
		return TURN_EMPTY;
	}
	if (n <= 0) {
		vsock_conn_shutdown(c, n == 0 ? VIRTIO_VSOCK_SHUTDOWN_SEND : VSOCK_SHUTDOWN_BOTH);
		return TURN_GONE;
	}
	/* A short read has emptied the socket, or is at the end of one write: the loop will say. Not when it hung up. */
	if ((size_t)n < len && c->source)
		c->readable = false;
	c->sent += (uint32_t)n;
	put_packet(c, VIRTIO_VSOCK_OP_RW, 0, (uint32_t)n);
	return TURN_USED;
}

static bool take_want(struct vsock_conn *c, uint32_t want)
{
	bool wanted = c->want & want;

	c->want &= ~want;
	return wanted;
}

static bool has_data(const struct vsock_conn *c)
{
	return c->state == VSOCK_OPEN && c->readable && vsock_conn_credit(c) > 0;
}

static enum turn take_turn(struct vsock_conn *c)
{
	if (c->state == VSOCK_RESETTING) {
		put_packet(c, VIRTIO_VSOCK_OP_RST, 0, 0);
		vsock_conn_free(c);
		return TURN_USED;
	}
	if (take_want(c, VSOCK_WANT_REQUEST))
		put_packet(c, VIRTIO_VSOCK_OP_REQUEST, 0, 0);
	else if (take_want(c, VSOCK_WANT_RESPONSE))
		put_packet(c, VIRTIO_VSOCK_OP_RESPONSE, 0, 0);
	else if (has_data(c) && !c->source)
		return put_data(c); /* hung up: the rest, so that one SHUTDOWN says all */
	else if (take_want(c, VSOCK_WANT_SHUTDOWN))
		put_packet(c, VIRTIO_VSOCK_OP_SHUTDOWN, c->shut_sent, 0);
	else if (take_want(c, VSOCK_WANT_CREDIT_REQUEST))
		put_packet(c, VIRTIO_VSOCK_OP_CREDIT_REQUEST, 0, 0);
	else if (has_data(c))
		return put_data(c);
	else if (take_want(c, VSOCK_WANT_CREDIT_UPDATE))
		put_packet(c, VIRTIO_VSOCK_OP_CREDIT_UPDATE, 0, 0);
	else
		return TURN_EMPTY;
	return TURN_USED;
}

/* One packet of the next connection in line. */
static enum turn next_turn(struct vsock *v)
{
	struct vsock_conn *c = TAILQ_FIRST(&v->ready);

	TAILQ_REMOVE(&v->ready, c, ready_link);
	c->queued = false;

	bool ends = c->state == VSOCK_RESETTING;
	enum turn turn = take_turn(c);
	if (!ends && turn != TURN_GONE) {
		vsock_conn_ready(c); /* to the end of the line, if there is more */
		if (!c->queued)
			vsock_conn_watch(c);
	}
	return turn;
}

/* Fills buffers; how many turns that took. */
static unsigned fill_buffers(struct vsock *v, struct vq *q)
{
	bool held = false;
	unsigned n = 0;

	for (; (v->rst_len > 0 || !TAILQ_EMPTY(&v->ready)) && n < RX_BUDGET; n++) {
		held = held || pop_buffer(v, q);
		if (!held)
			break;
		if (v->rst_len > 0) {
			put_rst(v);
			held = false;
		} else if (next_turn(v) == TURN_USED) {
			held = false;
		}
	}
	if (held)
		vq_unpop(&v->rx_chain);
	return n;
}

void vsock_rx(struct vsock *v)
{
	struct vq *q = virtio_queue(v->dev, VSOCK_RX);
	struct vsock_conn *c = NULL;

	if (virtio_running(v->dev)) {
		unsigned n = fill_buffers(v, q);

		virtio_interrupt(v->dev, q);
		if (n == RX_BUDGET)
			virtio_notify(v->dev, VSOCK_RX);
		if (v->tx_stopped && v->rst_len < VSOCK_MAX_RSTS)
			virtio_notify(v->dev, VSOCK_TX);
	}
	/* Those left in line wait for buffers; their sockets would wake the loop for nothing. */
	TAILQ_FOREACH(c, &v->ready, ready_link)
	vsock_conn_watch(c);
}
