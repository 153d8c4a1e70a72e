/*
 * Network device (virtio 1.2, 5.1): features, configuration space, notifications, reset, and the tap that comes and goes.
 * See net.h for the parts and the threads. All offloads a tap has are offered from the start, also by an empty slot: features
 * are negotiated once, and a tap learns by TUNSETOFFLOAD which of them the driver took.
 */
#include "vmm/dev/net.h"

#include <endian.h>
#include <errno.h>
#include <linux/virtio_ids.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>

#include "base/own.h"
#include "vmm/dev/dev.h"

#define MTU_MIN 68 /* 5.1.4.1 */

#define FEATURES                                                                                   \
	(NET_GUEST_OFFLOADS | NET_BIT(CSUM) | NET_BIT(CTRL_GUEST_OFFLOADS) | NET_BIT(MAC) |        \
	 NET_BIT(HOST_TSO4) | NET_BIT(HOST_TSO6) | NET_BIT(HOST_ECN) | NET_BIT(HOST_UFO) |         \
	 NET_BIT(MRG_RXBUF) | NET_BIT(STATUS) | NET_BIT(CTRL_VQ) | NET_BIT(CTRL_RX) |              \
	 NET_BIT(CTRL_MAC_ADDR))

/* What follows are fields of features that are not offered. */
#define CONFIG_BYTES offsetof(struct virtio_net_config, speed)

static void net_config_read(void *self, uint32_t off, void *out, uint32_t len)
{
	const struct net *net = self;

	memcpy(out, (const uint8_t *)&net->config + off, len);
}

/* Frames that came before were for another driver, or for none; the tap has kept no more than its queue is long. */
static void net_start(void *self, uint64_t features)
{
	struct net *net = self;

	net->features = features;
	net->guest_offloads = features & NET_GUEST_OFFLOADS;
	if (!net_taps_offload(net))
		net_lost(net, "offloads refused");
	for (uint16_t i = 0; i < net->ntaps; i++)
		net_tap_watch(net, i);
}

static uint16_t ctrl_queue(const struct net *net)
{
	return net_rx_queue(net->features & NET_BIT(MQ) ? net->npairs : 1);
}

static void net_kick(void *self, uint16_t queue)
{
	struct net *net = self;
	uint16_t pair = queue / 2;

	if (queue == ctrl_queue(net)) {
		if (net->features & NET_BIT(CTRL_VQ))
			net_ctrl(net, queue);
	} else if (pair >= net->enabled) {
		return; /* 5.1.6.5.5: not used now */
	} else if (queue == net_rx_queue(pair)) {
		net_rx(net, pair);
	} else {
		net_tx(net, pair);
	}
}

static void net_reset(void *self)
{
	struct net *net = self;

	net->features = net->guest_offloads = 0;
	net->enabled = 1;
	memcpy(net->config.mac, net->first_mac, ETH_ALEN);
	net_filter_reset(&net->filter);
	net_filter_apply(net);
	for (uint16_t i = 0; i < net->npairs; i++)
		net_rx_reset(net, i);
	if (!net_taps_enable(net) || !net_taps_offload(net))
		net_lost(net, "reset failed");
	for (uint16_t i = 0; i < net->ntaps; i++)
		net_tap_watch(net, i);
}

static void net_destroy(void *self)
{
	struct net *net = self;

	net_taps_detach(net);
	loop_remove(net->source);
	own_close(&net->epoll_fd);
	free(net);
}

static const struct virtio_ops net_ops = {
	.name = "virtio-net",
	.id = VIRTIO_ID_NET,
	.config_read = net_config_read,
	.start = net_start,
	.kick = net_kick,
	.reset = net_reset,
	.destroy = net_destroy,
};

static void set_link(struct net *net, bool up)
{
	net->config.status = htole16(up ? VIRTIO_NET_S_LINK_UP : 0);
	virtio_config_changed(net->dev);
}

/* Those that wait for a tap that is no more: the received ones go, those to be sent are taken up again and dropped. */
static void forget_frames(struct net *net)
{
	for (uint16_t i = 0; i < net->npairs; i++) {
		struct net_pair *p = &net->pairs[i];

		p->rx_len = 0;
		p->rx_starved = false; /* the next one may be short */
		if (p->tx_blocked)
			virtio_notify(net->dev, net_tx_queue(i));
		p->tx_blocked = false;
	}
}

void net_lost(struct net *net, const char *why)
{
	if (net->gone)
		return;
	log_warn("virtio-net: the tap is lost: %s", why);
	net->gone = true;
	for (uint16_t i = 0; i < net->ntaps; i++) {
		if (net->taps[i].listed)
			(void)epoll_ctl(net->epoll_fd, EPOLL_CTL_DEL, net->taps[i].fd, NULL);
		net->taps[i].listed = false;
	}
	forget_frames(net);
	set_link(net, false);
}

static void tap_ready(struct net *net, uint16_t tap, uint32_t events)
{
	if (tap >= net->ntaps || !net->taps[tap].listed)
		return; /* lost by an event before this one */
	if (!(events & EPOLLIN) && (events & (EPOLLERR | EPOLLHUP)))
		net_lost(net, "its other side is gone");
	else if (!virtio_running(net->dev))
		net_tap_watch(net, tap);
	else if (events & EPOLLIN)
		net_rx(net, tap);
	for (uint16_t i = tap; (events & EPOLLOUT) && i < net->enabled && net_link_up(net);
	     i = (uint16_t)(i + net->ntaps)) {
		if (net->pairs[i].tx_blocked)
			net_tx(net, i);
	}
}

