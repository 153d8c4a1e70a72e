/*
 * What the monitor says of a pod's namespace, and what the agent makes of it: described and replayed, a pod's network looks the
 * same to iproute2 in another namespace, which stands for the guest.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent-proto/agent.pb-c.h"
#include "agent/network.h"
#include "base/net_state.h"
#include "base/own.h"
#include "runtime/network.h"
#include "tests/unit/netns.h"

/* --- a guest ------------------------------------------------------------------------------------------------------- */

/* What iproute2 says of a namespace, without what differs by nature: indices, names of other ends, counters. */
static char *portrait(int ns)
{
	return strdup(netns_sh(
		ns, "for i in eth0 net1; do ip -o link show dev $i | grep -o 'mtu "
		    "[0-9]*\\|link/ether [^ ]*'; done;"
		    "for i in eth0 net1; do ip -o -4 addr show dev $i | sed 's/^[0-9]*: //; s/ "
		    "*valid_lft.*//'; done;"
		    "for i in eth0 net1; do ip -o -6 addr show dev $i | grep -v ' fe80' |"
		    " sed 's/^[0-9]*: //; s/ nodad//; s/ *valid_lft.*//' | sort; done;"
		    "ip -4 route | sort; ip -6 route | grep -v '^fe80' | sort;"
		    "ip neigh show nud permanent | sort; ip -6 neigh show nud permanent | sort"));
}

/* What the monitor would send; devices are known by `device_mac`. */
static Nacre__Agent__V1__ConfigureNetworkRequest *request_of(const struct net_state *s,
							     const uint8_t macs[2][6])
{
	struct network_nic nics[2] = {0};
	AUTO_FREE uint8_t *bytes = NULL;
	struct err err = ERR_INIT;
	size_t len = 0;

	nics[0].link = netns_link(s, "eth0")->index;
	nics[1].link = netns_link(s, "net1")->index;
	for (int i = 0; i < 2; i++)
		memcpy(nics[i].device_mac, macs[i], 6);
	assert_int_equal(network_message(s, nics, 2, &bytes, &len, &err), 0);
	Nacre__Agent__V1__ConfigureNetworkRequest *m =
		nacre__agent__v1__configure_network_request__unpack(NULL, len, bytes);
	assert_non_null(m);
	return m;
}

static void configure(int ns, const Nacre__Agent__V1__ConfigureNetworkRequest *m,
		      struct network *network)
{
	struct err err = ERR_INIT;

	netns_enter(ns);
	if (network_configure(network, m, &err))
		fail_msg("%s", err.text);
}

/* The devices of a guest are named the wrong way round, one has another address, and one is in use. */
static int make_guest(int *peers)
{
	int guest = netns_new();

	*peers = netns_new();
	(void)netns_sh(guest,
		       "ip link add net1 address 02:00:00:00:00:10 type veth peer name p0 netns "
		       "/proc/%d/fd/%d;"
		       "ip link add eth0 address 02:6e:61:63:72:00 type veth peer name p1 netns "
		       "/proc/%d/fd/%d;"
		       "ip link set lo up; ip link set net1 up",
		       getpid(), *peers, getpid(), *peers);
	(void)netns_sh(*peers, "ip link set p0 up; ip link set p1 up");
	return guest;
}

/* As make_guest names them; and both with an address of their own, as they have once they are configured. */
static const uint8_t device_macs[2][6] = {{2, 0, 0, 0, 0, 0x10}, {2, 0x6e, 0x61, 0x63, 0x72, 0}};
static const uint8_t own_macs[2][6] = {{2, 0, 0, 0, 0, 0x10}, {2, 0, 0, 0, 0, 0x11}};

/* A pod on the host, and the guest its network is made again in. */
struct replay {
	int pod, guest, pod_peers, guest_peers;
	struct net_state pod_state;
	struct network network;
};

static int setup(void **state)
{
	static struct replay r;

	r = (struct replay){.pod_state = NET_STATE_INIT, .network = NETWORK_INIT};
	r.pod = netns_pod(&r.pod_peers);
	r.guest = make_guest(&r.guest_peers);
	netns_read(r.pod, &r.pod_state);
	*state = &r;
	return 0;
}

