/*
 * The socket device between a guest and clients that both do what the input says: an action a byte, with its arguments
 * behind it. Property: a client never gets more bytes than the guest sent, and the device needs no reset for anything but
 * a receive buffer that is too small.
 */
#include <endian.h>
#include <linux/virtio_config.h>
#include <linux/virtio_vsock.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/cursor.h"
#include "base/log.h"
#include "base/own.h"
#include "tests/unit/fake_driver.h"
#include "vmm/dev/dev.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CLIENTS     4
#define MAX_ACTIONS 64
#define PORT        5

struct world {
	struct fake_driver *d;
	struct virtio_dev *dev;
	struct sockaddr_un addr;
	socklen_t addr_len;
	int clients[CLIENTS], agent;
	uint64_t sent, received; /* payload bytes, all connections */
	bool small_buffer;
};

static void settle(struct world *w)
{
	for (int i = 0; i < 6 && !loop_idle(w->d->loop); i++)
		BUG_ON(loop_step(w->d->loop, 0, NULL) < 0);
}

static void post_buffer(struct world *w, struct cursor *c)
{
	uint32_t len = 1 + cursor_u16(c) % 4096;
	struct fake_seg seg = {.at = fake_alloc(w->d, len), .len = len, .writable = true};

	w->small_buffer = w->small_buffer || len <= sizeof(struct virtio_vsock_hdr);
	(void)fake_add(w->d, 0, &seg, 1);
	virtio_notify(w->dev, 0);
}

static void send_packet(struct world *w, const struct virtio_vsock_hdr *h, const void *data,
			uint32_t len)
{
	struct fake_seg segs[2] = {{.at = fake_put(w->d, h, sizeof(*h)), .len = sizeof(*h)}};

	if (len > 0)
		segs[1] = (struct fake_seg){.at = fake_put(w->d, data, len), .len = len};
	(void)fake_add(w->d, 1, segs, len > 0 ? 2 : 1);
	w->sent += len;
	virtio_notify(w->dev, 1);
}

/* Ports that exist are likely, since most packets to others end at once. */
static void likely_packet(struct world *w, struct cursor *c)
{
	uint8_t pick = cursor_u8(c);
	uint32_t len = cursor_u8(c);
	struct virtio_vsock_hdr h = {
		.src_cid = htole64(3),
		.dst_cid = htole64(2),
		.src_port = htole32(PORT),
		.dst_port = htole32(pick & 1 ? VSOCK_AGENT_PORT : (1u << 30) + (pick >> 4)),
		.len = htole32(pick & 2 ? len : cursor_u32(c)),
		.type = htole16(VIRTIO_VSOCK_TYPE_STREAM),
		.op = htole16(cursor_u8(c) % 9),
		.flags = htole32(cursor_u8(c)),
		.buf_alloc = htole32(cursor_u32(c)),
		.fwd_cnt = htole32(cursor_u32(c)),
	};
	const void *data = cursor_take(c, len);

	if (data)
		send_packet(w, &h, data, len);
}

static void any_packet(struct world *w, struct cursor *c)
{
	struct virtio_vsock_hdr h;

	cursor_copy(c, &h, sizeof(h));
	send_packet(w, &h, NULL, 0);
}

static void connect_client(struct world *w, struct cursor *c)
{
	static const char line[] = "CONNECT 5\n";
	int *fd = &w->clients[cursor_u8(c) % CLIENTS];

	own_close(fd);
	*fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	BUG_ON(connect(*fd, (struct sockaddr *)&w->addr, w->addr_len) < 0);
	BUG_ON(send(*fd, line, sizeof(line) - 1, 0) != sizeof(line) - 1);
}

static void client_action(struct world *w, struct cursor *c)
{
	uint8_t pick = cursor_u8(c);
	int *fd = pick & 4 ? &w->agent : &w->clients[pick % CLIENTS];
	static uint8_t buf[4096];
	ssize_t n = 0;

	switch (pick >> 4 & 3) {
	case 0:
		(void)send(*fd, buf, cursor_u16(c) % sizeof(buf), MSG_DONTWAIT | MSG_NOSIGNAL);
		break;
	case 1:
		(void)shutdown(*fd, pick >> 6 & 1 ? SHUT_WR : SHUT_RD);
		break;
	case 2:
		own_close(fd);
		break;
	case 3:
		n = recv(*fd, buf, sizeof(buf), MSG_DONTWAIT);
		w->received += n > 0 ? (uint64_t)n : 0;
		break;
	}
}

static void restart(struct world *w, struct cursor *c)
{
	virtio_set_status(w->dev, 0);
	if (cursor_u8(c) & 1)
		settle(w);
	w->small_buffer = false;
	fake_probe(w->d, w->dev, UINT64_MAX);
}

static void run(struct world *w, struct cursor *c)
{
	static void (*const actions[])(struct world * w, struct cursor * c) = {
		post_buffer, post_buffer,    likely_packet, likely_packet,
		any_packet,  connect_client, client_action, restart,
	};
	unsigned connects = 0;

	for (int i = 0; i < MAX_ACTIONS && c->left > 0 && !c->bad; i++) {
		uint8_t pick = cursor_u8(c) % ARRAY_SIZE(actions);

		connects += actions[pick] == connect_client;
		actions[pick](w, c);
		settle(w);
	}
	/* 14 bytes of "OK 1073741824\n" for each connection. */
	BUG_ON(w->received > w->sent + 14ULL * connects);
	BUG_ON((virtio_status(w->dev) & VIRTIO_CONFIG_S_NEEDS_RESET) && !w->small_buffer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cursor c = cursor_of(data, size);
	static struct fake_driver d;
	struct world w = {.d = &d,
			  .clients = {-1, -1, -1, -1},
			  .addr = {.sun_family = AF_UNIX},
			  .addr_len = sizeof(w.addr)};
	struct dev_vsock_params p = {.guest_cid = 3};
	int pair[2];

	log_init(-1, LOG_LEVEL_ERROR, LOG_FORMAT_TEXT);
	(void)signal(SIGPIPE, SIG_IGN);
	if (!d.mem)
		fake_init(&d);
	p.listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	BUG_ON(bind(p.listen_fd, (struct sockaddr *)&w.addr, sizeof(sa_family_t)) < 0);
	BUG_ON(getsockname(p.listen_fd, (struct sockaddr *)&w.addr, &w.addr_len) < 0);
	BUG_ON(listen(p.listen_fd, MAX_ACTIONS) < 0);
	BUG_ON(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0);
	w.agent = pair[0];
	p.agent_fd = pair[1];
	BUG_ON(dev_vsock_create(&p, d.mem, d.loop, &w.dev, NULL) < 0);
	fake_probe(&d, w.dev, UINT64_MAX);
	run(&w, &c);
	virtio_dev_destroy(w.dev);
	for (size_t i = 0; i < CLIENTS; i++)
		own_close(&w.clients[i]);
	own_close(&w.agent);
	fake_rewind(&d);
	return 0;
}
