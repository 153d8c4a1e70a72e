/*
 * What the parts of the guest's network share:
 *
 *	network_decode.c	a request to a wish, checked
 *	network_apply.c		the wish made true, step by step
 *	network_link.c		one link
 *	network_change.c	one address, route or neighbour
 *	network_park.c		devices the pod does not use
 */
#ifndef NACRE_AGENT_NETWORK_INTERNAL_H
#define NACRE_AGENT_NETWORK_INTERNAL_H

#include "agent/network.h"

/* A device of the machine, not something that a workload made. */
bool network_is_hardware(const struct net_link *link);
/* The address a device was made with; lent. */
const uint8_t *network_device_mac(const struct net_link *link);
/* The index of the Ethernet device with that one; 0: there is none. */
int network_find_device(const struct net_state *have, const uint8_t mac[NET_MAC_BYTES]);

/*
 * Makes a device of the guest the interface `want`. Its name is taken from another device of the pod or of the machine, which gets
 * its own later; `have` follows. `wish` is bound to links.
 */
int network_make_link(struct nl_socket *s, const struct net_link *want,
		      const struct net_state *wish, struct net_state *have,
		      struct err *err) MUST_CHECK;

/* Adds it, or takes it away. */
int network_change_address(struct nl_socket *s, const struct net_address *a, bool add,
			   struct err *err) MUST_CHECK;
int network_change_route(struct nl_socket *s, const struct net_route *r, bool add,
			 struct err *err) MUST_CHECK;
int network_change_neighbour(struct nl_socket *s, const struct net_neighbour *n, bool add,
			     struct err *err) MUST_CHECK;

/* Moves what is parked and wished for here. */
int network_park_fetch(struct network *n, const struct net_state *wish, struct err *err) MUST_CHECK;
/* Moves away what the pod does not use: hardware, and what it used until now. `wish` is bound to links. */
int network_park_rest(struct network *n, struct nl_socket *s, const struct net_state *wish,
		      const struct net_state *have, struct err *err) MUST_CHECK;

#endif
