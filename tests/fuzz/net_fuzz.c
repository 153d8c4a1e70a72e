/*
 * The network device over message sockets, driven by the input: a byte of choices, 8 of features, then steps. A step is a byte
 * that says what, and its operands:
 *
 *	0 a transmit chain	queue u8, readable u16, cut u8, bytes
 *	1 a receive buffer	queue u8, writable u16, readable u8
 *	2 a control command	readable u8, writable u8, bytes
 *	3 a message of the host	pair u8, length u16
 *	4 the host reads all	5 the tap is taken away, or put back	6 a reset and a new driver
 */
#include <linux/virtio_net.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cursor.h"
#include "base/log.h"
#include "base/own.h"
#include "tests/unit/fake_driver.h"
#include "vmm/dev/dev.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MAX_STEPS 48
#define MAX_PAIRS 3

struct world {
	struct fake_driver *d;
	struct virtio_dev *dev;
	uint64_t features;
	uint16_t pairs;
	int host[MAX_PAIRS]; /* -1: no tap */
};

static void make_taps(struct world *w, struct dev_net_params *p)
{
	p->ntaps = w->pairs;
	for (uint16_t i = 0; i < w->pairs; i++) {
		int fds[2];
		int rc = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds);

		BUG_ON(rc < 0);
		p->tap_fds[i] = fds[0];
		w->host[i] = fds[1];
	}
}

/* One chain of up to three descriptors, none of no bytes, which the queue would refuse before the device sees it. */
static void add(struct world *w, uint16_t queue, const void *bytes, uint32_t readable, uint32_t cut,
		uint32_t writable)
{
	struct fake_seg segs[3];
	struct gpa at = fake_put(w->d, bytes, readable);
	size_t n = 0;

	cut = cut < readable ? cut : readable;
	if (cut > 0)
		segs[n++] = (struct fake_seg){at, cut, false};
	if (readable > cut)
		segs[n++] = (struct fake_seg){GPA(at.v + cut), readable - cut, false};
	if (writable > 0)
		segs[n++] = (struct fake_seg){fake_alloc(w->d, writable), writable, true};
	if (n == 0)
		return;
	fake_add(w->d, queue, segs, n);
	fake_kick(w->d, queue);
}

static void send_chain(struct world *w, struct cursor *c)
{
	uint16_t queue = (uint16_t)(cursor_u8(c) % w->pairs * 2 + 1);
	uint32_t len = cursor_u16(c);
	uint32_t cut = cursor_u8(c);
	const void *bytes = cursor_take(c, len);

	if (bytes)
		add(w, queue, bytes, len, cut, 0);
}

static void give_buffer(struct world *w, struct cursor *c)
{
	static const uint8_t zeros[256];
	uint16_t queue = (uint16_t)(cursor_u8(c) % w->pairs * 2);
	uint32_t writable = cursor_u16(c);

	add(w, queue, zeros, cursor_u8(c), 0, writable);
}

static void command(struct world *w, struct cursor *c)
{
	bool is_mq = w->d->features & 1ULL << VIRTIO_NET_F_MQ;
	uint32_t len = cursor_u8(c);
	uint32_t writable = cursor_u8(c);
	const void *bytes = cursor_take(c, len);

	if (bytes)
		add(w, (uint16_t)(2 * (is_mq ? w->pairs : 1)), bytes, len, 2, writable);
}

static void host_sends(struct world *w, struct cursor *c)
{
	static const uint8_t zeros[UINT16_MAX];
	int fd = w->host[cursor_u8(c) % w->pairs];

	if (fd >= 0)
		(void)send(fd, zeros, cursor_u16(c), MSG_NOSIGNAL);
	fake_run(w->d, 0);
}

/* What comes out has a header that a tap could act on, and a frame behind it. */
static void host_reads(struct world *w)
{
	uint8_t got[1 << 17];

	for (uint16_t i = 0; i < w->pairs; i++) {
		for (;;) {
			ssize_t n = w->host[i] < 0 ? -1 : recv(w->host[i], got, sizeof(got), 0);
			struct virtio_net_hdr_v1 h;

			if (n < 0)
				break;
			BUG_ON(n < 12 + 14);
			memcpy(&h, got, sizeof(h));
			BUG_ON(h.flags & ~VIRTIO_NET_HDR_F_NEEDS_CSUM);
			BUG_ON(h.flags && h.csum_start + h.csum_offset + 2 > n - 12);
			BUG_ON(h.gso_type && (h.gso_size == 0 || h.hdr_len > n - 12));
		}
	}
	fake_run(w->d, 0);
}

static void drop_taps(struct world *w)
{
	for (uint16_t i = 0; i < w->pairs; i++)
		own_close(&w->host[i]);
}

static void toggle(struct world *w)
{
	struct dev_net_params p = {.ntaps = 0};

	if (w->host[0] < 0) {
		make_taps(w, &p);
		BUG_ON(dev_net_fill(w->dev, &p, NULL) < 0);
	} else {
		dev_net_empty(w->dev);
		drop_taps(w);
	}
	fake_run(w->d, 0);
}

static void run(struct world *w, struct cursor *c)
{
	for (int i = 0; i < MAX_STEPS && c->left > 0; i++) {
		switch (cursor_u8(c) % 7) {
		case 0:
			send_chain(w, c);
			break;
		case 1:
			give_buffer(w, c);
			break;
		case 2:
			command(w, c);
			break;
		case 3:
			host_sends(w, c);
			break;
		case 4:
			host_reads(w);
			break;
		case 5:
			toggle(w);
			break;
		case 6:
			fake_probe(w->d, w->dev, w->features);
			break;
		}
	}
	host_reads(w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cursor c = cursor_of(data, size);
	struct dev_net_params p = {.ntaps = 0};
	static struct fake_driver d;
	struct world w = {.d = &d, .host = {-1, -1, -1}};
	uint8_t choices = cursor_u8(&c);

	log_init(-1, LOG_LEVEL_ERROR, LOG_FORMAT_TEXT);
	w.pairs = (uint16_t)(1 + choices % MAX_PAIRS);
	p.queue_pairs = w.pairs;
	w.features = cursor_u64(&c);
	if (!d.mem)
		fake_init(&d);
	if (!(choices & 0x80))
		make_taps(&w, &p);
	BUG_ON(dev_net_create(&p, d.mem, d.loop, &w.dev, NULL) < 0);
	fake_probe(&d, w.dev, w.features);
	run(&w, &c);
	virtio_dev_destroy(w.dev);
	drop_taps(&w);
	fake_rewind(&d);
	return 0;
}
