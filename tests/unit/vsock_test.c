/*
 * The socket device between a fake driver, which plays the guest packet by packet, and clients on unix sockets. Time is
 * the test's: the monotonic clock can be moved on, and timers made short, by the two functions below that stand in front of
 * the C library's.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <endian.h>
#include <linux/virtio_config.h>
#include <linux/virtio_vsock.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <time.h>

#include "base/own.h"
#include "tests/unit/fake_driver.h"
#include "vmm/dev/dev.h"

#define GUEST_CID  3
#define RX_BUFFERS 64
#define RX_BYTES   4096
#define TX_BYTES   65536
#define CREDIT     (256u << 10)
#define HDR        sizeof(struct virtio_vsock_hdr)

static int64_t clock_ahead_s;
static bool timers_short;

int clock_gettime(clockid_t id, struct timespec *ts)
{
	long rc = syscall(SYS_clock_gettime, id, ts);

	ts->tv_sec += clock_ahead_s;
	return (int)rc;
}

int timerfd_settime(int fd, int flags, const struct itimerspec *when, struct itimerspec *old)
{
	static const struct itimerspec soon = {.it_value = {.tv_nsec = 5000000}};
	bool armed = when->it_value.tv_sec || when->it_value.tv_nsec;

	return (int)syscall(SYS_timerfd_settime, fd, flags, timers_short && armed ? &soon : when,
			    old);
}

struct guest {
	struct fake_driver d;
	struct virtio_dev *dev;
	struct sockaddr_un addr; /* of the listening socket */
	socklen_t addr_len;
	int agent;                     /* our end of the agent's socket */
	struct gpa rx_at[VQ_MAX_SIZE]; /* by head */
	struct gpa tx_at;
	uint32_t buf_alloc; /* what our packets say */
};

/* A packet as the guest sees it, host order. */
struct packet {
	uint32_t src_port, dst_port, len, flags, buf_alloc, fwd_cnt;
	uint16_t op, type;
	uint8_t data[RX_BYTES];
};

static void post_buffer(struct guest *g, struct gpa at)
{
	struct fake_seg seg = {.at = at, .len = RX_BYTES, .writable = true};

	g->rx_at[fake_add(&g->d, 0, &seg, 1)] = at;
}

static void post_buffers(struct guest *g)
{
	for (int i = 0; i < RX_BUFFERS; i++)
		post_buffer(g, fake_alloc(&g->d, RX_BYTES));
	fake_kick(&g->d, 0);
}

static int new_guest(void **state)
{
	struct guest *g = calloc(1, sizeof(*g));
	struct dev_vsock_params p = {.guest_cid = GUEST_CID};
	int pair[2];

	(void)signal(SIGPIPE, SIG_IGN); /* as the vmm does */
	fake_init(&g->d);
	g->addr = (struct sockaddr_un){.sun_family = AF_UNIX};
	g->addr_len = sizeof(g->addr);
	p.listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(p.listen_fd, (struct sockaddr *)&g->addr, sizeof(sa_family_t)), 0);
	assert_int_equal(getsockname(p.listen_fd, (struct sockaddr *)&g->addr, &g->addr_len), 0);
	assert_int_equal(listen(p.listen_fd, 512), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	g->agent = pair[0];
	p.agent_fd = pair[1];
	assert_int_equal(dev_vsock_create(&p, g->d.mem, g->d.loop, &g->dev, NULL), 0);
	g->tx_at = fake_alloc(&g->d, TX_BYTES + HDR);
	g->buf_alloc = CREDIT;
	*state = g;
	return 0;
}

static int setup(void **state)
{
	struct guest *g = NULL;

	(void)new_guest(state);
	g = *state;
	fake_probe(&g->d, g->dev, UINT64_MAX);
	post_buffers(g);
	return 0;
}

static int teardown(void **state)
{
	struct guest *g = *state;

	clock_ahead_s = 0;
	timers_short = false;
	virtio_dev_destroy(g->dev);
	own_close(&g->agent);
	fake_done(&g->d);
	free(g);
	return 0;
}

static void run(struct guest *g)
{
	fake_run(&g->d, 0);
}

/* --- the guest's side ---------------------------------------------------------------------------------------------- */

