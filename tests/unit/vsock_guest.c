/*
 * The guest, the clients and the clock of the socket device's tests. Time is the test's because two functions below stand in
 * front of the C library's.
 */
#include "tests/unit/vsock_guest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <endian.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>

#include "base/own.h"
#include "vmm/dev/dev.h"

#define RX_BUFFERS 64
#define TX_BYTES   65536

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

void guest_clock_ahead(int64_t seconds)
{
	clock_ahead_s = seconds;
}

void guest_timers_short(void)
{
	timers_short = true;
}

static void post_buffer(struct guest *g, struct gpa at)
{
	struct fake_seg seg = {.at = at, .len = RX_BYTES, .writable = true};

	g->rx_at[fake_add(&g->d, 0, &seg, 1)] = at;
}

void guest_post_buffers(struct guest *g)
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

int guest_setup(void **state)
{
	struct guest *g = NULL;

	(void)new_guest(state);
	g = *state;
	fake_probe(&g->d, g->dev, UINT64_MAX);
	guest_post_buffers(g);
	return 0;
}

int guest_teardown(void **state)
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

void guest_run(struct guest *g)
{
	fake_run(&g->d, 0);
}

/* --- the guest's side ---------------------------------------------------------------------------------------------- */

bool guest_take(struct guest *g, struct packet *p)
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

struct packet guest_expect(struct guest *g, uint16_t op)
{
	struct packet p;

	guest_run(g);
	assert_true(guest_take(g, &p));
	assert_int_equal(p.op, op);
	return p;
}

void guest_expect_none(struct guest *g)
{
	struct packet p;

	guest_run(g);
	assert_false(guest_take(g, &p));
}

void guest_send_raw(struct guest *g, const struct virtio_vsock_hdr *h, const void *data,
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

struct virtio_vsock_hdr guest_header(const struct guest *g, uint32_t guest_port, uint32_t host_port,
				     uint16_t op)
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

void guest_send_op(struct guest *g, uint32_t guest_port, uint32_t host_port, uint16_t op,
		   uint32_t flags)
{
	struct virtio_vsock_hdr h = guest_header(g, guest_port, host_port, op);

	h.flags = htole32(flags);
	guest_send_raw(g, &h, NULL, 0, 0);
}

void guest_send_credit(struct guest *g, uint32_t guest_port, uint32_t host_port, uint32_t fwd)
{
	struct virtio_vsock_hdr h =
		guest_header(g, guest_port, host_port, VIRTIO_VSOCK_OP_CREDIT_UPDATE);

	h.fwd_cnt = htole32(fwd);
	guest_send_raw(g, &h, NULL, 0, 0);
}

void guest_send_data(struct guest *g, uint32_t guest_port, uint32_t host_port, const void *data,
		     uint32_t len)
{
	struct virtio_vsock_hdr h = guest_header(g, guest_port, host_port, VIRTIO_VSOCK_OP_RW);

	h.len = htole32(len);
	guest_send_raw(g, &h, data, len, 0);
}

/* --- the host's side ----------------------------------------------------------------------------------------------- */

int client_connect(struct guest *g, const char *line)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(connect(fd, (struct sockaddr *)&g->addr, g->addr_len), 0);
	if (line)
		assert_int_equal(send(fd, line, strlen(line), 0), strlen(line));
	guest_run(g);
	return fd;
}

ssize_t client_read(int fd, void *buf, size_t len)
{
	ssize_t n = recv(fd, buf, len, MSG_DONTWAIT);

	assert_true(n >= 0 || errno == EAGAIN);
	return n;
}

void client_expect(int fd, const char *text)
{
	char got[256] = "";
	ssize_t n = client_read(fd, got, sizeof(got) - 1);

	assert_true(n >= 0);
	assert_string_equal(got, text);
}

void client_expect_end(int fd)
{
	char c = 0;

	assert_int_equal(client_read(fd, &c, 1), 0);
}

/* --- whole connections ---------------------------------------------------------------------------------------------- */

int guest_open(struct guest *g, uint32_t guest_port, uint32_t *host_port)
{
	char line[64];
	char ok[64];
	struct packet p;
	int fd;

	(void)snprintf(line, sizeof(line), "CONNECT %u\n", guest_port);
	fd = client_connect(g, line);
	p = guest_expect(g, VIRTIO_VSOCK_OP_REQUEST);
	assert_int_equal(p.dst_port, guest_port);
	assert_int_equal(p.buf_alloc, CREDIT);
	assert_true(p.src_port >= 1u << 30);
	*host_port = p.src_port;
	guest_send_op(g, guest_port, *host_port, VIRTIO_VSOCK_OP_RESPONSE, 0);
	(void)snprintf(ok, sizeof(ok), "OK %u\n", *host_port);
	client_expect(fd, ok);
	return fd;
}

void pattern_fill(uint8_t *buf, size_t len, size_t from)
{
	for (size_t i = 0; i < len; i++)
		buf[i] = (uint8_t)((from + i) * 31 + ((from + i) >> 8));
}

uint32_t guest_ask_fwd(struct guest *g, uint32_t guest_port, uint32_t port)
{
	struct packet p;

	guest_send_op(g, guest_port, port, VIRTIO_VSOCK_OP_CREDIT_REQUEST, 0);
	p = guest_expect(g, VIRTIO_VSOCK_OP_CREDIT_UPDATE);
	assert_int_equal(p.buf_alloc, CREDIT);
	return p.fwd_cnt;
}

uint32_t guest_send_all_credit(struct guest *g, uint32_t guest_port, uint32_t port)
{
	uint8_t chunk[16384];
	uint32_t sent = 0;

	while (sent - guest_ask_fwd(g, guest_port, port) < CREDIT) {
		pattern_fill(chunk, sizeof(chunk), sent);
		guest_send_data(g, guest_port, port, chunk, sizeof(chunk));
		sent += (uint32_t)sizeof(chunk);
		while (guest_take(g, &(struct packet){0})) /* updates on the way */
			;
	}
	return sent;
}

size_t client_drain(struct guest *g, int fd, size_t at)
{
	uint8_t got[16384], want[16384];
	ssize_t n = 0;

	while ((n = client_read(fd, got, sizeof(got))) > 0) {
		pattern_fill(want, (size_t)n, at);
		assert_memory_equal(got, want, (size_t)n);
		at += (size_t)n;
		guest_run(g);
	}
	return at;
}
