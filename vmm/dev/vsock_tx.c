/*
 * Packets from the guest. Each is judged by its header, read once: from this guest, to the host, of a known type, for a
 * connection that exists and is in a state in which the operation makes sense. What fails is answered with RST or, where
 * virtio 1.2, 5.10.6 gives no one to answer, dropped; the device goes on either way.
 */
#include <endian.h>
#include <string.h>

#include "base/own.h"
#include "vmm/dev/dev.h"
#include "vmm/dev/vsock.h"

/* A packet's header in host order, and its payload. */
struct packet {
	uint64_t src_cid, dst_cid;
	uint32_t src_port, dst_port;
	uint32_t len;
	uint16_t type, op;
	uint32_t flags, buf_alloc, fwd_cnt;
	struct vq_chain *chain; /* its read cursor stands at the payload */
};

static bool read_packet(struct vq_chain *chain, struct packet *p)
{
	struct virtio_vsock_hdr h;

	if (chain_read(chain, &h, sizeof(h)) != sizeof(h))
		return false;
	*p = (struct packet){
		.src_cid = le64toh(h.src_cid),
		.dst_cid = le64toh(h.dst_cid),
		.src_port = le32toh(h.src_port),
		.dst_port = le32toh(h.dst_port),
		.len = le32toh(h.len),
		.type = le16toh(h.type),
		.op = le16toh(h.op),
		.flags = le32toh(h.flags),
		.buf_alloc = le32toh(h.buf_alloc),
		.fwd_cnt = le32toh(h.fwd_cnt),
		.chain = chain,
	};
	return true;
}

/* RST to a sender without a connection; an RST itself is never answered. */
static void refuse(struct vsock *v, const struct packet *p)
{
	if (p->op == VIRTIO_VSOCK_OP_RST)
		return;
	BUG_ON(v->rst_len == VSOCK_MAX_RSTS); /* vsock_tx stops before */
	v->rsts[(v->rst_at + v->rst_len) % VSOCK_MAX_RSTS] = (struct vsock_rst){
		.host_port = p->dst_port, .guest_port = p->src_port, .type = p->type};
	v->rst_len++;
}

/* Guest to host: one connection only, the agent's, and only once. */
static void on_request(struct vsock *v, const struct packet *p)
{
	struct vsock_conn *c = NULL;

	if (p->dst_port == VSOCK_AGENT_PORT && v->agent_fd >= 0 && v->nconns < VSOCK_MAX_CONNS)
		c = vsock_conn_new(v, v->agent_fd, VSOCK_OPEN);
	if (!c) {
		log_guest(&v->limit, "vsock: guest connection to port %u refused", p->dst_port);
		refuse(v, p);
		return;
	}
	(void)TAKE_FD(&v->agent_fd);
	vsock_conn_set_ports(c, p->dst_port, p->src_port);
	c->announced = true;
	c->peer_buf = p->buf_alloc;
	c->want |= VSOCK_WANT_RESPONSE;
	vsock_conn_ready(c);
	vsock_host_listen(v);
}

/*
 * Any packet may carry credit. A count that goes back, or past what was sent, is not taken: threads of a guest may queue
 * their packets in another order than they counted, and a lie earns nothing.
 */
static void take_credit(struct vsock_conn *c, const struct packet *p)
{
	if (p->fwd_cnt - c->peer_fwd <= c->sent - c->peer_fwd)
		c->peer_fwd = p->fwd_cnt;
	c->peer_buf = p->buf_alloc;
	if (vsock_conn_credit(c) > 0)
		c->credit_asked = false;
	vsock_conn_ready(c);
}

static void broke(struct vsock_conn *c, const struct packet *p, const char *why)
{
	log_guest(&c->v->limit, "vsock: connection %u:%u reset, operation %u: %s", p->src_port,
		  p->dst_port, p->op, why);
	vsock_conn_reset(c);
}

