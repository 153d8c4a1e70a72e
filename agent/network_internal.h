/* What network_apply.c and network_park.c share. */
#ifndef NACRE_AGENT_NETWORK_INTERNAL_H
#define NACRE_AGENT_NETWORK_INTERNAL_H

#include "agent/network.h"

/* A device of the machine, not something that a workload made. */
bool network_is_hardware(const struct net_link *link);
/* The address a device was made with; lent. */
const uint8_t *network_device_mac(const struct net_link *link);
/* The index of the Ethernet device with that one; 0: there is none. */
int network_find_device(const struct net_state *have, const uint8_t mac[NET_MAC_BYTES]);

/* Moves what is parked and wished for here. */
int network_park_fetch(struct network *n, const struct net_state *wish, struct err *err) MUST_CHECK;
/* Moves away what the pod does not use: hardware, and what it used until now. `wish` is bound to links. */
int network_park_rest(struct network *n, struct nl_socket *s, const struct net_state *wish,
		      const struct net_state *have, struct err *err) MUST_CHECK;

#endif
