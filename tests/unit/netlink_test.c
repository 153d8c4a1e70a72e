/* Netlink: messages byte by byte, lengths that lie, and what a real kernel says of a namespace that iproute2 made. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_addr.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/net_state.h"
#include "base/netlink.h"
#include "base/own.h"
#include "tests/unit/netns.h"

/* --- bytes --------------------------------------------------------------------------------------------------------- */

static void test_build(void **state)
{
	static const uint8_t expected[] = {
		0,  0, 0, 0,    16,   0,    1,    0,    0, 0, 0, 0,
		0,  0, 0, 0,                                        /* header: length when sent */
		7,  8, 9, 0,                                        /* body and padding */
		6,  0, 3, 0,    'x',  0,    0,    0,                /* text */
		24, 0, 5, 0x80,                                     /* nest */
		5,  0, 1, 0,    0xaa, 0,    0,    0,                /* one byte */
		8,  0, 2, 0,    0x44, 0x33, 0x22, 0x11, 4, 0, 4, 0, /* empty */
	};
	const uint8_t body[] = {7, 8, 9};
	struct nl_msg m;

	(void)state;
	nl_begin(&m, 16, 1, body, sizeof(body));
	nl_put_str(&m, 3, "x");
	size_t nest = nl_nest_begin(&m, 5);
	nl_put_u8(&m, 1, 0xaa);
	nl_put_u32(&m, 2, 0x11223344);
	nl_put(&m, 4, NULL, 0);
	nl_nest_end(&m, nest);
	assert_false(m.overflow);
	assert_int_equal(m.len, sizeof(expected));
	assert_memory_equal(m.data, expected, sizeof(expected));
}

static void test_build_past_the_end(void **state)
{
	static const uint8_t big[NL_MSG_BYTES];
	static const struct {
		size_t first, second;
		bool overflow;
	} cases[] = {
		{NL_MSG_BYTES - 16 - 4, 0, true}, /* a header is always there */
		{NL_MSG_BYTES - 16 - 8, 0, false},      {NL_MSG_BYTES, 0, true},
		{8, NL_MSG_BYTES - 16 - 12 - 4, false}, {8, NL_MSG_BYTES - 16 - 12 - 3, true},
	};
	struct err err = ERR_INIT;
	struct nl_socket s = NL_SOCKET_INIT;
	struct nl_msg m;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		nl_begin(&m, 16, 0, NULL, 0);
		nl_put(&m, 1, big, cases[i].first);
		nl_put(&m, 1, big, cases[i].second);
		if (m.overflow != cases[i].overflow)
			fail_msg("case %zu", i);
		assert_true(m.len <= NL_MSG_BYTES);
	}
	assert_int_equal(nl_request(&s, &m, &err), -EMSGSIZE);
}

