/*
 * The network device on real taps, in a network namespace of the test's own: what a descriptor must be, offloads, filters and
 * queues as the kernel sees them. Frames carry an EtherType for experiments, by which the kernel's own are told apart.
 */
#include "tests/unit/net_fixture.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/own.h"
#include "vmm/tap.h"

#define ETHERTYPE   0x88b5 /* IEEE 802, for local experiments */
#define FRAME_BYTES 60
#define BUF_BYTES   2048
#define PAIRS       2

struct tap_fixture {
	struct net_fixture net;
	int packet; /* every frame that passes tap0, both ways */
	int tap_fd; /* its first queue, the device's */
	struct gpa buffers[PAIRS];
	uint16_t taken[PAIRS];
};

static int setup(void **state)
{
	(void)state;
	if (unshare(geteuid() == 0 ? CLONE_NEWNET : CLONE_NEWNET | CLONE_NEWUSER) < 0)
		fail_msg("no network namespace: %s", strerror(errno));
	return 0;
}

static void set_up(const char *ifname)
{
	AUTO_FD int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq ifr = {.ifr_flags = IFF_UP};

	(void)snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", ifname);
	assert_int_equal(ioctl(fd, SIOCSIFFLAGS, &ifr), 0);
}

static int open_packet_socket(void)
{
	struct sockaddr_ll at = {.sll_family = AF_PACKET,
				 .sll_protocol = htons(ETHERTYPE),
				 .sll_ifindex = (int)if_nametoindex("tap0")};
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, htons(ETHERTYPE));

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (const struct sockaddr *)&at, sizeof(at)), 0);
	return fd;
}

/* A device on `pairs` queues of tap0, each with 64 receive buffers. */
static void start(struct tap_fixture *f, uint64_t features, unsigned pairs)
{
	struct dev_net_params p = {.ntaps = pairs, .mac = NET_MAC};

	*f = (struct tap_fixture){.packet = -1};
	memset(f->net.host, -1, sizeof(f->net.host));
	assert_int_equal(tap_open("tap0", pairs, p.tap_fds, NULL), 0);
	f->tap_fd = p.tap_fds[0];
	set_up("tap0");
	f->packet = open_packet_socket();
	fake_init(&f->net.d);
	assert_int_equal(dev_net_create(&p, f->net.d.mem, f->net.d.loop, &f->net.dev, NULL), 0);
	fake_probe(&f->net.d, f->net.dev, features);
	for (uint16_t pair = 0; pair < pairs; pair++) {
		f->buffers[pair] = fake_alloc(&f->net.d, 64 * BUF_BYTES);
		for (uint16_t i = 0; i < 64; i++)
			fake_add(&f->net.d, (uint16_t)(2 * pair),
				 &(struct fake_seg){GPA(f->buffers[pair].v + i * BUF_BYTES),
						    BUF_BYTES, true},
				 1);
		fake_kick(&f->net.d, (uint16_t)(2 * pair));
	}
}

static void stop(struct tap_fixture *f)
{
	net_stop(&f->net);
	own_close(&f->packet);
	assert_int_equal(if_nametoindex("tap0"), 0); /* the tap has gone with its descriptors */
}

static void make_frame(uint8_t frame[FRAME_BYTES], const uint8_t to[6], uint8_t tag)
{
	memset(frame, tag, FRAME_BYTES);
	memcpy(frame, to, 6);
	frame[12] = ETHERTYPE >> 8;
	frame[13] = ETHERTYPE & 0xff;
}

static void host_sends(struct tap_fixture *f, const uint8_t to[6], uint8_t tag)
{
	uint8_t frame[FRAME_BYTES];

	make_frame(frame, to, tag);
	assert_int_equal(send(f->packet, frame, sizeof(frame), 0), sizeof(frame));
}

