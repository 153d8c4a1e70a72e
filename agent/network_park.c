/*
 * Devices that no interface of the pod uses, spare slots above all, wait in a network namespace of their own, so that a workload
 * sees only what its pod has. Moving there takes a device down and everything off it; it is found again by its address.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_arp.h>
#include <linux/rtnetlink.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "agent/network_internal.h"
#include "base/own.h"

#define OWN_NS "/proc/self/ns/net"

/* Made when it is first needed. */
static int open_park(struct network *n, struct err *err)
{
	AUTO_FD int home = -1;
	AUTO_FD int park = -1;

	if (n->park_ns >= 0)
		return 0;
	home = open(OWN_NS, O_RDONLY | O_CLOEXEC);
	if (home < 0 || unshare(CLONE_NEWNET) < 0)
		return err_set(err, errno, "make a namespace for spare network devices");
	park = open(OWN_NS, O_RDONLY | O_CLOEXEC);
	int rc = park < 0 ? err_set(err, errno, "open '%s'", OWN_NS) : nl_open(&n->park, 0, err);

	BUG_ON(setns(home, CLONE_NEWNET) < 0);
	if (!rc)
		n->park_ns = TAKE_FD(&park);
	return rc;
}

/* `from`: a socket of the namespace it is in. The name is free wherever it goes: no two devices have an address. */
static int move_link(struct nl_socket *from, const struct net_link *link, int to_ns_fd,
		     struct err *err)
{
	const struct ifinfomsg body = {.ifi_family = AF_UNSPEC, .ifi_index = link->index};
	const uint8_t *mac = network_device_mac(link);
	char name[IFNAMSIZ];
	struct nl_msg m;

	(void)snprintf(name, sizeof(name), "spare%02x%02x%02x", mac[3], mac[4], mac[5]);
	nl_begin(&m, RTM_NEWLINK, 0, &body, sizeof(body));
	nl_put_u32(&m, IFLA_NET_NS_FD, (uint32_t)to_ns_fd);
	nl_put_str(&m, IFLA_IFNAME, name);
	int rc = nl_request(from, &m, err);

	return rc ? err_wrap(err, "move network device '%s'", link->name) : 0;
}

int network_park_rest(struct network *n, struct nl_socket *s, const struct net_state *wish,
		      const struct net_state *have, struct err *err)
{
	int rc = 0;

	for (size_t i = 0; !rc && i < have->nlinks; i++) {
		const struct net_link *link = &have->links[i];

		if (net_state_link(wish, link->index) ||
		    (!network_is_hardware(link) && !net_state_link(&n->applied, link->index)))
			continue;
		rc = open_park(n, err);
		if (!rc)
			rc = move_link(s, link, n->park_ns, err);
	}
	return rc;
}

int network_park_fetch(struct network *n, const struct net_state *wish, struct err *err)
{
	AUTO_NET_STATE struct net_state parked = NET_STATE_INIT;
	AUTO_FD int home = -1;

	if (n->park_ns < 0)
		return 0;
	home = open(OWN_NS, O_RDONLY | O_CLOEXEC);
	int rc = home < 0 ? err_set(err, errno, "open '%s'", OWN_NS)
			  : net_state_read(&n->park, &parked, err);

	for (size_t i = 0; !rc && i < wish->nlinks; i++) {
		const int index = network_find_device(&parked, wish->links[i].permanent_mac);

		if (index)
			rc = move_link(&n->park, net_state_link(&parked, index), home, err);
	}
	return rc;
}

void network_done(struct network *n)
{
	net_state_done(&n->applied);
	nl_close(&n->park);
	own_close(&n->park_ns);
}
