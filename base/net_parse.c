/* rtnetlink messages to plain values (linux/rtnetlink.h, linux/if_link.h, linux/if_addr.h, linux/neighbour.h). */
#include "base/net_state.h"

#include <errno.h>
#include <linux/if_arp.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>

/* Copies the fixed struct and sorts the attributes behind it. */
static bool split(const void *body, size_t len, void *fixed, size_t fixed_len,
		  struct nl_attr *table, size_t ntypes)
{
	const size_t skip = (fixed_len + 3) & ~(size_t)3;

	if (len < skip)
		return false;
	memcpy(fixed, body, fixed_len);
	return nl_parse((const uint8_t *)body + skip, len - skip, table, ntypes);
}

size_t net_ip_bytes(uint8_t family)
{
	return family == AF_INET ? 4 : family == AF_INET6 ? 16 : 0;
}

bool net_ip_equal(const struct net_ip *a, const struct net_ip *b)
{
	return a->family == b->family && memcmp(a->bytes, b->bytes, net_ip_bytes(a->family)) == 0;
}

/* Family 0 when the attribute is not there; false when it has not that family's length. */
static bool get_ip(const struct nl_attr *a, uint8_t family, struct net_ip *out)
{
	*out = (struct net_ip){0};
	if (!a->data)
		return true;
	if (a->len != net_ip_bytes(family) || a->len == 0)
		return false;
	out->family = family;
	memcpy(out->bytes, a->data, a->len);
	return true;
}

static void get_mac(const struct nl_attr *a, uint8_t mac[NET_MAC_BYTES])
{
	if (a->data && a->len == NET_MAC_BYTES)
		memcpy(mac, a->data, NET_MAC_BYTES);
}

int net_parse_link(const void *body, size_t len, struct net_link *out)
{
	struct nl_attr a[IFLA_MAX + 1], info[IFLA_INFO_MAX + 1];
	struct ifinfomsg m;

	if (!split(body, len, &m, sizeof(m), a, ARRAY_SIZE(a)))
		return -EBADMSG;
	*out = (struct net_link){
		.index = m.ifi_index,
		.type = m.ifi_type,
		.flags = m.ifi_flags,
		.mtu = nl_u32(&a[IFLA_MTU], 0),
		.enslaved = nl_u32(&a[IFLA_MASTER], 0) != 0,
		/* With a namespace id the other link is elsewhere: a veth's peer, the parent of a macvlan. */
		.stacked = a[IFLA_LINK].data && !a[IFLA_LINK_NETNSID].data,
	};
	nl_text(&a[IFLA_IFNAME], out->name, sizeof(out->name));
	get_mac(&a[IFLA_ADDRESS], out->mac);
	get_mac(&a[IFLA_PERM_ADDRESS], out->permanent_mac);
	if (!out->name[0] || m.ifi_index <= 0)
		return -EBADMSG;
	if (!a[IFLA_LINKINFO].data)
		return 0;
	if (!nl_parse(a[IFLA_LINKINFO].data, a[IFLA_LINKINFO].len, info, ARRAY_SIZE(info)))
		return -EBADMSG;
	nl_text(&info[IFLA_INFO_KIND], out->kind, sizeof(out->kind));
	return 0;
}

int net_parse_address(const void *body, size_t len, struct net_address *out)
{
	struct nl_attr a[IFA_MAX + 1];
	struct net_ip address, local;
	struct ifaddrmsg m;

	if (!split(body, len, &m, sizeof(m), a, ARRAY_SIZE(a)))
		return -EBADMSG;
	if (!net_ip_bytes(m.ifa_family))
		return 1;
	*out = (struct net_address){
		.link = (int)m.ifa_index,
		.prefix = m.ifa_prefixlen,
		.scope = m.ifa_scope,
		.flags = nl_u32(&a[IFA_FLAGS], m.ifa_flags),
	};
	if (!get_ip(&a[IFA_ADDRESS], m.ifa_family, &address) ||
	    !get_ip(&a[IFA_LOCAL], m.ifa_family, &local) ||
	    !get_ip(&a[IFA_BROADCAST], m.ifa_family, &out->broadcast) ||
	    m.ifa_prefixlen > 8 * net_ip_bytes(m.ifa_family))
		return -EBADMSG;
	/* IFA_LOCAL is ours and IFA_ADDRESS the other end's; without a peer they are the same, or there is one only. */
	out->ip = local.family ? local : address;
	if (local.family && address.family && !net_ip_equal(&local, &address))
		out->peer = address;
	return out->ip.family ? 0 : -EBADMSG;
}

