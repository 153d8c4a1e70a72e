/* Connections through the socket device: how they begin, and each way in which they end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <endian.h>
#include <linux/virtio_vsock.h>
#include <sys/socket.h>

#include "base/own.h"
#include "tests/unit/vsock_guest.h"

/* --- connecting ---------------------------------------------------------------------------------------------------- */

static void test_config(void **state)
{
	struct guest *g = *state;
	uint64_t cid = 0;

	virtio_config_read(g->dev, 0, &cid, sizeof(cid));
	assert_int_equal(le64toh(cid), GUEST_CID);
	assert_true(virtio_features_offered(g->dev) & 1);
}

static void test_connect(void **state)
{
	struct guest *g = *state;
	uint32_t port = 0, other = 0;
	AUTO_FD int fd = guest_open(g, 5000, &port);
	AUTO_FD int fd2 = guest_open(g, 5000, &other);

	assert_int_not_equal(port, other);
	guest_expect_none(g);
	guest_send_data(g, 5000, other, "two", 3);
	guest_send_data(g, 5000, port, "one", 3);
	client_expect(fd, "one");
	client_expect(fd2, "two");
}

static void test_handshake(void **state)
{
	static const struct {
		const char *line;
		bool good;
	} cases[] = {
		{"CONNECT 5\n", true},
		{"CONNECT 0\n", true},
		{"CONNECT 4294967294\n", true},
		{"CONNECT 4294967295\n", false},
		{"CONNECT 99999999999\n", false},
		{"CONNECT -1\n", false},
		{"CONNECT 5 \n", false},
		{"CONNECT x\n", false},
		{"CONNECT \n", false},
		{"CONNECT\n", false},
		{"connect 5\n", false},
		{"\n", false},
		{"CONNECT 0000000000000005", false}, /* as long as a line may be, and no end */
	};
	struct guest *g = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		AUTO_FD int fd = client_connect(g, cases[i].line);
		char c = 0;

		if (cases[i].good) {
			struct packet p = guest_expect(g, VIRTIO_VSOCK_OP_REQUEST);

			assert_int_equal(client_read(fd, &c, 1), -1);
			guest_send_op(g, p.dst_port, p.src_port, VIRTIO_VSOCK_OP_RST, 0);
		}
		guest_expect_none(g);
		c = 0;
		assert_true(recv(fd, &c, 1, MSG_DONTWAIT) == 0 || errno == ECONNRESET);
	}
}

static void test_handshake_in_pieces(void **state)
{
	struct guest *g = *state;
	AUTO_FD int fd = client_connect(g, "CONN");
	struct packet p;
	char ok[64];

	guest_expect_none(g);
	assert_int_equal(send(fd, "ECT 77", 6, 0), 6);
	guest_expect_none(g);
	assert_int_equal(send(fd, "\nearly data", 11, 0), 11);
	p = guest_expect(g, VIRTIO_VSOCK_OP_REQUEST);
	guest_expect_none(g);
	assert_int_equal(p.dst_port, 77);
	guest_send_op(g, 77, p.src_port, VIRTIO_VSOCK_OP_RESPONSE, 0);
	(void)snprintf(ok, sizeof(ok), "OK %u\n", p.src_port);
	client_expect(fd, ok);
	p = guest_expect(g, VIRTIO_VSOCK_OP_RW);
	assert_int_equal(p.len, 10);
	assert_memory_equal(p.data, "early data", 10);
}

static void test_client_leaves_early(void **state)
{
	struct guest *g = *state;
	int fd = client_connect(g, "CONNECT 1\n");
	struct packet p = guest_expect(g, VIRTIO_VSOCK_OP_REQUEST);

	own_close(&fd);
	(void)guest_expect(g, VIRTIO_VSOCK_OP_RST);
	guest_send_op(g, 1, p.src_port, VIRTIO_VSOCK_OP_RESPONSE, 0);
	(void)guest_expect(g, VIRTIO_VSOCK_OP_RST); /* nobody there any more */
	fd = client_connect(g, "CONN");
	own_close(&fd);
	guest_expect_none(g);
}

static void test_deadlines(void **state)
{
	struct guest *g = *state;

	guest_timers_short(); /* before the first deadline is set */
	AUTO_FD int silent = client_connect(g, NULL);
	AUTO_FD int unanswered = client_connect(g, "CONNECT 1\n");
	struct packet p = guest_expect(g, VIRTIO_VSOCK_OP_REQUEST);
	uint32_t port = 0;
	AUTO_FD int open = guest_open(g, 2, &port);
	AUTO_FD int last = -1;
	char c = 0;

	last = client_connect(g, NULL);
	fake_run(&g->d, 20);
	assert_int_equal(client_read(silent, &c, 1), -1);
	guest_clock_ahead(11);
	fake_run(&g->d, 20);
	client_expect_end(silent);
	assert_int_equal(client_read(unanswered, &c, 1), -1);
	guest_clock_ahead(31);
	fake_run(&g->d, 20);
	assert_int_equal(guest_expect(g, VIRTIO_VSOCK_OP_RST).src_port, p.src_port);
	client_expect_end(unanswered);
	assert_int_equal(client_read(open, &c, 1), -1);
}

