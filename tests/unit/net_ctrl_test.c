/* The control queue: a table of commands, whole, cut short and too long, and what those that count change. */
#include "tests/unit/net_fixture.h"

#include <string.h>
#include <sys/socket.h>

#define PAIRS   3
#define CTRL    (2 * PAIRS)
#define NO_ACK  0xee
#define MAX_CMD 512

/* Sends a command of raw bytes, cut into single descriptors as small as `piece`; its answer. */
static uint8_t command(struct net_fixture *f, uint16_t queue, const uint8_t *bytes, size_t len,
		       uint32_t piece)
{
	uint8_t ack = NO_ACK;
	struct gpa ack_at = fake_put(&f->d, &ack, 1);
	struct gpa at = fake_put(&f->d, bytes, len);
	struct fake_seg segs[64];
	size_t n = 0;
	uint32_t used;
	uint16_t head;

	for (size_t done = 0; done < len; done += piece)
		segs[n++] = (struct fake_seg){GPA(at.v + done),
					      len - done < piece ? (uint32_t)(len - done) : piece,
					      false};
	segs[n++] = (struct fake_seg){ack_at, 1, true};
	fake_add_indirect(&f->d, queue, segs, n);
	fake_kick(&f->d, queue);
	if (fake_used(&f->d, queue, &head, &used)) {
		assert_int_equal(used, 1);
		fake_get(&f->d, ack_at, &ack, 1);
	}
	return ack;
}

#define OK  VIRTIO_NET_OK
#define ERR VIRTIO_NET_ERR

static const struct {
	const char *name;
	uint8_t ack;
	uint8_t without_ack; /* when its feature was not negotiated */
	size_t len;
	uint8_t bytes[32];
} commands[] = {
	{"promiscuous", OK, ERR, 3, {0, 0, 1}},
	{"promiscuous, cut", ERR, ERR, 2, {0, 0}},
	{"promiscuous, long", ERR, ERR, 4, {0, 0, 1, 1}},
	{"all multicast", OK, ERR, 3, {0, 1, 1}},
	{"all unicast, not offered", ERR, ERR, 3, {0, 2, 1}},
	{"empty tables", OK, ERR, 10, {1, 0}},
	{"one address each", OK, ERR, 22, {1, 0, 1, 0, 0, 0, 2, 0,    0, 0, 0,
					   1, 1, 0, 0, 0, 1, 0, 0x5e, 0, 0, 1}},
	{"tables, second missing", ERR, ERR, 6, {1, 0}},
	{"tables, second cut", ERR, ERR, 9, {1, 0}},
	{"tables, trailing bytes", ERR, ERR, 11, {1, 0}},
	{"table longer than it is", ERR, ERR, 16, {1, 0, 2, 0, 0, 0, 2, 0, 0, 0, 0, 1}},
	{"table whose size wraps", ERR, ERR, 22, {1, 0, 0xab, 0xaa, 0xaa, 0x2a}},
	{"table of all there can be", ERR, ERR, 22, {1, 0, 0xff, 0xff, 0xff, 0xff}},
	{"second table of all there can be",
	 ERR,
	 ERR,
	 22,
	 {1, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff}},
	{"address", OK, ERR, 8, {1, 1, 2, 3, 4, 5, 6, 7}},
	{"address, cut", ERR, ERR, 7, {1, 1, 2, 3, 4, 5, 6}},
	{"address, long", ERR, ERR, 9, {1, 1, 2, 3, 4, 5, 6, 7, 8}},
	{"VLAN, not offered", ERR, ERR, 4, {2, 0, 1, 0}},
	{"no pairs", ERR, ERR, 4, {4, 0, 0, 0}},
	{"one pair", OK, ERR, 4, {4, 0, 1, 0}},
	{"all pairs", OK, ERR, 4, {4, 0, PAIRS, 0}},
	{"a pair too many", ERR, ERR, 4, {4, 0, PAIRS + 1, 0}},
	{"all pairs there can be", ERR, ERR, 4, {4, 0, 0xff, 0xff}},
	{"pairs, cut", ERR, ERR, 3, {4, 0, 1}},
	{"RSS, not offered", ERR, ERR, 4, {4, 1, 1, 0}},
	{"no offloads", OK, ERR, 10, {5, 0}},
	{"checksum offload", OK, ERR, 10, {5, 0, 1 << VIRTIO_NET_F_GUEST_CSUM}},
	{"the host's offload", ERR, ERR, 10, {5, 0, 1 << VIRTIO_NET_F_CSUM}},
	{"offloads, cut", ERR, ERR, 9, {5, 0}},
	{"unknown class", ERR, ERR, 3, {9, 0, 0}},
	{"unknown command", ERR, ERR, 3, {0, 99, 0}},
	{"nothing but the class", ERR, ERR, 2, {3, 0}},
};

