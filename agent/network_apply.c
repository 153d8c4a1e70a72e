/*
 * From a wish to the guest's network, in an order in which each step finds what it needs: devices found, old things taken
 * back, names freed and given, links up, addresses, routes without a gateway, routes through one, neighbours.
 */
#include <errno.h>
#include <linux/if_arp.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "agent-proto/agent.pb-c.h"
#include "agent/network_internal.h"

/* What a device is called between two names. */
#define BETWEEN_NAME "between%d"

/* --- links ------------------------------------------------------------------------------------------------------- */

static void begin_link(struct nl_msg *m, int index, unsigned flags)
{
	const struct ifinfomsg body = {
		.ifi_family = AF_UNSPEC,
		.ifi_index = index,
		.ifi_flags = flags & IFF_UP,
		.ifi_change = IFF_UP,
	};

	nl_begin(m, RTM_NEWLINK, 0, &body, sizeof(body));
}

static int set_link(struct nl_socket *s, int index, bool up, struct err *err)
{
	struct nl_msg m;

	begin_link(&m, index, up ? IFF_UP : 0);
	return nl_request(s, &m, err);
}

static int set_name(struct nl_socket *s, int index, const char *name, struct err *err)
{
	struct nl_msg m;
	int rc = set_link(s, index, false, err); /* before 6.2 a name is changed only so */

	begin_link(&m, index, 0);
	nl_put_str(&m, IFLA_IFNAME, name);
	if (!rc)
		rc = nl_request(s, &m, err);

	return rc ? err_wrap(err, "name an interface '%s'", name) : 0;
}

/* IPv6 addresses are those of the host, the link-local one too: the kernel is to make none. */
static void put_no_ipv6_addresses(struct nl_msg *m)
{
	size_t spec = nl_nest_begin(m, IFLA_AF_SPEC);
	size_t inet6 = nl_nest_begin(m, AF_INET6);

	nl_put_u8(m, IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);
	nl_nest_end(m, inet6);
	nl_nest_end(m, spec);
}

static int shape_link(struct nl_socket *s, const struct net_link *want, const struct net_link *have,
		      struct err *err)
{
	struct err no_ipv6 = ERR_INIT;
	struct nl_msg m;

	begin_link(&m, have->index, have->flags);
	put_no_ipv6_addresses(&m);
	int rc = nl_request(s, &m, &no_ipv6);
	if (rc && rc != -EAFNOSUPPORT && rc != -EOPNOTSUPP) {
		*err = no_ipv6;
		return rc;
	}
	begin_link(&m, have->index, have->flags);
	if (want->mtu && want->mtu != have->mtu)
		nl_put_u32(&m, IFLA_MTU, want->mtu);
	if (memcmp(want->mac, have->mac, NET_MAC_BYTES) != 0)
		nl_put(&m, IFLA_ADDRESS, want->mac, NET_MAC_BYTES);
	return nl_request(s, &m, err);
}

bool network_is_hardware(const struct net_link *link)
{
	static const uint8_t none[NET_MAC_BYTES];

	return memcmp(link->permanent_mac, none, NET_MAC_BYTES) != 0;
}

const uint8_t *network_device_mac(const struct net_link *link)
{
	return network_is_hardware(link) ? link->permanent_mac : link->mac;
}

int network_find_device(const struct net_state *have, const uint8_t mac[NET_MAC_BYTES])
{
	for (size_t i = 0; i < have->nlinks; i++) {
		const struct net_link *link = &have->links[i];

		if (link->type == ARPHRD_ETHER && !link->enslaved && !link->stacked &&
		    memcmp(network_device_mac(link), mac, NET_MAC_BYTES) == 0)
			return link->index;
	}
	return 0;
}

