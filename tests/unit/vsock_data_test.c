/* Data through the socket device: credit in both directions, whole streams, and how connections share the buffers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <linux/virtio_vsock.h>
#include <sys/socket.h>
#include <time.h>

#include "base/own.h"
#include "tests/unit/vsock_guest.h"

/* The guest's buffer is 1000 bytes: what fits comes, is asked about once, and goes on with what is freed. */
static void test_credit_of_the_guest(void **state)
{
	static const struct {
		const char *what;
		uint32_t fwd, comes;
		bool asks;
	} steps[] = {
		{"nothing freed yet", 0, 1000, true},
		{"one byte freed", 1, 1, true},
		{"the count goes back", 0, 0, false},
		{"the count is ahead of what was sent", 5000, 0, false},
		{"all is freed", 1001, 1000, true},
		{"again", 2001, 999, false},
	};
	struct guest *g = *state;
	uint8_t want[3000];
	uint32_t port = 0;
	size_t got = 0;

	g->buf_alloc = 1000;
	AUTO_FD int fd = guest_open(g, 5, &port);
	pattern_fill(want, sizeof(want), 0);
	assert_int_equal(send(fd, want, sizeof(want), 0), sizeof(want));
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		print_message("%s\n", steps[i].what);
		guest_send_credit(g, 5, port, steps[i].fwd);
		if (steps[i].comes) {
			struct packet p = guest_expect(g, VIRTIO_VSOCK_OP_RW);

			assert_int_equal(p.len, steps[i].comes);
			assert_memory_equal(p.data, want + got, p.len);
			got += p.len;
		}
		if (steps[i].asks)
			(void)guest_expect(g, VIRTIO_VSOCK_OP_CREDIT_REQUEST);
		guest_expect_none(g);
	}
	assert_int_equal(got, sizeof(want));
	guest_send_credit(g, 5, port, 3000);
	guest_send_credit(g, 5, port, 2001); /* overtaken on its way: takes no credit back */
	assert_int_equal(send(fd, want, 500, 0), 500);
	assert_int_equal(guest_expect(g, VIRTIO_VSOCK_OP_RW).len, 500);
	g->buf_alloc = 499; /* less than is under way */
	guest_send_credit(g, 5, port, 3000);
	assert_int_equal(send(fd, want, 500, 0), 500);
	(void)guest_expect(g, VIRTIO_VSOCK_OP_CREDIT_REQUEST);
	guest_expect_none(g);
}

static void test_credit_of_the_host(void **state)
{
	struct guest *g = *state;
	uint32_t port = 0;
	AUTO_FD int fd = guest_open(g, 5, &port);
	uint32_t sent = guest_send_all_credit(g, 5, port);
	struct packet p = {0};

	assert_true(sent >= CREDIT);
	assert_int_equal(client_drain(g, fd, 0), sent);
	while (guest_take(g, &p))
		assert_int_equal(p.op, VIRTIO_VSOCK_OP_CREDIT_UPDATE);
	assert_int_equal(p.fwd_cnt - sent + CREDIT >= CREDIT / 2, true);
	assert_int_equal(guest_ask_fwd(g, 5, port), sent);
	guest_send_data(g, 5, port, "on", 2);
	client_expect(fd, "on");
}

static void test_data_beyond_the_credit(void **state)
{
	struct guest *g = *state;
	uint32_t port = 0;
	AUTO_FD int fd UNUSED = guest_open(g, 5, &port);

	(void)guest_send_all_credit(g, 5, port);
	guest_send_data(g, 5, port, "x", 1);
	(void)guest_expect(g, VIRTIO_VSOCK_OP_RST);
	guest_send_data(g, 5, port, "x", 1);
	(void)guest_expect(g, VIRTIO_VSOCK_OP_RST); /* unknown now */
}

