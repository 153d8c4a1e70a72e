/*
 * The pod's network on the host, against a guest that is played here: taps joined to interfaces, frames through them, what the
 * guest is told and when, interfaces that come and go, and that nothing is left in the namespace.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent-proto/agent.pb-c.h"
#include "base/loop.h"
#include "base/own.h"
#include "base/path.h"
#include "runtime/network.h"
#include "runtime/network_join.h"
#include "runtime/network_ns.h"
#include "runtime/resources.h"
#include "tests/unit/netns.h"

#define DEADLINE_MS 5000
#define VNET_HDR    10 /* struct virtio_net_hdr, which a tap starts with */
#define ETHERTYPE   0x88, 0xb5

struct pending {
	network_fn fn;
	void *arg;
};

struct world {
	int pod, peers;
	char ns_path[64], state_dir[64];
	struct loop *loop;
	struct network *network;
	struct network_joins *joins;
	Nacre__Agent__V1__ConfigureNetworkRequest *told;
	int tellings, refuse_code; /* refuse_code: the guest's answers */
	struct network_nic plugged, unplugged;
	int plugs, unplugs;
	bool hold; /* answers wait */
	struct pending held;
	int settled, code;
	char text[ERR_TEXT_BYTES];
};

static void answer(struct world *w, network_fn fn, void *arg)
{
	struct err status = ERR_INIT;

	if (w->hold) {
		assert_null(w->held.fn);
		w->held = (struct pending){fn, arg};
		return;
	}
	if (w->refuse_code)
		(void)err_say(&status, w->refuse_code, "the guest does not want to");
	fn(arg, &status);
}

static void on_plug(void *arg, const struct network_nic *nic, network_fn fn, void *fn_arg)
{
	struct world *w = arg;

	assert_true(nic->tap_fd >= 0);
	w->plugged = *nic;
	w->plugs++;
	answer(w, fn, fn_arg);
}

static void on_unplug(void *arg, const struct network_nic *nic, network_fn fn, void *fn_arg)
{
	struct world *w = arg;

	w->unplugged = *nic;
	w->unplugs++;
	answer(w, fn, fn_arg);
}

static void on_configure(void *arg, const void *bytes, size_t len, network_fn fn, void *fn_arg)
{
	struct world *w = arg;

	if (w->told)
		nacre__agent__v1__configure_network_request__free_unpacked(w->told, NULL);
	w->told = nacre__agent__v1__configure_network_request__unpack(NULL, len, bytes);
	assert_non_null(w->told);
	w->tellings++;
	answer(w, fn, fn_arg);
}

static void on_settled(void *arg, const struct err *status)
{
	struct world *w = arg;

	w->settled++;
	w->code = status->code;
	(void)snprintf(w->text, sizeof(w->text), "%s", status->text);
}

static int on_join(void *arg, int link, int *tap, int *tap_fd, struct err *err)
{
	const struct world *w = arg;

	return network_join(w->joins, link, tap, tap_fd, err);
}

static int on_leave(void *arg, int link, struct err *err)
{
	const struct world *w = arg;

	return network_leave(w->joins, link, err);
}

static int on_mtu(void *arg, int link, struct err *err)
{
	const struct world *w = arg;

	return network_follow_mtu(w->joins, link, err);
}

static int open_network(struct world *w, unsigned spare_slots, struct err *err)
{
	const struct network_params p = {
		.loop = w->loop,
		.ns_fd = w->pod,
		.spare_slots = spare_slots,
		.ops = {on_join, on_leave, on_mtu, on_plug, on_unplug, on_configure, w},
	};
	return network_open(&p, &w->network, err);
}