static void on_taps(void *arg, int fd, uint32_t events UNUSED)
{
	struct net *net = arg;
	struct epoll_event ready[DEV_NET_MAX_PAIRS];
	int n;

	virtio_lock(net->dev);
	n = epoll_wait(fd, ready, DEV_NET_MAX_PAIRS, 0);
	for (int i = 0; i < n; i++)
		tap_ready(net, (uint16_t)ready[i].data.u32, ready[i].events);
	virtio_unlock(net->dev);
}

static bool is_zero_mac(const uint8_t mac[ETH_ALEN])
{
	static const uint8_t zero[ETH_ALEN];

	return memcmp(mac, zero, ETH_ALEN) == 0;
}

/* IEEE 802: bit 0 of the first byte is the group bit, bit 1 says that the address is local. */
static int choose_mac(struct net *net, const uint8_t mac[ETH_ALEN], struct err *err)
{
	if (mac[0] & 1)
		return err_say(err, EINVAL, "virtio-net: a group address cannot be its address");
	if (!is_zero_mac(mac)) {
		memcpy(net->first_mac, mac, ETH_ALEN);
	} else if (is_zero_mac(net->first_mac)) {
		if (getrandom(net->first_mac, ETH_ALEN, 0) != ETH_ALEN)
			return err_set(err, errno, "virtio-net: random address");
		net->first_mac[0] = (uint8_t)((net->first_mac[0] & ~1U) | 2U);
	}
	memcpy(net->config.mac, net->first_mac, ETH_ALEN);
	return 0;
}

static int check_params(const struct dev_net_params *p, struct err *err)
{
	if (p->queue_pairs > DEV_NET_MAX_PAIRS)
		return err_say(err, EINVAL, "virtio-net: at most %u pairs of queues",
			       DEV_NET_MAX_PAIRS);
	if (p->mtu != 0 && p->mtu < MTU_MIN)
		return err_say(err, EINVAL, "virtio-net: an mtu is at least %u", MTU_MIN);
	return 0;
}

static uint16_t count_pairs(const struct dev_net_params *p)
{
	if (p->queue_pairs > 0)
		return (uint16_t)p->queue_pairs;
	return p->ntaps > 0 && p->ntaps <= DEV_NET_MAX_PAIRS ? (uint16_t)p->ntaps : 1;
}

static uint64_t configure(struct net *net, uint16_t mtu)
{
	uint64_t features = FEATURES;

	net->config.max_virtqueue_pairs = htole16(net->npairs);
	net->config.mtu = htole16(mtu);
	if (net->npairs > 1)
		features |= NET_BIT(MQ);
	if (mtu > 0)
		features |= NET_BIT(MTU);
	return features;
}

static int open_set(struct net *net, struct loop *loop, struct err *err)
{
	net->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (net->epoll_fd < 0)
		return err_set(err, errno, "virtio-net: epoll");
	return loop_add_fd(loop, net->epoll_fd, EPOLLIN, on_taps, net, &net->source, err);
}

static int attach(struct net *net, const struct dev_net_params *p, struct err *err)
{
	int rc = net_taps_prepare(p, net->npairs, err);

	if (rc == 0)
		rc = choose_mac(net, p->mac, err);
	if (rc == 0 && p->ntaps > 0)
		rc = net_taps_attach(net, p, err);
	if (rc < 0)
		return rc;
	net_filter_apply(net);
	set_link(net, net->ntaps > 0);
	return 0;
}

int dev_net_fill(struct virtio_dev *dev, const struct dev_net_params *p, struct err *err)
{
	struct net *net = virtio_self(dev);
	int rc;

	if (p->ntaps == 0)
		return err_say(err, EINVAL, "virtio-net: no tap");
	virtio_lock(dev);
	if (net->ntaps > 0)
		rc = err_say(err, EBUSY, "virtio-net: there is a tap already");
	else
		rc = attach(net, p, err);
	virtio_unlock(dev);
	return rc;
}

void dev_net_empty(struct virtio_dev *dev)
{
	struct net *net = virtio_self(dev);

	virtio_lock(dev);
	if (net->ntaps > 0) {
		net_taps_detach(net);
		forget_frames(net);
		set_link(net, false);
	}
	virtio_unlock(dev);
}

int dev_net_create(const struct dev_net_params *p, struct gmem *mem, struct loop *loop,
		   struct virtio_dev **out, struct err *err)
{
	uint16_t npairs = count_pairs(p);
	struct net *net = NULL;
	struct virtio_dev_params params = {
		.ops = &net_ops,
		.nqueues = (uint16_t)(2 * npairs + 1),
		.queue_size = NET_QUEUE_SIZE,
		.config_len = CONFIG_BYTES,
		.mem = mem,
		.loop = loop,
	};
	int rc = check_params(p, err);

	if (rc < 0)
		return rc;
	net = calloc(1, sizeof(*net) + npairs * sizeof(net->pairs[0]));
	if (!net)
		return err_set(err, ENOMEM, "virtio-net");
	net->npairs = npairs;
	net->enabled = 1;
	net_filter_reset(&net->filter);
	params.self = net;
	params.features = configure(net, p->mtu);
	rc = open_set(net, loop, err);
	if (rc == 0)
		rc = virtio_dev_create(&params, &net->dev, err);
	if (rc < 0) {
		net_destroy(net);
		return rc;
	}
	for (uint16_t i = 0; i < npairs; i++)
		net_rx_reset(net, i);
	rc = attach(net, p, err);
	if (rc < 0) {
		virtio_dev_destroy(net->dev);
		return rc;
	}
	*out = net->dev;
	return 0;
}