static void test_commands(void **state)
{
	static const uint32_t pieces[] = {1, 2, MAX_CMD};
	struct net_fixture f;

	(void)state;
	for (size_t p = 0; p < ARRAY_SIZE(pieces); p++) {
		net_start_pairs(&f, UINT64_MAX, PAIRS);
		for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
			print_message("  %s\n", commands[i].name);
			assert_int_equal(
				command(&f, CTRL, commands[i].bytes, commands[i].len, pieces[p]),
				commands[i].ack);
		}
		assert_false(net_is_broken(&f));
		net_stop(&f);
	}
}

/* With CTRL_VQ alone nothing is a command, and without MQ the queue follows the first pair (5.1.2). */
static void test_not_negotiated(void **state)
{
	struct net_fixture f;

	(void)state;
	net_start_pairs(&f, BIT(CTRL_VQ) | VIRTIO_F_INDIRECT_DESC_BIT, PAIRS);
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		print_message("  %s\n", commands[i].name);
		assert_int_equal(command(&f, 2, commands[i].bytes, commands[i].len, MAX_CMD),
				 commands[i].without_ack);
	}
	net_stop(&f);
	net_start_pairs(&f, VIRTIO_F_INDIRECT_DESC_BIT, PAIRS);
	assert_int_equal(command(&f, 2, commands[0].bytes, commands[0].len, MAX_CMD), NO_ACK);
	net_stop(&f);
}

/* Neither can be answered. */
static void test_no_class_or_answer(void **state)
{
	(void)state;
	for (int no_answer = 0; no_answer < 2; no_answer++) {
		struct net_fixture f;
		struct fake_seg segs[2];

		net_start_pairs(&f, UINT64_MAX, PAIRS);
		segs[0] = (struct fake_seg){fake_alloc(&f.d, 3), no_answer ? 3 : 1, false};
		segs[1] = (struct fake_seg){fake_alloc(&f.d, 1), 1, true};
		fake_add(&f.d, CTRL, segs, no_answer ? 1 : 2);
		fake_kick(&f.d, CTRL);
		assert_true(net_is_broken(&f));
		net_expect_unused(&f, CTRL);
		net_stop(&f);
	}
}

static void test_address(void **state)
{
	static const uint8_t set[] = {1, 1, 2, 3, 4, 5, 6, 7};
	static const uint8_t first[] = NET_MAC;
	struct net_fixture f;
	uint8_t got[6];

	(void)state;
	net_start_pairs(&f, UINT64_MAX, PAIRS);
	assert_int_equal(command(&f, CTRL, set, sizeof(set), MAX_CMD), OK);
	virtio_config_read(f.dev, 0, got, sizeof(got));
	assert_memory_equal(got, set + 2, sizeof(got));
	virtio_set_status(f.dev, 0);
	virtio_config_read(f.dev, 0, got, sizeof(got));
	assert_memory_equal(got, first, sizeof(got));
	net_stop(&f);
}

/* A frame by pair `pair` from the guest: does it come out at the socket of that pair? */
static bool pair_sends(struct net_fixture *f, uint16_t pair)
{
	static const uint8_t frame[HDR + 60];
	struct fake_seg seg = {fake_put(&f->d, frame, sizeof(frame)), sizeof(frame), false};
	uint16_t queue = (uint16_t)(2 * pair + 1);
	uint8_t got[sizeof(frame)];
	uint32_t len;
	uint16_t head;

	fake_add(&f->d, queue, &seg, 1);
	fake_kick(&f->d, queue);
	while (fake_used(&f->d, queue, &head, &len))
		continue;
	return recv(f->host[pair], got, sizeof(got), MSG_DONTWAIT) == sizeof(frame);
}

static bool pair_receives(struct net_fixture *f, uint16_t pair)
{
	static const uint8_t frame[HDR + 60];
	struct fake_seg seg = {fake_alloc(&f->d, 200), 200, true};
	uint16_t queue = (uint16_t)(2 * pair);
	uint32_t len;
	uint16_t head;

	fake_add(&f->d, queue, &seg, 1);
	fake_kick(&f->d, queue);
	assert_int_equal(send(f->host[pair], frame, sizeof(frame), 0), sizeof(frame));
	fake_run(&f->d, 0);
	return fake_used(&f->d, queue, &head, &len) && len == sizeof(frame);
}