/* The tag of the next frame of ours that the guest gets by a pair, 0 when there is none. */
static uint8_t guest_gets(struct tap_fixture *f, uint16_t pair)
{
	uint8_t frame[HDR + FRAME_BYTES];
	uint32_t len;
	uint16_t head;

	fake_run(&f->net.d, 0);
	while (fake_used(&f->net.d, (uint16_t)(2 * pair), &head, &len)) {
		struct gpa at = GPA(f->buffers[pair].v + f->taken[pair]++ * (uint64_t)BUF_BYTES);

		assert_in_range(f->taken[pair], 1, 64);
		fake_get(&f->net.d, at, frame, sizeof(frame));
		if (frame[HDR + 12] == ETHERTYPE >> 8 && frame[HDR + 13] == (ETHERTYPE & 0xff)) {
			assert_int_equal(len, sizeof(frame));
			return frame[HDR + FRAME_BYTES - 1];
		}
	}
	return 0;
}

static void guest_sends(struct tap_fixture *f, uint16_t pair, const struct virtio_net_hdr_v1 *hdr,
			uint8_t tag)
{
	static const uint8_t broadcast[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
	uint8_t frame[HDR + FRAME_BYTES];
	uint16_t queue = (uint16_t)(2 * pair + 1);

	memcpy(frame, hdr, HDR);
	make_frame(frame + HDR, broadcast, tag);
	fake_add(
		&f->net.d, queue,
		&(struct fake_seg){fake_put(&f->net.d, frame, sizeof(frame)), sizeof(frame), false},
		1);
	fake_kick(&f->net.d, queue);
}

static uint8_t host_gets(struct tap_fixture *f)
{
	uint8_t frame[FRAME_BYTES] = {0};
	ssize_t n = recv(f->packet, frame, sizeof(frame), 0);

	if (n < 0) {
		assert_int_equal(errno, EAGAIN);
		return 0;
	}
	assert_int_equal(n, sizeof(frame));
	return frame[FRAME_BYTES - 1];
}

static bool command(struct tap_fixture *f, uint16_t queue, const void *bytes, uint32_t len)
{
	uint8_t ack = 0xee;
	struct gpa ack_at = fake_put(&f->net.d, &ack, 1);
	uint32_t used;
	uint16_t head;

	fake_add(&f->net.d, queue,
		 (struct fake_seg[]){{fake_put(&f->net.d, bytes, len), len, false},
				     {ack_at, 1, true}},
		 2);
	fake_kick(&f->net.d, queue);
	assert_true(fake_used(&f->net.d, queue, &head, &used));
	fake_get(&f->net.d, ack_at, &ack, 1);
	return ack == VIRTIO_NET_OK;
}

static void test_both_ways(void **state)
{
	static const struct virtio_net_hdr_v1 plain;
	static const struct virtio_net_hdr_v1 csum = {
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 20, .csum_offset = 2};
	static const uint8_t to[] = NET_MAC;
	struct tap_fixture f;

	(void)state;
	start(&f, UINT64_MAX, 1);
	host_sends(&f, to, 1);
	host_sends(&f, to, 2);
	assert_int_equal(guest_gets(&f, 0), 1);
	assert_int_equal(guest_gets(&f, 0), 2);
	assert_int_equal(guest_gets(&f, 0), 0);
	guest_sends(&f, 0, &plain, 3);
	guest_sends(&f, 0, &csum, 4);
	assert_int_equal(host_gets(&f), 3);
	assert_int_equal(host_gets(&f), 4);
	assert_int_equal(host_gets(&f), 0);
	stop(&f);
}

static bool tap_feature(uint32_t what)
{
	AUTO_FD int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ethtool_value value = {.cmd = what};
	struct ifreq ifr = {.ifr_name = "tap0", .ifr_data = (void *)&value};

	assert_int_equal(ioctl(fd, SIOCETHTOOL, &ifr), 0);
	return value.data;
}

/* What the driver takes is what the tap hands out, at DRIVER_OK, by command, and no more after a reset. */
static void test_offloads(void **state)
{
	static const struct {
		const char *name;
		uint64_t features;
		bool csum, tso;
	} cases[] = {
		{"none", 0, false, false},
		{"checksums", BIT(GUEST_CSUM), true, false},
		{"segments", BIT(GUEST_CSUM) | BIT(GUEST_TSO4), true, true},
		{"segments without checksums", BIT(GUEST_TSO4), false, false},
		{"ECN without segments", BIT(GUEST_CSUM) | BIT(GUEST_ECN), true, false},
		{"all", UINT64_MAX, true, true},
	};
	static const uint8_t no_offloads[10] = {VIRTIO_NET_CTRL_GUEST_OFFLOADS};
	static const uint8_t checksums[10] = {VIRTIO_NET_CTRL_GUEST_OFFLOADS, 0,
					      1 << VIRTIO_NET_F_GUEST_CSUM};
	struct tap_fixture f;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		print_message("  %s\n", cases[i].name);
		start(&f, cases[i].features, 1);
		assert_int_equal(tap_feature(ETHTOOL_GTXCSUM), cases[i].csum);
		assert_int_equal(tap_feature(ETHTOOL_GTSO), cases[i].tso);
		if (cases[i].features == UINT64_MAX) {
			assert_true(command(&f, 2, checksums, sizeof(checksums)));
			assert_true(tap_feature(ETHTOOL_GTXCSUM));
			assert_false(tap_feature(ETHTOOL_GTSO));
			assert_true(command(&f, 2, no_offloads, sizeof(no_offloads)));
			assert_false(tap_feature(ETHTOOL_GTXCSUM));
		}
		virtio_set_status(f.net.dev, 0);
		assert_false(tap_feature(ETHTOOL_GTXCSUM));
		stop(&f);
	}
}