static void want_network(struct world *w, unsigned spare_slots)
{
	struct err err = ERR_INIT;

	if (open_network(w, spare_slots, &err))
		fail_msg("%s", err.text);
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	struct err err = ERR_INIT;

	assert_non_null(w);
	*state = w;
	w->pod = netns_pod(&w->peers);
	(void)snprintf(w->ns_path, sizeof(w->ns_path), "/proc/%d/fd/%d", (int)getpid(), w->pod);
	(void)snprintf(w->state_dir, sizeof(w->state_dir), "/tmp/network_test.XXXXXX");
	assert_non_null(mkdtemp(w->state_dir));
	assert_int_equal(network_joins_open(w->pod, w->ns_path, w->state_dir, &w->joins, &err), 0);
	return loop_create(&w->loop, &err);
}

static int teardown(void **state)
{
	struct world *w = *state;
	struct err err = ERR_INIT;

	network_destroy(w->network);
	network_joins_destroy(w->joins);
	assert_string_equal(netns_sh(w->pod, "tc qdisc show | grep ingress || true;"
					     "ip -o link | grep nacre || true"),
			    "");
	if (w->told)
		nacre__agent__v1__configure_network_request__free_unpacked(w->told, NULL);
	loop_destroy(w->loop);
	own_close(&w->pod);
	own_close(&w->peers);
	assert_int_equal(path_remove_tree(AT_FDCWD, w->state_dir, &err), 0);
	free(w);
	return 0;
}

/* Until *counter is `value`; a watch that sees nothing runs into the deadline. */
static void step_until(struct world *w, const int *counter, int value)
{
	struct err err = ERR_INIT;

	for (int i = 0; i < 100 && *counter < value; i++)
		assert_int_equal(loop_step(w->loop, DEADLINE_MS, &err), 0);
	assert_int_equal(*counter, value);
}

/* --- frames -------------------------------------------------------------------------------------------------------- */

#define MAC_ETH0 2, 0, 0, 0, 0, 0x10
#define MAC_PEER 2, 0, 0, 0, 0, 0x77

static const uint8_t to_pod[64] = {MAC_ETH0, MAC_PEER, ETHERTYPE, 'i', 'n'};
static const uint8_t from_pod[64] = {MAC_PEER, MAC_ETH0, ETHERTYPE, 'o', 'u', 't'};
/* Who has 10.1.2.3 (eth0's own address)? Tell 10.1.2.200. */
static const uint8_t arp[42] = {
	0xff, 0xff,     0xff, 0xff, 0xff, 0xff, MAC_PEER, 8, 6, 0, 1, 8, 0,  6, 4, 0,
	1,    MAC_PEER, 10,   1,    2,    200,  0,        0, 0, 0, 0, 0, 10, 1, 2, 3,
};

static size_t read_frame(int fd, uint8_t *buf, size_t size)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	assert_int_equal(poll(&p, 1, DEADLINE_MS), 1);
	ssize_t n = read(fd, buf, size);

	assert_true(n > 0);
	return (size_t)n;
}

static void expect_from_tap(int tap, const uint8_t *frame, size_t len)
{
	uint8_t buf[2048];

	for (int i = 0; i < 100; i++) {
		size_t n = read_frame(tap, buf, sizeof(buf));

		if (n >= VNET_HDR + len && memcmp(buf + VNET_HDR, frame, len) == 0)
			return;
	}
	fail_msg("the frame did not come out of the tap");
}

static void send_by_tap(int tap, const uint8_t *frame, size_t len)
{
	uint8_t buf[2048] = {0};

	memcpy(buf + VNET_HDR, frame, len);
	assert_int_equal(write(tap, buf, VNET_HDR + len), VNET_HDR + len);
}