static bool take_packet(struct guest *g, struct packet *p)
{
	struct virtio_vsock_hdr h;
	uint16_t head = 0;
	uint32_t used = 0;

	if (!fake_used(&g->d, 0, &head, &used))
		return false;
	assert_in_range(used, HDR, RX_BYTES);
	fake_get(&g->d, g->rx_at[head], &h, sizeof(h));
	assert_int_equal(le64toh(h.src_cid), 2);
	assert_int_equal(le64toh(h.dst_cid), GUEST_CID);
	*p = (struct packet){
		.src_port = le32toh(h.src_port),
		.dst_port = le32toh(h.dst_port),
		.len = le32toh(h.len),
		.flags = le32toh(h.flags),
		.buf_alloc = le32toh(h.buf_alloc),
		.fwd_cnt = le32toh(h.fwd_cnt),
		.op = le16toh(h.op),
		.type = le16toh(h.type),
	};
	assert_int_equal(used, HDR + p->len);
	if (p->len)
		fake_get(&g->d, GPA(g->rx_at[head].v + HDR), p->data, p->len);
	post_buffer(g, g->rx_at[head]);
	fake_kick(&g->d, 0);
	return true;
}

static struct packet expect(struct guest *g, uint16_t op)
{
	struct packet p;

	run(g);
	assert_true(take_packet(g, &p));
	assert_int_equal(p.op, op);
	return p;
}

static void expect_none(struct guest *g)
{
	struct packet p;

	run(g);
	assert_false(take_packet(g, &p));
}

/* A packet to the host, one descriptor, in a place that is used again each time; `short_by` bytes are left away. */
static void send_raw(struct guest *g, const struct virtio_vsock_hdr *h, const void *data,
		     uint32_t len, uint32_t short_by)
{
	uint32_t whole = (uint32_t)HDR + len - short_by;
	struct fake_seg seg = {.at = g->tx_at, .len = whole};
	uint16_t head = 0;
	uint32_t used = 0;

	assert_true(gmem_write(g->d.mem, g->tx_at, h, sizeof(*h)));
	if (len)
		assert_true(gmem_write(g->d.mem, GPA(g->tx_at.v + HDR), data, len));
	(void)fake_add(&g->d, 1, &seg, 1);
	fake_kick(&g->d, 1);
	while (fake_used(&g->d, 1, &head, &used))
		;
}

static struct virtio_vsock_hdr header(const struct guest *g, uint32_t guest_port,
				      uint32_t host_port, uint16_t op)
{
	return (struct virtio_vsock_hdr){
		.src_cid = htole64(GUEST_CID),
		.dst_cid = htole64(2),
		.src_port = htole32(guest_port),
		.dst_port = htole32(host_port),
		.type = htole16(VIRTIO_VSOCK_TYPE_STREAM),
		.op = htole16(op),
		.buf_alloc = htole32(g->buf_alloc),
	};
}

static void send_op(struct guest *g, uint32_t guest_port, uint32_t host_port, uint16_t op,
		    uint32_t flags)
{
	struct virtio_vsock_hdr h = header(g, guest_port, host_port, op);

	h.flags = htole32(flags);
	send_raw(g, &h, NULL, 0, 0);
}

static void send_credit(struct guest *g, uint32_t guest_port, uint32_t host_port, uint32_t fwd)
{
	struct virtio_vsock_hdr h = header(g, guest_port, host_port, VIRTIO_VSOCK_OP_CREDIT_UPDATE);

	h.fwd_cnt = htole32(fwd);
	send_raw(g, &h, NULL, 0, 0);
}

static void send_data(struct guest *g, uint32_t guest_port, uint32_t host_port, const void *data,
		      uint32_t len)
{
	struct virtio_vsock_hdr h = header(g, guest_port, host_port, VIRTIO_VSOCK_OP_RW);

	h.len = htole32(len);
	send_raw(g, &h, data, len, 0);
}

/* --- the host's side ----------------------------------------------------------------------------------------------- */

static int client(struct guest *g, const char *line)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(connect(fd, (struct sockaddr *)&g->addr, g->addr_len), 0);
	if (line)
		assert_int_equal(send(fd, line, strlen(line), 0), strlen(line));
	run(g);
	return fd;
}

/* What lies in the client's socket: bytes, 0 at its end, -1 when there is nothing yet. */
static ssize_t client_read(int fd, void *buf, size_t len)
{
	ssize_t n = recv(fd, buf, len, MSG_DONTWAIT);

	assert_true(n >= 0 || errno == EAGAIN);
	return n;
}

static void expect_text(int fd, const char *text)
{
	char got[256] = "";
	ssize_t n = client_read(fd, got, sizeof(got) - 1);

	assert_true(n >= 0);
	assert_string_equal(got, text);
}

static void expect_end(int fd)
{
	char c = 0;

	assert_int_equal(client_read(fd, &c, 1), 0);
}

