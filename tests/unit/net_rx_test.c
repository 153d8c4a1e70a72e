/* Frames to the guest: lengths, batches, buffers that are short, small or wrong. */
#include "tests/unit/net_fixture.h"

#include <linux/virtio_config.h>
#include <sys/socket.h>

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
		struct net_fixture f;
		struct gpa at;

		print_message("  %s\n", cases[i].name);
		net_start(&f, ~cases[i].without);
		at = net_give(&f, cases[i].n, cases[i].buf);
		fake_kick(&f.d, RX);
		net_expect_unused(&f, RX);
		net_host_send(&f, cases[i].frame);
		fake_run(&f.d, 0);
		net_expect(&f, at, cases[i].buf, cases[i].frame);
		assert_int_equal(f.d.used_interrupts, 1);
		net_stop(&f);
	}
}

/* Several frames in one go: in order, and one interrupt for them all. */
static void test_receive_batch(void **state)
{
	struct net_fixture f;
	struct gpa at;

	(void)state;
	net_start(&f, UINT64_MAX);
	for (size_t i = 0; i < 20; i++)
		net_host_send(&f, 100 + i);
	at = net_give(&f, 30, 256);
	fake_kick(&f.d, RX);
	assert_int_equal(f.d.used_interrupts, 1);
	for (size_t i = 0; i < 20; i++)
		net_expect(&f, GPA(at.v + i * 256), 256, 100 + i);
	net_expect_unused(&f, RX);
	net_stop(&f);
}

/* More than a turn's budget still all arrives, and the ring may go round. */
static void test_receive_many(void **state)
{
	struct net_fixture f;
	size_t sent = 0;

	(void)state;
	net_start(&f, UINT64_MAX);
	for (int round = 0; round < 4; round++) {
		struct gpa at = net_give(&f, 200, 128);

		for (size_t i = 0; i < 200; i++, sent++)
			net_host_send(&f, 60 + sent % 50);
		fake_kick(&f.d, RX);
		fake_run(&f.d, 1);
		for (size_t i = 0; i < 200; i++)
			net_expect(&f, GPA(at.v + i * 128), 128, 60 + (sent - 200 + i) % 50);
	}
	net_stop(&f);
}

/* Without buffers the socket is left alone; the notification of new ones is enough. */
static void test_receive_starved(void **state)
{
	struct net_fixture f;
	struct gpa at;

	(void)state;
	net_start(&f, UINT64_MAX);
	net_host_send(&f, 500);
	net_host_send(&f, 600);
	fake_run(&f.d, 0);
	at = net_give(&f, 1, 1526);
	fake_kick(&f.d, RX);
	net_expect(&f, at, 1526, 500);
	net_expect_unused(&f, RX);
	at = net_give(&f, 1, 1526);
	fake_kick(&f.d, RX);
	net_expect(&f, at, 1526, 600);
	net_stop(&f);
}

/* A queue that the driver has not made ready, or no longer: the loop comes to rest with a frame waiting. */
static void test_receive_not_ready(void **state)
{
	struct net_fixture f;
	uint64_t features;

	(void)state;
	net_start(&f, UINT64_MAX);
	features = f.d.features;
	for (int before = 0; before < 2; before++) {
		if (before) {
			virtio_set_status(f.dev, 0);
			virtio_set_status(f.dev,
					  VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER);
			virtio_features_accept(f.dev, 0, (uint32_t)features);
			virtio_features_accept(f.dev, 1, (uint32_t)(features >> 32));
			virtio_set_status(f.dev, VIRTIO_CONFIG_S_ACKNOWLEDGE |
							 VIRTIO_CONFIG_S_DRIVER |
							 VIRTIO_CONFIG_S_FEATURES_OK);
			virtio_set_status(f.dev, VIRTIO_CONFIG_S_ACKNOWLEDGE |
							 VIRTIO_CONFIG_S_DRIVER |
							 VIRTIO_CONFIG_S_FEATURES_OK |
							 VIRTIO_CONFIG_S_DRIVER_OK);
		} else {
			virtio_queue_set(f.dev, RX, VIRTIO_Q_READY, false, 0);
		}
		assert_true(virtio_status(f.dev) & VIRTIO_CONFIG_S_DRIVER_OK);
		net_host_send(&f, 60);
		for (int turn = 0; turn < 3; turn++)
			assert_int_equal(loop_step(f.d.loop, 0, NULL), 0);
		assert_true(loop_idle(f.d.loop));
	}
	net_stop(&f);
}

/* A frame longer than the buffers there are waits for more; the part already in place stays. */
static void test_receive_held(void **state)
{
	struct net_fixture f;
	struct gpa at;

	(void)state;
	net_start(&f, UINT64_MAX);
	net_host_send(&f, 9000);
	net_host_send(&f, 50);
	at = net_give(&f, 3, 1024);
	fake_kick(&f.d, RX);
	net_expect_unused(&f, RX);
	(void)net_give(&f, 5, 1024);
	fake_kick(&f.d, RX);
	net_expect_unused(&f, RX);
	(void)net_give(&f, 2, 1024);
	fake_kick(&f.d, RX);
	net_expect(&f, at, 1024, 9000);
	net_expect(&f, GPA(at.v + 9 * 1024), 1024, 50);
	assert_false(net_is_broken(&f));
	net_stop(&f);
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
		struct net_fixture f;
		struct gpa at;

		print_message("  %s\n", cases[i].name);
		net_start(&f, ~cases[i].without);
		at = net_give(&f, cases[i].n, cases[i].buf);
		fake_kick(&f.d, RX);
		net_host_send(&f, cases[i].frame);
		net_host_send(&f, 40);
		fake_run(&f.d, 1);
		net_expect(&f, at, cases[i].buf, 40);
		assert_false(net_is_broken(&f));
		net_stop(&f);
	}
}

/* What is no frame at all does not use a buffer up. */
static void test_receive_scraps(void **state)
{
	static const uint8_t scrap[HDR + 13];
	struct net_fixture f;
	struct gpa at;

	(void)state;
	net_start(&f, UINT64_MAX);
	at = net_give(&f, 1, 1526);
	assert_int_equal(send(f.host[0], scrap, 1, 0), 1);
	assert_int_equal(send(f.host[0], scrap, HDR, 0), HDR);
	assert_int_equal(send(f.host[0], scrap, sizeof(scrap), 0), sizeof(scrap));
	net_host_send(&f, 64);
	fake_kick(&f.d, RX);
	net_expect(&f, at, 1526, 64);
	net_stop(&f);
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
		struct net_fixture f;
		struct fake_seg seg = {.len = cases[i].len, .writable = cases[i].writable};

		print_message("  %s\n", cases[i].name);
		net_start(&f, UINT64_MAX);
		seg.at = fake_alloc(&f.d, seg.len);
		fake_add(&f.d, RX, &seg, 1);
		net_host_send(&f, 100);
		fake_kick(&f.d, RX);
		assert_true(net_is_broken(&f));
		net_expect_unused(&f, RX);
		/* Reset, it works again; the frame has waited. */
		fake_probe(&f.d, f.dev, UINT64_MAX);
		seg.at = net_give(&f, 1, 1526);
		fake_kick(&f.d, RX);
		net_expect(&f, seg.at, 1526, 100);
		net_stop(&f);
	}
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
		cmocka_unit_test(test_receive_not_ready),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