static void test_frames(void **state)
{
	struct world *w = *state;
	uint8_t buf[2048];

	want_network(w, 0);
	const struct network_nic *eth0 = network_nic(w->network, 0);
	assert_non_null(eth0);
	assert_non_null(network_nic(w->network, 1));
	assert_null(network_nic(w->network, 2));
	if (strcmp(eth0->name, "eth0") != 0)
		eth0 = network_nic(w->network, 1);
	AUTO_FD int peer = netns_packet_socket(w->peers, "p0");

	assert_int_equal(send(peer, to_pod, sizeof(to_pod), 0), sizeof(to_pod));
	expect_from_tap(eth0->tap_fd, to_pod, sizeof(to_pod));
	/* ARP for the address that the namespace itself has: it is the guest's to answer. */
	assert_int_equal(send(peer, arp, sizeof(arp), 0), sizeof(arp));
	expect_from_tap(eth0->tap_fd, arp, sizeof(arp));
	send_by_tap(eth0->tap_fd, from_pod, sizeof(from_pod));
	for (;;) {
		size_t n = read_frame(peer, buf, sizeof(buf));
		const bool reply = n >= 22 && buf[12] == 8 && buf[13] == 6 && buf[21] == 2;

		assert_false(reply);
		if (n == sizeof(from_pod) && memcmp(buf, from_pod, n) == 0)
			break;
	}
}

static void test_mtu_and_addresses_of_taps(void **state)
{
	struct world *w = *state;

	want_network(w, 0);
	assert_string_equal(netns_sh(w->pod, "ip -o link show up | grep -c 'nacre.*mtu 1400'"),
			    "1\n");
	assert_string_equal(netns_sh(w->pod, "ip -o addr show | grep nacre || true"), "");
}

/* --- what cannot be ------------------------------------------------------------------------------------------------ */

static void test_filtered_already(void **state)
{
	struct world *w = *state;
	struct err err = ERR_INIT;

	(void)netns_sh(w->pod, "tc qdisc add dev net1 clsact");
	assert_int_equal(open_network(w, 0, &err), -EEXIST);
	assert_non_null(strstr(err.text, "network interface 'net1'"));
	assert_non_null(strstr(err.text, "filtered already"));
	assert_string_equal(
		netns_sh(w->pod,
			 "tc qdisc show | grep -o clsact; tc qdisc show | grep ingress || true;"
			 "ip -o link | grep nacre || true"),
		"clsact\n");
	(void)netns_sh(w->pod, "tc qdisc del dev net1 clsact");
}

static size_t listed(const struct world *w)
{
	AUTO_FREE char *path = NULL;
	AUTO_FREE char *text = NULL;
	struct err err = ERR_INIT;
	size_t n = 0;

	assert_true(asprintf(&path, "%s/%s", w->state_dir, RESOURCES_FILE) > 0);
	assert_int_equal(path_read(AT_FDCWD, path, 65536, &text, NULL, &err), 0);
	for (const char *at = strstr(text, "\"redirect\""); at; at = strstr(at + 1, "\"redirect\""))
		n++;
	return n;
}

/* Whoever asks for the same over and over fills no file: what is no redirection any more, or never was, is not listed. */
static void test_list_has_what_there_is(void **state)
{
	struct world *w = *state;
	AUTO_NET_STATE struct net_state pod = NET_STATE_INIT;
	struct err err = ERR_INIT;
	int tap = 0, fd = -1;

	netns_read(w->pod, &pod);
	const int eth0 = netns_link(&pod, "eth0")->index, net1 = netns_link(&pod, "net1")->index;
	(void)netns_sh(w->pod, "tc qdisc add dev net1 clsact");
	for (int i = 0; i < 3; i++) {
		assert_int_equal(network_join(w->joins, eth0, &tap, &fd, &err), 0);
		assert_int_equal(listed(w), 1);
		assert_int_equal(network_join(w->joins, net1, &(int){0}, &(int){0}, &err), -EEXIST);
		assert_int_equal(listed(w), 1);
		assert_int_equal(network_leave(w->joins, eth0, &err), 0);
		assert_int_equal(listed(w), 0);
		own_close(&fd);
	}
	(void)netns_sh(w->pod, "tc qdisc del dev net1 clsact");
}

static void test_one_microvm_an_interface(void **state)
{
	struct world *w = *state;
	struct network *first = NULL;
	struct network_joins *firsts = w->joins;
	struct err err = ERR_INIT;

	want_network(w, 0);
	first = w->network;
	w->network = NULL;
	assert_int_equal(network_joins_open(w->pod, w->ns_path, w->state_dir, &w->joins, &err), 0);
	assert_int_equal(open_network(w, 0, &err), -EEXIST);
	network_joins_destroy(w->joins);
	w->network = first;
	w->joins = firsts;
	/* The first one's are as they were. */
	assert_string_equal(netns_sh(w->pod, "tc qdisc show | grep -c ingress"), "4\n");
}

