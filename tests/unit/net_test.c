/* Frames both ways over a message socket that stands in for a tap; buffers short, small and wrong; a link that goes away. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/own.h"
#include "tests/unit/fake_driver.h"
#include "vmm/dev/dev.h"

#define HDR       12U
#define FRAME_MAX (65535U + 14 + 8)
#define BIT(name) (1ULL << VIRTIO_NET_F_##name)
#define RX        0
#define TX        1

static const uint8_t mac[6] = {0x02, 0x11, 0x22, 0x33, 0x44, 0x55};

struct fixture {
	struct fake_driver d;
	struct virtio_dev *dev;
	int host;
};

static void make_pair(int fds[2])
{
	int bytes = 1 << 20;

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
	assert_int_equal(setsockopt(fds[1], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes)), 0);
}

static void start(struct fixture *f, uint64_t features)
{
	struct dev_net_params p = {.ntaps = 1, .mtu = 1500};
	int fds[2];

	make_pair(fds);
	p.tap_fds[0] = fds[0];
	f->host = fds[1];
	memcpy(p.mac, mac, sizeof(mac));
	fake_init(&f->d);
	assert_int_equal(dev_net_create(&p, f->d.mem, f->d.loop, &f->dev, NULL), 0);
	fake_probe(&f->d, f->dev, features);
}

static void stop(struct fixture *f)
{
	virtio_dev_destroy(f->dev);
	fake_done(&f->d);
	own_close(&f->host);
}

static bool is_broken(const struct fixture *f)
{
	return virtio_status(f->dev) & VIRTIO_CONFIG_S_NEEDS_RESET;
}

/* Bytes that tell their place. */
static void fill(uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		bytes[i] = (uint8_t)(i * 7 + i / 256);
}

/* The host sends one message: a header and a frame of `len` bytes. */
static void host_send(struct fixture *f, size_t len)
{
	AUTO_FREE uint8_t *msg = calloc(1, HDR + len);

	fill(msg + HDR, len);
	assert_int_equal(send(f->host, msg, HDR + len, 0), HDR + len);
}

/* `n` receive buffers of `len` bytes, in one piece of guest memory. */
static struct gpa give_buffers(struct fixture *f, size_t n, uint32_t len)
{
	struct gpa at = fake_alloc(&f->d, n * len);

	for (size_t i = 0; i < n; i++) {
		struct fake_seg seg = {.at = GPA(at.v + i * len), .len = len, .writable = true};

		fake_add(&f->d, RX, &seg, 1);
	}
	return at;
}

/* The next frame, gathered from as many used buffers of `buf` bytes, which follow each other from `at` on, as it says. */
static void expect_frame(struct fixture *f, struct gpa at, uint32_t buf, size_t len)
{
	AUTO_FREE uint8_t *want = malloc(len);
	AUTO_FREE uint8_t *got = malloc(HDR + len);
	uint16_t count = (uint16_t)((HDR + len + buf - 1) / buf);
	struct virtio_net_hdr_v1 hdr;
	size_t done = 0;

	for (uint16_t i = 0; i < count; i++) {
		uint32_t used = 0;
		uint16_t head;

		assert_true(fake_used(&f->d, RX, &head, &used));
		assert_int_equal(used, HDR + len - done < buf ? HDR + len - done : buf);
		done += used;
	}
	fake_get(&f->d, at, got, HDR + len);
	memcpy(&hdr, got, HDR);
	assert_int_equal(hdr.num_buffers, count);
	fill(want, len);
	assert_memory_equal(got + HDR, want, len);
}

static void expect_nothing(struct fixture *f, uint16_t queue)
{
	uint32_t len;
	uint16_t head;

	assert_false(fake_used(&f->d, queue, &head, &len));
}

static void test_receive_lengths(void **state)
{
	static const struct {
		const char *name;
		size_t frame;
		size_t n;
		uint32_t buf;
		uint64_t without;
	} cases[] = {
		{"shortest", 14, 1, 1526, 0},
		{"one buffer", 1500, 1, 1526, 0},
		{"a buffer filled to the last byte", 1514, 1, 1526, 0},
		{"one byte in the second", 1515, 2, 1526, 0},
		{"longest in large buffers", FRAME_MAX, 17, 4096, 0},
		{"longest in small buffers", FRAME_MAX, 66, 1000, 0},
		{"buffers of a header's size", 100, 10, 12, 0},
		{"one large buffer, not mergeable", FRAME_MAX, 1, 65600, BIT(MRG_RXBUF)},
		{"without event indexes", 9000, 8, 1526, VIRTIO_F_EVENT_IDX_BIT},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct fixture f;
		struct gpa at;

		print_message("  %s\n", cases[i].name);
		start(&f, ~cases[i].without);
		at = give_buffers(&f, cases[i].n, cases[i].buf);
		fake_kick(&f.d, RX);
		expect_nothing(&f, RX);
		host_send(&f, cases[i].frame);
		fake_run(&f.d, 0);
		expect_frame(&f, at, cases[i].buf, cases[i].frame);
		assert_int_equal(f.d.used_interrupts, 1);
		stop(&f);
	}
}

