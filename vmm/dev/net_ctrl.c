/*
 * The control queue (virtio 1.2, 5.1.6.5): a command is { class u8, command u8 } and its data in the readable part, answered by
 * one byte in the writable part. What is unknown, cut short, too long or not negotiated is answered ERR; only a command
 * without a place for the answer, or without a class, breaks the device.
 */
#include <endian.h>
#include <string.h>

#include "vmm/dev/net.h"

/* The whole of the data is `len` bytes. */
static bool take(struct net *net, void *out, size_t len)
{
	return chain_read_left(&net->chain) == len && chain_read(&net->chain, out, len) == len;
}

static bool set_promiscuous(struct net *net)
{
	uint8_t on = 0;

	if (!take(net, &on, sizeof(on)))
		return false;
	net->filter.promiscuous = on;
	net_filter_apply(net);
	return true;
}

static bool set_all_multicast(struct net *net)
{
	uint8_t on = 0;

	if (!take(net, &on, sizeof(on)))
		return false;
	net->filter.all_multicast = on;
	net_filter_apply(net);
	return true;
}

/* One of the two lists: { entries le32, addresses }. false: longer than what is there. */
static bool take_table(struct net *net, struct net_filter *f)
{
	uint32_t entries = 0;
	uint32_t fit;

	if (chain_read(&net->chain, &entries, sizeof(entries)) != sizeof(entries))
		return false;
	entries = le32toh(entries);
	fit = entries < (uint32_t)NET_FILTER_MAX - f->n ? entries : (uint32_t)NET_FILTER_MAX - f->n;
	f->overflow = f->overflow || fit < entries;
	if (chain_read(&net->chain, f->macs[f->n], (size_t)fit * ETH_ALEN) !=
	    (size_t)fit * ETH_ALEN)
		return false;
	f->n = (uint16_t)(f->n + fit);
	return chain_read_skip(&net->chain, (size_t)(entries - fit) * ETH_ALEN);
}

/* Unicast first, which is the order the tap's filter wants too. */
static bool set_table(struct net *net)
{
	struct net_filter f = {.promiscuous = net->filter.promiscuous,
			       .all_multicast = net->filter.all_multicast};

	if (!take_table(net, &f) || !take_table(net, &f) || chain_read_left(&net->chain) != 0)
		return false;
	net->filter = f;
	net_filter_apply(net);
	return true;
}

static bool set_mac(struct net *net)
{
	uint8_t mac[ETH_ALEN];

	if (!take(net, mac, sizeof(mac)))
		return false;
	memcpy(net->config.mac, mac, sizeof(mac));
	net_filter_apply(net);
	return true;
}

/* What their driver has notified while they were not in use was not listened to, and it does not say it twice. */
static void look_at_pairs(struct net *net, uint16_t first)
{
	for (uint16_t i = first; i < net->enabled; i++) {
		virtio_notify(net->dev, net_rx_queue(i));
		virtio_notify(net->dev, net_tx_queue(i));
	}
}

static bool set_pairs(struct net *net)
{
	uint16_t before = net->enabled;
	uint16_t pairs = 0;

	if (!take(net, &pairs, sizeof(pairs)))
		return false;
	pairs = le16toh(pairs);
	if (pairs < VIRTIO_NET_CTRL_MQ_VQ_PAIRS_MIN || pairs > net->npairs)
		return false;
	net->enabled = pairs;
	if (net_taps_enable(net)) {
		look_at_pairs(net, before);
		return true;
	}
	net->enabled = before;
	if (!net_taps_enable(net))
		net_lost(net, "queues refused");
	return false;
}

static bool set_offloads(struct net *net)
{
	uint64_t before = net->guest_offloads;
	uint64_t offloads = 0;

	if (!take(net, &offloads, sizeof(offloads)))
		return false;
	offloads = le64toh(offloads);
	if (offloads & ~(net->features & NET_GUEST_OFFLOADS))
		return false;
	net->guest_offloads = offloads;
	if (net_taps_offload(net))
		return true;
	net->guest_offloads = before;
	return false;
}

static const struct {
	uint8_t class, command;
	uint64_t feature;
	bool (*run)(struct net *net);
} commands[] = {
	{VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, NET_BIT(CTRL_RX), set_promiscuous},
	{VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_ALLMULTI, NET_BIT(CTRL_RX), set_all_multicast},
	{VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, NET_BIT(CTRL_RX), set_table},
	{VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, NET_BIT(CTRL_MAC_ADDR), set_mac},
	{VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, NET_BIT(MQ), set_pairs},
	{VIRTIO_NET_CTRL_GUEST_OFFLOADS, VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET,
	 NET_BIT(CTRL_GUEST_OFFLOADS), set_offloads},
};

static bool run_command(struct net *net, const struct virtio_net_ctrl_hdr *hdr)
{
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		if (commands[i].class == hdr->class && commands[i].command == hdr->cmd)
			return (net->features & commands[i].feature) && commands[i].run(net);
	}
	return false;
}

void net_ctrl(struct net *net, uint16_t queue)
{
	struct vq *q = virtio_queue(net->dev, queue);
	struct vq_chain *c = &net->chain;

	while (vq_pop(q, c)) {
		struct virtio_net_ctrl_hdr hdr;
		virtio_net_ctrl_ack ack;

		if (chain_write_left(c) < sizeof(ack) ||
		    chain_read(c, &hdr, sizeof(hdr)) != sizeof(hdr)) {
			virtio_break(net->dev, "control command without a class or an answer");
			return;
		}
		ack = run_command(net, &hdr) ? VIRTIO_NET_OK : VIRTIO_NET_ERR;
		(void)chain_write(c, &ack, sizeof(ack));
		vq_push(c);
	}
	virtio_interrupt(net->dev, q);
}
