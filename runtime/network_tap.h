/*
 * A tap beside an interface of the pod, joined to it both ways: what arrives at either leaves by the other, before the
 * namespace's own network stack sees it. The interface keeps its addresses (containerd counts its packets), but nobody answers
 * for them on the host: ARP and everything else goes to the guest.
 *
 *	peer on the host -- veth [ingress: redirect] --> tap --> guest
 *	                    veth <-- [ingress: redirect] tap <-- guest
 *
 * The tap is not persistent: it ends with its last descriptor, and its redirection with it. What is left on the other
 * interface is taken back by tap_unredirect. The socket is one of that namespace.
 */
#ifndef NACRE_RUNTIME_NETWORK_TAP_H
#define NACRE_RUNTIME_NETWORK_TAP_H

#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"
#include "base/netlink.h"

/*
 * Makes a tap of `tun_fd`, a /dev/net/tun opened in that namespace, as the vmm needs it: IFF_TAP, IFF_NO_PI, IFF_VNET_HDR.
 * *index is its link, still down.
 */
int tap_make(struct nl_socket *s, int tun_fd, int *index, struct err *err) MUST_CHECK;

/* MTU, no addresses of its own, up. */
int tap_up(struct nl_socket *s, int index, uint32_t mtu, struct err *err) MUST_CHECK;

/*
 * Redirects all that arrives at `from` to `to`. -EEXIST when something else filters there already; what a microVM that has ended
 * left is replaced.
 */
int tap_redirect(struct nl_socket *s, int from, int to, struct err *err) MUST_CHECK;

/* Takes a redirection to `to`, or to a link that is gone, back. 0 also when there is none or it is somebody else's. */
int tap_unredirect(struct nl_socket *s, int from, int to, struct err *err) MUST_CHECK;

#endif