static void test_filter(void **state)
{
	static const uint8_t own[] = NET_MAC;
	static const uint8_t broadcast[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
	static const uint8_t other[6] = {0x02, 9, 9, 9, 9, 9};
	static const uint8_t group[6] = {0x01, 0, 0x5e, 0, 0, 1};
	static const uint8_t other_group[6] = {0x01, 0, 0x5e, 0, 0, 7};
	static const uint8_t not_promiscuous[] = {VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC,
						  0};
	static const uint8_t all_multicast[] = {VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_ALLMULTI, 1};
	static const uint8_t promiscuous[] = {VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, 1};
	static const uint8_t group_only[] = {1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0x01, 0, 0x5e, 0, 0, 1};
	static const uint8_t other_too[] = {1, 0, 1, 0, 0, 0, 0x02, 9, 9, 9, 9, 9, 0, 0, 0, 0};
	static const struct {
		const char *name;
		const uint8_t *cmd;
		uint32_t cmd_len;
		bool other, group, other_group;
	} steps[] = {
		{"as it starts", NULL, 0, true, true, true},
		{"not promiscuous", not_promiscuous, sizeof(not_promiscuous), false, false, false},
		{"one group", group_only, sizeof(group_only), false, true, false},
		{"one other", other_too, sizeof(other_too), true, false, false},
		{"all groups", all_multicast, sizeof(all_multicast), true, true, true},
		{"promiscuous", promiscuous, sizeof(promiscuous), true, true, true},
	};
	struct tap_fixture f;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		print_message("  %s\n", steps[i].name);
		start(&f, UINT64_MAX, 1);
		for (size_t j = 1; j <= i; j++)
			assert_true(command(&f, 2, steps[j].cmd, steps[j].cmd_len));
		host_sends(&f, other, 1);
		host_sends(&f, group, 2);
		host_sends(&f, other_group, 3);
		host_sends(&f, own, 4);
		host_sends(&f, broadcast, 5);
		if (steps[i].other)
			assert_int_equal(guest_gets(&f, 0), 1);
		if (steps[i].group)
			assert_int_equal(guest_gets(&f, 0), 2);
		if (steps[i].other_group)
			assert_int_equal(guest_gets(&f, 0), 3);
		assert_int_equal(guest_gets(&f, 0), 4);
		assert_int_equal(guest_gets(&f, 0), 5);
		assert_int_equal(guest_gets(&f, 0), 0);
		stop(&f);
	}
}

/* More addresses than the device keeps: all pass rather than too few. */
static void test_filter_overflow(void **state)
{
	static const uint8_t other[6] = {0x02, 9, 9, 9, 9, 9};
	static const uint8_t not_promiscuous[] = {VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC,
						  0};
	uint8_t table[2 + 4 + 65 * 6 + 4] = {1, 0, 0, 0, 0, 0, 65};
	struct tap_fixture f;

	(void)state;
	/* No unicast addresses; 65 groups. */
	for (uint8_t i = 0; i < 65; i++)
		memcpy(table + 10 + i * 6, (const uint8_t[]){1, 0, 0x5e, 0, 1, i}, 6);
	start(&f, UINT64_MAX, 1);
	assert_true(command(&f, 2, not_promiscuous, sizeof(not_promiscuous)));
	host_sends(&f, other, 1);
	assert_int_equal(guest_gets(&f, 0), 0);
	assert_true(command(&f, 2, table, sizeof(table)));
	host_sends(&f, other, 2);
	assert_int_equal(guest_gets(&f, 0), 2);
	stop(&f);
}

