/*
 * The pod's network in the guest: what the monitor read in the pod's network namespace on the host is made of the guest's
 * network devices. Containers share the guest's initial network namespace, where they are. Agent's thread only.
 */
#ifndef NACRE_AGENT_NETWORK_H
#define NACRE_AGENT_NETWORK_H

#include "base/compiler.h"
#include "base/err.h"
#include "base/net_state.h"
#include "base/netlink.h"

struct Nacre__Agent__V1__ConfigureNetworkRequest;

/*
 * A request as a wish: links[i] is interface i, with its number as its index and device_mac as its permanent_mac; the rest
 * refers to them by that. Everything is checked: -EINVAL with the place.
 */
int network_decode(const struct Nacre__Agent__V1__ConfigureNetworkRequest *in,
		   struct net_state *wish, struct err *err) MUST_CHECK;

/*
 * Makes the wish true and *applied the wish. *applied is what came of the last call, empty before the first: of that, what is
 * not wished any more is taken back. On failure *applied has all that may be there of either.
 */
int network_apply(struct nl_socket *s, struct net_state *wish, struct net_state *applied,
		  struct err *err) MUST_CHECK;

/* Both, with a socket of its own. */
int network_configure(const struct Nacre__Agent__V1__ConfigureNetworkRequest *in,
		      struct net_state *applied, struct err *err) MUST_CHECK;

#endif
