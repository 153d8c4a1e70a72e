/* One address, route or neighbour, added or taken away by rtnetlink(7). */
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>

#include "agent/network_internal.h"

static void put_ip(struct nl_msg *m, uint16_t type, const struct net_ip *ip)
{
	if (ip->family)
		nl_put(m, type, ip->bytes, net_ip_bytes(ip->family));
}

int network_change_address(struct nl_socket *s, const struct net_address *a, bool add,
			   struct err *err)
{
	const struct ifaddrmsg body = {
		.ifa_family = a->ip.family,
		.ifa_prefixlen = a->prefix,
		.ifa_scope = a->scope,
		.ifa_index = (unsigned)a->link,
	};
	/* The host has found it unique, and there is nobody to ask: the same address is on the interface beside the tap. */
	uint32_t flags =
		(a->flags & IFA_F_NOPREFIXROUTE) | (a->ip.family == AF_INET6 ? IFA_F_NODAD : 0);
	struct nl_msg m;

	nl_begin(&m, add ? RTM_NEWADDR : RTM_DELADDR, add ? NLM_F_CREATE | NLM_F_REPLACE : 0, &body,
		 sizeof(body));
	put_ip(&m, IFA_LOCAL, &a->ip);
	put_ip(&m, IFA_ADDRESS, a->peer.family ? &a->peer : &a->ip);
	put_ip(&m, IFA_BROADCAST, &a->broadcast);
	nl_put_u32(&m, IFA_FLAGS, flags);
	return nl_request(s, &m, err);
}

static void put_gateway(struct nl_msg *m, const struct net_route *r)
{
	struct {
		uint16_t family;
		uint8_t bytes[16];
	} via = {.family = r->gateway.family};

	if (r->gateway.family == r->family) {
		put_ip(m, RTA_GATEWAY, &r->gateway);
	} else if (r->gateway.family) {
		size_t len = net_ip_bytes(r->gateway.family);

		memcpy(via.bytes, r->gateway.bytes, len);
		nl_put(m, RTA_VIA, &via, sizeof(via.family) + len);
	}
}

int network_change_route(struct nl_socket *s, const struct net_route *r, bool add, struct err *err)
{
	const struct rtmsg body = {
		.rtm_family = r->family,
		.rtm_dst_len = r->prefix,
		.rtm_table = RT_TABLE_MAIN,
		.rtm_protocol = r->protocol,
		.rtm_scope = r->scope,
		.rtm_type = r->type,
		.rtm_flags = r->onlink ? RTNH_F_ONLINK : 0,
	};
	struct nl_msg m;

	nl_begin(&m, add ? RTM_NEWROUTE : RTM_DELROUTE, add ? NLM_F_CREATE : 0, &body,
		 sizeof(body));
	put_ip(&m, RTA_DST, &r->destination);
	put_gateway(&m, r);
	put_ip(&m, RTA_PREFSRC, &r->source);
	nl_put_u32(&m, RTA_OIF, (uint32_t)r->link);
	if (r->metric)
		nl_put_u32(&m, RTA_PRIORITY, r->metric);
	if (r->mtu) {
		size_t metrics = nl_nest_begin(&m, RTA_METRICS);

		nl_put_u32(&m, RTAX_MTU, r->mtu);
		nl_nest_end(&m, metrics);
	}
	return nl_request(s, &m, err);
}

int network_change_neighbour(struct nl_socket *s, const struct net_neighbour *n, bool add,
			     struct err *err)
{
	const struct ndmsg body = {
		.ndm_family = n->ip.family,
		.ndm_ifindex = n->link,
		.ndm_state = NUD_PERMANENT,
	};
	struct nl_msg m;

	nl_begin(&m, add ? RTM_NEWNEIGH : RTM_DELNEIGH, add ? NLM_F_CREATE | NLM_F_REPLACE : 0,
		 &body, sizeof(body));
	put_ip(&m, NDA_DST, &n->ip);
	if (add)
		nl_put(&m, NDA_LLADDR, n->mac, NET_MAC_BYTES);
	return nl_request(s, &m, err);
}
