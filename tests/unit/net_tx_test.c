/* Frames from the guest: lengths and framing, headers that cannot be, and a tap that is full. */
#include "tests/unit/net_fixture.h"

#include <string.h>

static void test_send_lengths(void **state)
{
	static const struct {
		size_t len;
		uint32_t cut;
		bool sent;
	} cases[] = {
		{13, HDR, false},       {14, HDR, true},
		{1514, HDR, true},      {1514, 1, true},
		{1514, HDR - 1, true},  {1514, HDR + 1, true},
		{FRAME_MAX, HDR, true}, {FRAME_MAX + 1, HDR, false},
	};
	static const struct virtio_net_hdr_v1 plain;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct virtio_net_hdr_v1 hdr;
		struct net_fixture f;

		net_start(&f, UINT64_MAX);
		net_send(&f, &plain, cases[i].len, cases[i].cut);
		net_expect_used(&f, TX, 0);
		if (cases[i].sent)
			net_host_expect(&f, &hdr, cases[i].len);
		else
			net_host_expect_nothing(&f);
		assert_false(net_is_broken(&f));
		net_stop(&f);
	}
}

#define CSUM     VIRTIO_NET_HDR_F_NEEDS_CSUM
#define TCP4     VIRTIO_NET_HDR_GSO_TCPV4
#define TCP6     VIRTIO_NET_HDR_GSO_TCPV6
#define UDP      VIRTIO_NET_HDR_GSO_UDP
#define ECN      VIRTIO_NET_HDR_GSO_ECN
#define TX_FRAME 200

/* Each bad one differs from a good one in one field, or in one feature. */
static void test_send_headers(void **state)
{
	static const struct {
		const char *name;
		uint8_t flags, gso_type;
		uint16_t hdr_len, gso_size, csum_start, csum_offset;
		uint64_t without;
		bool sent;
	} cases[] = {
		{"plain", 0, 0, 0, 0, 0, 0, 0, true},
		{"checksum", CSUM, 0, 0, 0, 34, 16, 0, true},
		{"checksum at the end", CSUM, 0, 0, 0, 182, 16, 0, true},
		{"checksum past it", CSUM, 0, 0, 0, 183, 16, 0, false},
		{"checksum far away", CSUM, 0, 0, 0, 0xffff, 0xffff, 0, false},
		{"checksum not negotiated", CSUM, 0, 0, 0, 34, 16, BIT(CSUM), false},
		{"TCP", CSUM, TCP4, 54, 60, 34, 16, 0, true},
		{"TCP not negotiated", CSUM, TCP4, 54, 60, 34, 16, BIT(HOST_TSO4), false},
		{"TCP without checksum", 0, TCP4, 54, 60, 0, 0, 0, false},
		{"TCP in segments of nothing", CSUM, TCP4, 54, 0, 34, 16, 0, false},
		{"TCP, header of all", CSUM, TCP4, 200, 60, 34, 16, 0, true},
		{"TCP, header of more", CSUM, TCP4, 201, 60, 34, 16, 0, false},
		{"TCP with ECN", CSUM, TCP4 | ECN, 54, 60, 34, 16, 0, true},
		{"ECN not negotiated", CSUM, TCP4 | ECN, 54, 60, 34, 16, BIT(HOST_ECN), false},
		{"ECN alone", CSUM, ECN, 54, 60, 34, 16, 0, false},
		{"TCP over IPv6", CSUM, TCP6, 74, 60, 54, 16, 0, true},
		{"the same not negotiated", CSUM, TCP6, 74, 60, 54, 16, BIT(HOST_TSO6), false},
		{"UDP", CSUM, UDP, 42, 60, 34, 6, 0, true},
		{"UDP not negotiated", CSUM, UDP, 42, 60, 34, 6, BIT(HOST_UFO), false},
		{"UDP with ECN", CSUM, UDP | ECN, 42, 60, 34, 6, 0, false},
		{"unknown segmentation", CSUM, 5, 42, 60, 34, 6, 0, false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct virtio_net_hdr_v1 hdr;
		struct virtio_net_hdr_v1 in = {
			.flags = cases[i].flags,
			.gso_type = cases[i].gso_type,
			.hdr_len = cases[i].hdr_len,
			.gso_size = cases[i].gso_size,
			.csum_start = cases[i].csum_start,
			.csum_offset = cases[i].csum_offset,
		};
		struct net_fixture f;

		print_message("  %s\n", cases[i].name);
		net_start(&f, ~cases[i].without);
		net_send(&f, &in, TX_FRAME, HDR);
		net_expect_used(&f, TX, 0);
		if (cases[i].sent) {
			net_host_expect(&f, &hdr, TX_FRAME);
			assert_memory_equal(&hdr, &in, HDR);
		}
		net_host_expect_nothing(&f);
		assert_false(net_is_broken(&f));
		net_stop(&f);
	}
}

/* Flags a driver has no business with, and fields without the flag that gives them a meaning, do not reach the tap. */
static void test_send_scrubbed(void **state)
{
	static const struct virtio_net_hdr_v1 in = {.flags = 0xfe,
						    .gso_size = 1,
						    .hdr_len = 0xffff,
						    .csum_start = 0xffff,
						    .csum_offset = 9,
						    .num_buffers = 77};
	static const struct virtio_net_hdr_v1 clean;
	struct virtio_net_hdr_v1 hdr;
	struct net_fixture f;

	(void)state;
	net_start(&f, UINT64_MAX);
	net_send(&f, &in, TX_FRAME, HDR);
	net_host_expect(&f, &hdr, TX_FRAME);
	assert_memory_equal(&hdr, &clean, HDR);
	net_stop(&f);
}

static void test_send_without_header(void **state)
{
	(void)state;
	for (int writable = 0; writable < 2; writable++) {
		struct net_fixture f;
		struct fake_seg seg = {.len = writable ? 200 : HDR - 1, .writable = writable};

		net_start(&f, UINT64_MAX);
		seg.at = fake_alloc(&f.d, seg.len);
		fake_add(&f.d, TX, &seg, 1);
		fake_kick(&f.d, TX);
		assert_true(net_is_broken(&f));
		net_expect_unused(&f, TX);
		net_host_expect_nothing(&f);
		net_stop(&f);
	}
}

/* A full tap stops the queue where it is; all goes on in order when there is room. */
static void test_send_blocked(void **state)
{
	static const struct virtio_net_hdr_v1 plain;
	const size_t total = 100; /* of two descriptors each */
	size_t got = 0, used = 0;
	struct net_fixture f;

	(void)state;
	net_start(&f, UINT64_MAX);
	for (size_t i = 0; i < total; i++)
		net_send(&f, &plain, 8000 + i, HDR);
	for (; got < total; got++) {
		struct virtio_net_hdr_v1 hdr;
		uint32_t len;
		uint16_t head;

		while (fake_used(&f.d, TX, &head, &len))
			used++;
		if (got == 0)
			assert_true(used < total); /* it was full */
		net_host_expect(&f, &hdr, 8000 + got);
		fake_run(&f.d, 0);
	}
	net_host_expect_nothing(&f);
	net_stop(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_send_lengths),  cmocka_unit_test(test_send_headers),
		cmocka_unit_test(test_send_scrubbed), cmocka_unit_test(test_send_without_header),
		cmocka_unit_test(test_send_blocked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