/* An open connection: client descriptor, and the host's port. */
static int open_conn(struct guest *g, uint32_t guest_port, uint32_t *host_port)
{
	char line[64];
	char ok[64];
	struct packet p;
	int fd;

	(void)snprintf(line, sizeof(line), "CONNECT %u\n", guest_port);
	fd = client(g, line);
	p = expect(g, VIRTIO_VSOCK_OP_REQUEST);
	assert_int_equal(p.dst_port, guest_port);
	assert_int_equal(p.buf_alloc, CREDIT);
	assert_true(p.src_port >= 1u << 30);
	*host_port = p.src_port;
	send_op(g, guest_port, *host_port, VIRTIO_VSOCK_OP_RESPONSE, 0);
	(void)snprintf(ok, sizeof(ok), "OK %u\n", *host_port);
	expect_text(fd, ok);
	return fd;
}

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
	AUTO_FD int fd = open_conn(g, 5000, &port);
	AUTO_FD int fd2 = open_conn(g, 5000, &other);

	assert_int_not_equal(port, other);
	expect_none(g);
	send_data(g, 5000, other, "two", 3);
	send_data(g, 5000, port, "one", 3);
	expect_text(fd, "one");
	expect_text(fd2, "two");
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
		AUTO_FD int fd = client(g, cases[i].line);
		char c = 0;

		if (cases[i].good) {
			struct packet p = expect(g, VIRTIO_VSOCK_OP_REQUEST);

			assert_int_equal(client_read(fd, &c, 1), -1);
			send_op(g, p.dst_port, p.src_port, VIRTIO_VSOCK_OP_RST, 0);
		}
		expect_none(g);
		c = 0;
		assert_true(recv(fd, &c, 1, MSG_DONTWAIT) == 0 || errno == ECONNRESET);
	}
}

static void test_handshake_in_pieces(void **state)
{
	struct guest *g = *state;
	AUTO_FD int fd = client(g, "CONN");
	struct packet p;
	char ok[64];

	expect_none(g);
	assert_int_equal(send(fd, "ECT 77", 6, 0), 6);
	expect_none(g);
	assert_int_equal(send(fd, "\nearly data", 11, 0), 11);
	p = expect(g, VIRTIO_VSOCK_OP_REQUEST);
	expect_none(g);
	assert_int_equal(p.dst_port, 77);
	send_op(g, 77, p.src_port, VIRTIO_VSOCK_OP_RESPONSE, 0);
	(void)snprintf(ok, sizeof(ok), "OK %u\n", p.src_port);
	expect_text(fd, ok);
	p = expect(g, VIRTIO_VSOCK_OP_RW);
	assert_int_equal(p.len, 10);
	assert_memory_equal(p.data, "early data", 10);
}

static void test_client_leaves_early(void **state)
{
	struct guest *g = *state;
	int fd = client(g, "CONNECT 1\n");
	struct packet p = expect(g, VIRTIO_VSOCK_OP_REQUEST);

	own_close(&fd);
	(void)expect(g, VIRTIO_VSOCK_OP_RST);
	send_op(g, 1, p.src_port, VIRTIO_VSOCK_OP_RESPONSE, 0);
	(void)expect(g, VIRTIO_VSOCK_OP_RST); /* nobody there any more */
	fd = client(g, "CONN");
	own_close(&fd);
	expect_none(g);
}

static void test_deadlines(void **state)
{
	struct guest *g = *state;

	timers_short = true; /* before the first deadline is set */
	AUTO_FD int silent = client(g, NULL);
	AUTO_FD int unanswered = client(g, "CONNECT 1\n");
	struct packet p = expect(g, VIRTIO_VSOCK_OP_REQUEST);
	uint32_t port = 0;
	AUTO_FD int open = open_conn(g, 2, &port);
	AUTO_FD int last = -1;
	char c = 0;

	last = client(g, NULL);
	fake_run(&g->d, 20);
	assert_int_equal(client_read(silent, &c, 1), -1);
	clock_ahead_s = 11;
	fake_run(&g->d, 20);
	expect_end(silent);
	assert_int_equal(client_read(unanswered, &c, 1), -1);
	clock_ahead_s = 31;
	fake_run(&g->d, 20);
	assert_int_equal(expect(g, VIRTIO_VSOCK_OP_RST).src_port, p.src_port);
	expect_end(unanswered);
	assert_int_equal(client_read(open, &c, 1), -1);
}

