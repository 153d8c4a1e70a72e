/* The socket device under guests that break the protocol or flood it, and under a flood of clients. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <endian.h>
#include <linux/virtio_config.h>
#include <linux/virtio_vsock.h>

#include "base/own.h"
#include "tests/unit/vsock_guest.h"

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
		AUTO_FD int fd = guest_open(g, 5, &port);
		struct virtio_vsock_hdr h = guest_header(g, 5, port, VIRTIO_VSOCK_OP_RW);
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
		guest_send_raw(g, &h, "data", cases[i].short_by ? 0 : 4, cases[i].short_by);

		if (cases[i].answer == RST) {
			p = guest_expect(g, VIRTIO_VSOCK_OP_RST);
			assert_int_equal(p.src_port, le32toh(h.dst_port));
			assert_int_equal(p.dst_port, le32toh(h.src_port));
			assert_int_equal(p.type, le16toh(h.type));
		}
		guest_expect_none(g);
		if (cases[i].answer == DELIVERED)
			client_expect(fd, "data");
		else if (cases[i].answer == NOTHING)
			assert_int_equal(client_read(fd, &c, 1), -1);
		assert_false(virtio_status(g->dev) & VIRTIO_CONFIG_S_NEEDS_RESET);
		guest_send_op(g, 5, port, VIRTIO_VSOCK_OP_RST, 0);
	}
}

static void test_data_after_shutdown(void **state)
{
	struct guest *g = *state;
	uint32_t port = 0;
	AUTO_FD int fd UNUSED = guest_open(g, 5, &port);

	guest_send_op(g, 5, port, VIRTIO_VSOCK_OP_SHUTDOWN, VIRTIO_VSOCK_SHUTDOWN_SEND);
	guest_send_data(g, 5, port, "x", 1);
	(void)guest_expect(g, VIRTIO_VSOCK_OP_RST);
}

static void test_response_before_request(void **state)
{
	struct guest *g = *state;
	AUTO_FD int fd = -1;

	virtio_set_status(g->dev, 0);
	fake_probe(&g->d, g->dev, UINT64_MAX); /* no receive buffers: the REQUEST waits */
	fd = client_connect(g, "CONNECT 5\n");
	for (uint32_t port = 1u << 30; port < (1u << 30) + 8; port++)
		guest_send_op(g, 5, port, VIRTIO_VSOCK_OP_RESPONSE, 0);
	guest_run(g);
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
	fd = client_connect(g, "CONNECT 5\n");
	assert_true(virtio_status(g->dev) & VIRTIO_CONFIG_S_NEEDS_RESET);
}

/* A guest that asks for refusals and gives no buffer for them stops itself, and is answered in full when it does. */
static void test_flood_of_refusals(void **state)
{
	enum { FLOOD = 1000 };
	struct guest *g = *state;
	struct virtio_vsock_hdr h = guest_header(g, 1, 1, VIRTIO_VSOCK_OP_REQUEST);
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
	guest_post_buffers(g);
	for (int i = 0; i < 20; i++) {
		while (guest_take(g, &p)) {
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
		fds[i] = client_connect(g, "CONNECT 5\n");
	for (int i = 0; i < CLIENTS; i++) {
		guest_run(g);
		if (!guest_take(g, &p))
			break;
		assert_int_equal(p.op, VIRTIO_VSOCK_OP_REQUEST);
		asked++;
	}
	assert_int_equal(asked, LIMIT);
	for (uint32_t i = 0; i < LIMIT; i++)
		guest_send_op(g, 5, (1u << 30) + i, VIRTIO_VSOCK_OP_RST, 0);
	for (int i = 0; i < CLIENTS; i++) {
		guest_run(g);
		while (guest_take(g, &p))
			all++;
	}
	assert_int_equal(asked + all, CLIENTS);
	for (int i = 0; i < CLIENTS; i++)
		own_close(&fds[i]);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		VSOCK_TEST(test_hostile_packets),         VSOCK_TEST(test_data_after_shutdown),
		VSOCK_TEST(test_response_before_request), VSOCK_TEST(test_small_receive_buffer),
		VSOCK_TEST(test_flood_of_refusals),       VSOCK_TEST(test_flood_of_clients),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
