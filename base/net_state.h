/*
 * The network of a namespace as rtnetlink(7) tells it: links, their addresses, the routes of the main table, permanent
 * neighbours. Plain values; what refers to a link does so by its index.
 */
#ifndef NACRE_BASE_NET_STATE_H
#define NACRE_BASE_NET_STATE_H

#include <linux/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"
#include "base/netlink.h"

/* More of one kind than a pod has; a namespace with more is refused. */
#define NET_STATE_MAX 4096
#define NET_MAC_BYTES 6

/* family 0: none. */
struct net_ip {
	uint8_t family; /* AF_INET, AF_INET6 */
	uint8_t bytes[16];
};

struct net_link {
	int index;
	uint16_t type;  /* ARPHRD_* */
	uint32_t flags; /* IFF_* */
	uint32_t mtu;
	char name[IFNAMSIZ];
	char kind[16];                        /* "veth", "tun", ...; "" of real hardware */
	uint8_t mac[NET_MAC_BYTES];           /* zeros when it is no Ethernet address */
	uint8_t permanent_mac[NET_MAC_BYTES]; /* the hardware's own; zeros when it has none */
	bool enslaved;                        /* to a bridge or bond */
	bool stacked;                         /* on another link of this namespace (VLAN) */
};

struct net_address {
	int link;
	struct net_ip ip, peer, broadcast; /* peer, broadcast: family 0 when there is none */
	uint8_t prefix;                    /* of the peer when there is one, else of ip */
	uint8_t scope;                     /* RT_SCOPE_* */
	uint32_t flags;                    /* IFA_F_* */
};

struct net_route {
	int link;
	uint8_t family, type, scope, protocol; /* RTN_*, RT_SCOPE_*, RTPROT_* */
	struct net_ip destination;             /* family 0: default */
	uint8_t prefix;
	struct net_ip gateway, source; /* an IPv4 route may have an IPv6 gateway */
	uint32_t metric;
	uint32_t mtu; /* 0: the link's */
	bool onlink;
};

struct net_neighbour {
	int link;
	struct net_ip ip;
	uint8_t mac[NET_MAC_BYTES];
};

struct net_state {
	struct net_link *links;
	struct net_address *addresses;
	struct net_route *routes;
	struct net_neighbour *neighbours;
	size_t nlinks, naddresses, nroutes, nneighbours;
};

#define NET_STATE_INIT                                                                             \
	{                                                                                          \
		0                                                                                  \
	}

/* Reads it whole; asks again when it changes meanwhile. */
int net_state_read(struct nl_socket *s, struct net_state *out, struct err *err) MUST_CHECK;
void net_state_done(struct net_state *state);
#define AUTO_NET_STATE CLEANUP(net_state_done)

/* NULL when there is none. Lent. */
const struct net_link *net_state_link(const struct net_state *state, int index);

/* 4, 16, or 0 for neither family. */
size_t net_ip_bytes(uint8_t family);
bool net_ip_equal(const struct net_ip *a, const struct net_ip *b);

/*
 * What one message says: `body` begins with its fixed struct. 0 and *out is filled; 1: it is of no interest (another table,
 * a learned neighbour, a multipath route); -EBADMSG.
 */
int net_parse_link(const void *body, size_t len, struct net_link *out) MUST_CHECK;
int net_parse_address(const void *body, size_t len, struct net_address *out) MUST_CHECK;
int net_parse_route(const void *body, size_t len, struct net_route *out) MUST_CHECK;
int net_parse_neighbour(const void *body, size_t len, struct net_neighbour *out) MUST_CHECK;

#endif