static void test_agent(void **state)
{
	struct guest *g = *state;
	uint32_t port = 1024;

	send_op(g, 9, 1025, VIRTIO_VSOCK_OP_REQUEST, 0);
	(void)expect(g, VIRTIO_VSOCK_OP_RST);
	send_op(g, 9, port, VIRTIO_VSOCK_OP_REQUEST, 0);
	(void)expect(g, VIRTIO_VSOCK_OP_RESPONSE);
	send_data(g, 9, port, "hello", 5);
	expect_text(g->agent, "hello");
	assert_int_equal(send(g->agent, "ho", 2, 0), 2);
	assert_int_equal(expect(g, VIRTIO_VSOCK_OP_RW).len, 2);

	send_op(g, 10, port, VIRTIO_VSOCK_OP_REQUEST, 0); /* once only */
	(void)expect(g, VIRTIO_VSOCK_OP_RST);
	send_op(g, 9, port, VIRTIO_VSOCK_OP_RST, 0);
	expect_end(g->agent);
	send_op(g, 9, port, VIRTIO_VSOCK_OP_REQUEST, 0);
	(void)expect(g, VIRTIO_VSOCK_OP_RST);
}

/* --- data and credit ----------------------------------------------------------------------------------------------- */

static void fill(uint8_t *buf, size_t len, size_t from)
{
	for (size_t i = 0; i < len; i++)
		buf[i] = (uint8_t)((from + i) * 31 + ((from + i) >> 8));
}

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
	AUTO_FD int fd = open_conn(g, 5, &port);
	fill(want, sizeof(want), 0);
	assert_int_equal(send(fd, want, sizeof(want), 0), sizeof(want));
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		print_message("%s\n", steps[i].what);
		send_credit(g, 5, port, steps[i].fwd);
		if (steps[i].comes) {
			struct packet p = expect(g, VIRTIO_VSOCK_OP_RW);

			assert_int_equal(p.len, steps[i].comes);
			assert_memory_equal(p.data, want + got, p.len);
			got += p.len;
		}
		if (steps[i].asks)
			(void)expect(g, VIRTIO_VSOCK_OP_CREDIT_REQUEST);
		expect_none(g);
	}
	assert_int_equal(got, sizeof(want));
	send_credit(g, 5, port, 3000);
	send_credit(g, 5, port, 2001); /* overtaken on its way: takes no credit back */
	assert_int_equal(send(fd, want, 500, 0), 500);
	assert_int_equal(expect(g, VIRTIO_VSOCK_OP_RW).len, 500);
	g->buf_alloc = 499; /* less than is under way */
	send_credit(g, 5, port, 3000);
	assert_int_equal(send(fd, want, 500, 0), 500);
	(void)expect(g, VIRTIO_VSOCK_OP_CREDIT_REQUEST);
	expect_none(g);
}

/* What the host says it has forwarded. */
static uint32_t ask_fwd(struct guest *g, uint32_t guest_port, uint32_t port)
{
	struct packet p;

	send_op(g, guest_port, port, VIRTIO_VSOCK_OP_CREDIT_REQUEST, 0);
	p = expect(g, VIRTIO_VSOCK_OP_CREDIT_UPDATE);
	assert_int_equal(p.buf_alloc, CREDIT);
	return p.fwd_cnt;
}

/* Sends until the credit is used up: bytes sent. */
static uint32_t send_all_credit(struct guest *g, uint32_t guest_port, uint32_t port)
{
	uint8_t chunk[16384];
	uint32_t sent = 0;

	while (sent - ask_fwd(g, guest_port, port) < CREDIT) {
		fill(chunk, sizeof(chunk), sent);
		send_data(g, guest_port, port, chunk, sizeof(chunk));
		sent += (uint32_t)sizeof(chunk);
		while (take_packet(g, &(struct packet){0})) /* updates on the way */
			;
	}
	return sent;
}

/* Reads and checks what is there and what follows it. */
static size_t client_drain(struct guest *g, int fd, size_t at)
{
	uint8_t got[16384], want[16384];
	ssize_t n = 0;

	while ((n = client_read(fd, got, sizeof(got))) > 0) {
		fill(want, (size_t)n, at);
		assert_memory_equal(got, want, (size_t)n);
		at += (size_t)n;
		run(g);
	}
	return at;
}

static void test_credit_of_the_host(void **state)
{
	struct guest *g = *state;
	uint32_t port = 0;
	AUTO_FD int fd = open_conn(g, 5, &port);
	uint32_t sent = send_all_credit(g, 5, port);
	struct packet p = {0};

	assert_true(sent >= CREDIT);
	assert_int_equal(client_drain(g, fd, 0), sent);
	while (take_packet(g, &p))
		assert_int_equal(p.op, VIRTIO_VSOCK_OP_CREDIT_UPDATE);
	assert_int_equal(p.fwd_cnt - sent + CREDIT >= CREDIT / 2, true);
	assert_int_equal(ask_fwd(g, 5, port), sent);
	send_data(g, 5, port, "on", 2);
	expect_text(fd, "on");
}

