/*
 * Frames to the guest. Receive buffers are taken from the queue ahead, as many as the longest frame needs (one, without
 * MRG_RXBUF), and a frame is read straight into them; what does not fit, when the guest is short of buffers, waits in
 * rx_rest for those it brings. A tap that nobody can read from now on is not watched.
 */
#include <endian.h>
#include <errno.h>
#include <stddef.h>

#include "vmm/dev/net.h"

#define NUM_BUFFERS_OFF offsetof(struct virtio_net_hdr_v1, num_buffers)

enum room {
	ROOM_ENOUGH,
	ROOM_SHORT, /* the guest has no more buffers now */
	ROOM_FULL,  /* it has given all it can */
	ROOM_BROKEN,
};

static enum room make_room(struct net *net, struct net_pair *p, struct vq *q, uint64_t needed)
{
	while (p->rx.room_bytes < needed) {
		if (p->rx.nchains == q->size)
			return ROOM_FULL;
		if (!vq_pop(q, &net->chain))
			return ROOM_SHORT;
		if (chain_write_left(&net->chain) < NET_HDR_BYTES) {
			virtio_break(net->dev, "receive buffer without room for a header");
			return ROOM_BROKEN;
		}
		if (!gather_add(&p->rx, &net->chain)) {
			vq_unpop(&net->chain);
			return ROOM_FULL;
		}
	}
	return ROOM_ENOUGH;
}

/* false: nothing to read. */
static bool read_frame(struct net *net, uint16_t pair)
{
	struct net_pair *p = &net->pairs[pair];
	ssize_t n = gather_recv(&p->rx, p->rx_rest, sizeof(p->rx_rest), net->taps[pair].fd);

	if (n == -EAGAIN)
		return false;
	if (n <= 0) {
		net_lost(net, n == 0 ? "end of file" : "read failed");
		return false;
	}
	/* What has no Ethernet header is nothing a guest could want; its buffers serve the next. */
	p->rx_len = (size_t)n < NET_HDR_BYTES + ETH_HLEN ? 0 : (uint32_t)n;
	p->rx_split = p->rx.room_bytes < p->rx_len ? (uint32_t)p->rx.room_bytes : p->rx_len;
	return true;
}

/* The frame is read and there is room for it. */
static void give_frame(struct net_pair *p)
{
	uint16_t count = htole16(gather_count(&p->rx, p->rx_len));
	bool ok = gather_write(&p->rx, p->rx_split, p->rx_rest, p->rx_len - p->rx_split) &&
		  gather_write(&p->rx, NUM_BUFFERS_OFF, &count, sizeof(count));

	BUG_ON(!ok); /* inside what was counted as room, which is RAM */
	gather_push(&p->rx, p->rx_len);
	p->rx_len = 0;
}

static void drop_frame(struct net *net, struct net_pair *p)
{
	log_guest(&net->limit,
		  "virtio-net: frame of %u bytes dropped: the driver's buffers are too small",
		  p->rx_len - NET_HDR_BYTES);
	p->rx_len = 0;
}

/* One step: a frame read, given or dropped. false: no more can be done now. */
static bool rx_step(struct net *net, uint16_t pair, struct vq *q)
{
	struct net_pair *p = &net->pairs[pair];
	bool mergeable = net->features & NET_BIT(MRG_RXBUF);
	uint64_t needed = p->rx_len ? p->rx_len : NET_HDR_BYTES + NET_FRAME_MAX;
	enum room room = make_room(net, p, q, mergeable ? needed : 1);

	if (room == ROOM_BROKEN)
		return false;
	if (p->rx.nchains > 0 && p->rx_len == 0)
		return read_frame(net, pair);
	p->rx_starved = p->rx.nchains == 0 || (mergeable && room == ROOM_SHORT);
	if (p->rx_starved)
		return false;
	if (p->rx.room_bytes >= needed)
		give_frame(p);
	else
		drop_frame(net, p);
	return true;
}

/* Pairs may be more than the tap has queues. */
static bool can_read(const struct net *net, uint16_t pair)
{
	return virtio_running(net->dev) && pair < net->ntaps && net->taps[pair].listed;
}

void net_rx(struct net *net, uint16_t pair)
{
	struct vq *q = virtio_queue(net->dev, net_rx_queue(pair));
	struct net_pair *p = &net->pairs[pair];
	unsigned steps = 2 * NET_RX_BUDGET; /* a frame is read in one and given in the next */

	p->rx_starved = false;
	while (steps > 0 && can_read(net, pair) && q->ready && rx_step(net, pair, q))
		steps--;
	virtio_interrupt(net->dev, q);
	if (pair < net->ntaps)
		net_tap_watch(net, pair);
}

void net_rx_reset(struct net *net, uint16_t pair)
{
	struct net_pair *p = &net->pairs[pair];

	gather_init(&p->rx, virtio_queue(net->dev, net_rx_queue(pair)));
	p->rx_len = 0;
	p->rx_starved = p->tx_blocked = false;
}