/* 1 MiB in both directions at once, through small windows, several connections: bytes and order. */
static void test_streams(void **state)
{
	enum { CONNS = 3, TOTAL = 1 << 20 };
	struct guest *g = *state;
	uint32_t ports[CONNS];
	int fds[CONNS];
	size_t up[CONNS] = {0}, down[CONNS] = {0}, in[CONNS] = {0}, out[CONNS] = {0};
	uint32_t fwd[CONNS] = {0};
	uint8_t chunk[10000], want[RX_BYTES];
	unsigned done = 0;
	struct packet p;

	g->buf_alloc = 100000;
	for (uint32_t i = 0; i < CONNS; i++)
		fds[i] = guest_open(g, 10 + i, &ports[i]);
	for (int round = 0; round < 20000 && done < 2 * CONNS; round++) {
		uint32_t i = (uint32_t)round % CONNS;

		if (up[i] < TOTAL && up[i] - fwd[i] + sizeof(chunk) <= CREDIT) {
			pattern_fill(chunk, sizeof(chunk), up[i]);
			guest_send_data(g, 10 + i, ports[i], chunk, sizeof(chunk));
			up[i] += sizeof(chunk);
		}
		if (down[i] < TOTAL) {
			pattern_fill(chunk, sizeof(chunk), down[i]);
			ssize_t n = send(fds[i], chunk, sizeof(chunk), MSG_DONTWAIT);
			down[i] += n > 0 ? (size_t)n : 0;
		}
		out[i] = client_drain(g, fds[i], out[i]);
		while (guest_take(g, &p)) {
			uint32_t k = p.dst_port - 10;

			fwd[k] = p.fwd_cnt;
			if (p.op != VIRTIO_VSOCK_OP_RW)
				continue;
			pattern_fill(want, p.len, in[k]);
			assert_memory_equal(p.data, want, p.len);
			in[k] += p.len;
		}
		guest_send_credit(g, 10 + i, ports[i], (uint32_t)in[i]);
		done = 0;
		for (uint32_t k = 0; k < CONNS; k++)
			done += (unsigned)(out[k] >= TOTAL && out[k] == up[k]) +
				(unsigned)(in[k] >= TOTAL && in[k] == down[k]);
	}
	assert_int_equal(done, 2 * CONNS);
	for (uint32_t i = 0; i < CONNS; i++)
		own_close(&fds[i]);
}

/* A connection with endless data leaves buffers to its neighbours. */
static void test_fair_rounds(void **state)
{
	struct guest *g = *state;
	uint32_t loud_port = 0, quiet_port = 0;
	AUTO_FD int loud = guest_open(g, 5, &loud_port);
	AUTO_FD int quiet = guest_open(g, 6, &quiet_port);
	uint8_t data[100000] = {0};
	unsigned before = 0;

	virtio_queue(g->dev, 0)->budget = 0; /* no buffer is handed out, as if there were none */
	assert_true(send(loud, data, sizeof(data), MSG_DONTWAIT) > 0);
	guest_run(g);
	assert_int_equal(send(quiet, "x", 1, 0), 1);
	guest_run(g);
	virtio_queue(g->dev, 0)->budget = VQ_NO_BUDGET;
	fake_kick(&g->d, 0);
	for (;;) {
		struct packet p = guest_expect(g, VIRTIO_VSOCK_OP_RW);

		if (p.dst_port == 6)
			break;
		before++;
	}
	assert_true(before <= 1);
}

/* While data waits for credit or buffers, and after a hang-up, the loop sleeps. */
static void test_blocked_data_does_not_spin(void **state)
{
	struct guest *g = *state;
	uint32_t port = 0;

	g->buf_alloc = 10;
	int fd = guest_open(g, 5, &port);
	assert_int_equal(send(fd, "more than ten bytes", 19, 0), 19);
	(void)guest_expect(g, VIRTIO_VSOCK_OP_RW);
	(void)guest_expect(g, VIRTIO_VSOCK_OP_CREDIT_REQUEST);
	guest_expect_none(g);
	for (int closed = 0; closed < 2; closed++) {
		struct timespec a, b;

		if (closed) {
			own_close(&fd);
			guest_run(g);
		}
		(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a);
		fake_run(&g->d, 50);
		(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &b);
		assert_int_equal(b.tv_sec - a.tv_sec, 0);
		assert_true(loop_step(g->d.loop, 20, NULL) == 0);
		struct timespec t0, t1;
		(void)clock_gettime(CLOCK_MONOTONIC, &t0);
		assert_int_equal(loop_step(g->d.loop, 30, NULL), 0);
		(void)clock_gettime(CLOCK_MONOTONIC, &t1);
		assert_true((t1.tv_sec - t0.tv_sec) * 1000 + (t1.tv_nsec - t0.tv_nsec) / 1000000 >=
			    25);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		VSOCK_TEST(test_credit_of_the_guest),
		VSOCK_TEST(test_credit_of_the_host),
		VSOCK_TEST(test_data_beyond_the_credit),
		VSOCK_TEST(test_streams),
		VSOCK_TEST(test_fair_rounds),
		VSOCK_TEST(test_blocked_data_does_not_spin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