static int teardown(void **state)
{
	struct replay *r = *state;

	network_done(&r->network);
	net_state_done(&r->pod_state);
	for (int *fd = (int[]){r->pod, r->guest, r->pod_peers, r->guest_peers, -1}; *fd >= 0; fd++)
		(void)close(*fd);
	return 0;
}

static void replay(struct replay *r, const struct net_state *s, const uint8_t macs[2][6])
{
	Nacre__Agent__V1__ConfigureNetworkRequest *m = request_of(s, macs);

	configure(r->guest, m, &r->network);
	nacre__agent__v1__configure_network_request__free_unpacked(m, NULL);
}

static void assert_alike(const struct replay *r, const char *pod)
{
	AUTO_FREE char *guest = portrait(r->guest);

	assert_string_equal(guest, pod);
}

/* The address the device was found by has been replaced: twice is as good as once only where it has one of its own. */
static void test_replay(void **state)
{
	struct replay *r = *state;
	AUTO_FREE char *want = portrait(r->pod);

	replay(r, &r->pod_state, device_macs);
	assert_alike(r, want);
	replay(r, &r->pod_state, own_macs);
	assert_alike(r, want);
}

static void test_take_back(void **state)
{
	AUTO_NET_STATE struct net_state after = NET_STATE_INIT;
	struct replay *r = *state;

	replay(r, &r->pod_state, device_macs);
	(void)netns_sh(r->guest,
		       "ip route add 10.99.0.0/16 dev eth0; ip addr add 10.99.0.1/32 dev eth0");
	(void)netns_sh(
		r->pod,
		"ip route del 10.50.0.0/16; ip route add 10.51.0.0/16 via 10.1.2.1 dev eth0;"
		"ip addr del 192.168.7.7/16 dev net1; ip -6 addr add fd09::9/64 dev net1 nodad;"
		"ip neigh del 10.1.2.1 dev eth0; ip link set eth0 mtu 1300");
	netns_read(r->pod, &after);
	replay(r, &after, own_macs);
	/* What the workload has made is still there; without it the two are alike. */
	(void)netns_sh(r->guest,
		       "ip route del 10.99.0.0/16 dev eth0; ip addr del 10.99.0.1/32 dev eth0");
	AUTO_FREE char *want = portrait(r->pod);
	assert_alike(r, want);
}

static void test_no_such_device(void **state)
{
	static const uint8_t macs[2][6] = {{2, 0, 0, 0, 0, 0x10}, {2, 9, 9, 9, 9, 9}};
	struct replay *r = *state;
	struct err err = ERR_INIT;
	Nacre__Agent__V1__ConfigureNetworkRequest *m = request_of(&r->pod_state, macs);

	netns_enter(r->guest);
	assert_int_equal(network_configure(&r->network, m, &err), -ENODEV);
	assert_non_null(strstr(err.text, "02:09:09:09:09:09 for 'net1'"));
	nacre__agent__v1__configure_network_request__free_unpacked(m, NULL);
}

/* A device that is not used any more is out of sight, and comes back bare. */
static void test_park(void **state)
{
	struct replay *r = *state;
	AUTO_FREE char *want = portrait(r->pod);

	replay(r, &r->pod_state, device_macs);
	for (int i = 0; i < 2; i++) {
		Nacre__Agent__V1__ConfigureNetworkRequest *m = request_of(&r->pod_state, own_macs);
		const size_t routes = m->n_routes;

		m->n_interfaces = m->n_routes = 0;
		configure(r->guest, m, &r->network);
		assert_string_equal(netns_sh(r->guest, "ip -o link | grep -v ': lo' || true"), "");
		m->n_interfaces = 2;
		m->n_routes = routes;
		configure(r->guest, m, &r->network);
		assert_alike(r, want);
		nacre__agent__v1__configure_network_request__free_unpacked(m, NULL);
	}
}

/* --- a request that is wrong in one field --------------------------------------------------------------------------- */

enum wrong {
	RIGHT,
	NAME_EMPTY,
	NAME_LONG,
	NAME_SLASH,
	NAME_DOTS,
	MAC_SHORT,
	DEVICE_MAC_LONG,
	ADDRESS_SHORT,
	ADDRESS_EMPTY,
	ADDRESS_PREFIX,
	PEER_FAMILY,
	BROADCAST_FAMILY,
	NEIGHBOUR_EMPTY,
	NEIGHBOUR_MAC,
	ROUTE_INTERFACE,
	ROUTE_FAMILY,
	ROUTE_PREFIX,
	ROUTE_DESTINATION,
	ROUTE_SOURCE,
	ROUTE_NO_DESTINATION,
	WRONGS,
};

