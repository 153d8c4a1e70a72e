/* See net_fixture.h. */
#include "tests/unit/net_fixture.h"

#include <errno.h>
#include <linux/virtio_config.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/own.h"

void net_socketpair(int fds[2])
{
	int bytes = 1 << 20;

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
	assert_int_equal(setsockopt(fds[1], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes)), 0);
}

void net_start_pairs(struct net_fixture *f, uint64_t features, unsigned pairs)
{
	struct dev_net_params p = {.ntaps = pairs, .mtu = 1500, .mac = NET_MAC};

	for (unsigned i = 0; i < DEV_NET_MAX_PAIRS; i++) {
		int fds[2] = {-1, -1};

		if (i < pairs)
			net_socketpair(fds);
		p.tap_fds[i] = fds[0];
		f->host[i] = fds[1];
	}
	fake_init(&f->d);
	assert_int_equal(dev_net_create(&p, f->d.mem, f->d.loop, &f->dev, NULL), 0);
	fake_probe(&f->d, f->dev, features);
}

void net_start(struct net_fixture *f, uint64_t features)
{
	net_start_pairs(f, features, 1);
}

void net_stop(struct net_fixture *f)
{
	virtio_dev_destroy(f->dev);
	fake_done(&f->d);
	for (unsigned i = 0; i < DEV_NET_MAX_PAIRS; i++)
		own_close(&f->host[i]);
}

bool net_is_broken(const struct net_fixture *f)
{
	return virtio_status(f->dev) & VIRTIO_CONFIG_S_NEEDS_RESET;
}

uint16_t net_link(struct net_fixture *f)
{
	uint16_t status = 0xffff;

	virtio_config_read(f->dev, offsetof(struct virtio_net_config, status), &status,
			   sizeof(status));
	return status;
}

void net_fill(uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		bytes[i] = (uint8_t)(i * 7 + i / 256);
}

void net_host_send(struct net_fixture *f, size_t len)
{
	AUTO_FREE uint8_t *msg = calloc(1, HDR + len);

	net_fill(msg + HDR, len);
	assert_int_equal(send(f->host[0], msg, HDR + len, 0), HDR + len);
}

void net_host_expect(struct net_fixture *f, struct virtio_net_hdr_v1 *hdr, size_t len)
{
	AUTO_FREE uint8_t *got = malloc(HDR + FRAME_MAX);
	AUTO_FREE uint8_t *want = malloc(len);

	net_fill(want, len);
	assert_int_equal(recv(f->host[0], got, HDR + FRAME_MAX, MSG_DONTWAIT), HDR + len);
	memcpy(hdr, got, HDR);
	assert_memory_equal(got + HDR, want, len);
}

void net_host_expect_nothing(struct net_fixture *f)
{
	uint8_t byte;

	assert_int_equal(recv(f->host[0], &byte, 1, MSG_DONTWAIT), -1);
	assert_int_equal(errno, EAGAIN);
}

struct gpa net_give(struct net_fixture *f, size_t n, uint32_t len)
{
	struct gpa at = fake_alloc(&f->d, n * len);

	for (size_t i = 0; i < n; i++) {
		struct fake_seg seg = {.at = GPA(at.v + i * len), .len = len, .writable = true};

		fake_add(&f->d, RX, &seg, 1);
	}
	return at;
}

void net_expect(struct net_fixture *f, struct gpa at, uint32_t buf, size_t len)
{
	AUTO_FREE uint8_t *want = malloc(len);
	AUTO_FREE uint8_t *got = malloc(HDR + len);
	uint16_t count = (uint16_t)((HDR + len + buf - 1) / buf);
	struct virtio_net_hdr_v1 hdr;
	size_t left = HDR + len;

	for (uint16_t i = 0; i < count; i++) {
		uint32_t used = (uint32_t)(left < buf ? left : buf);

		net_expect_used(f, RX, used);
		left -= used;
	}
	fake_get(&f->d, at, got, HDR + len);
	memcpy(&hdr, got, HDR);
	assert_int_equal(hdr.num_buffers, count);
	net_fill(want, len);
	assert_memory_equal(got + HDR, want, len);
}

void net_send(struct net_fixture *f, const struct virtio_net_hdr_v1 *hdr, size_t len, uint32_t cut)
{
	AUTO_FREE uint8_t *bytes = malloc(HDR + len);
	struct gpa at;

	memcpy(bytes, hdr, HDR);
	net_fill(bytes + HDR, len);
	at = fake_put(&f->d, bytes, HDR + len);
	fake_add(&f->d, TX,
		 (struct fake_seg[]){{at, cut, false},
				     {GPA(at.v + cut), (uint32_t)(HDR + len - cut), false}},
		 2);
	fake_kick(&f->d, TX);
}

void net_expect_used(struct net_fixture *f, uint16_t queue, uint32_t len)
{
	uint32_t used = ~len;
	uint16_t head;

	assert_true(fake_used(&f->d, queue, &head, &used));
	assert_int_equal(used, len);
}

void net_expect_unused(struct net_fixture *f, uint16_t queue)
{
	uint32_t used;
	uint16_t head;

	assert_false(fake_used(&f->d, queue, &head, &used));
}