/* From interface numbers to the guest's links. */
static int bind_links(struct net_state *wish, const struct net_state *have, struct err *err)
{
	for (size_t i = 0; i < wish->nlinks; i++) {
		const uint8_t *mac = wish->links[i].permanent_mac;

		wish->links[i].index = network_find_device(have, mac);
		if (!wish->links[i].index)
			return err_say(err, ENODEV,
				       "the guest has no network device "
				       "%02x:%02x:%02x:%02x:%02x:%02x for '%s'",
				       mac[0], mac[1], mac[2], mac[3], mac[4], mac[5],
				       wish->links[i].name);
	}
	for (size_t i = 0; i < wish->naddresses; i++)
		wish->addresses[i].link = wish->links[wish->addresses[i].link].index;
	for (size_t i = 0; i < wish->nroutes; i++)
		wish->routes[i].link = wish->links[wish->routes[i].link].index;
	for (size_t i = 0; i < wish->nneighbours; i++)
		wish->neighbours[i].link = wish->links[wish->neighbours[i].link].index;
	return 0;
}

/* A name that a device of the pod is to have is taken from another of them, which gets its own later. */
static int free_name(struct nl_socket *s, const struct net_link *want, const struct net_state *wish,
		     struct net_state *have, struct err *err)
{
	for (size_t i = 0; i < have->nlinks; i++) {
		struct net_link *link = &have->links[i];

		if (link->index == want->index || strcmp(link->name, want->name) != 0 ||
		    (!network_is_hardware(link) && !net_state_link(wish, link->index)))
			continue;
		(void)snprintf(link->name, sizeof(link->name), BETWEEN_NAME, link->index);
		link->flags &= ~(unsigned)IFF_UP;
		return set_name(s, link->index, link->name, err);
	}
	return 0;
}

static int make_link(struct nl_socket *s, const struct net_link *want, const struct net_state *wish,
		     struct net_state *have, struct err *err)
{
	struct net_link *now = (struct net_link *)(uintptr_t)net_state_link(have, want->index);
	int rc = 0;

	if (strcmp(now->name, want->name) != 0) {
		rc = free_name(s, want, wish, have, err);
		if (!rc)
			rc = set_name(s, want->index, want->name, err);
		memcpy(now->name, want->name, sizeof(now->name));
		now->flags &= ~(unsigned)IFF_UP;
	}
	if (!rc)
		rc = shape_link(s, want, now, err);
	if (!rc)
		rc = set_link(s, want->index, true, err);
	return rc ? err_wrap(err, "interface '%s'", want->name) : 0;
}

/* --- addresses, routes, neighbours ------------------------------------------------------------------------------- */

static void put_ip(struct nl_msg *m, uint16_t type, const struct net_ip *ip)
{
	if (ip->family)
		nl_put(m, type, ip->bytes, net_ip_bytes(ip->family));
}