static void on_response(struct vsock_conn *c, const struct packet *p)
{
	if (c->state == VSOCK_CONNECTING && c->announced)
		vsock_host_connected(c);
	else
		broke(c, p, "RESPONSE without REQUEST");
}

static void on_data(struct vsock_conn *c, const struct packet *p)
{
	if (c->shut_guest & VIRTIO_VSOCK_SHUTDOWN_SEND)
		broke(c, p, "data after shutdown");
	else if (p->len > chain_read_left(p->chain))
		broke(c, p, "more bytes announced than sent");
	else if (p->len > VSOCK_BUF_BYTES - c->buf_len)
		broke(c, p, "data beyond the credit");
	else
		vsock_conn_put(c, p->chain, p->len);
}

static void on_shutdown(struct vsock_conn *c, const struct packet *p)
{
	c->shut_guest |= p->flags & VSOCK_SHUTDOWN_BOTH;
	vsock_conn_guest_shutdown(c);
}

static void on_credit_request(struct vsock_conn *c, const struct packet *p)
{
	(void)p;
	c->want |= VSOCK_WANT_CREDIT_UPDATE;
	vsock_conn_ready(c);
}

static void on_credit_update(struct vsock_conn *c, const struct packet *p)
{
	(void)c; /* take_credit did it */
	(void)p;
}

/* What a connection does with an operation, and whether it must be open for that. NULL: not for a connection. */
static const struct {
	void (*fn)(struct vsock_conn *c, const struct packet *p);
	bool when_open;
} ops[] = {
	[VIRTIO_VSOCK_OP_RESPONSE] = {on_response, false},
	[VIRTIO_VSOCK_OP_SHUTDOWN] = {on_shutdown, true},
	[VIRTIO_VSOCK_OP_RW] = {on_data, true},
	[VIRTIO_VSOCK_OP_CREDIT_UPDATE] = {on_credit_update, true},
	[VIRTIO_VSOCK_OP_CREDIT_REQUEST] = {on_credit_request, true},
};

static void on_connection(struct vsock_conn *c, const struct packet *p)
{
	bool open = c->state == VSOCK_OPEN || c->state == VSOCK_CLOSING;

	if (p->op == VIRTIO_VSOCK_OP_RST) {
		vsock_conn_guest_gone(c);
		return;
	}
	if (c->state == VSOCK_RESETTING) /* the RST is on its way, and is the answer to all */
		return;
	if (p->op >= ARRAY_SIZE(ops) || !ops[p->op].fn || (ops[p->op].when_open && !open)) {
		broke(c, p, "not now, or not at all");
		return;
	}
	take_credit(c, p);
	ops[p->op].fn(c, p);
}

static void take_packet(struct vsock *v, const struct packet *p)
{
	if (p->src_cid != v->guest_cid || p->dst_cid != VSOCK_HOST_CID) {
		log_guest(&v->limit, "vsock: packet with a CID that is not the guest's or ours");
		return;
	}
	if (p->type != VIRTIO_VSOCK_TYPE_STREAM) {
		refuse(v, p);
		return;
	}

	struct vsock_conn *c = vsock_conn_find(v, p->dst_port, p->src_port);
	if (c)
		on_connection(c, p);
	else if (p->op == VIRTIO_VSOCK_OP_REQUEST)
		on_request(v, p);
	else
		refuse(v, p);
}

void vsock_tx(struct vsock *v)
{
	struct vq *q = virtio_queue(v->dev, VSOCK_TX);
	struct packet p;

	/* A refusal needs room; without it the guest's packets wait until the guest has taken some. */
	while (v->rst_len < VSOCK_MAX_RSTS && vq_pop(q, &v->tx_chain)) {
		if (read_packet(&v->tx_chain, &p))
			take_packet(v, &p);
		else
			log_guest(&v->limit, "vsock: packet shorter than its header");
		vq_push(&v->tx_chain);
	}
	v->tx_stopped = v->rst_len == VSOCK_MAX_RSTS;
	virtio_interrupt(v->dev, q);
}