/* Several frames in one go: in order, and one interrupt for them all. */
static void test_receive_batch(void **state)
{
	struct fixture f;
	struct gpa at;

	(void)state;
	start(&f, UINT64_MAX);
	for (size_t i = 0; i < 20; i++)
		host_send(&f, 100 + i);
	at = give_buffers(&f, 30, 256);
	fake_kick(&f.d, RX);
	assert_int_equal(f.d.used_interrupts, 1);
	for (size_t i = 0; i < 20; i++)
		expect_frame(&f, GPA(at.v + i * 256), 256, 100 + i);
	expect_nothing(&f, RX);
	stop(&f);
}

/* More than a turn's budget still all arrives, and the ring may go round. */
static void test_receive_many(void **state)
{
	struct fixture f;
	size_t sent = 0;

	(void)state;
	start(&f, UINT64_MAX);
	for (int round = 0; round < 4; round++) {
		struct gpa at = give_buffers(&f, 200, 128);

		for (size_t i = 0; i < 200; i++, sent++)
			host_send(&f, 60 + sent % 50);
		fake_kick(&f.d, RX);
		fake_run(&f.d, 1);
		for (size_t i = 0; i < 200; i++)
			expect_frame(&f, GPA(at.v + i * 128), 128, 60 + (sent - 200 + i) % 50);
	}
	stop(&f);
}

/* Without buffers the socket is left alone; the notification of new ones is enough. */
static void test_receive_starved(void **state)
{
	struct fixture f;
	struct gpa at;

	(void)state;
	start(&f, UINT64_MAX);
	host_send(&f, 500);
	host_send(&f, 600);
	fake_run(&f.d, 0);
	at = give_buffers(&f, 1, 1526);
	fake_kick(&f.d, RX);
	expect_frame(&f, at, 1526, 500);
	expect_nothing(&f, RX);
	at = give_buffers(&f, 1, 1526);
	fake_kick(&f.d, RX);
	expect_frame(&f, at, 1526, 600);
	stop(&f);
}

/* A frame longer than the buffers there are waits for more; the part already in place stays. */
static void test_receive_held(void **state)
{
	struct fixture f;
	struct gpa at;

	(void)state;
	start(&f, UINT64_MAX);
	host_send(&f, 9000);
	host_send(&f, 50);
	at = give_buffers(&f, 3, 1024);
	fake_kick(&f.d, RX);
	expect_nothing(&f, RX);
	(void)give_buffers(&f, 5, 1024);
	fake_kick(&f.d, RX);
	expect_nothing(&f, RX);
	(void)give_buffers(&f, 2, 1024);
	fake_kick(&f.d, RX);
	expect_frame(&f, at, 1024, 9000);
	expect_frame(&f, GPA(at.v + 9 * 1024), 1024, 50);
	assert_false(is_broken(&f));
	stop(&f);
}