static void test_data_beyond_the_credit(void **state)
{
	struct guest *g = *state;
	uint32_t port = 0;
	AUTO_FD int fd UNUSED = open_conn(g, 5, &port);

	(void)send_all_credit(g, 5, port);
	send_data(g, 5, port, "x", 1);
	(void)expect(g, VIRTIO_VSOCK_OP_RST);
	send_data(g, 5, port, "x", 1);
	(void)expect(g, VIRTIO_VSOCK_OP_RST); /* unknown now */
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
		fds[i] = open_conn(g, 10 + i, &ports[i]);
	for (int round = 0; round < 20000 && done < 2 * CONNS; round++) {
		uint32_t i = (uint32_t)round % CONNS;

		if (up[i] < TOTAL && up[i] - fwd[i] + sizeof(chunk) <= CREDIT) {
			fill(chunk, sizeof(chunk), up[i]);
			send_data(g, 10 + i, ports[i], chunk, sizeof(chunk));
			up[i] += sizeof(chunk);
		}
		if (down[i] < TOTAL) {
			fill(chunk, sizeof(chunk), down[i]);
			ssize_t n = send(fds[i], chunk, sizeof(chunk), MSG_DONTWAIT);
			down[i] += n > 0 ? (size_t)n : 0;
		}
		out[i] = client_drain(g, fds[i], out[i]);
		while (take_packet(g, &p)) {
			uint32_t k = p.dst_port - 10;

			fwd[k] = p.fwd_cnt;
			if (p.op != VIRTIO_VSOCK_OP_RW)
				continue;
			fill(want, p.len, in[k]);
			assert_memory_equal(p.data, want, p.len);
			in[k] += p.len;
		}
		send_credit(g, 10 + i, ports[i], (uint32_t)in[i]);
		done = 0;
		for (uint32_t k = 0; k < CONNS; k++)
			done += (unsigned)(out[k] >= TOTAL && out[k] == up[k]) +
				(unsigned)(in[k] >= TOTAL && in[k] == down[k]);
	}
	assert_int_equal(done, 2 * CONNS);
	for (uint32_t i = 0; i < CONNS; i++)
		own_close(&fds[i]);
}

/* --- ends ---------------------------------------------------------------------------------------------------------- */

static void test_client_ends_writing(void **state)
{
	struct guest *g = *state;
	uint32_t port = 0;
	AUTO_FD int fd = open_conn(g, 5, &port);

	assert_int_equal(send(fd, "last", 4, 0), 4);
	assert_int_equal(shutdown(fd, SHUT_WR), 0);
	assert_int_equal(expect(g, VIRTIO_VSOCK_OP_RW).len, 4);
	assert_int_equal(expect(g, VIRTIO_VSOCK_OP_SHUTDOWN).flags, VIRTIO_VSOCK_SHUTDOWN_SEND);
	expect_none(g);
	send_data(g, 5, port, "still flows", 11);
	expect_text(fd, "still flows");
	send_op(g, 5, port, VIRTIO_VSOCK_OP_SHUTDOWN, 3);
	(void)expect(g, VIRTIO_VSOCK_OP_RST);
	expect_end(fd);
	expect_none(g);
}

static void test_guest_ends_writing(void **state)
{
	struct guest *g = *state;
	uint32_t port = 0;
	AUTO_FD int fd = open_conn(g, 5, &port);

	send_data(g, 5, port, "last", 4);
	send_op(g, 5, port, VIRTIO_VSOCK_OP_SHUTDOWN, VIRTIO_VSOCK_SHUTDOWN_SEND);
	expect_text(fd, "last");
	expect_end(fd);
	assert_int_equal(send(fd, "still flows", 11, 0), 11);
	assert_int_equal(expect(g, VIRTIO_VSOCK_OP_RW).len, 11);
	assert_int_equal(shutdown(fd, SHUT_WR), 0);
	/* Both directions have ended, each by its own side: the end of all is told and confirmed. */
	assert_int_equal(expect(g, VIRTIO_VSOCK_OP_SHUTDOWN).flags, 3);
	send_op(g, 5, port, VIRTIO_VSOCK_OP_RST, 0);
	expect_none(g);
}

static void test_guest_ends_reading(void **state)
{
	struct guest *g = *state;
	uint32_t port = 0;
	AUTO_FD int fd = open_conn(g, 5, &port);

	send_op(g, 5, port, VIRTIO_VSOCK_OP_SHUTDOWN, VIRTIO_VSOCK_SHUTDOWN_RCV);
	assert_int_equal(send(fd, "x", 1, MSG_NOSIGNAL), -1);
	assert_int_equal(errno, EPIPE);
	send_data(g, 5, port, "still flows", 11);
	expect_text(fd, "still flows");
	expect_none(g);
}