/* Only the first pair is in use after a reset; a refused number changes nothing. */
static void test_pairs(void **state)
{
	static const uint16_t steps[] = {1, PAIRS, 2, PAIRS + 1, PAIRS};
	struct net_fixture f;
	uint16_t in_use = 1;

	(void)state;
	net_start_pairs(&f, UINT64_MAX, PAIRS);
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		const uint8_t set[] = {4, 0, (uint8_t)steps[i], 0};

		if (command(&f, CTRL, set, sizeof(set), MAX_CMD) == OK)
			in_use = steps[i];
		for (uint16_t pair = 0; pair < in_use; pair++) {
			assert_true(pair_sends(&f, pair));
			assert_true(pair_receives(&f, pair));
		}
		if (steps[i] == 2)
			assert_false(pair_sends(&f, 2));
	}
	assert_int_equal(in_use, PAIRS);
	net_stop(&f);
	net_start_pairs(&f, UINT64_MAX, PAIRS);
	assert_false(pair_receives(&f, 1));
	assert_false(pair_sends(&f, 1));
	net_stop(&f);
}

static void set_pairs(struct net_fixture *f, uint8_t n)
{
	const uint8_t set[] = {4, 0, n, 0};

	assert_int_equal(command(f, CTRL, set, sizeof(set), MAX_CMD), OK);
}

/* What the driver notified a pair of while it was not in use is done when it is: with EVENT_IDX it does not notify again. */
static void test_pairs_come_back(void **state)
{
	static const uint8_t frame[HDR + 60];
	struct net_fixture f;
	uint8_t got[sizeof(frame)];

	(void)state;
	net_start_pairs(&f, UINT64_MAX, PAIRS);
	set_pairs(&f, PAIRS);
	/* A frame that the guest has no buffer for. */
	assert_int_equal(send(f.host[1], frame, sizeof(frame), 0), sizeof(frame));
	fake_run(&f.d, 0);
	set_pairs(&f, 1);
	fake_add(&f.d, 2, &(struct fake_seg){fake_alloc(&f.d, 200), 200, true}, 1);
	fake_kick(&f.d, 2);
	fake_add(&f.d, 3,
		 &(struct fake_seg){fake_put(&f.d, frame, sizeof(frame)), sizeof(frame), false}, 1);
	fake_kick(&f.d, 3);
	net_expect_unused(&f, 2);
	net_expect_unused(&f, 3);
	set_pairs(&f, 2);
	net_expect_used(&f, 2, sizeof(frame));
	net_expect_used(&f, 3, 0);
	assert_int_equal(recv(f.host[1], got, sizeof(got), MSG_DONTWAIT), sizeof(frame));
	net_stop(&f);
}

/* More pairs than the tap has queues: all send, by the queues there are. */
static void test_few_taps(void **state)
{
	static const uint8_t all[] = {4, 0, PAIRS, 0};
	struct dev_net_params spare = {.queue_pairs = PAIRS};
	struct dev_net_params tap = {.ntaps = 1};
	static const uint8_t frame[HDR + 60];
	struct net_fixture f;
	int fds[2];

	(void)state;
	net_socketpair(fds);
	memset(f.host, -1, sizeof(f.host));
	fake_init(&f.d);
	assert_int_equal(dev_net_create(&spare, f.d.mem, f.d.loop, &f.dev, NULL), 0);
	fake_probe(&f.d, f.dev, UINT64_MAX);
	assert_int_equal(command(&f, CTRL, all, sizeof(all), MAX_CMD), OK);
	tap.tap_fds[0] = fds[0];
	f.host[0] = fds[1];
	assert_int_equal(dev_net_fill(f.dev, &tap, NULL), 0);
	for (uint16_t pair = 0; pair < PAIRS; pair++) {
		struct fake_seg seg = {fake_put(&f.d, frame, sizeof(frame)), sizeof(frame), false};
		uint8_t got[sizeof(frame)];

		fake_add(&f.d, (uint16_t)(2 * pair + 1), &seg, 1);
		fake_kick(&f.d, (uint16_t)(2 * pair + 1));
		assert_int_equal(recv(f.host[0], got, sizeof(got), MSG_DONTWAIT), sizeof(got));
		fake_kick(&f.d, (uint16_t)(2 * pair));
	}
	assert_true(pair_receives(&f, 0));
	net_stop(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_commands),
		cmocka_unit_test(test_not_negotiated),
		cmocka_unit_test(test_no_class_or_answer),
		cmocka_unit_test(test_address),
		cmocka_unit_test(test_pairs),
		cmocka_unit_test(test_pairs_come_back),
		cmocka_unit_test(test_few_taps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
