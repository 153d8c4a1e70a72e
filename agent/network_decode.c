/* ConfigureNetworkRequest to a struct net_state, checked. */
#include <ctype.h>
#include <errno.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "agent-proto/agent.pb-c.h"
#include "agent/network.h"

/* As the kernel would have it (net/core/dev.c, dev_valid_name). */
static bool name_is_sound(const char *name)
{
	size_t len = strlen(name);

	if (len == 0 || len >= IFNAMSIZ || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return false;
	for (; *name; name++)
		if (*name == '/' || *name == ':' || *name == '%' || isspace((unsigned char)*name))
			return false;
	return true;
}

/* Empty: family 0. */
static int get_ip(const char *what, ProtobufCBinaryData field, struct net_ip *out, struct err *err)
{
	*out = (struct net_ip){0};
	if (field.len == 0)
		return 0;
	out->family = field.len == 4 ? AF_INET : AF_INET6;
	if (field.len != net_ip_bytes(out->family))
		return err_say(err, EINVAL, "%s: an address of %zu bytes", what, field.len);
	memcpy(out->bytes, field.data, field.len);
	return 0;
}

static int get_mac(ProtobufCBinaryData field, uint8_t out[NET_MAC_BYTES], struct err *err)
{
	if (field.len != NET_MAC_BYTES)
		return err_say(err, EINVAL, "an Ethernet address of %zu bytes", field.len);
	memcpy(out, field.data, NET_MAC_BYTES);
	return 0;
}

static int get_prefix(uint32_t prefix, uint8_t family, uint8_t *out, struct err *err)
{
	if (prefix > 8 * net_ip_bytes(family))
		return err_say(err, EINVAL, "a prefix of %u bits", prefix);
	*out = (uint8_t)prefix;
	return 0;
}

static int get_address(const Nacre__Agent__V1__NetworkAddress *in, int link,
		       struct net_address *out, struct err *err)
{
	int rc = get_ip("ip", in->ip, &out->ip, err);

	if (!rc && !out->ip.family)
		rc = err_say(err, EINVAL, "an interface's address is empty");
	if (!rc)
		rc = get_ip("peer", in->peer, &out->peer, err);
	if (!rc)
		rc = get_ip("broadcast", in->broadcast, &out->broadcast, err);
	if (!rc)
		rc = get_prefix(in->prefix, out->ip.family, &out->prefix, err);
	if (!rc && ((out->peer.family && out->peer.family != out->ip.family) ||
		    (out->broadcast.family && out->broadcast.family != out->ip.family)))
		rc = err_say(err, EINVAL, "an address of two families");
	out->link = link;
	out->scope = (uint8_t)in->scope;
	out->flags = in->flags;
	return rc;
}

static int get_neighbour(const Nacre__Agent__V1__NetworkNeighbour *in, int link,
			 struct net_neighbour *out, struct err *err)
{
	int rc = get_ip("neighbour", in->ip, &out->ip, err);

	if (!rc && !out->ip.family)
		rc = err_say(err, EINVAL, "a neighbour's address is empty");
	out->link = link;
	return rc ? rc : get_mac(in->mac, out->mac, err);
}

static int get_interface(const Nacre__Agent__V1__NetworkInterface *in, struct net_state *wish,
			 struct err *err)
{
	struct net_link *link = &wish->links[wish->nlinks];
	int rc = get_mac(in->mac, link->mac, err);

	link->index = (int)wish->nlinks;
	link->mtu = in->mtu;
	if (!rc && !name_is_sound(in->name))
		rc = err_say(err, EINVAL, "this is no name for an interface");
	if (!rc)
		rc = get_mac(in->device_mac.len ? in->device_mac : in->mac, link->permanent_mac,
			     err);
	if (rc)
		return rc;
	memcpy(link->name, in->name, strlen(in->name) + 1);
	wish->nlinks++;
	for (size_t i = 0; !rc && i < in->n_addresses; i++)
		rc = get_address(in->addresses[i], link->index,
				 &wish->addresses[wish->naddresses++], err);
	for (size_t i = 0; !rc && i < in->n_neighbours; i++)
		rc = get_neighbour(in->neighbours[i], link->index,
				   &wish->neighbours[wish->nneighbours++], err);
	return rc;
}

static int get_route(const Nacre__Agent__V1__NetworkRoute *in, const struct net_state *wish,
		     struct net_route *out, struct err *err)
{
	int rc = get_ip("destination", in->destination, &out->destination, err);

	if (!rc)
		rc = get_ip("gateway", in->gateway, &out->gateway, err);
	if (!rc)
		rc = get_ip("source", in->source, &out->source, err);
	if (!rc && (in->interface >= wish->nlinks || in->family > UINT8_MAX ||
		    !net_ip_bytes((uint8_t)in->family)))
		rc = err_say(err, EINVAL, "a route of an unknown interface or family");
	if (rc)
		return rc;
	out->link = (int)in->interface;
	out->family = (uint8_t)in->family;
	out->type = RTN_UNICAST;
	out->scope = (uint8_t)in->scope;
	out->protocol = (uint8_t)in->protocol;
	out->metric = in->metric;
	out->mtu = in->mtu;
	out->onlink = in->onlink;
	if ((out->destination.family && out->destination.family != out->family) ||
	    (out->source.family && out->source.family != out->family) ||
	    (in->prefix && !out->destination.family))
		return err_say(err, EINVAL, "a route of two families");
	return get_prefix(in->prefix, out->family, &out->prefix, err);
}

/* One item at least, so that none is no failure. */
static int reserve(const Nacre__Agent__V1__ConfigureNetworkRequest *in, struct net_state *wish,
		   struct err *err)
{
	size_t addresses = 0, neighbours = 0;

	for (size_t i = 0; i < in->n_interfaces; i++) {
		addresses += in->interfaces[i]->n_addresses;
		neighbours += in->interfaces[i]->n_neighbours;
	}
	if (in->n_interfaces > NET_STATE_MAX || in->n_routes > NET_STATE_MAX ||
	    addresses > NET_STATE_MAX || neighbours > NET_STATE_MAX)
		return err_say(err, E2BIG, "a network of more than %d things of a kind",
			       NET_STATE_MAX);
	wish->links = calloc(in->n_interfaces + 1, sizeof(*wish->links));
	wish->routes = calloc(in->n_routes + 1, sizeof(*wish->routes));
	wish->addresses = calloc(addresses + 1, sizeof(*wish->addresses));
	wish->neighbours = calloc(neighbours + 1, sizeof(*wish->neighbours));
	if (!wish->links || !wish->routes || !wish->addresses || !wish->neighbours)
		return err_set(err, ENOMEM, "read the network's configuration");
	return 0;
}

int network_decode(const Nacre__Agent__V1__ConfigureNetworkRequest *in, struct net_state *out,
		   struct err *err)
{
	AUTO_NET_STATE struct net_state wish = NET_STATE_INIT;
	int rc = reserve(in, &wish, err);

	for (size_t i = 0; !rc && i < in->n_interfaces; i++) {
		rc = get_interface(in->interfaces[i], &wish, err);
		if (rc)
			return err_wrap(err, "network interface %zu", i);
	}
	for (size_t i = 0; !rc && i < in->n_routes; i++) {
		rc = get_route(in->routes[i], &wish, &wish.routes[wish.nroutes++], err);
		if (rc)
			return err_wrap(err, "route %zu", i);
	}
	if (rc)
		return rc;
	net_state_done(out);
	*out = wish;
	wish = (struct net_state)NET_STATE_INIT;
	return 0;
}