static void test_namespaces(void **state)
{
	static const struct {
		const char *path;
		int code;
		const char *text;
	} cases[] = {
		{"/run/netns/no-such-namespace", ENOENT, "/run/netns/no-such-namespace"},
		{"/dev/null", EINVAL, "no network namespace"},
		{"/proc/self/ns/mnt", EINVAL, "no network namespace"},
		{"/proc/self/ns/net", ENOTSUP, "host's network"},
	};
	int fd = -1;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct err err = ERR_INIT;

		assert_int_equal(network_ns_open(cases[i].path, &fd, &err), -cases[i].code);
		if (!strstr(err.text, cases[i].text))
			fail_msg("%s: %s", cases[i].path, err.text);
		assert_int_equal(fd, -1);
	}
	struct err err = ERR_INIT;
	assert_int_equal(network_ns_open("", &fd, &err), 0);
	assert_string_equal(netns_sh(fd, "ip -o link | grep -vc lo: || true"), "0\n");
	own_close(&fd);
}

/* --- the guest is told --------------------------------------------------------------------------------------------- */

static const Nacre__Agent__V1__NetworkInterface *told_of(const struct world *w, const char *name)
{
	for (size_t i = 0; i < w->told->n_interfaces; i++)
		if (strcmp(w->told->interfaces[i]->name, name) == 0)
			return w->told->interfaces[i];
	return NULL;
}

static void begin(struct world *w)
{
	network_begin(w->network, on_settled, w);
	step_until(w, &w->settled, 1);
	assert_int_equal(w->code, 0);
}

static void test_told_once(void **state)
{
	struct world *w = *state;

	want_network(w, 0);
	begin(w);
	assert_int_equal(w->tellings, 1);
	assert_int_equal(w->told->n_interfaces, 2);
	assert_int_equal(told_of(w, "eth0")->mtu, 1400);
	network_settle(w->network, on_settled, w);
	assert_int_equal(w->settled, 2);
	assert_int_equal(w->tellings, 1);
}

static void test_changes_are_told(void **state)
{
	struct world *w = *state;

	want_network(w, 0);
	begin(w);
	(void)netns_sh(w->pod, "ip route add 10.123.0.0/16 dev eth0");
	step_until(w, &w->tellings, 2);
	(void)netns_sh(w->pod, "ip link set eth0 mtu 1300");
	step_until(w, &w->tellings, 3);
	assert_int_equal(told_of(w, "eth0")->mtu, 1300);
	assert_string_equal(netns_sh(w->pod, "ip -o link | grep -c 'nacre.*mtu 1300'"), "1\n");
}

static void test_refusal_is_told_and_tried_again(void **state)
{
	struct world *w = *state;

	want_network(w, 0);
	w->refuse_code = EIO;
	network_begin(w->network, on_settled, w);
	assert_int_equal(w->settled, 1);
	assert_int_equal(w->code, EIO);
	assert_non_null(strstr(w->text, "does not want to"));
	w->refuse_code = 0;
	network_settle(w->network, on_settled, w);
	assert_int_equal(w->settled, 2);
	assert_int_equal(w->code, 0);
	assert_int_equal(w->tellings, 2);
}

/* --- interfaces that come and go ------------------------------------------------------------------------------------ */

static void add_interface(struct world *w, const char *name)
{
	(void)netns_sh(w->pod,
		       "ip link add %s address 02:00:00:00:00:55 type veth peer name q-%s netns "
		       "/proc/%d/fd/%d;"
		       "ip addr add 10.55.0.1/24 dev %s; ip link set %s up",
		       name, name, (int)getpid(), w->peers, name, name);
}