/*
 * What is in force already is not asked of the tap again, since that takes a lock which all of the host's network shares. What somebody
 * else has changed behind the device's back meanwhile is how one sees it.
 */
static void test_nothing_new(void **state)
{
	static const uint8_t offloads[10] = {VIRTIO_NET_CTRL_GUEST_OFFLOADS, 0,
					     1 << VIRTIO_NET_F_GUEST_CSUM};
	static const uint8_t commands[][16] = {
		{VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, 0},
		{VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_ALLMULTI, 0},
		{VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, 2, 9, 9, 9, 9, 9},
		{VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET},
	};
	static const uint32_t lens[] = {3, 3, 8, 10};
	static const uint8_t all_multicast[] = {VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_ALLMULTI, 1};
	static const uint8_t other[6] = {0x02, 7, 7, 7, 7, 7};
	static const uint8_t own[6] = {0x02, 9, 9, 9, 9, 9};
	struct tun_filter none = {0};
	struct tap_fixture f;

	(void)state;
	start(&f, UINT64_MAX, 1);
	AUTO_FD int tap = dup(f.tap_fd);
	for (int round = 0; round < 2; round++) {
		assert_true(command(&f, 2, offloads, sizeof(offloads)));
		for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
			assert_true(command(&f, 2, commands[i], lens[i]));
		host_sends(&f, other, 1);
		host_sends(&f, own, 2);
		assert_int_equal(guest_gets(&f, 0), round == 0 ? 2 : 1);
		assert_int_equal(tap_feature(ETHTOOL_GTXCSUM), round == 0);
		while (guest_gets(&f, 0))
			continue;
		assert_true(ioctl(tap, TUNSETTXFILTER, &none) >= 0);
		assert_int_equal(ioctl(tap, TUNSETOFFLOAD, 0), 0);
	}
	/* What is new still arrives. */
	assert_true(command(&f, 2, all_multicast, sizeof(all_multicast)));
	host_sends(&f, other, 1);
	assert_int_equal(guest_gets(&f, 0), 0);
	own_close(&tap);
	stop(&f);
}

/* Frames of many flows: none is lost in a queue that nobody reads, and both serve when both are in use. */
static void test_queues(void **state)
{
	static const uint8_t both[] = {VIRTIO_NET_CTRL_MQ, 0, 2, 0};
	static const uint8_t one[] = {VIRTIO_NET_CTRL_MQ, 0, 1, 0};
	static const uint8_t to[] = NET_MAC;
	static const struct virtio_net_hdr_v1 plain;
	struct tap_fixture f;

	(void)state;
	start(&f, UINT64_MAX, PAIRS);
	for (int in_use = 1; in_use <= 3; in_use++) {
		/* A frame out by a pair makes the tap remember the way back for its flow; here it only has to leave. */
		if (in_use == 2)
			assert_true(command(&f, 2 * PAIRS, both, sizeof(both)));
		if (in_use == 3)
			assert_true(command(&f, 2 * PAIRS, one, sizeof(one)));
		for (uint8_t tag = 1; tag <= 8; tag++) {
			uint8_t got = 0;

			host_sends(&f, to, tag);
			got = guest_gets(&f, 0);
			if (got == 0 && in_use == 2)
				got = guest_gets(&f, 1);
			assert_int_equal(got, tag);
		}
		guest_sends(&f, 0, &plain, 100);
		assert_int_equal(host_gets(&f), 100);
		if (in_use == 2) {
			guest_sends(&f, 1, &plain, 101);
			assert_int_equal(host_gets(&f), 101);
		}
	}
	stop(&f);
}

