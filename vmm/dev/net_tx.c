/*
 * Frames from the guest. The header is copied, checked and made anew from what the check let through, since the tap acts on
 * it; the frame behind it goes from guest memory to the tap as it is. A frame that cannot be sent is dropped, as on any wire.
 */
#include <endian.h>
#include <errno.h>

#include "vmm/dev/net.h"

/* Segmentation as asked for by gso_type; 0: unknown or not negotiated. */
static uint64_t gso_feature(uint8_t gso_type)
{
	switch (gso_type & ~VIRTIO_NET_HDR_GSO_ECN) {
	case VIRTIO_NET_HDR_GSO_TCPV4:
		return NET_BIT(HOST_TSO4);
	case VIRTIO_NET_HDR_GSO_TCPV6:
		return NET_BIT(HOST_TSO6);
	case VIRTIO_NET_HDR_GSO_UDP:
		return NET_BIT(HOST_UFO);
	default:
		return 0;
	}
}

static bool gso_fits(uint64_t features, const struct virtio_net_hdr_v1 *h, size_t len)
{
	bool ecn = h->gso_type & VIRTIO_NET_HDR_GSO_ECN;
	bool udp = (h->gso_type & ~VIRTIO_NET_HDR_GSO_ECN) == VIRTIO_NET_HDR_GSO_UDP;

	if (!(features & gso_feature(h->gso_type)))
		return false;
	if (ecn && (!(features & NET_BIT(HOST_ECN)) || udp))
		return false;
	/* 5.1.6.2.1: segments need checksums, and bytes behind headers to cut up. */
	return (h->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) && h->gso_size != 0 &&
	       le16toh(h->hdr_len) <= len;
}

static bool csum_fits(uint64_t features, const struct virtio_net_hdr_v1 *h, size_t len)
{
	size_t at = (size_t)le16toh(h->csum_start) + le16toh(h->csum_offset);

	return (features & NET_BIT(CSUM)) && at + sizeof(uint16_t) <= len;
}

/*
 * Whether the header agrees with the features and with a frame of `len` bytes (5.1.6.2); *out is what the tap gets to see:
 * flags and fields without meaning are left out.
 */
static bool check_header(uint64_t features, const struct virtio_net_hdr_v1 *h, size_t len,
			 struct virtio_net_hdr_v1 *out)
{
	*out = (struct virtio_net_hdr_v1){0};
	if (h->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) {
		if (!csum_fits(features, h, len))
			return false;
		out->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
		out->csum_start = h->csum_start;
		out->csum_offset = h->csum_offset;
	}
	if (h->gso_type != VIRTIO_NET_HDR_GSO_NONE) {
		if (!gso_fits(features, h, len))
			return false;
		out->gso_type = h->gso_type;
		out->gso_size = h->gso_size;
		out->hdr_len = h->hdr_len;
	}
	return true;
}

/* Sent or dropped: true. false: the tap takes no more now, the chain is as it came. */
static bool send_frame(struct net *net, uint16_t tap, const struct virtio_net_hdr_v1 *in)
{
	size_t len = chain_read_left(&net->chain);
	struct virtio_net_hdr_v1 hdr;
	ssize_t n;

	if (len < ETH_HLEN || len > NET_FRAME_MAX || !check_header(net->features, in, len, &hdr)) {
		log_guest(&net->limit,
			  "virtio-net: frame of %zu bytes dropped: it or its header cannot be",
			  len);
		return true;
	}
	n = chain_send(&net->chain, &hdr, sizeof(hdr), net->taps[tap].fd);
	/* Any other failure is the frame's, or an interface that is down. */
	return n != -EAGAIN;
}

/* false: the queue is empty, the tap is full or the device broken. */
static bool tx_step(struct net *net, uint16_t pair, struct vq *q)
{
	struct virtio_net_hdr_v1 hdr;

	if (!vq_pop(q, &net->chain))
		return false;
	if (chain_read(&net->chain, &hdr, sizeof(hdr)) != sizeof(hdr)) {
		virtio_break(net->dev, "frame without a header");
		return false;
	}
	if (net_link_up(net) && !send_frame(net, net_tap_of(net, pair), &hdr)) {
		net->pairs[pair].tx_blocked = true;
		vq_unpop(&net->chain);
		return false;
	}
	vq_push(&net->chain);
	return true;
}

/* The core's budget bounds a kick; this one what follows when the tap takes frames again. */
void net_tx(struct net *net, uint16_t pair)
{
	struct vq *q = virtio_queue(net->dev, net_tx_queue(pair));
	unsigned steps = NET_TX_BUDGET;

	net->pairs[pair].tx_blocked = false;
	while (steps > 0 && virtio_running(net->dev) && q->ready && tx_step(net, pair, q))
		steps--;
	if (steps == 0)
		virtio_notify(net->dev, net_tx_queue(pair));
	virtio_interrupt(net->dev, q);
	if (net->ntaps > 0)
		net_tap_watch(net, net_tap_of(net, pair));
}
