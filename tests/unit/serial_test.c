/* vmm/serial and vmm/sink: the UART as a driver sees it, and output that meets slow, stuck and vanished readers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/loop.h"
#include "base/own.h"
#include "vmm/serial.h"
#include "vmm/sink.h"

enum { DATA, IER, IIR, LCR, MCR, LSR, MSR, SCR };

struct uart {
	struct loop *loop;
	struct serial *serial;
	int irq_fd;
	int out[2]; /* pipe */
	int in[2];
};

static int make(void **state)
{
	static struct uart u;
	struct serial_params p = {0};

	u.irq_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (pipe2(u.out, O_CLOEXEC) < 0 || pipe2(u.in, O_CLOEXEC) < 0)
		return -1;
	p = (struct serial_params){.out_fd = u.out[1], .in_fd = u.in[0], .irq_fd = u.irq_fd};
	if (loop_create(&u.loop, NULL) < 0)
		return -1;
	p.loop = u.loop;
	if (serial_create(&p, &u.serial, NULL) < 0)
		return -1;
	*state = &u;
	return 0;
}

static int drop(void **state)
{
	struct uart *u = *state;

	serial_destroy(u->serial);
	loop_destroy(u->loop);
	(void)close(u->irq_fd);
	for (int i = 0; i < 2; i++) {
		(void)close(u->out[i]);
		(void)close(u->in[i]);
	}
	return 0;
}

static uint8_t rd(struct uart *u, uint64_t reg)
{
	return (uint8_t)serial_region_ops()->read(u->serial, reg, 1);
}

static void wr(struct uart *u, uint64_t reg, uint8_t value)
{
	serial_region_ops()->write(u->serial, reg, 1, value);
}

static bool irq(struct uart *u)
{
	uint64_t n;

	return read(u->irq_fd, &n, sizeof(n)) == (ssize_t)sizeof(n);
}

static void step(struct uart *u, int times)
{
	while (times-- > 0)
		assert_int_equal(loop_step(u->loop, 50, NULL), 0);
}

static void test_output(void **state)
{
	struct uart *u = *state;
	char buf[8] = {0};

	assert_int_equal(rd(u, LSR), 0x60);
	/* Wider accesses are nothing on this bus. */
	serial_region_ops()->write(u->serial, DATA, 4, 'x');
	assert_true(serial_region_ops()->read(u->serial, LSR, 2) == UINT64_MAX);
	wr(u, DATA, 'h');
	wr(u, DATA, 'i');
	step(u, 1);
	assert_int_equal(read(u->out[0], buf, sizeof(buf)), 2);
	assert_string_equal(buf, "hi");
	assert_false(irq(u)); /* none was enabled */
}

static void test_divisor_latch(void **state)
{
	struct uart *u = *state;

	wr(u, LCR, 0x80);
	wr(u, DATA, 0x12);
	wr(u, IER, 0x34);
	assert_int_equal(rd(u, DATA), 0x12);
	assert_int_equal(rd(u, IER), 0x34);
	wr(u, LCR, 0x03);
	assert_int_equal(rd(u, IER), 0);
	assert_int_equal(rd(u, LCR), 0x03);
	wr(u, SCR, 0x5a);
	assert_int_equal(rd(u, SCR), 0x5a);
}

/* How Linux's 8250 driver tells a UART from nothing, and a 16550A from older ones. */
static void test_autoconfig(void **state)
{
	struct uart *u = *state;

	wr(u, IER, 0xff);
	assert_int_equal(rd(u, IER), 0x0f);
	wr(u, IER, 0);
	wr(u, MCR, 0x1a); /* loop, OUT2, RTS */
	assert_int_equal(rd(u, MSR) & 0xf0, 0x90);
	wr(u, DATA, 'l');
	assert_int_equal(rd(u, LSR) & 1, 1);
	assert_int_equal(rd(u, DATA), 'l');
	wr(u, MCR, 0);
	assert_int_equal(rd(u, MSR), 0xb0);
	wr(u, IIR, 1); /* FCR: FIFO on */
	assert_int_equal(rd(u, IIR) & 0xc0, 0xc0);
	wr(u, IIR, 0);
	assert_int_equal(rd(u, IIR) & 0xc0, 0);
}

/* A driver that talks to itself fills the FIFO and no more. */
static void test_loopback_overrun(void **state)
{
	struct uart *u = *state;

	wr(u, MCR, 0x10);
	for (int i = 0; i < 200; i++)
		wr(u, DATA, (uint8_t)i);
	for (int i = 0; i < 64; i++)
		assert_int_equal(rd(u, DATA), i);
	assert_int_equal(rd(u, LSR) & 1, 0);
}

static void test_transmit_interrupt(void **state)
{
	struct uart *u = *state;

	wr(u, IER, 2);
	assert_true(irq(u)); /* empty already */
	assert_int_equal(rd(u, IIR), 0x02);
	assert_int_equal(rd(u, IIR), 0x01); /* reading it took it away */
	wr(u, DATA, 'x');
	assert_true(irq(u));
	assert_int_equal(rd(u, IIR), 0x02);
	wr(u, IER, 0);
	wr(u, DATA, 'y');
	assert_false(irq(u));
}