static void test_client_closes(void **state)
{
	struct guest *g = *state;
	uint32_t port = 0;
	int fd = open_conn(g, 5, &port);
	struct packet p;

	assert_int_equal(send(fd, "last", 4, 0), 4);
	own_close(&fd);
	run(g);
	assert_int_equal(expect(g, VIRTIO_VSOCK_OP_RW).len, 4);
	assert_int_equal(expect(g, VIRTIO_VSOCK_OP_SHUTDOWN).flags, 3);
	send_data(g, 5, port, "too late", 8); /* nobody reads it, and it is no crime */
	expect_none(g);
	send_op(g, 5, port, VIRTIO_VSOCK_OP_SHUTDOWN, 3);
	p = expect(g, VIRTIO_VSOCK_OP_RST);
	assert_int_equal(p.src_port, port);
	expect_none(g);
}

static void test_client_closes_and_guest_is_silent(void **state)
{
	struct guest *g = *state;
	uint32_t port = 0;
	int fd = -1;

	timers_short = true;
	fd = open_conn(g, 5, &port);
	own_close(&fd);
	assert_int_equal(expect(g, VIRTIO_VSOCK_OP_SHUTDOWN).flags, 3);
	fake_run(&g->d, 20);
	expect_none(g);
	clock_ahead_s = 11;
	fake_run(&g->d, 20);
	(void)expect(g, VIRTIO_VSOCK_OP_RST);
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
		AUTO_FD int fd = open_conn(g, 5, &port);
		uint32_t sent = send_all_credit(g, 5, port);

		print_message("%s\n", cases[i].name);
		if (cases[i].shutdown)
			send_op(g, 5, port, VIRTIO_VSOCK_OP_SHUTDOWN, 3);
		expect_none(g);
		if (cases[i].rst)
			send_op(g, 5, port, VIRTIO_VSOCK_OP_RST, 0);
		if (cases[i].reset)
			virtio_set_status(g->dev, 0);
		run(g);
		assert_int_equal(client_drain(g, fd, 0), sent);
		if (!cases[i].rst && !cases[i].reset) {
			struct packet p;

			do {
				assert_true(take_packet(g, &p));
			} while (p.op == VIRTIO_VSOCK_OP_CREDIT_UPDATE);
			assert_int_equal(p.op, VIRTIO_VSOCK_OP_RST);
		} else if (!cases[i].reset) {
			while (take_packet(g, &(struct packet){0}))
				;
		}
		expect_end(fd);
	}
}

static void test_reset(void **state)
{
	struct guest *g = *state;
	uint32_t port = 0;
	AUTO_FD int open = open_conn(g, 5, &port);
	AUTO_FD int waiting = client(g, "CONNECT 6\n");
	AUTO_FD int later = -1;
	char c = 0;

	(void)expect(g, VIRTIO_VSOCK_OP_REQUEST);
	virtio_set_status(g->dev, 0);
	run(g);
	expect_end(open);
	expect_end(waiting);
	later = client(g, "CONNECT 7\n"); /* asks a guest that is not there yet */
	assert_int_equal(client_read(later, &c, 1), -1);
	fake_probe(&g->d, g->dev, UINT64_MAX);
	run(g);
	assert_int_equal(client_read(later, &c, 1), -1);
	post_buffers(g);
	assert_int_equal(expect(g, VIRTIO_VSOCK_OP_REQUEST).dst_port, 7);
	expect_none(g);
}

/* --- hostile guests -------------------------------------------------------------------------------------------------- */