static void test_an_interface_arrives(void **state)
{
	static const uint8_t spare[] = {0x02, 0x6e, 0x61, 0x63, 0x72, 0},
			     mac[] = {2, 0, 0, 0, 0, 0x55};
	struct world *w = *state;

	want_network(w, 1);
	network_release_taps(w->network);
	begin(w);
	w->hold = true;
	add_interface(w, "late0");
	step_until(w, &w->plugs, 1);
	assert_string_equal(w->plugged.name, "late0");
	assert_int_equal(w->plugged.slot, 0);
	assert_int_equal(w->plugged.addr, 2); /* after the two of the start */
	/* Who starts a process now waits until the guest has it. */
	network_settle(w->network, on_settled, w);
	assert_int_equal(w->settled, 1);
	assert_int_equal(w->tellings, 1);
	w->hold = false;
	w->held.fn(w->held.arg, &(const struct err)ERR_INIT);
	step_until(w, &w->settled, 2);
	assert_int_equal(w->code, 0);
	const Nacre__Agent__V1__NetworkInterface *late = told_of(w, "late0");
	assert_non_null(late);
	assert_int_equal(late->n_addresses, 1);
	assert_memory_equal(late->mac.data, mac, 6);
	assert_memory_equal(late->device_mac.data, spare, 6);
}

static void test_an_interface_goes(void **state)
{
	struct world *w = *state;

	want_network(w, 1);
	begin(w);
	for (int i = 1; i <= 2; i++) {
		add_interface(w, "late0");
		step_until(w, &w->plugs, i);
		(void)netns_sh(w->pod, "ip link del late0");
		step_until(w, &w->unplugs, i);
		network_settle(w->network, on_settled, w);
		assert_null(told_of(w, "late0"));
	}
	/* One the machine was made with has no slot to leave. */
	(void)netns_sh(w->pod, "ip link del net1");
	network_settle(w->network, on_settled, w);
	assert_int_equal(w->unplugs, 2);
	assert_int_equal(w->told->n_interfaces, 1);
}

static void test_no_slot_left(void **state)
{
	struct world *w = *state;

	want_network(w, 0);
	begin(w);
	add_interface(w, "late0");
	for (int i = 2; i <= 3; i++) { /* as long as it is there and nothing runs */
		network_settle(w->network, on_settled, w);
		assert_int_equal(w->settled, i);
		assert_int_equal(w->code, ENOSPC);
		assert_non_null(strstr(w->text, "spare_nics"));
	}
	(void)netns_sh(w->pod, "ip link del late0");
	network_settle(w->network, on_settled, w);
	assert_int_equal(w->code, 0);
}

/* The other containers of a pod at work do without what cannot be had; a slot that gets free is used. */
static void test_a_pod_at_work_goes_on(void **state)
{
	struct world *w = *state;

	want_network(w, 1);
	begin(w);
	network_settle(w->network, on_settled, w);
	add_interface(w, "late0");
	step_until(w, &w->plugs, 1);
	add_interface(w, "late1");
	for (int i = 3; i <= 4; i++) {
		network_settle(w->network, on_settled, w);
		assert_int_equal(w->settled, i);
		assert_int_equal(w->code, 0);
		assert_null(told_of(w, "late1"));
	}
	(void)netns_sh(w->pod, "ip link del late0");
	network_settle(w->network, on_settled, w);
	assert_int_equal(w->unplugs, 1);
	assert_int_equal(w->plugs, 2);
	assert_non_null(told_of(w, "late1"));
	w->refuse_code = EIO;
	(void)netns_sh(w->pod, "ip route add 10.124.0.0/16 dev eth0");
	network_settle(w->network, on_settled, w);
	assert_int_equal(w->settled, 6);
	assert_int_equal(w->code, 0);
	w->refuse_code = 0;
}

