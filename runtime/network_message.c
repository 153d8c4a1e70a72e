/*
 * What the namespace has, as a ConfigureNetworkRequest. The message is a tree of pointers that lives as long as it takes to
 * pack it, so all its nodes come from a few arrays.
 */
#include <errno.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "agent-proto/agent.pb-c.h"
#include "runtime/network.h"

struct tree {
	Nacre__Agent__V1__ConfigureNetworkRequest request;
	Nacre__Agent__V1__NetworkInterface *interfaces, **interface_list;
	Nacre__Agent__V1__NetworkAddress *addresses, **address_list;
	Nacre__Agent__V1__NetworkNeighbour *neighbours, **neighbour_list;
	Nacre__Agent__V1__NetworkRoute *routes, **route_list;
};

static void tree_done(struct tree *t)
{
	free(t->interfaces);
	free(t->interface_list);
	free(t->addresses);
	free(t->address_list);
	free(t->neighbours);
	free(t->neighbour_list);
	free(t->routes);
	free(t->route_list);
}

static int tree_init(struct tree *t, const struct net_state *ns, size_t nnics, struct err *err)
{
	nacre__agent__v1__configure_network_request__init(&t->request);
	t->interfaces = calloc(nnics + 1, sizeof(*t->interfaces));
	t->interface_list = calloc(nnics + 1, sizeof(*t->interface_list));
	t->addresses = calloc(ns->naddresses + 1, sizeof(*t->addresses));
	t->address_list = calloc(ns->naddresses + 1, sizeof(*t->address_list));
	t->neighbours = calloc(ns->nneighbours + 1, sizeof(*t->neighbours));
	t->neighbour_list = calloc(ns->nneighbours + 1, sizeof(*t->neighbour_list));
	t->routes = calloc(ns->nroutes + 1, sizeof(*t->routes));
	t->route_list = calloc(ns->nroutes + 1, sizeof(*t->route_list));
	if (!t->interfaces || !t->interface_list || !t->addresses || !t->address_list ||
	    !t->neighbours || !t->neighbour_list || !t->routes || !t->route_list)
		return err_set(err, ENOMEM, "describe the network to the agent");
	return 0;
}

/* Packing only reads, but protobuf-c's messages are not const. */
static ProtobufCBinaryData bytes_of(const void *data, size_t len)
{
	return (ProtobufCBinaryData){.len = len, .data = (uint8_t *)(uintptr_t)data};
}

static ProtobufCBinaryData ip_of(const struct net_ip *ip)
{
	return bytes_of(ip->bytes, net_ip_bytes(ip->family));
}

/* A router gives such an address a lifetime and renews it by announcements, which the guest hears itself. */
static bool address_is_ours(const struct net_address *a)
{
	return a->ip.family == AF_INET || (a->flags & IFA_F_PERMANENT);
}

static bool route_is_ours(const struct net_route *r)
{
	return r->protocol != RTPROT_KERNEL && r->protocol != RTPROT_RA &&
	       r->protocol != RTPROT_REDIRECT;
}

static size_t add_addresses(Nacre__Agent__V1__NetworkInterface *to, const struct net_state *ns,
			    int link, Nacre__Agent__V1__NetworkAddress *node,
			    Nacre__Agent__V1__NetworkAddress **list)
{
	to->addresses = list;
	for (size_t i = 0; i < ns->naddresses; i++) {
		const struct net_address *a = &ns->addresses[i];

		if (a->link != link || !address_is_ours(a))
			continue;
		nacre__agent__v1__network_address__init(node);
		node->ip = ip_of(&a->ip);
		node->prefix = a->prefix;
		node->peer = ip_of(&a->peer);
		node->broadcast = ip_of(&a->broadcast);
		node->scope = a->scope;
		node->flags = a->flags & IFA_F_NOPREFIXROUTE;
		list[to->n_addresses++] = node++;
	}
	return to->n_addresses;
}

static size_t add_neighbours(Nacre__Agent__V1__NetworkInterface *to, const struct net_state *ns,
			     int link, Nacre__Agent__V1__NetworkNeighbour *node,
			     Nacre__Agent__V1__NetworkNeighbour **list)
{
	to->neighbours = list;
	for (size_t i = 0; i < ns->nneighbours; i++) {
		const struct net_neighbour *n = &ns->neighbours[i];

		if (n->link != link)
			continue;
		nacre__agent__v1__network_neighbour__init(node);
		node->ip = ip_of(&n->ip);
		node->mac = bytes_of(n->mac, sizeof(n->mac));
		list[to->n_neighbours++] = node++;
	}
	return to->n_neighbours;
}

static void add_interfaces(struct tree *t, const struct net_state *ns,
			   const struct network_nic *nics, size_t nnics)
{
	size_t addresses = 0, neighbours = 0;

	t->request.interfaces = t->interface_list;
	for (size_t i = 0; i < nnics; i++) {
		const struct net_link *link = net_state_link(ns, nics[i].link);
		Nacre__Agent__V1__NetworkInterface *to = &t->interfaces[i];

		nacre__agent__v1__network_interface__init(to);
		t->interface_list[t->request.n_interfaces++] = to;
		to->name = (char *)(uintptr_t)link->name;
		to->mac = bytes_of(link->mac, sizeof(link->mac));
		to->device_mac = bytes_of(nics[i].device_mac, sizeof(nics[i].device_mac));
		to->mtu = link->mtu;
		addresses += add_addresses(to, ns, link->index, t->addresses + addresses,
					   t->address_list + addresses);
		neighbours += add_neighbours(to, ns, link->index, t->neighbours + neighbours,
					     t->neighbour_list + neighbours);
	}
}

/* nnics: none. */
static size_t nic_of(const struct network_nic *nics, size_t nnics, int link)
{
	size_t i = 0;

	while (i < nnics && nics[i].link != link)
		i++;
	return i;
}

static void add_routes(struct tree *t, const struct net_state *ns, const struct network_nic *nics,
		       size_t nnics)
{
	t->request.routes = t->route_list;
	for (size_t i = 0; i < ns->nroutes; i++) {
		const struct net_route *r = &ns->routes[i];
		Nacre__Agent__V1__NetworkRoute *to = &t->routes[i];
		const size_t nic = nic_of(nics, nnics, r->link);

		if (nic == nnics || !route_is_ours(r))
			continue;
		nacre__agent__v1__network_route__init(to);
		to->interface = (uint32_t)nic;
		to->family = r->family;
		to->destination = ip_of(&r->destination);
		to->prefix = r->prefix;
		to->gateway = ip_of(&r->gateway);
		to->source = ip_of(&r->source);
		to->scope = r->scope;
		to->protocol = r->protocol;
		to->metric = r->metric;
		to->mtu = r->mtu;
		to->onlink = r->onlink;
		t->route_list[t->request.n_routes++] = to;
	}
}

int network_message(const struct net_state *ns, const struct network_nic *nics, size_t nnics,
		    uint8_t **out, size_t *len, struct err *err)
{
	CLEANUP(tree_done) struct tree t = {0};
	int rc = tree_init(&t, ns, nnics, err);

	if (rc)
		return rc;
	add_interfaces(&t, ns, nics, nnics);
	add_routes(&t, ns, nics, nnics);
	size_t size = protobuf_c_message_get_packed_size(&t.request.base);
	uint8_t *bytes = malloc(size + 1);
	if (!bytes)
		return err_set(err, ENOMEM, "describe the network to the agent");
	*len = protobuf_c_message_pack(&t.request.base, bytes);
	*out = bytes;
	return 0;
}