/* Each differs from a good packet of an open connection (5 -> port, RW of 4 bytes, "data") in one thing. */
static void test_hostile_packets(void **state)
{
	enum answer { DELIVERED, RST, NOTHING };
	static const struct {
		const char *name;
		enum answer answer;
		uint64_t src_cid, dst_cid; /* 0: as it should be; so below */
		uint32_t src_port, dst_port_add, len, short_by, flags;
		uint16_t type, op;
	} cases[] = {
		{"good", DELIVERED, .len = 4},
		{"flags, which data has none of", DELIVERED, .flags = 0xffffffff},
		{"bytes behind the announced ones", NOTHING, .len = 0xfffffffe},
		{"CID of another guest", NOTHING, .src_cid = 4},
		{"CID with high bits", NOTHING, .src_cid = 1ULL << 32 | GUEST_CID},
		{"from the host's CID", NOTHING, .src_cid = 2},
		{"to another guest", NOTHING, .dst_cid = 4},
		{"to the hypervisor's CID", NOTHING, .dst_cid = 1},
		{"from a port without connection", RST, .src_port = 6},
		{"to a port without connection", RST, .dst_port_add = 1},
		{"type 2", RST, .type = 2},
		{"type 0xffff", RST, .type = 0xffff},
		{"operation 0", RST, .op = 0xffff},
		{"operation 8", RST, .op = 8},
		{"a second REQUEST", RST, .op = VIRTIO_VSOCK_OP_REQUEST},
		{"a second RESPONSE", RST, .op = VIRTIO_VSOCK_OP_RESPONSE},
		{"more announced than sent", RST, .len = 5},
		{"much more announced", RST, .len = 0xffffffff},
		{"header cut short", NOTHING, .short_by = 5},
	};
	struct guest *g = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint32_t port = 0;
		AUTO_FD int fd = open_conn(g, 5, &port);
		struct virtio_vsock_hdr h = header(g, 5, port, VIRTIO_VSOCK_OP_RW);
		char c = 0;
		struct packet p;

		print_message("%s\n", cases[i].name);
		h.len = htole32(cases[i].len ? cases[i].len : 4);
		if (cases[i].len == 0xfffffffe) /* stands for 0: then nothing is data */
			h.len = 0;
		if (cases[i].src_cid)
			h.src_cid = htole64(cases[i].src_cid);
		if (cases[i].dst_cid)
			h.dst_cid = htole64(cases[i].dst_cid);
		if (cases[i].src_port)
			h.src_port = htole32(cases[i].src_port);
		h.dst_port = htole32(port + cases[i].dst_port_add);
		if (cases[i].type)
			h.type = htole16(cases[i].type);
		if (cases[i].op)
			h.op = htole16(cases[i].op == 0xffff ? 0 : cases[i].op);
		h.flags = htole32(cases[i].flags);
		send_raw(g, &h, "data", cases[i].short_by ? 0 : 4, cases[i].short_by);

		if (cases[i].answer == RST) {
			p = expect(g, VIRTIO_VSOCK_OP_RST);
			assert_int_equal(p.src_port, le32toh(h.dst_port));
			assert_int_equal(p.dst_port, le32toh(h.src_port));
			assert_int_equal(p.type, le16toh(h.type));
		}
		expect_none(g);
		if (cases[i].answer == DELIVERED)
			expect_text(fd, "data");
		else if (cases[i].answer == NOTHING)
			assert_int_equal(client_read(fd, &c, 1), -1);
		assert_false(virtio_status(g->dev) & VIRTIO_CONFIG_S_NEEDS_RESET);
		send_op(g, 5, port, VIRTIO_VSOCK_OP_RST, 0);
	}
}

static void test_data_after_shutdown(void **state)
{
	struct guest *g = *state;
	uint32_t port = 0;
	AUTO_FD int fd UNUSED = open_conn(g, 5, &port);

	send_op(g, 5, port, VIRTIO_VSOCK_OP_SHUTDOWN, VIRTIO_VSOCK_SHUTDOWN_SEND);
	send_data(g, 5, port, "x", 1);
	(void)expect(g, VIRTIO_VSOCK_OP_RST);
}

static void test_response_before_request(void **state)
{
	struct guest *g = *state;
	AUTO_FD int fd = -1;

	virtio_set_status(g->dev, 0);
	fake_probe(&g->d, g->dev, UINT64_MAX); /* no receive buffers: the REQUEST waits */
	fd = client(g, "CONNECT 5\n");
	for (uint32_t port = 1u << 30; port < (1u << 30) + 8; port++)
		send_op(g, 5, port, VIRTIO_VSOCK_OP_RESPONSE, 0);
	run(g);
	assert_true(client_read(fd, &(char){0}, 1) <= 0); /* no OK */
}

static void test_small_receive_buffer(void **state)
{
	struct guest *g = *state;
	struct fake_seg seg = {.len = HDR, .writable = true};
	AUTO_FD int fd = -1;

	virtio_set_status(g->dev, 0);
	fake_probe(&g->d, g->dev, UINT64_MAX);
	seg.at = fake_alloc(&g->d, HDR);
	(void)fake_add(&g->d, 0, &seg, 1);
	fd = client(g, "CONNECT 5\n");
	assert_true(virtio_status(g->dev) & VIRTIO_CONFIG_S_NEEDS_RESET);
}