static int change_address(struct nl_socket *s, const struct net_address *a, bool add,
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

static int change_route(struct nl_socket *s, const struct net_route *r, bool add, struct err *err)
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

static int change_neighbour(struct nl_socket *s, const struct net_neighbour *n, bool add,
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

static bool same_address(const struct net_address *a, const struct net_address *b)
{
	return a->link == b->link && a->prefix == b->prefix && net_ip_equal(&a->ip, &b->ip) &&
	       net_ip_equal(&a->peer, &b->peer);
}

static bool same_route(const struct net_route *a, const struct net_route *b)
{
	return a->link == b->link && a->family == b->family && a->prefix == b->prefix &&
	       a->metric == b->metric && a->scope == b->scope && a->mtu == b->mtu &&
	       a->onlink == b->onlink && net_ip_equal(&a->destination, &b->destination) &&
	       net_ip_equal(&a->gateway, &b->gateway) && net_ip_equal(&a->source, &b->source);
}

static bool same_neighbour(const struct net_neighbour *a, const struct net_neighbour *b)
{
	return a->link == b->link && net_ip_equal(&a->ip, &b->ip);
}

/* --- what is not wished any more --------------------------------------------------------------------------------- */

/* It may be gone already: with its link, with its address, or by the workload's hand. */
#define TAKE_BACK(name, list)                                                                      \
	static void take_back_##list(struct nl_socket *s, const struct net_state *old,             \
				     const struct net_state *wish)                                 \
	{                                                                                          \
		for (size_t i = 0; i < old->n##list; i++) {                                        \
			struct err gone = ERR_INIT;                                                \
			size_t j = 0;                                                              \
                                                                                                   \
			while (j < wish->n##list && !same_##name(&old->list[i], &wish->list[j]))   \
				j++;                                                               \
			if (j == wish->n##list)                                                    \
				(void)change_##name(s, &old->list[i], false, &gone);               \
		}                                                                                  \
	}

TAKE_BACK(neighbour, neighbours)
TAKE_BACK(route, routes)
TAKE_BACK(address, addresses)

/* --- all of it --------------------------------------------------------------------------------------------------- */

static int make_addresses(struct nl_socket *s, const struct net_state *wish, struct err *err)
{
	int rc = 0;

	for (size_t i = 0; !rc && i < wish->naddresses; i++)
		rc = change_address(s, &wish->addresses[i], true, err);
	return rc ? err_wrap(err, "add an address") : 0;
}

/* A gateway must be reachable by a route that is there. */
static int make_routes(struct nl_socket *s, const struct net_state *wish, struct err *err)
{
	int rc = 0;

	for (int through = 0; through < 2; through++) {
		for (size_t i = 0; !rc && i < wish->nroutes; i++) {
			struct err why = ERR_INIT;

			if ((wish->routes[i].gateway.family != 0) != through)
				continue;
			rc = change_route(s, &wish->routes[i], true, &why);
			if (rc == -EEXIST)
				rc = 0;
			else if (rc)
				*err = why;
		}
	}
	return rc ? err_wrap(err, "add a route") : 0;
}

static int make_neighbours(struct nl_socket *s, const struct net_state *wish, struct err *err)
{
	int rc = 0;

	for (size_t i = 0; !rc && i < wish->nneighbours; i++)
		rc = change_neighbour(s, &wish->neighbours[i], true, err);
	return rc ? err_wrap(err, "add a neighbour") : 0;
}

static int make(struct nl_socket *s, struct net_state *wish, struct net_state *have,
		struct err *err)
{
	int rc = 0;

	for (size_t i = 0; !rc && i < wish->nlinks; i++)
		rc = make_link(s, &wish->links[i], wish, have, err);
	if (!rc)
		rc = make_addresses(s, wish, err);
	if (!rc)
		rc = make_routes(s, wish, err);
	if (!rc)
		rc = make_neighbours(s, wish, err);
	return rc;
}

static void take_back(struct nl_socket *s, const struct net_state *old,
		      const struct net_state *wish)
{
	take_back_neighbours(s, old, wish);
	take_back_routes(s, old, wish);
	take_back_addresses(s, old, wish);
}

int network_apply(struct network *n, struct nl_socket *s, struct net_state *wish, struct err *err)
{
	AUTO_NET_STATE struct net_state have = NET_STATE_INIT;
	int rc = network_park_fetch(n, wish, err);

	if (!rc)
		rc = net_state_read(s, &have, err);
	if (!rc)
		rc = bind_links(wish, &have, err);
	if (!rc)
		rc = network_park_rest(n, s, wish, &have, err);
	if (!rc)
		rc = net_state_read(s, &have, err); /* without those */
	if (rc)
		return rc;
	take_back(s, &n->applied, wish);
	/* From here on there may be anything of the wish. */
	net_state_done(&n->applied);
	n->applied = *wish;
	*wish = (struct net_state)NET_STATE_INIT;
	return make(s, &n->applied, &have, err);
}

int network_configure(struct network *n, const Nacre__Agent__V1__ConfigureNetworkRequest *in,
		      struct err *err)
{
	AUTO_NET_STATE struct net_state wish = NET_STATE_INIT;
	AUTO_NL struct nl_socket s = NL_SOCKET_INIT;
	int rc = network_decode(in, &wish, err);

	if (!rc)
		rc = nl_open(&s, 0, err);
	return rc ? rc : network_apply(n, &s, &wish, err);
}