static void test_input(void **state)
{
	struct uart *u = *state;
	char text[200];

	memset(text, 'a', sizeof(text));
	wr(u, IER, 1);
	assert_int_equal(write(u->in[1], text, sizeof(text)), (ssize_t)sizeof(text));
	step(u, 3);
	assert_true(irq(u));
	assert_int_equal(rd(u, IIR), 0x04);
	/* 64 wait here and the rest in the pipe: nothing is lost and nothing spins. */
	for (int i = 0; i < 200; i++) {
		if (!(rd(u, LSR) & 1))
			step(u, 2);
		assert_int_equal(rd(u, LSR) & 1, 1);
		assert_int_equal(rd(u, DATA), 'a');
	}
	assert_int_equal(rd(u, LSR) & 1, 0);
	assert_int_equal(rd(u, DATA), 0);
	/* Cleared on demand. */
	assert_int_equal(write(u->in[1], "b", 1), 1);
	step(u, 2);
	wr(u, IIR, 2);
	assert_int_equal(rd(u, LSR) & 1, 0);
	/* The end of input is no event for the guest. */
	(void)close(u->in[1]);
	u->in[1] = -1;
	step(u, 2);
	assert_int_equal(rd(u, LSR) & 1, 0);
}

static long now_ms(void)
{
	struct timespec ts;

	assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &ts), 0);
	return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* A guest that never reads and a writer that has gone leave the loop asleep; what was written is still there. */
static void test_hangup_while_full(void **state)
{
	struct uart *u = *state;
	char text[100];
	long start;

	memset(text, 'a', sizeof(text));
	assert_int_equal(write(u->in[1], text, sizeof(text)), (ssize_t)sizeof(text));
	(void)close(u->in[1]);
	u->in[1] = -1;
	step(u, 2);
	start = now_ms();
	step(u, 2);
	assert_true(now_ms() - start >= 90);
	for (int i = 0; i < 100; i++) {
		if (!(rd(u, LSR) & 1))
			step(u, 2);
		assert_int_equal(rd(u, DATA), 'a');
	}
	step(u, 2);
	assert_int_equal(rd(u, LSR) & 1, 0);
}

static void test_stuck_reader(void **state)
{
	struct uart *u = *state;
	static char buf[4 * SINK_RING_BYTES];
	ssize_t total = 0;
	ssize_t n;

	/* More than pipe and ring hold together; this returns, since nothing waits. */
	for (int i = 0; i < 4 * SINK_RING_BYTES; i++) {
		wr(u, DATA, (uint8_t)i);
		if (i % 4096 == 0)
			step(u, 1);
	}
	serial_drain(u->serial, 20);
	assert_int_equal(fcntl(u->out[0], F_SETFL, O_NONBLOCK), 0);
	do {
		n = read(u->out[0], buf + total, sizeof(buf) - (size_t)total);
		total += n > 0 ? n : 0;
		serial_drain(u->serial, 20);
	} while (n > 0);
	assert_true(total >= SINK_RING_BYTES);
	assert_true(total < 4 * SINK_RING_BYTES);
	for (ssize_t i = 0; i < total; i++)
		assert_int_equal((uint8_t)buf[i], (uint8_t)i);
	/* It goes on when the reader does. */
	wr(u, DATA, '!');
	serial_drain(u->serial, 20);
	assert_int_equal(read(u->out[0], buf, 2), 1);
	assert_int_equal(buf[0], '!');
}

static void test_vanished_reader(void **state)
{
	struct uart *u = *state;

	(void)close(u->out[0]);
	u->out[0] = -1;
	for (int i = 0; i < 100; i++)
		wr(u, DATA, 'x');
	step(u, 3);
	wr(u, DATA, 'x');
	serial_drain(u->serial, 20);
	assert_int_equal(rd(u, LSR), 0x60);
}

/* The descriptor's own flags are not ours to change, whatever it is. */
static void test_sink_kinds(void **state)
{
	static const char *const names[] = {"pipe", "socket", "file", "null"};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		CLEANUP(own_loop_destroy) struct loop *loop = NULL;
		CLEANUP(own_sink_destroy) struct sink *sink = NULL;
		int fds[2] = {-1, -1};

		print_message("%s\n", names[i]);
		if (i == 0)
			assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
		else if (i == 1)
			assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
		else
			fds[1] = open(i == 2 ? "/tmp" : "/dev/null",
				      i == 2 ? O_TMPFILE | O_RDWR : O_WRONLY, 0600);
		assert_true(fds[1] >= 0);
		assert_int_equal(loop_create(&loop, NULL), 0);
		assert_int_equal(sink_create(fds[1], loop, &sink, NULL), 0);
		sink_put(sink, 'q');
		assert_int_equal(loop_step(loop, 100, NULL), 0);
		sink_drain(sink, 0);
		assert_int_equal(sink_dropped_bytes(sink), 0);
		assert_int_equal(fcntl(fds[1], F_GETFL) & O_NONBLOCK, 0);
		if (i < 2) {
			char c;

			assert_int_equal(read(fds[0], &c, 1), 1);
			assert_int_equal(c, 'q');
			/* Once the reader has gone, what comes is dropped. */
			(void)close(fds[0]);
			fds[0] = -1;
			sink_put(sink, 'r');
			sink_drain(sink, 0);
			sink_put(sink, 's');
			assert_int_equal(sink_dropped_bytes(sink), 1);
		}
		for (int k = 0; k < 2; k++) {
			if (fds[k] >= 0)
				(void)close(fds[k]);
		}
	}
	assert_true(sink_create(-1, NULL, &(struct sink *){NULL}, NULL) < 0);
}

