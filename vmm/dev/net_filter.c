/*
 * Receive filtering (virtio 1.2, 5.1.6.5.1 and 5.1.6.5.2) by the tap's own filter (TUNSETTXFILTER), so that a frame for
 * others does not wake the guest. It is best effort on both sides: the tap knows a few addresses exactly, hashes the
 * multicast ones behind them, and lets all pass when there are more.
 */
#include <linux/if_tun.h>
#include <string.h>
#include <sys/ioctl.h>

#include "vmm/dev/net.h"

_Static_assert(sizeof(((struct net_told *)0)->filter) ==
		       sizeof(struct tun_filter) + NET_TOLD_ADDRESSES * ETH_ALEN,
	       "net.h");

void net_filter_reset(struct net_filter *f)
{
	*f = (struct net_filter){.promiscuous = true};
}

void net_filter_apply(struct net *net)
{
	static const uint8_t broadcast[ETH_ALEN] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
	const struct net_filter *f = &net->filter;
	struct tun_filter head = {0};
	uint8_t tun[sizeof(net->told.filter)] ALIGNED(4) = {0};
	uint8_t *macs = tun + sizeof(head);

	if (!net_link_up(net) || net->taps[0].is_socket)
		return;
	if (!f->promiscuous && !f->overflow) {
		memcpy(macs, net->config.mac, ETH_ALEN);
		memcpy(macs + ETH_ALEN, broadcast, ETH_ALEN);
		memcpy(macs + 2 * ETH_ALEN, f->macs, f->n * sizeof(f->macs[0]));
		head.count = (uint16_t)(2 + f->n);
		head.flags = f->all_multicast ? TUN_FLT_ALLMULTI : 0;
	}
	memcpy(tun, &head, sizeof(head));
	if (memcmp(tun, net->told.filter, sizeof(tun)) == 0)
		return;
	/* Without a filter all passes, which is no less right. */
	if (ioctl(net->taps[0].fd, TUNSETTXFILTER, tun) >= 0)
		memcpy(net->told.filter, tun, sizeof(tun));
}