static int decode_wrong(enum wrong wrong)
{
	uint8_t bytes[32] = {2};
	const ProtobufCBinaryData v4 = {4, bytes}, v6 = {16, bytes}, mac = {6, bytes},
				  odd = {5, bytes};
	const ProtobufCBinaryData none = {0, NULL};
	Nacre__Agent__V1__NetworkAddress address = NACRE__AGENT__V1__NETWORK_ADDRESS__INIT;
	Nacre__Agent__V1__NetworkNeighbour neighbour = NACRE__AGENT__V1__NETWORK_NEIGHBOUR__INIT;
	Nacre__Agent__V1__NetworkInterface interface = NACRE__AGENT__V1__NETWORK_INTERFACE__INIT;
	Nacre__Agent__V1__NetworkRoute route = NACRE__AGENT__V1__NETWORK_ROUTE__INIT;
	Nacre__Agent__V1__ConfigureNetworkRequest m =
		NACRE__AGENT__V1__CONFIGURE_NETWORK_REQUEST__INIT;
	Nacre__Agent__V1__NetworkAddress *addresses[] = {&address};
	Nacre__Agent__V1__NetworkNeighbour *neighbours[] = {&neighbour};
	Nacre__Agent__V1__NetworkInterface *interfaces[] = {&interface};
	Nacre__Agent__V1__NetworkRoute *routes[] = {&route};
	AUTO_NET_STATE struct net_state wish = NET_STATE_INIT;
	char name[32] = "eth0";
	struct err err = ERR_INIT;

	address.ip = wrong == ADDRESS_SHORT ? odd : wrong == ADDRESS_EMPTY ? none : v4;
	address.prefix = wrong == ADDRESS_PREFIX ? 33 : 32;
	address.peer = wrong == PEER_FAMILY ? v6 : v4;
	address.broadcast = wrong == BROADCAST_FAMILY ? v6 : none;
	neighbour.ip = wrong == NEIGHBOUR_EMPTY ? none : v6;
	neighbour.mac = wrong == NEIGHBOUR_MAC ? v4 : mac;
	(void)snprintf(name, sizeof(name), "%s",
		       wrong == NAME_EMPTY   ? ""
		       : wrong == NAME_LONG  ? "a234567890123456"
		       : wrong == NAME_SLASH ? "../eth0"
		       : wrong == NAME_DOTS  ? ".."
					     : "a23456789012345");
	interface.name = name;
	interface.mac = wrong == MAC_SHORT ? odd : mac;
	interface.device_mac = wrong == DEVICE_MAC_LONG ? v6 : none;
	interface.addresses = addresses;
	interface.neighbours = neighbours;
	interface.n_addresses = interface.n_neighbours = 1;
	route.interface = wrong == ROUTE_INTERFACE ? 1 : 0;
	route.family = wrong == ROUTE_FAMILY ? AF_UNIX : AF_INET;
	route.destination = wrong == ROUTE_DESTINATION      ? v6
			    : wrong == ROUTE_NO_DESTINATION ? none
							    : v4;
	route.prefix = wrong == ROUTE_PREFIX ? 33 : 8;
	route.source = wrong == ROUTE_SOURCE ? v6 : none;
	route.gateway = v6;
	m.interfaces = interfaces;
	m.routes = routes;
	m.n_interfaces = m.n_routes = 1;
	return network_decode(&m, &wish, &err);
}

static void test_decode(void **state)
{
	(void)state;
	assert_int_equal(decode_wrong(RIGHT), 0);
	for (enum wrong w = RIGHT + 1; w < WRONGS; w++)
		if (decode_wrong(w) != -EINVAL)
			fail_msg("wrong %d", (int)w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_decode),
		cmocka_unit_test_setup_teardown(test_replay, setup, teardown),
		cmocka_unit_test_setup_teardown(test_take_back, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_such_device, setup, teardown),
		cmocka_unit_test_setup_teardown(test_park, setup, teardown),
	};

	netns_enter_private();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