/* RTA_VIA: a gateway of another family, behind two bytes that name it. */
static bool get_via(const struct nl_attr *a, struct net_ip *out)
{
	uint16_t family;

	if (!a->data)
		return true;
	if (a->len < sizeof(family))
		return false;
	memcpy(&family, a->data, sizeof(family));
	const struct nl_attr rest = {a->data + sizeof(family), a->len - sizeof(family)};

	return family <= UINT8_MAX && get_ip(&rest, (uint8_t)family, out);
}

static bool get_route_mtu(const struct nl_attr *a, uint32_t *mtu)
{
	struct nl_attr metrics[RTAX_MAX + 1];

	if (!a->data)
		return true;
	if (!nl_parse(a->data, a->len, metrics, ARRAY_SIZE(metrics)))
		return false;
	*mtu = nl_u32(&metrics[RTAX_MTU], 0);
	return true;
}

int net_parse_route(const void *body, size_t len, struct net_route *out)
{
	struct nl_attr a[RTA_MAX + 1];
	struct rtmsg m;

	if (!split(body, len, &m, sizeof(m), a, ARRAY_SIZE(a)))
		return -EBADMSG;
	/* Cloned ones are a cache of IPv6 and no configuration. */
	if (!net_ip_bytes(m.rtm_family) || (m.rtm_flags & RTM_F_CLONED) ||
	    nl_u32(&a[RTA_TABLE], m.rtm_table) != RT_TABLE_MAIN || m.rtm_type != RTN_UNICAST ||
	    !a[RTA_OIF].data || a[RTA_MULTIPATH].data)
		return 1;
	*out = (struct net_route){
		.link = (int)nl_u32(&a[RTA_OIF], 0),
		.family = m.rtm_family,
		.type = m.rtm_type,
		.scope = m.rtm_scope,
		.protocol = m.rtm_protocol,
		.prefix = m.rtm_dst_len,
		.metric = nl_u32(&a[RTA_PRIORITY], 0),
		.onlink = (m.rtm_flags & RTNH_F_ONLINK) != 0,
	};
	if (!get_ip(&a[RTA_DST], m.rtm_family, &out->destination) ||
	    !get_ip(&a[RTA_GATEWAY], m.rtm_family, &out->gateway) ||
	    !get_via(&a[RTA_VIA], &out->gateway) ||
	    !get_ip(&a[RTA_PREFSRC], m.rtm_family, &out->source) ||
	    !get_route_mtu(&a[RTA_METRICS], &out->mtu) ||
	    m.rtm_dst_len > 8 * net_ip_bytes(m.rtm_family) ||
	    (m.rtm_dst_len && !out->destination.family))
		return -EBADMSG;
	return 0;
}

int net_parse_neighbour(const void *body, size_t len, struct net_neighbour *out)
{
	struct nl_attr a[NDA_MAX + 1];
	struct ndmsg m;

	if (!split(body, len, &m, sizeof(m), a, ARRAY_SIZE(a)))
		return -EBADMSG;
	if (!net_ip_bytes(m.ndm_family) || !(m.ndm_state & NUD_PERMANENT) ||
	    (m.ndm_flags & NTF_PROXY) || a[NDA_LLADDR].len != NET_MAC_BYTES)
		return 1;
	*out = (struct net_neighbour){.link = m.ndm_ifindex};
	if (!get_ip(&a[NDA_DST], m.ndm_family, &out->ip) || !out->ip.family)
		return -EBADMSG;
	get_mac(&a[NDA_LLADDR], out->mac);
	return 0;
}