static void test_parse(void **state)
{
	static const struct {
		const char *name;
		uint8_t bytes[16];
		size_t len;
		bool sound;
		size_t len1; /* of attribute 1, when sound */
	} cases[] = {
		{"none", {0}, 0, true, 0},
		{"one", {8, 0, 1, 0, 1, 2, 3, 4}, 8, true, 4},
		{"nested flag", {8, 0, 1, 0x80, 1, 2, 3, 4}, 8, true, 4},
		{"last without padding", {5, 0, 1, 0, 1}, 5, true, 1},
		{"the last counts", {5, 0, 1, 0, 1, 0, 0, 0, 6, 0, 1, 0, 1, 2, 0, 0}, 16, true, 2},
		{"unknown type", {8, 0, 9, 0, 1, 2, 3, 4}, 8, true, 0},
		{"empty", {4, 0, 1, 0}, 4, true, 0},
		{"shorter than its header", {3, 0, 1, 0, 1, 2, 3, 4}, 8, false, 0},
		{"zero", {0, 0, 1, 0, 1, 2, 3, 4}, 8, false, 0},
		{"longer than what is there", {9, 0, 1, 0, 1, 2, 3, 4}, 8, false, 0},
		{"huge", {0xff, 0xff, 1, 0, 1, 2, 3, 4}, 8, false, 0},
		{"half a header behind", {8, 0, 1, 0, 1, 2, 3, 4, 8, 0}, 10, false, 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		/* An exact copy, so that a sanitizer sees a read past it. */
		AUTO_FREE uint8_t *copy = malloc(cases[i].len + 1);
		struct nl_attr table[4];

		assert_non_null(copy);
		memcpy(copy, cases[i].bytes, cases[i].len);
		copy = realloc(copy, cases[i].len ? cases[i].len : 1);
		if (nl_parse(copy, cases[i].len, table, 4) != cases[i].sound)
			fail_msg("%s", cases[i].name);
		if (cases[i].sound && table[1].len != cases[i].len1)
			fail_msg("%s: %zu bytes", cases[i].name, table[1].len);
	}
}

static int count(void *arg, uint16_t type, const void *body, size_t len)
{
	(void)type;
	(void)body;
	(void)len;
	++*(int *)arg;
	return 0;
}

#define HEADER(len, type, flags, seq) len, 0, 0, 0, type, 0, flags, 0, seq, 0, 0, 0, 0, 0, 0, 0

static void test_walk(void **state)
{
	static const struct {
		const char *name;
		uint8_t bytes[64];
		size_t len;
		int rc, messages;
		bool done, interrupted;
	} cases[] = {
		{"two", {HEADER(16, 20, 0, 5), HEADER(16, 20, 0, 5)}, 32, 0, 2, false, false},
		{"another's answer",
		 {HEADER(16, 20, 0, 4), HEADER(16, 20, 0, 5)},
		 32,
		 0,
		 1,
		 false,
		 false},
		{"end", {HEADER(20, 3, 2, 5), 0, 0, 0, 0}, 20, 0, 0, true, false},
		{"end without a status", {HEADER(16, 3, 2, 5)}, 16, -EBADMSG, 0, true, false},
		{"end with an error",
		 {HEADER(20, 3, 2, 5), 0xf4, 0xff, 0xff, 0xff},
		 20,
		 -ENOMEM,
		 0,
		 true,
		 false},
		{"nothing is read behind the end",
		 {HEADER(20, 3, 2, 5), 0, 0, 0, 0, HEADER(1, 20, 0, 5)},
		 36,
		 0,
		 0,
		 true,
		 false},
		{"acknowledged",
		 {HEADER(36, 2, 0, 5), 0, 0, 0, 0, HEADER(16, 20, 0, 5)},
		 36,
		 0,
		 0,
		 true,
		 false},
		{"refused",
		 {HEADER(36, 2, 0, 5), 0xff, 0xff, 0xff, 0xff, HEADER(16, 20, 0, 5)},
		 36,
		 -EPERM,
		 0,
		 true,
		 false},
		{"refused by no errno",
		 {HEADER(36, 2, 0, 5), 0, 0, 0, 0x80, HEADER(16, 20, 0, 5)},
		 36,
		 -EPROTO,
		 0,
		 true,
		 false},
		{"short refusal",
		 {HEADER(35, 2, 0, 5), 0xff, 0xff, 0xff, 0xff},
		 35,
		 -EBADMSG,
		 0,
		 true,
		 false},
		{"interrupted", {HEADER(16, 20, 0x10, 5)}, 16, 0, 1, false, true},
		{"overrun", {HEADER(16, 4, 0, 5)}, 16, -ENOBUFS, 0, false, false},
		{"shorter than its header", {HEADER(15, 20, 0, 5)}, 16, -EBADMSG, 0, false, false},
		{"longer than what is there",
		 {HEADER(17, 20, 0, 5)},
		 16,
		 -EBADMSG,
		 0,
		 false,
		 false},
		{"half a header", {HEADER(16, 20, 0, 5), 16, 0}, 18, -EBADMSG, 1, false, false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		bool done = false, interrupted = false;
		struct err err = ERR_INIT;
		int messages = 0;
		int rc = nl_walk(cases[i].bytes, cases[i].len, 5, count, &messages, &done,
				 &interrupted, &err);

		if (rc != cases[i].rc || messages != cases[i].messages || done != cases[i].done ||
		    interrupted != cases[i].interrupted)
			fail_msg("%s: %d, %d messages, done %d", cases[i].name, rc, messages, done);
	}
}

/* A body and its attributes, built as nl_msg and cut down to what a parser is given. */
#define BODY(m)     ((m).data + 16)
#define BODY_LEN(m) ((m).len - 16)

static void build_route(struct nl_msg *m, uint8_t prefix, size_t dst_len, uint32_t table)
{
	static const uint8_t zeros[16];
	const struct rtmsg body = {.rtm_family = AF_INET,
				   .rtm_dst_len = prefix,
				   .rtm_table = RT_TABLE_MAIN,
				   .rtm_type = RTN_UNICAST};

	nl_begin(m, RTM_NEWROUTE, 0, &body, sizeof(body));
	if (dst_len)
		nl_put(m, RTA_DST, zeros, dst_len);
	nl_put_u32(m, RTA_OIF, 2);
	nl_put_u32(m, RTA_TABLE, table);
}

static void test_parse_route(void **state)
{
	static const struct {
		const char *name;
		uint8_t prefix;
		size_t dst_len;
		uint32_t table;
		int rc;
	} cases[] = {
		{"sound", 24, 4, RT_TABLE_MAIN, 0},
		{"default", 0, 0, RT_TABLE_MAIN, 0},
		{"another table", 24, 4, RT_TABLE_LOCAL, 1},
		{"33 bits", 33, 4, RT_TABLE_MAIN, -EBADMSG},
		{"address of another length", 24, 16, RT_TABLE_MAIN, -EBADMSG},
		{"no address", 24, 0, RT_TABLE_MAIN, -EBADMSG},
	};
	struct net_route r;
	struct nl_msg m;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		build_route(&m, cases[i].prefix, cases[i].dst_len, cases[i].table);
		if (net_parse_route(BODY(m), BODY_LEN(m), &r) != cases[i].rc)
			fail_msg("%s", cases[i].name);
	}
	build_route(&m, 24, 4, RT_TABLE_MAIN);
	for (size_t len = 0; len < sizeof(struct rtmsg); len++)
		assert_int_equal(net_parse_route(BODY(m), len, &r), -EBADMSG);
}

static void test_parse_others(void **state)
{
	const struct ifaddrmsg address = {.ifa_family = AF_INET, .ifa_prefixlen = 33};
	const struct ndmsg learned = {.ndm_family = AF_INET, .ndm_state = NUD_REACHABLE};
	const struct ndmsg permanent = {.ndm_family = AF_INET, .ndm_state = NUD_PERMANENT};
	const struct ifinfomsg link = {.ifi_index = 3};
	const uint8_t bytes[16] = {1, 2, 3, 4, 5, 6};
	struct net_neighbour n;
	struct net_address a;
	struct net_link l;
	struct nl_msg m;

	(void)state;
	nl_begin(&m, RTM_NEWADDR, 0, &address, sizeof(address));
	nl_put(&m, IFA_LOCAL, bytes, 4);
	assert_int_equal(net_parse_address(BODY(m), BODY_LEN(m), &a), -EBADMSG);
	nl_begin(&m, RTM_NEWNEIGH, 0, &learned, sizeof(learned));
	nl_put(&m, NDA_DST, bytes, 4);
	nl_put(&m, NDA_LLADDR, bytes, 6);
	assert_int_equal(net_parse_neighbour(BODY(m), BODY_LEN(m), &n), 1);
	nl_begin(&m, RTM_NEWNEIGH, 0, &permanent, sizeof(permanent));
	nl_put(&m, NDA_LLADDR, bytes, 6);
	assert_int_equal(net_parse_neighbour(BODY(m), BODY_LEN(m), &n), -EBADMSG);
	nl_put(&m, NDA_DST, bytes, 4);
	assert_int_equal(net_parse_neighbour(BODY(m), BODY_LEN(m), &n), 0);
	nl_begin(&m, RTM_NEWLINK, 0, &link, sizeof(link));
	assert_int_equal(net_parse_link(BODY(m), BODY_LEN(m), &l), -EBADMSG);
	nl_put(&m, IFLA_IFNAME, "a-name-without-its-end", 16);
	assert_int_equal(net_parse_link(BODY(m), BODY_LEN(m), &l), -EBADMSG);
	nl_put_str(&m, IFLA_IFNAME, "eth0");
	nl_put(&m, IFLA_ADDRESS, bytes, 16);
	assert_int_equal(net_parse_link(BODY(m), BODY_LEN(m), &l), 0);
	assert_string_equal(l.name, "eth0");
	assert_int_equal(l.mac[0], 0);
}

/* --- a real namespace ---------------------------------------------------------------------------------------------- */

static const struct net_route *route_to(const struct net_state *s, uint8_t family, uint8_t prefix,
					const char *text)
{
	uint8_t bytes[16] = {0};

	if (text)
		assert_int_equal(inet_pton(family, text, bytes), 1);
	for (size_t i = 0; i < s->nroutes; i++)
		if (s->routes[i].family == family && s->routes[i].prefix == prefix &&
		    memcmp(s->routes[i].destination.bytes, bytes, 16) == 0)
			return &s->routes[i];
	return NULL;
}

static void assert_ip(const struct net_ip *ip, uint8_t family, const char *text)
{
	uint8_t bytes[16] = {0};

	assert_int_equal(inet_pton(family, text, bytes), 1);
	assert_int_equal(ip->family, family);
	assert_memory_equal(ip->bytes, bytes, net_ip_bytes(family));
}

static void test_read(void **state)
{
	AUTO_NET_STATE struct net_state s = NET_STATE_INIT;
	static const uint8_t mac[] = {2, 0, 0, 0, 0, 0x10}, neighbour[] = {2, 0, 0, 0, 0, 0x99};
	AUTO_FD int peers = -1;
	AUTO_FD int pod = netns_pod(&peers);

	(void)state;
	netns_read(pod, &s);
	const struct net_link *eth0 = netns_link(&s, "eth0");

	assert_int_equal(eth0->mtu, 1400);
	assert_memory_equal(eth0->mac, mac, sizeof(mac));
	assert_string_equal(eth0->kind, "veth");
	const struct net_route *r = route_to(&s, AF_INET, 0, NULL);
	assert_non_null(r);
	assert_int_equal(r->link, eth0->index);
	assert_ip(&r->gateway, AF_INET, "169.254.1.1");
	r = route_to(&s, AF_INET, 32, "169.254.1.1");
	assert_non_null(r);
	assert_int_equal(r->scope, RT_SCOPE_LINK);
	r = route_to(&s, AF_INET, 16, "10.50.0.0");
	assert_non_null(r);
	assert_ip(&r->source, AF_INET, "10.1.2.3");
	assert_int_equal(r->metric, 77);
	assert_int_equal(r->mtu, 1300);
	r = route_to(&s, AF_INET, 16, "10.60.0.0");
	assert_true(r && r->onlink);
	r = route_to(&s, AF_INET, 16, "10.70.0.0");
	assert_non_null(r);
	assert_ip(&r->gateway, AF_INET6, "fe80::9");
	assert_null(route_to(&s, AF_INET, 16, "10.80.0.0"));
	r = route_to(&s, AF_INET6, 0, NULL);
	assert_non_null(r);
	assert_int_equal(r->metric, 5);
	assert_int_equal(s.nneighbours, 2);
	assert_memory_equal(s.neighbours[0].mac, neighbour, sizeof(neighbour));
	size_t peered = 0;
	for (size_t i = 0; i < s.naddresses; i++)
		peered += s.addresses[i].peer.family != 0;
	assert_int_equal(peered, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_build),       cmocka_unit_test(test_build_past_the_end),
		cmocka_unit_test(test_parse),       cmocka_unit_test(test_walk),
		cmocka_unit_test(test_parse_route), cmocka_unit_test(test_parse_others),
		cmocka_unit_test(test_read),
	};

	netns_enter_private();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