/* A guest that asks for refusals and gives no buffer for them stops itself, and is answered in full when it does. */
static void test_flood_of_refusals(void **state)
{
	enum { FLOOD = 1000 };
	struct guest *g = *state;
	struct virtio_vsock_hdr h = header(g, 1, 1, VIRTIO_VSOCK_OP_REQUEST);
	struct fake_seg seg = {.at = g->tx_at, .len = HDR};
	unsigned taken = 0, answered = 0;
	uint16_t head = 0;
	uint32_t used = 0;
	struct packet p;

	virtio_set_status(g->dev, 0);
	fake_probe(&g->d, g->dev, UINT64_MAX);
	assert_true(gmem_write(g->d.mem, g->tx_at, &h, sizeof(h)));
	for (unsigned i = 0; i < FLOOD && i < taken + 200; i++) {
		(void)fake_add(&g->d, 1, &seg, 1);
		fake_kick(&g->d, 1);
		while (fake_used(&g->d, 1, &head, &used))
			taken++;
	}
	assert_int_equal(taken, 256);
	post_buffers(g);
	for (int i = 0; i < 20; i++) {
		while (take_packet(g, &p)) {
			assert_int_equal(p.op, VIRTIO_VSOCK_OP_RST);
			answered++;
		}
		while (fake_used(&g->d, 1, &head, &used))
			taken++;
	}
	assert_int_equal(taken, 456);
	assert_int_equal(answered, taken);
}

/* More clients than may wait: the rest wait in the listening socket's queue, and have their turn. */
static void test_flood_of_clients(void **state)
{
	enum { CLIENTS = 200, LIMIT = 128 };
	struct guest *g = *state;
	int fds[CLIENTS];
	unsigned asked = 0, all = 0;
	struct packet p;

	for (int i = 0; i < CLIENTS; i++)
		fds[i] = client(g, "CONNECT 5\n");
	for (int i = 0; i < CLIENTS; i++) {
		run(g);
		if (!take_packet(g, &p))
			break;
		assert_int_equal(p.op, VIRTIO_VSOCK_OP_REQUEST);
		asked++;
	}
	assert_int_equal(asked, LIMIT);
	for (uint32_t i = 0; i < LIMIT; i++)
		send_op(g, 5, (1u << 30) + i, VIRTIO_VSOCK_OP_RST, 0);
	for (int i = 0; i < CLIENTS; i++) {
		run(g);
		while (take_packet(g, &p))
			all++;
	}
	assert_int_equal(asked + all, CLIENTS);
	for (int i = 0; i < CLIENTS; i++)
		own_close(&fds[i]);
}

/* A connection with endless data leaves buffers to its neighbours. */
static void test_fair_rounds(void **state)
{
	struct guest *g = *state;
	uint32_t loud_port = 0, quiet_port = 0;
	AUTO_FD int loud = open_conn(g, 5, &loud_port);
	AUTO_FD int quiet = open_conn(g, 6, &quiet_port);
	uint8_t data[100000] = {0};
	unsigned before = 0;

	virtio_queue(g->dev, 0)->budget = 0; /* no buffer is handed out, as if there were none */
	assert_true(send(loud, data, sizeof(data), MSG_DONTWAIT) > 0);
	run(g);
	assert_int_equal(send(quiet, "x", 1, 0), 1);
	run(g);
	virtio_queue(g->dev, 0)->budget = VQ_NO_BUDGET;
	fake_kick(&g->d, 0);
	for (;;) {
		struct packet p = expect(g, VIRTIO_VSOCK_OP_RW);

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
	int fd = open_conn(g, 5, &port);
	assert_int_equal(send(fd, "more than ten bytes", 19, 0), 19);
	(void)expect(g, VIRTIO_VSOCK_OP_RW);
	(void)expect(g, VIRTIO_VSOCK_OP_CREDIT_REQUEST);
	expect_none(g);
	for (int closed = 0; closed < 2; closed++) {
		struct timespec a, b;

		if (closed) {
			own_close(&fd);
			run(g);
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

#define VSOCK_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

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
		VSOCK_TEST(test_credit_of_the_guest),
		VSOCK_TEST(test_credit_of_the_host),
		VSOCK_TEST(test_data_beyond_the_credit),
		VSOCK_TEST(test_streams),
		VSOCK_TEST(test_client_ends_writing),
		VSOCK_TEST(test_guest_ends_writing),
		VSOCK_TEST(test_guest_ends_reading),
		VSOCK_TEST(test_client_closes),
		VSOCK_TEST(test_client_closes_and_guest_is_silent),
		VSOCK_TEST(test_guest_leaves_slow_reader),
		VSOCK_TEST(test_reset),
		VSOCK_TEST(test_hostile_packets),
		VSOCK_TEST(test_data_after_shutdown),
		VSOCK_TEST(test_response_before_request),
		VSOCK_TEST(test_small_receive_buffer),
		VSOCK_TEST(test_flood_of_refusals),
		VSOCK_TEST(test_flood_of_clients),
		VSOCK_TEST(test_fair_rounds),
		VSOCK_TEST(test_blocked_data_does_not_spin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
