/* A device of the guest as the pod's interface: name, address, MTU, no IPv6 addresses of the kernel's own, up. */
#include <errno.h>
#include <linux/if_arp.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "agent/network_internal.h"

/* What a device is called between two names. */
#define BETWEEN_NAME "between%d"

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

int network_make_link(struct nl_socket *s, const struct net_link *want,
		      const struct net_state *wish, struct net_state *have, struct err *err)
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