/* A whole ring that is too small for a frame, or a buffer that is: the frame is dropped, the next one comes. */
static void test_receive_too_small(void **state)
{
	static const struct {
		const char *name;
		size_t n, frame;
		uint32_t buf;
		uint64_t without;
	} cases[] = {
		{"not mergeable", 2, 2000, 1526, BIT(MRG_RXBUF)},
		{"mergeable", 256, 20000, 64, 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct fixture f;
		struct gpa at;

		print_message("  %s\n", cases[i].name);
		start(&f, ~cases[i].without);
		at = give_buffers(&f, cases[i].n, cases[i].buf);
		fake_kick(&f.d, RX);
		host_send(&f, cases[i].frame);
		host_send(&f, 40);
		fake_run(&f.d, 1);
		expect_frame(&f, at, cases[i].buf, 40);
		assert_false(is_broken(&f));
		stop(&f);
	}
}

/* What is no frame at all does not use a buffer up. */
static void test_receive_scraps(void **state)
{
	static const uint8_t scrap[HDR + 13];
	struct fixture f;
	struct gpa at;

	(void)state;
	start(&f, UINT64_MAX);
	at = give_buffers(&f, 1, 1526);
	assert_int_equal(send(f.host, scrap, 1, 0), 1);
	assert_int_equal(send(f.host, scrap, HDR, 0), HDR);
	assert_int_equal(send(f.host, scrap, sizeof(scrap), 0), sizeof(scrap));
	host_send(&f, 64);
	fake_kick(&f.d, RX);
	expect_frame(&f, at, 1526, 64);
	stop(&f);
}

static void test_receive_bad_buffers(void **state)
{
	static const struct {
		const char *name;
		uint32_t len;
		bool writable;
	} cases[] = {
		{"shorter than a header", HDR - 1, true},
		{"not writable", 1526, false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct fixture f;
		struct fake_seg seg = {.len = cases[i].len, .writable = cases[i].writable};

		print_message("  %s\n", cases[i].name);
		start(&f, UINT64_MAX);
		seg.at = fake_alloc(&f.d, seg.len);
		fake_add(&f.d, RX, &seg, 1);
		host_send(&f, 100);
		fake_kick(&f.d, RX);
		assert_true(is_broken(&f));
		expect_nothing(&f, RX);
		/* Reset, it works again; the frame has waited. */
		fake_probe(&f.d, f.dev, UINT64_MAX);
		seg.at = give_buffers(&f, 1, 1526);
		fake_kick(&f.d, RX);
		expect_frame(&f, seg.at, 1526, 100);
		stop(&f);
	}
}

/* --- from the guest -------------------------------------------------------------------------------------------- */

/* One chain: `hdr_len` bytes of header and `len` bytes of frame, cut at `cut`. */
static void guest_send(struct fixture *f, const struct virtio_net_hdr_v1 *hdr, size_t len,
		       uint32_t cut)
{
	AUTO_FREE uint8_t *bytes = malloc(HDR + len);
	struct gpa at;

	memcpy(bytes, hdr, HDR);
	fill(bytes + HDR, len);
	at = fake_put(&f->d, bytes, HDR + len);
	fake_add(&f->d, TX,
		 (struct fake_seg[]){{at, cut, false},
				     {GPA(at.v + cut), (uint32_t)(HDR + len - cut), false}},
		 2);
	fake_kick(&f->d, TX);
}

static void expect_used(struct fixture *f, uint16_t queue)
{
	uint32_t len = 1;
	uint16_t head;

	assert_true(fake_used(&f->d, queue, &head, &len));
	assert_int_equal(len, 0);
}

/* The next message of the device: header in *hdr, a frame of `len` bytes. */
static void host_expect(struct fixture *f, struct virtio_net_hdr_v1 *hdr, size_t len)
{
	AUTO_FREE uint8_t *got = malloc(HDR + FRAME_MAX);
	AUTO_FREE uint8_t *want = malloc(len);

	fill(want, len);
	assert_int_equal(recv(f->host, got, HDR + FRAME_MAX, MSG_DONTWAIT), HDR + len);
	memcpy(hdr, got, HDR);
	assert_memory_equal(got + HDR, want, len);
}

static void host_expect_nothing(struct fixture *f)
{
	uint8_t byte;

	assert_int_equal(recv(f->host, &byte, 1, MSG_DONTWAIT), -1);
	assert_int_equal(errno, EAGAIN);
}

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
		struct fixture f;

		start(&f, UINT64_MAX);
		guest_send(&f, &plain, cases[i].len, cases[i].cut);
		expect_used(&f, TX);
		if (cases[i].sent)
			host_expect(&f, &hdr, cases[i].len);
		else
			host_expect_nothing(&f);
		assert_false(is_broken(&f));
		stop(&f);
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
		struct fixture f;

		print_message("  %s\n", cases[i].name);
		start(&f, ~cases[i].without);
		guest_send(&f, &in, TX_FRAME, HDR);
		expect_used(&f, TX);
		if (cases[i].sent) {
			host_expect(&f, &hdr, TX_FRAME);
			assert_memory_equal(&hdr, &in, HDR);
		}
		host_expect_nothing(&f);
		assert_false(is_broken(&f));
		stop(&f);
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
	struct fixture f;

	(void)state;
	start(&f, UINT64_MAX);
	guest_send(&f, &in, TX_FRAME, HDR);
	host_expect(&f, &hdr, TX_FRAME);
	assert_memory_equal(&hdr, &clean, HDR);
	stop(&f);
}

static void test_send_without_header(void **state)
{
	(void)state;
	for (int writable = 0; writable < 2; writable++) {
		struct fixture f;
		struct fake_seg seg = {.len = writable ? 200 : HDR - 1, .writable = writable};

		start(&f, UINT64_MAX);
		seg.at = fake_alloc(&f.d, seg.len);
		fake_add(&f.d, TX, &seg, 1);
		fake_kick(&f.d, TX);
		assert_true(is_broken(&f));
		expect_nothing(&f, TX);
		host_expect_nothing(&f);
		stop(&f);
	}
}

/* A full tap stops the queue where it is; all goes on in order when there is room. */
static void test_send_blocked(void **state)
{
	static const struct virtio_net_hdr_v1 plain;
	const size_t total = 100; /* of two descriptors each */
	size_t got = 0, used = 0;
	struct fixture f;

	(void)state;
	start(&f, UINT64_MAX);
	for (size_t i = 0; i < total; i++)
		guest_send(&f, &plain, 8000 + i, HDR);
	for (; got < total; got++) {
		struct virtio_net_hdr_v1 hdr;
		uint32_t len;
		uint16_t head;

		while (fake_used(&f.d, TX, &head, &len))
			used++;
		if (got == 0)
			assert_true(used < total); /* it was full */
		host_expect(&f, &hdr, 8000 + got);
		fake_run(&f.d, 0);
	}
	host_expect_nothing(&f);
	stop(&f);
}

/* --- the device ------------------------------------------------------------------------------------------------ */

static void test_features(void **state)
{
	static const uint64_t want =
		BIT(CSUM) | BIT(GUEST_CSUM) | BIT(CTRL_GUEST_OFFLOADS) | BIT(MTU) | BIT(MAC) |
		BIT(GUEST_TSO4) | BIT(GUEST_TSO6) | BIT(GUEST_ECN) | BIT(GUEST_UFO) |
		BIT(HOST_TSO4) | BIT(HOST_TSO6) | BIT(HOST_ECN) | BIT(HOST_UFO) | BIT(MRG_RXBUF) |
		BIT(STATUS) | BIT(CTRL_VQ) | BIT(CTRL_RX) | BIT(CTRL_MAC_ADDR);
	uint64_t core =
		VIRTIO_F_INDIRECT_DESC_BIT | VIRTIO_F_EVENT_IDX_BIT | VIRTIO_F_VERSION_1_BIT;
	struct virtio_net_config config = {0};
	struct fixture f;

	(void)state;
	start(&f, UINT64_MAX);
	assert_true(virtio_features_offered(f.dev) == (want | core));
	assert_int_equal(virtio_nqueues(f.dev), 3);
	virtio_config_read(f.dev, 0, &config, offsetof(struct virtio_net_config, speed));
	assert_memory_equal(config.mac, mac, 6);
	assert_int_equal(config.status, VIRTIO_NET_S_LINK_UP);
	assert_int_equal(config.max_virtqueue_pairs, 1);
	assert_int_equal(config.mtu, 1500);
	stop(&f);
}

static uint16_t link_status(struct virtio_dev *dev)
{
	uint16_t status = 0xffff;

	virtio_config_read(dev, offsetof(struct virtio_net_config, status), &status, 2);
	return status;
}

/* The other side goes: what it sent still arrives, then the link is down and frames are swallowed. */
static void test_other_side_gone(void **state)
{
	static const struct virtio_net_hdr_v1 plain;
	struct fixture f;
	struct gpa at;

	(void)state;
	start(&f, UINT64_MAX);
	at = give_buffers(&f, 4, 256);
	host_send(&f, 60);
	own_close(&f.host);
	fake_run(&f.d, 1);
	expect_frame(&f, at, 256, 60);
	assert_int_equal(link_status(f.dev), 0);
	assert_int_equal(f.d.config_interrupts, 1);
	guest_send(&f, &plain, 100, HDR);
	expect_used(&f, TX);
	assert_false(is_broken(&f));
	stop(&f);
}

static void test_spare_slot(void **state)
{
	static const struct virtio_net_hdr_v1 plain;
	struct dev_net_params p = {.ntaps = 0};
	struct dev_net_params tap = {.ntaps = 1, .mac = {2, 0, 0, 0, 0, 9}};
	struct virtio_net_hdr_v1 hdr;
	struct err err = ERR_INIT;
	struct fixture f;
	uint8_t own[6] = {0};
	struct gpa at;

	(void)state;
	fake_init(&f.d);
	assert_int_equal(dev_net_create(&p, f.d.mem, f.d.loop, &f.dev, NULL), 0);
	fake_probe(&f.d, f.dev, UINT64_MAX);
	assert_int_equal(link_status(f.dev), 0);
	virtio_config_read(f.dev, 0, own, 6);
	assert_int_equal(own[0] & 3, 2); /* local, not a group */
	at = give_buffers(&f, 40, 2000);
	for (unsigned round = 1; round <= 2; round++) {
		int fds[2];

		guest_send(&f, &plain, 100, HDR); /* into the void */
		expect_used(&f, TX);
		make_pair(fds);
		tap.tap_fds[0] = fds[0];
		f.host = fds[1];
		assert_int_equal(dev_net_fill(f.dev, &tap, NULL), 0);
		assert_int_equal(dev_net_fill(f.dev, &tap, &err), -EBUSY);
		assert_int_equal(link_status(f.dev), VIRTIO_NET_S_LINK_UP);
		assert_int_equal(f.d.config_interrupts, 2 * round - 1);
		virtio_config_read(f.dev, 0, own, 6);
		assert_memory_equal(own, tap.mac, 6);
		host_send(&f, 1000);
		fake_kick(&f.d, RX);
		expect_frame(&f, GPA(at.v + (round - 1) * 2000), 2000, 1000);
		guest_send(&f, &plain, 333, HDR);
		expect_used(&f, TX);
		host_expect(&f, &hdr, 333);
		host_send(&f, 70); /* in flight: never seen */
		dev_net_empty(f.dev);
		dev_net_empty(f.dev);
		assert_int_equal(link_status(f.dev), 0);
		assert_int_equal(f.d.config_interrupts, 2 * round);
		fake_run(&f.d, 0);
		expect_nothing(&f, RX);
		assert_int_equal(send(f.host, &hdr, 1, MSG_NOSIGNAL), -1);
		own_close(&f.host);
	}
	stop(&f);
}

/* Frames that wait on both sides when the tap is taken away: the sent ones come back, the half-received one is forgotten. */
static void test_empty_in_flight(void **state)
{
	static const struct virtio_net_hdr_v1 plain;
	struct fixture f;
	unsigned sent = 0, used = 0;
	uint32_t len;
	uint16_t head;
	struct gpa at;
	struct dev_net_params tap = {.ntaps = 1};
	int fds[2];

	(void)state;
	start(&f, UINT64_MAX);
	at = give_buffers(&f, 2, 1000);
	fake_kick(&f.d, RX);
	host_send(&f, 9000);
	fake_run(&f.d, 0);
	for (; sent < 100; sent++)
		guest_send(&f, &plain, 8000, HDR);
	dev_net_empty(f.dev);
	fake_run(&f.d, 0);
	while (fake_used(&f.d, TX, &head, &len))
		used++;
	assert_int_equal(used, sent);
	expect_nothing(&f, RX);
	own_close(&f.host);
	make_pair(fds);
	tap.tap_fds[0] = fds[0];
	f.host = fds[1];
	assert_int_equal(dev_net_fill(f.dev, &tap, NULL), 0);
	host_send(&f, 700);
	fake_run(&f.d, 0);
	expect_frame(&f, at, 1000, 700);
	stop(&f);
}

static void test_params_that_cannot_be(void **state)
{
	static const struct {
		const char *word;
		struct dev_net_params p;
	} cases[] = {
		{"at most 16 pairs", {.queue_pairs = 17}},
		{"too many", {.ntaps = 2, .queue_pairs = 1}},
		{"too many", {.ntaps = 17}},
		{"group address", {.mac = {1, 0, 0, 0, 0, 1}}},
		{"an mtu", {.mtu = 67}},
		{"neither a tap nor a message socket", {.ntaps = 1, .tap_fds = {-1}}},
	};
	struct fake_driver d;

	(void)state;
	fake_init(&d);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct virtio_dev *dev = NULL;
		struct err err = ERR_INIT;

		assert_true(dev_net_create(&cases[i].p, d.mem, d.loop, &dev, &err) < 0);
		assert_non_null(strstr(err.text, cases[i].word));
		assert_null(dev);
	}
	fake_done(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_receive_lengths),
		cmocka_unit_test(test_receive_batch),
		cmocka_unit_test(test_receive_many),
		cmocka_unit_test(test_receive_starved),
		cmocka_unit_test(test_receive_held),
		cmocka_unit_test(test_receive_too_small),
		cmocka_unit_test(test_receive_scraps),
		cmocka_unit_test(test_receive_bad_buffers),
		cmocka_unit_test(test_send_lengths),
		cmocka_unit_test(test_send_headers),
		cmocka_unit_test(test_send_scrubbed),
		cmocka_unit_test(test_send_without_header),
		cmocka_unit_test(test_send_blocked),
		cmocka_unit_test(test_features),
		cmocka_unit_test(test_other_side_gone),
		cmocka_unit_test(test_spare_slot),
		cmocka_unit_test(test_empty_in_flight),
		cmocka_unit_test(test_params_that_cannot_be),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
