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

/* What came of the last request, and the namespace for devices that the pod does not use. */
struct network {
	struct net_state applied;
	int park_ns; /* -1: not made yet */
	struct nl_socket park;
};

#define NETWORK_INIT                                                                               \
	{                                                                                          \
		.park_ns = -1, .park = NL_SOCKET_INIT                                              \
	}

void network_done(struct network *n);

/*
 * Makes what is requested true in the pod's namespace, which is the caller's. What was applied before and is not wished any more
 * is taken back. On failure `applied` has all that may be there of either.
 */
int network_configure(struct network *n, const struct Nacre__Agent__V1__ConfigureNetworkRequest *in,
		      struct err *err) MUST_CHECK;

#endif
