/* The network device as such: features, configuration, a link that goes away, a spare slot that is filled and emptied. */
#include "tests/unit/net_fixture.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>

#include "base/own.h"

static const uint8_t mac[] = NET_MAC;

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
	struct net_fixture f;

	(void)state;
	net_start(&f, UINT64_MAX);
	assert_true(virtio_features_offered(f.dev) == (want | core));
	assert_int_equal(virtio_nqueues(f.dev), 3);
	virtio_config_read(f.dev, 0, &config, offsetof(struct virtio_net_config, speed));
	assert_memory_equal(config.mac, mac, 6);
	assert_int_equal(config.status, VIRTIO_NET_S_LINK_UP);
	assert_int_equal(config.max_virtqueue_pairs, 1);
	assert_int_equal(config.mtu, 1500);
	net_stop(&f);
}

/* The other side goes: what it sent still arrives, then the link is down and frames are swallowed. */
static void test_other_side_gone(void **state)
{
	static const struct virtio_net_hdr_v1 plain;
	struct net_fixture f;
	struct gpa at;

	(void)state;
	net_start(&f, UINT64_MAX);
	at = net_give(&f, 4, 256);
	net_host_send(&f, 60);
	own_close(&f.host[0]);
	fake_run(&f.d, 1);
	net_expect(&f, at, 256, 60);
	assert_int_equal(net_link(&f), 0);
	assert_int_equal(f.d.config_interrupts, 1);
	net_send(&f, &plain, 100, HDR);
	net_expect_used(&f, TX, 0);
	assert_false(net_is_broken(&f));
	net_stop(&f);
}

static void test_spare_slot(void **state)
{
	static const struct virtio_net_hdr_v1 plain;
	struct dev_net_params p = {.ntaps = 0};
	struct dev_net_params tap = {.ntaps = 1, .mac = {2, 0, 0, 0, 0, 9}};
	struct virtio_net_hdr_v1 hdr;
	struct err err = ERR_INIT;
	struct net_fixture f;
	uint8_t own[6] = {0};
	struct gpa at;

	(void)state;
	fake_init(&f.d);
	assert_int_equal(dev_net_create(&p, f.d.mem, f.d.loop, &f.dev, NULL), 0);
	fake_probe(&f.d, f.dev, UINT64_MAX);
	assert_int_equal(net_link(&f), 0);
	virtio_config_read(f.dev, 0, own, 6);
	assert_int_equal(own[0] & 3, 2); /* local, not a group */
	at = net_give(&f, 40, 2000);
	for (unsigned round = 1; round <= 2; round++) {
		int fds[2];

		net_send(&f, &plain, 100, HDR); /* into the void */
		net_expect_used(&f, TX, 0);
		net_socketpair(fds);
		tap.tap_fds[0] = fds[0];
		f.host[0] = fds[1];
		assert_int_equal(dev_net_fill(f.dev, &tap, NULL), 0);
		assert_int_equal(dev_net_fill(f.dev, &tap, &err), -EBUSY);
		assert_int_equal(net_link(&f), VIRTIO_NET_S_LINK_UP);
		assert_int_equal(f.d.config_interrupts, 2 * round - 1);
		virtio_config_read(f.dev, 0, own, 6);
		assert_memory_equal(own, tap.mac, 6);
		net_host_send(&f, 1000);
		fake_kick(&f.d, RX);
		net_expect(&f, GPA(at.v + (round - 1) * 2000), 2000, 1000);
		net_send(&f, &plain, 333, HDR);
		net_expect_used(&f, TX, 0);
		net_host_expect(&f, &hdr, 333);
		net_host_send(&f, 70); /* in flight: never seen */
		dev_net_empty(f.dev);
		dev_net_empty(f.dev);
		assert_int_equal(net_link(&f), 0);
		assert_int_equal(f.d.config_interrupts, 2 * round);
		fake_run(&f.d, 0);
		net_expect_unused(&f, RX);
		assert_int_equal(send(f.host[0], &hdr, 1, MSG_NOSIGNAL), -1);
		own_close(&f.host[0]);
	}
	net_stop(&f);
}

/* Frames that wait on both sides when the tap is taken away: the sent ones come back, the half-received one is forgotten. */
static void test_empty_in_flight(void **state)
{
	static const struct virtio_net_hdr_v1 plain;
	struct net_fixture f;
	unsigned sent = 0, used = 0;
	uint32_t len;
	uint16_t head;
	struct gpa at;
	struct dev_net_params tap = {.ntaps = 1};
	int fds[2];

	(void)state;
	net_start(&f, UINT64_MAX);
	at = net_give(&f, 2, 1000);
	fake_kick(&f.d, RX);
	net_host_send(&f, 9000);
	fake_run(&f.d, 0);
	for (; sent < 100; sent++)
		net_send(&f, &plain, 8000, HDR);
	dev_net_empty(f.dev);
	fake_run(&f.d, 0);
	while (fake_used(&f.d, TX, &head, &len))
		used++;
	assert_int_equal(used, sent);
	net_expect_unused(&f, RX);
	own_close(&f.host[0]);
	net_socketpair(fds);
	tap.tap_fds[0] = fds[0];
	f.host[0] = fds[1];
	assert_int_equal(dev_net_fill(f.dev, &tap, NULL), 0);
	net_host_send(&f, 700);
	fake_run(&f.d, 0);
	net_expect(&f, at, 1000, 700);
	net_stop(&f);
}

static void *run_loop(void *loop)
{
	int rc = loop_run(loop, NULL);

	BUG_ON(rc < 0);
	return NULL;
}

/* The device's thread is busy with a tap while another takes it away and puts the next one there. */
static void test_fill_and_empty_from_a_thread(void **state)
{
	static const uint8_t frame[HDR + 100];
	struct net_fixture f;
	pthread_t thread;
	struct gpa at;

	(void)state;
	net_start(&f, UINT64_MAX);
	at = net_give(&f, 200, 1000);
	assert_int_equal(pthread_create(&thread, NULL, run_loop, f.d.loop), 0);
	for (int round = 0; round < 100; round++) {
		struct dev_net_params tap = {.ntaps = 1};
		int fds[2];

		/* One frame a round at most reaches the guest: there are buffers for all. */
		assert_int_equal(send(f.host[0], frame, sizeof(frame), 0), sizeof(frame));
		virtio_notify(f.dev, RX);
		dev_net_empty(f.dev);
		own_close(&f.host[0]);
		net_socketpair(fds);
		tap.tap_fds[0] = fds[0];
		f.host[0] = fds[1];
		assert_int_equal(dev_net_fill(f.dev, &tap, NULL), 0);
	}
	loop_stop(f.d.loop);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_false(net_is_broken(&f));
	for (uint32_t len = sizeof(frame); len == sizeof(frame); at.v += 1000) {
		uint16_t head;

		len = 0;
		if (fake_used(&f.d, RX, &head, &len))
			assert_int_equal(len, sizeof(frame));
	}
	net_host_send(&f, 300);
	fake_run(&f.d, 0);
	net_expect(&f, GPA(at.v - 1000), 1000, 300);
	net_stop(&f);
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
		cmocka_unit_test(test_features),
		cmocka_unit_test(test_other_side_gone),
		cmocka_unit_test(test_spare_slot),
		cmocka_unit_test(test_empty_in_flight),
		cmocka_unit_test(test_fill_and_empty_from_a_thread),
		cmocka_unit_test(test_params_that_cannot_be),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
