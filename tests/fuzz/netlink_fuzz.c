/*
 * A kernel's answers: the first byte chooses whether the rest is a datagram of answers, whose messages go to the parser that
 * their type names, or a ConfigureNetworkRequest.
 */
#include <linux/rtnetlink.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "agent-proto/agent.pb-c.h"
#include "agent/network.h"
#include "base/net_state.h"
#include "base/netlink.h"

#define SEQUENCE 1

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_ip(const struct net_ip *ip)
{
	BUG_ON(ip->family && !net_ip_bytes(ip->family));
}

static int on_message(void *arg, uint16_t type, const void *body, size_t len)
{
	struct net_link link;
	struct net_address address;
	struct net_route route;
	struct net_neighbour neighbour;

	(void)arg;
	switch (type) {
	case RTM_NEWLINK:
		if (net_parse_link(body, len, &link) == 0)
			BUG_ON(!memchr(link.name, '\0', sizeof(link.name)) || link.index <= 0);
		break;
	case RTM_NEWADDR:
		if (net_parse_address(body, len, &address) == 0)
			BUG_ON(address.prefix > 8 * net_ip_bytes(address.ip.family));
		break;
	case RTM_NEWROUTE:
		if (net_parse_route(body, len, &route) == 0)
			check_ip(&route.gateway);
		break;
	case RTM_NEWNEIGH:
		if (net_parse_neighbour(body, len, &neighbour) == 0)
			check_ip(&neighbour.ip);
		break;
	}
	return 0;
}

static void decode_request(const uint8_t *data, size_t size)
{
	Nacre__Agent__V1__ConfigureNetworkRequest *m =
		nacre__agent__v1__configure_network_request__unpack(NULL, size, data);
	AUTO_NET_STATE struct net_state wish = NET_STATE_INIT;
	struct err err = ERR_INIT;

	if (m && network_decode(m, &wish, &err) == 0)
		for (size_t i = 0; i < wish.nroutes; i++)
			BUG_ON((size_t)wish.routes[i].link >= wish.nlinks);
	if (m)
		nacre__agent__v1__configure_network_request__free_unpacked(m, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	bool done = false, interrupted = false;
	struct err err = ERR_INIT;

	if (size == 0)
		return 0;
	if (data[0] & 1)
		decode_request(data + 1, size - 1);
	else if (nl_walk(data + 1, size - 1, SEQUENCE, on_message, NULL, &done, &interrupted, &err))
		BUG_ON(!err.code);
	return 0;
}