static void test_agent(void **state)
{
	struct guest *g = *state;
	uint32_t port = 1024;

	guest_send_op(g, 9, 1025, VIRTIO_VSOCK_OP_REQUEST, 0);
	(void)guest_expect(g, VIRTIO_VSOCK_OP_RST);
	guest_send_op(g, 9, port, VIRTIO_VSOCK_OP_REQUEST, 0);
	(void)guest_expect(g, VIRTIO_VSOCK_OP_RESPONSE);
	guest_send_data(g, 9, port, "hello", 5);
	client_expect(g->agent, "hello");
	assert_int_equal(send(g->agent, "ho", 2, 0), 2);
	assert_int_equal(guest_expect(g, VIRTIO_VSOCK_OP_RW).len, 2);

	guest_send_op(g, 10, port, VIRTIO_VSOCK_OP_REQUEST, 0); /* once only */
	(void)guest_expect(g, VIRTIO_VSOCK_OP_RST);
	guest_send_op(g, 9, port, VIRTIO_VSOCK_OP_RST, 0);
	client_expect_end(g->agent);
	guest_send_op(g, 9, port, VIRTIO_VSOCK_OP_REQUEST, 0);
	(void)guest_expect(g, VIRTIO_VSOCK_OP_RST);
}

/* --- ends ---------------------------------------------------------------------------------------------------------- */

static void test_client_ends_writing(void **state)
{
	struct guest *g = *state;
	uint32_t port = 0;
	AUTO_FD int fd = guest_open(g, 5, &port);

	assert_int_equal(send(fd, "last", 4, 0), 4);
	assert_int_equal(shutdown(fd, SHUT_WR), 0);
	assert_int_equal(guest_expect(g, VIRTIO_VSOCK_OP_RW).len, 4);
	assert_int_equal(guest_expect(g, VIRTIO_VSOCK_OP_SHUTDOWN).flags,
			 VIRTIO_VSOCK_SHUTDOWN_SEND);
	guest_expect_none(g);
	guest_send_data(g, 5, port, "still flows", 11);
	client_expect(fd, "still flows");
	guest_send_op(g, 5, port, VIRTIO_VSOCK_OP_SHUTDOWN, 3);
	(void)guest_expect(g, VIRTIO_VSOCK_OP_RST);
	client_expect_end(fd);
	guest_expect_none(g);
}

static void test_guest_ends_writing(void **state)
{
	struct guest *g = *state;
	uint32_t port = 0;
	AUTO_FD int fd = guest_open(g, 5, &port);

	guest_send_data(g, 5, port, "last", 4);
	guest_send_op(g, 5, port, VIRTIO_VSOCK_OP_SHUTDOWN, VIRTIO_VSOCK_SHUTDOWN_SEND);
	client_expect(fd, "last");
	client_expect_end(fd);
	assert_int_equal(send(fd, "still flows", 11, 0), 11);
	assert_int_equal(guest_expect(g, VIRTIO_VSOCK_OP_RW).len, 11);
	assert_int_equal(shutdown(fd, SHUT_WR), 0);
	/* Both directions have ended, each by its own side: the end of all is told and confirmed. */
	assert_int_equal(guest_expect(g, VIRTIO_VSOCK_OP_SHUTDOWN).flags, 3);
	guest_send_op(g, 5, port, VIRTIO_VSOCK_OP_RST, 0);
	guest_expect_none(g);
}

static void test_guest_ends_reading(void **state)
{
	struct guest *g = *state;
	uint32_t port = 0;
	AUTO_FD int fd = guest_open(g, 5, &port);

	guest_send_op(g, 5, port, VIRTIO_VSOCK_OP_SHUTDOWN, VIRTIO_VSOCK_SHUTDOWN_RCV);
	assert_int_equal(send(fd, "x", 1, MSG_NOSIGNAL), -1);
	assert_int_equal(errno, EPIPE);
	guest_send_data(g, 5, port, "still flows", 11);
	client_expect(fd, "still flows");
	guest_expect_none(g);
}

