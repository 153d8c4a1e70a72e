/*
 * From a wish to the guest's network, in an order in which each step finds what it needs: devices found, old things taken
 * back, names freed and given, links up, addresses, routes without a gateway, routes through one, neighbours.
 */
#include <errno.h>
#include <string.h>

#include "agent-proto/agent.pb-c.h"
#include "agent/network_internal.h"
#include "base/log.h"

/* --- what is not wished any more --------------------------------------------------------------------------------- */

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
			if (j == wish->n##list &&                                                  \
			    network_change_##name(s, &old->list[i], false, &gone))                 \
				log_debug(#name " not taken back: %s", gone.text);                 \
		}                                                                                  \
	}

TAKE_BACK(neighbour, neighbours)
TAKE_BACK(route, routes)
TAKE_BACK(address, addresses)

/* --- all of it --------------------------------------------------------------------------------------------------- */

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

static int make_addresses(struct nl_socket *s, const struct net_state *wish, struct err *err)
{
	int rc = 0;

	for (size_t i = 0; !rc && i < wish->naddresses; i++)
		rc = network_change_address(s, &wish->addresses[i], true, err);
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
			rc = network_change_route(s, &wish->routes[i], true, &why);
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
		rc = network_change_neighbour(s, &wish->neighbours[i], true, err);
	return rc ? err_wrap(err, "add a neighbour") : 0;
}

static int make(struct nl_socket *s, struct net_state *wish, struct net_state *have,
		struct err *err)
{
	int rc = 0;

	for (size_t i = 0; !rc && i < wish->nlinks; i++)
		rc = network_make_link(s, &wish->links[i], wish, have, err);
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

static int apply(struct network *n, struct nl_socket *s, struct net_state *wish, struct err *err)
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
	return rc ? rc : apply(n, &s, &wish, err);
}