static void delete_interface(const char *ifname)
{
	AUTO_FD int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	struct {
		struct nlmsghdr h;
		struct ifinfomsg info;
	} msg = {
		.h = {.nlmsg_len = sizeof(msg),
		      .nlmsg_type = RTM_DELLINK,
		      .nlmsg_flags = NLM_F_REQUEST},
		.info = {.ifi_index = (int)if_nametoindex(ifname)},
	};

	assert_int_equal(send(fd, &msg, sizeof(msg), 0), sizeof(msg));
	assert_int_equal(if_nametoindex(ifname), 0);
}

/* Somebody deletes the interface: the link is down and the guest's frames are swallowed. */
static void test_interface_deleted(void **state)
{
	static const struct virtio_net_hdr_v1 plain;
	struct tap_fixture f;
	uint32_t len;
	uint16_t head;

	(void)state;
	for (unsigned pairs = 1; pairs <= PAIRS; pairs++) {
		start(&f, UINT64_MAX, pairs);
		assert_int_equal(net_link(&f.net), VIRTIO_NET_S_LINK_UP);
		delete_interface("tap0");
		fake_run(&f.net.d, 1);
		assert_int_equal(net_link(&f.net), 0);
		guest_sends(&f, 0, &plain, 1);
		assert_true(fake_used(&f.net.d, TX, &head, &len));
		assert_false(net_is_broken(&f.net));
		dev_net_empty(f.net.dev);
		stop(&f);
	}
}

static int open_tun(const char *name, int flags)
{
	struct ifreq ifr = {.ifr_flags = (short)flags};
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

	assert_true(fd >= 0);
	(void)snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	assert_int_equal(ioctl(fd, TUNSETIFF, &ifr), 0);
	return fd;
}

static void test_taps_that_cannot_be(void **state)
{
	static const int good = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
	static const struct {
		const char *word;
		int flags, second_flags; /* 0: none; -1: the same interface again */
	} cases[] = {
		{"must be made with", IFF_TUN | IFF_NO_PI | IFF_VNET_HDR, 0},
		{"must be made with", IFF_TAP | IFF_NO_PI, 0},
		{"no multi-queue tap", IFF_TAP | IFF_NO_PI | IFF_VNET_HDR, IFF_TAP},
		{"two taps", good | IFF_MULTI_QUEUE, good | IFF_MULTI_QUEUE},
	};
	struct fake_driver d;

	(void)state;
	fake_init(&d);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		AUTO_FD int a = open_tun("t0", cases[i].flags);
		AUTO_FD int b = cases[i].second_flags ? open_tun("t1", cases[i].second_flags) : -1;
		struct dev_net_params p = {.ntaps = b < 0 ? 1 : 2, .tap_fds = {a, b}};
		struct virtio_dev *dev = NULL;
		struct err err = ERR_INIT;

		print_message("  %s\n", cases[i].word);
		assert_int_equal(dev_net_create(&p, d.mem, d.loop, &dev, &err), -EINVAL);
		assert_non_null(strstr(err.text, cases[i].word));
	}
	fake_done(&d);
}

static void test_open_by_name(void **state)
{
	struct err err = ERR_INIT;
	int fds[PAIRS];
	AUTO_FD int other = open_tun("t2", IFF_TAP | IFF_NO_PI | IFF_VNET_HDR);

	(void)state;
	assert_int_equal(tap_open("a-name-of-16-chr", 1, fds, &err), -EINVAL);
	assert_int_equal(tap_open("", 1, fds, &err), -EINVAL);
	assert_true(other >= 0);
	assert_int_equal(tap_open("t2", 1, fds, &err), -EBUSY);
	assert_int_equal(tap_open("t2", 2, fds, &err), -EINVAL);
	assert_non_null(strstr(err.text, "multi_queue"));
	assert_int_equal(tap_open("t3", 2, fds, &err), 0);
	own_close(&fds[0]);
	own_close(&fds[1]);
	assert_int_equal(if_nametoindex("t3"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_both_ways),
		cmocka_unit_test(test_offloads),
		cmocka_unit_test(test_filter),
		cmocka_unit_test(test_filter_overflow),
		cmocka_unit_test(test_nothing_new),
		cmocka_unit_test(test_queues),
		cmocka_unit_test(test_interface_deleted),
		cmocka_unit_test(test_taps_that_cannot_be),
		cmocka_unit_test(test_open_by_name),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