static void test_client_closes(void **state)
{
	struct guest *g = *state;
	uint32_t port = 0;
	int fd = guest_open(g, 5, &port);
	struct packet p;

	assert_int_equal(send(fd, "last", 4, 0), 4);
	own_close(&fd);
	guest_run(g);
	assert_int_equal(guest_expect(g, VIRTIO_VSOCK_OP_RW).len, 4);
	assert_int_equal(guest_expect(g, VIRTIO_VSOCK_OP_SHUTDOWN).flags, 3);
	guest_send_data(g, 5, port, "too late", 8); /* nobody reads it, and it is no crime */
	guest_expect_none(g);
	guest_send_op(g, 5, port, VIRTIO_VSOCK_OP_SHUTDOWN, 3);
	p = guest_expect(g, VIRTIO_VSOCK_OP_RST);
	assert_int_equal(p.src_port, port);
	guest_expect_none(g);
}

static void test_client_closes_and_guest_is_silent(void **state)
{
	struct guest *g = *state;
	uint32_t port = 0;
	int fd = -1;

	guest_timers_short();
	fd = guest_open(g, 5, &port);
	own_close(&fd);
	assert_int_equal(guest_expect(g, VIRTIO_VSOCK_OP_SHUTDOWN).flags, 3);
	fake_run(&g->d, 20);
	guest_expect_none(g);
	guest_clock_ahead(11);
	fake_run(&g->d, 20);
	(void)guest_expect(g, VIRTIO_VSOCK_OP_RST);
}

/* The guest ends while the reader is slow: every byte it sent is still delivered. */
static void test_guest_leaves_slow_reader(void **state)
{
	static const struct {
		const char *name;
		bool shutdown, rst, reset;
	} cases[] = {
		{"shutdown, which is confirmed after the last byte", true, false, false},
		{"shutdown, then RST out of impatience", true, true, false},
		{"RST", false, true, false},
		{"the device is reset", false, false, true},
	};
	struct guest *g = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint32_t port = 0;
		AUTO_FD int fd = guest_open(g, 5, &port);
		uint32_t sent = guest_send_all_credit(g, 5, port);

		print_message("%s\n", cases[i].name);
		if (cases[i].shutdown)
			guest_send_op(g, 5, port, VIRTIO_VSOCK_OP_SHUTDOWN, 3);
		guest_expect_none(g);
		if (cases[i].rst)
			guest_send_op(g, 5, port, VIRTIO_VSOCK_OP_RST, 0);
		if (cases[i].reset)
			virtio_set_status(g->dev, 0);
		guest_run(g);
		assert_int_equal(client_drain(g, fd, 0), sent);
		if (!cases[i].rst && !cases[i].reset) {
			struct packet p;

			do {
				assert_true(guest_take(g, &p));
			} while (p.op == VIRTIO_VSOCK_OP_CREDIT_UPDATE);
			assert_int_equal(p.op, VIRTIO_VSOCK_OP_RST);
		} else if (!cases[i].reset) {
			while (guest_take(g, &(struct packet){0}))
				;
		}
		client_expect_end(fd);
	}
}

static void test_reset(void **state)
{
	struct guest *g = *state;
	uint32_t port = 0;
	AUTO_FD int open = guest_open(g, 5, &port);
	AUTO_FD int waiting = client_connect(g, "CONNECT 6\n");
	AUTO_FD int later = -1;
	char c = 0;

	(void)guest_expect(g, VIRTIO_VSOCK_OP_REQUEST);
	virtio_set_status(g->dev, 0);
	guest_run(g);
	client_expect_end(open);
	client_expect_end(waiting);
	later = client_connect(g, "CONNECT 7\n"); /* asks a guest that is not there yet */
	assert_int_equal(client_read(later, &c, 1), -1);
	fake_probe(&g->d, g->dev, UINT64_MAX);
	guest_run(g);
	assert_int_equal(client_read(later, &c, 1), -1);
	guest_post_buffers(g);
	assert_int_equal(guest_expect(g, VIRTIO_VSOCK_OP_REQUEST).dst_port, 7);
	guest_expect_none(g);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		VSOCK_TEST(test_config),
		VSOCK_TEST(test_connect),
		VSOCK_TEST(test_handshake),
		VSOCK_TEST(test_handshake_in_pieces),
		VSOCK_TEST(test_client_leaves_early),
		VSOCK_TEST(test_deadlines),
		VSOCK_TEST(test_agent),
		VSOCK_TEST(test_client_ends_writing),
		VSOCK_TEST(test_guest_ends_writing),
		VSOCK_TEST(test_guest_ends_reading),
		VSOCK_TEST(test_client_closes),
		VSOCK_TEST(test_client_closes_and_guest_is_silent),
		VSOCK_TEST(test_guest_leaves_slow_reader),
		VSOCK_TEST(test_reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
