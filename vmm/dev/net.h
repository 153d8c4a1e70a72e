/*
 * Inside the network device (virtio 1.2, 5.1): what its files share. Frames pass between guest memory and the tap in one
 * system call each, behind the 12 bytes of virtio_net_hdr_v1, which the tap speaks itself.
 *
 *	net.c		the device: features, configuration, notifications, reset, fill and empty
 *	net_tap.c	the tap's descriptors: what they must be, offloads, queues, what is waited for
 *	net_rx.c	frames to the guest
 *	net_tx.c	frames from the guest, and the check of their headers
 *	net_ctrl.c	the control queue
 *	net_filter.c	which addresses the tap lets through
 *
 * Queues: receive and transmit of pair i are 2i and 2i+1; the control queue follows the last pair, where "last" is that of
 * the offer when MQ was negotiated and else the first (5.1.2).
 *
 * Threads: everything under the device's lock. The descriptors hang in an epoll set of the device's own, which is one source
 * of its loop: so they come and go under the lock on any thread (fill, empty, reset), and an event is never of a descriptor
 * that has gone. One thread serves all pairs: with one lock a device, more would only wait for each other.
 *
 * Bounds: NET_RX_BUDGET or NET_TX_BUDGET frames, or the core's budget of requests, before the loop looks at something else; one frame held
 * back a pair; while the guest has no buffer for the next frame, its tap is not read.
 */
#ifndef NACRE_VMM_DEV_NET_H
#define NACRE_VMM_DEV_NET_H

#include <linux/if_ether.h>
#include <linux/virtio_net.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/log.h"
#include "base/loop.h"
#include "vmm/dev/dev.h"
#include "vmm/virtio/gather.h"
#include "vmm/virtio/virtio.h"

#define NET_HDR_BYTES 12U
_Static_assert(sizeof(struct virtio_net_hdr_v1) == NET_HDR_BYTES, "virtio 1.2, 5.1.6");

/* The longest IP packet with its Ethernet header and two VLAN tags: what segmentation offload may make. */
#define NET_FRAME_MAX (65535U + ETH_HLEN + 8U)
#define NET_RX_BUDGET 64
#define NET_TX_BUDGET 256

#define NET_QUEUE_SIZE 256
_Static_assert(NET_QUEUE_SIZE <= GATHER_MAX_CHAINS, "a gather holds a whole queue");

#define NET_BIT(name) (1ULL << VIRTIO_NET_F_##name)

/* What the guest lets us leave undone in frames to it. */
#define NET_GUEST_OFFLOADS                                                                         \
	(NET_BIT(GUEST_CSUM) | NET_BIT(GUEST_TSO4) | NET_BIT(GUEST_TSO6) | NET_BIT(GUEST_ECN) |    \
	 NET_BIT(GUEST_UFO))

static inline uint16_t net_rx_queue(uint16_t pair)
{
	return (uint16_t)(2 * pair);
}

static inline uint16_t net_tx_queue(uint16_t pair)
{
	return (uint16_t)(2 * pair + 1);
}

struct net_tap {
	int fd;
	bool is_socket; /* stands in for a tap: has no ioctls */
	bool listed;    /* in the epoll set, and its queue attached in the kernel */
	uint32_t events;
};

struct net_pair {
	bool rx_starved; /* the guest has no buffer for the next frame; its notification ends that */
	bool tx_blocked; /* the tap takes no more for now */

	/* A frame that was read: rx_len bytes with the header, of which those from rx_split on are in rx_rest. 0: none. */
	uint32_t rx_len, rx_split;
	struct vq_gather rx;
	uint8_t rx_rest[NET_HDR_BYTES + NET_FRAME_MAX];
};

/* What the driver asked to receive (5.1.6.5.1, 5.1.6.5.2). More addresses than fit are as good as promiscuous. */
#define NET_FILTER_MAX 64
struct net_filter {
	bool promiscuous, all_multicast, overflow;
	uint16_t n;
	uint8_t macs[NET_FILTER_MAX][ETH_ALEN];
};

/*
 * What the tap was told last, so that it is told only what is new: each time costs the lock of all of the host's network
 * configuration (RTNL), and the guest decides how often. All ones: unknown.
 */
#define NET_TOLD_ADDRESSES (2 + NET_FILTER_MAX) /* our own and broadcast first */
struct net_told {
	unsigned int offloads;                             /* TUN_F_* */
	uint8_t filter[4 + NET_TOLD_ADDRESSES * ETH_ALEN]; /* a struct tun_filter */
};

struct net {
	struct virtio_dev *dev; /* owns us */
	int epoll_fd;
	struct loop_source *source;

	uint64_t features;       /* negotiated; 0 until DRIVER_OK */
	uint64_t guest_offloads; /* GUEST_* in force, of those negotiated */
	struct virtio_net_config config;
	uint8_t first_mac[ETH_ALEN]; /* what a reset goes back to */
	struct net_filter filter;

	struct net_tap taps[DEV_NET_MAX_PAIRS];
	struct net_told told;
	uint16_t ntaps; /* 0: link down */
	bool gone;      /* the taps' other side has ended: link down, too */

	struct log_limit limit;
	struct vq_chain chain;
	uint16_t npairs, enabled; /* enabled: those the driver uses, 1 after a reset (5.1.6.5.5) */
	struct net_pair pairs[];
};

/* --- net_tap.c --------------------------------------------------------------------------------------------------- */

/* Whether the descriptors will do; sets them to our header and to non-blocking. `max`: how many may be. */
int net_taps_prepare(const struct dev_net_params *p, unsigned max, struct err *err) MUST_CHECK;
/* Takes prepared ones over, on success only. */
int net_taps_attach(struct net *net, const struct dev_net_params *p, struct err *err) MUST_CHECK;
/* Closes them all. */
void net_taps_detach(struct net *net);
/* Attaches the queues of enabled pairs and detaches the others: a flow is never steered to a queue nobody reads. */
bool net_taps_enable(struct net *net) MUST_CHECK;
/* Tells the tap what the guest can take (guest_offloads). */
bool net_taps_offload(struct net *net) MUST_CHECK;
/* Waits for what tap i is now needed for. */
void net_tap_watch(struct net *net, uint16_t tap);
/* The tap serving a pair's transmit queue. Needs a tap. */
uint16_t net_tap_of(const struct net *net, uint16_t pair);

/* --- net_rx.c, net_tx.c, net_ctrl.c, net_filter.c, net.c ------------------------------------------------------------ */

void net_rx(struct net *net, uint16_t pair);
void net_rx_reset(struct net *net, uint16_t pair);
void net_tx(struct net *net, uint16_t pair);
void net_ctrl(struct net *net, uint16_t queue);

void net_filter_reset(struct net_filter *f);
/* Gives the filter to the tap: what it lets through besides is the guest's to drop. */
void net_filter_apply(struct net *net);

static inline bool net_link_up(const struct net *net)
{
	return net->ntaps > 0 && !net->gone;
}

/* A descriptor hung up or failed: link down, until the device is emptied and filled. */
void net_lost(struct net *net, const char *why);

#endif