/* A pipe whose second description cannot be had: writes go only where poll says that there is room. */
static void test_pipe_without_proc(void **state)
{
	struct rlimit old, few;
	struct loop *loop = NULL;
	struct sink *sink = NULL;
	int fds[2], next;
	uint8_t bytes[4096];
	size_t got = 0;

	(void)state;
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	assert_true(fcntl(fds[1], F_SETPIPE_SZ, 8192) >= 8192);
	assert_int_equal(fcntl(fds[0], F_SETFL, O_NONBLOCK), 0);
	assert_int_equal(loop_create(&loop, NULL), 0);
	next = fcntl(fds[0], F_DUPFD_CLOEXEC, 0);
	(void)close(next);
	/* Room for the sink's duplicate and its timer, not for one more. */
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	few = (struct rlimit){.rlim_cur = (rlim_t)next + 2, .rlim_max = old.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	assert_int_equal(sink_create(fds[1], loop, &sink, NULL), 0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	for (uint32_t i = 0; i < SINK_RING_BYTES; i++)
		sink_put(sink, (uint8_t)(i % 251));
	(void)alarm(60);
	while (got < SINK_RING_BYTES) {
		ssize_t n;

		assert_int_equal(loop_step(loop, 10, NULL), 0);
		n = read(fds[0], bytes, sizeof(bytes));
		for (ssize_t i = 0; i < n; i++)
			assert_int_equal(bytes[i], got++ % 251);
	}
	(void)alarm(0);
	sink_destroy(sink);
	loop_destroy(loop);
	(void)close(fds[0]);
	(void)close(fds[1]);
}

static void *run_loop(void *arg)
{
	assert_int_equal(loop_run(arg, NULL), 0);
	return NULL;
}

/*
 * A descriptor that blocks its writer although nobody could tell: an eventfd that is full. The writer waits for it, who puts
 * bytes does not; with a lock held meanwhile the alarm ends this.
 */
static void test_blocked_writer(void **state)
{
	AUTO_FD int fd = eventfd(0, EFD_CLOEXEC);
	struct loop *loop = NULL;
	struct sink *sink = NULL;
	struct timespec start, now;
	pthread_t thread;
	uint64_t count = UINT64_MAX - 1;

	(void)state;
	assert_int_equal(write(fd, &count, sizeof(count)), sizeof(count));
	assert_int_equal(loop_create(&loop, NULL), 0);
	assert_int_equal(sink_create(fd, loop, &sink, NULL), 0);
	(void)alarm(60);
	for (int i = 0; i < 8; i++)
		sink_put(sink, 1);
	assert_int_equal(pthread_create(&thread, NULL, run_loop, loop), 0);
	/* Long enough for the writer to be there; a slow machine makes this test blind, not red. */
	(void)clock_gettime(CLOCK_MONOTONIC, &start);
	do {
		sink_put(sink, 1);
		(void)clock_gettime(CLOCK_MONOTONIC, &now);
	} while (now.tv_sec - start.tv_sec < 1 || sink_dropped_bytes(sink) == 0);
	loop_stop(loop);
	while (pthread_tryjoin_np(thread, NULL) != 0) {
		struct pollfd p = {.fd = fd, .events = POLLIN};

		if (poll(&p, 1, 10) == 1)
			assert_int_equal(read(fd, &count, sizeof(count)), sizeof(count));
	}
	(void)alarm(0);
	sink_destroy(sink);
	loop_destroy(loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_output, make, drop),
		cmocka_unit_test_setup_teardown(test_divisor_latch, make, drop),
		cmocka_unit_test_setup_teardown(test_autoconfig, make, drop),
		cmocka_unit_test_setup_teardown(test_loopback_overrun, make, drop),
		cmocka_unit_test_setup_teardown(test_transmit_interrupt, make, drop),
		cmocka_unit_test_setup_teardown(test_input, make, drop),
		cmocka_unit_test_setup_teardown(test_hangup_while_full, make, drop),
		cmocka_unit_test_setup_teardown(test_stuck_reader, make, drop),
		cmocka_unit_test_setup_teardown(test_vanished_reader, make, drop),
		cmocka_unit_test(test_sink_kinds),
		cmocka_unit_test(test_pipe_without_proc),
		cmocka_unit_test(test_blocked_writer),
	};

	(void)signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
