/*
 * A network device with a driver in front of it and, behind it, the other ends of message sockets that stand in for a tap's
 * queues. What cannot go wrong in a sane test is a failed assertion.
 */
#ifndef NACRE_TESTS_NET_FIXTURE_H
#define NACRE_TESTS_NET_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <linux/virtio_net.h>

#include "tests/unit/fake_driver.h"
#include "vmm/dev/dev.h"

#define HDR       12U
#define FRAME_MAX (65535U + 14 + 8)
#define BIT(name) (1ULL << VIRTIO_NET_F_##name)
#define RX        0
#define TX        1

#define NET_MAC                                                                                    \
	{                                                                                          \
		0x02, 0x11, 0x22, 0x33, 0x44, 0x55                                                 \
	}

struct net_fixture {
	struct fake_driver d;
	struct virtio_dev *dev;
	int host[DEV_NET_MAX_PAIRS]; /* -1: none */
};

/* [0] is the device's end, [1] the host's, with room for several of the longest frames. */
void net_socketpair(int fds[2]);

/* A device of NET_MAC and an MTU of 1500 with `pairs` sockets, probed with the wanted features. */
void net_start_pairs(struct net_fixture *f, uint64_t features, unsigned pairs);
void net_start(struct net_fixture *f, uint64_t features);
void net_stop(struct net_fixture *f);
bool net_is_broken(const struct net_fixture *f);
uint16_t net_link(struct net_fixture *f);

/* Bytes that tell their place: what all frames here are made of. */
void net_fill(uint8_t *bytes, size_t len);

/* The host sends one message: a header of zeros and a frame of `len` bytes. */
void net_host_send(struct net_fixture *f, size_t len);
/* The next message of the device: its header in *hdr, a frame of `len` bytes. */
void net_host_expect(struct net_fixture *f, struct virtio_net_hdr_v1 *hdr, size_t len);
void net_host_expect_nothing(struct net_fixture *f);

/* `n` receive buffers of `len` bytes, in one piece of guest memory. */
struct gpa net_give(struct net_fixture *f, size_t n, uint32_t len);
/* The next frame, from as many used buffers of `buf` bytes as it says, which follow each other from `at` on. */
void net_expect(struct net_fixture *f, struct gpa at, uint32_t buf, size_t len);
/* Sends one chain: a header and a frame of `len` bytes, cut in two after `cut` bytes. */
void net_send(struct net_fixture *f, const struct virtio_net_hdr_v1 *hdr, size_t len, uint32_t cut);

/* The next used chain has `len` bytes; or there is none. */
void net_expect_used(struct net_fixture *f, uint16_t queue, uint32_t len);
void net_expect_unused(struct net_fixture *f, uint16_t queue);

#endif