static void test_plug_fails(void **state)
{
	struct world *w = *state;

	want_network(w, 1);
	begin(w);
	w->refuse_code = EIO;
	add_interface(w, "late0");
	network_settle(w->network, on_settled, w);
	assert_int_equal(w->code, EIO);
	assert_non_null(strstr(w->text, "'late0'"));
	w->refuse_code = 0;
	assert_string_equal(netns_sh(w->pod, "tc qdisc show dev late0 | grep ingress || true"), "");
}

static void test_end_during_a_plug(void **state)
{
	struct world *w = *state;

	want_network(w, 1);
	begin(w);
	w->hold = true;
	add_interface(w, "late0");
	network_settle(w->network, on_settled, w);
	assert_int_equal(w->plugs, 1);
	network_end(w->network);
	w->held.fn(w->held.arg, &(const struct err)ERR_INIT);
	assert_int_equal(w->settled, 2);
	assert_int_equal(w->code, ECANCELED);
	assert_int_equal(w->tellings, 1);
}

/* --- a monitor that was killed --------------------------------------------------------------------------------------- */

static void open_and_be_killed(struct world *w)
{
	struct err err = ERR_INIT;
	int status = 0;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		int rc = open_network(w, 0, &err);

		_exit(rc ? 1 : 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_string_equal(
		netns_sh(w->pod,
			 "tc qdisc show | grep -c ingress; ip -o link | grep nacre || true"),
		"2\n");
}

static void test_delete_takes_back(void **state)
{
	struct world *w = *state;
	struct err err = ERR_INIT;

	open_and_be_killed(w);
	assert_int_equal(resources_replay(w->state_dir, &err), 0);
	assert_string_equal(netns_sh(w->pod, "tc qdisc show | grep ingress || true"), "");
}

static void test_delete_leaves_others_alone(void **state)
{
	struct world *w = *state;
	struct err err = ERR_INIT;

	open_and_be_killed(w);
	AUTO_FREE char *list = NULL;
	AUTO_FREE char *path = NULL;
	size_t len = 0;

	assert_true(asprintf(&path, "%s/%s", w->state_dir, RESOURCES_FILE) > 0);
	assert_int_equal(path_read(AT_FDCWD, path, 65536, &list, &len, &err), 0);
	/* The next microVM in that namespace; what the first has left is replaced. */
	want_network(w, 0);
	assert_int_equal(path_write_atomic(AT_FDCWD, path, list, len, 0600, &err), 0);
	assert_int_equal(resources_replay(w->state_dir, &err), 0);
	assert_string_equal(netns_sh(w->pod, "tc qdisc show | grep -c ingress"), "4\n");
}

static void test_delete_knows_the_namespace(void **state)
{
	struct world *w = *state;
	const struct network_leftover another = {
		.ns_path = w->ns_path, .ns_dev = 1, .ns_ino = 2, .link = 2};
	const struct network_leftover gone = {
		.ns_path = "/run/netns/gone", .ns_dev = 1, .ns_ino = 2, .link = 2};
	struct err err = ERR_INIT;

	open_and_be_killed(w);
	assert_int_equal(network_remove_leftover(&another, &err), 0);
	assert_int_equal(network_remove_leftover(&gone, &err), 0);
	assert_string_equal(netns_sh(w->pod, "tc qdisc show | grep -c ingress"), "2\n");
	assert_int_equal(resources_replay(w->state_dir, &err), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_frames),
		TEST(test_mtu_and_addresses_of_taps),
		TEST(test_filtered_already),
		TEST(test_list_has_what_there_is),
		TEST(test_one_microvm_an_interface),
		cmocka_unit_test(test_namespaces),
		TEST(test_told_once),
		TEST(test_changes_are_told),
		TEST(test_refusal_is_told_and_tried_again),
		TEST(test_an_interface_arrives),
		TEST(test_an_interface_goes),
		TEST(test_no_slot_left),
		TEST(test_a_pod_at_work_goes_on),
		TEST(test_plug_fails),
		TEST(test_end_during_a_plug),
		TEST(test_delete_takes_back),
		TEST(test_delete_leaves_others_alone),
		TEST(test_delete_knows_the_namespace),
	};

	netns_enter_private();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
