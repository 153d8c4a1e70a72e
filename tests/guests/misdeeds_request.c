/* Requests whose rings are in order and whose words lie (virtio 1.2, 5.1, 5.2, 5.10, 5.11; linux/fuse.h). */
#include "misdeeds.h"

/* Sends `words`, offers `reply_len` bytes for the answer, and waits for it; a device that gave up is started again. */
static void send(struct device *d, const uint32_t *words, uint32_t len, uint32_t reply_len)
{
	struct queue *q = &d->queues[d->request_queue];
	uint16_t before = q->used->idx;

	copy((void *)BUFFERS, words, len);
	desc_set(q, 0, BUFFERS, len, reply_len ? DESC_NEXT : 0, 1);
	desc_set(q, 1, BUFFERS + 0x10000, reply_len, DESC_WRITE, 0);
	commit_chain(d, 0);
	if (!queue_wait(d, q, before))
		device_start(d, d->features);
}

/* Every type, at sectors where sums wrap, with data of every awkward length (5.2.6). */
static void blk_requests(struct device *d)
{
	static const uint32_t types[] = {0, 1, 4, 8, 11, 13, 0xdead};
	static const uint32_t lengths[] = {1, 2, 511, 513, 514, 1025, 65537};

	for (size_t t = 0; t < sizeof(types) / sizeof(types[0]); t++) {
		for (size_t l = 0; l < sizeof(lengths) / sizeof(lengths[0]); l++) {
			uint32_t header[4] = {types[t], 0, l & 1 ? UINT32_MAX : 2047,
					      l & 1 ? UINT32_MAX >> l : 0};

			send(d, header, sizeof(header), lengths[l]);
		}
	}
}

static void blk_short_headers(struct device *d)
{
	static const uint32_t header[4] = {1};

	for (uint32_t len = 1; len <= sizeof(header); len += 3) {
		send(d, header, len, 0);
		send(d, header, len, 1);
	}
}

/* Discard and write-zeroes: segments that wrap, too many of them, unknown flags (5.2.6.1). */
static void blk_ranges(struct device *d)
{
	uint32_t words[4 + 4 * 64];

	for (uint32_t type = 11; type <= 13; type += 2) {
		for (uint32_t n = 1; n <= 64; n *= 4) {
			fill(words, n == 4 ? 0xff : 0x7f, sizeof(words));
			words[0] = type;
			words[1] = words[2] = words[3] = 0;
			send(d, words, 16 + n * 16, 1);
		}
	}
}

/* Each operation once with a header that says less or more than was sent, and bodies of rubbish. */
static void fuse_headers(struct device *d)
{
	static const uint32_t lengths[] = {0, 39, 40, 104, 105, 4096, UINT32_MAX};
	uint32_t words[64];

	for (uint32_t op = 0; op < 60; op++) {
		for (size_t l = 0; l < sizeof(lengths) / sizeof(lengths[0]); l++) {
			fill(words, (uint8_t)(op + l), sizeof(words));
			words[0] = lengths[l];
			words[1] = op;
			words[4] = l & 1; /* node 1 is the root */
			words[5] = 0;
			send(d, words, 104, l & 1 ? 16 : 4096);
		}
	}
}

/* Headers in order, a first word that may be flags, a mode, a node or a count, and behind it one name or two. */
static void fuse_bodies(struct device *d)
{
	static const uint32_t first[] = {0,       1,       0010644,    0020000,
					 0060644, 0100644, UINT32_MAX, 0140644};
	static const uint32_t end_of_name = 'A' | 'A' << 8 | 'A' << 16;
	uint32_t words[26];

	for (uint32_t i = 0; i < 60 * 8 * 2; i++) {
		(void)device_works(d); /* FUSE_INIT */
		fill(words, 0, 40);
		fill(&words[10], 'A', sizeof(words) - 40);
		words[0] = sizeof(words);
		words[1] = i / 16;
		words[4] = 1;
		words[10] = first[i % 8];
		words[11] = 0;
		if (i & 8)
			words[22] = end_of_name;
		words[25] = end_of_name;
		send(d, words, sizeof(words), 4096);
	}
}

static void fuse_names(struct device *d)
{
	static const char *const names[] = {"..", ".", "/", "a/b", "../../etc/passwd", ""};
	uint32_t words[26] = {0};

	(void)device_works(d); /* FUSE_INIT */
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		size_t n = 0;

		while (names[i][n])
			n++;
		words[0] = (uint32_t)(40 + n + 1);
		words[1] = 1; /* LOOKUP */
		words[4] = 1;
		copy(&words[10], names[i], n + 1);
		send(d, words, (uint32_t)(40 + n + 1), 144);
		send(d, words, (uint32_t)(40 + n), 144); /* no NUL */
	}
}

/* FORGET and BATCH_FORGET with counts nobody has (no answer is expected, none must be waited for). */
static void fuse_forgets(struct device *d)
{
	uint32_t words[26] = {56, 2, 1, 0, 1, 0, [10] = UINT32_MAX, UINT32_MAX};

	(void)device_works(d);
	for (uint32_t i = 0; i < 50; i++) {
		words[4] = i;
		send(d, words, 56, 0);
	}
	words[1] = 42;
	words[10] = UINT32_MAX;
	send(d, words, 104, 0);
}

/* Every operation and type, forged addresses, lengths that lie (5.10.6). */
static void vsock_packets(struct device *d)
{
	static const uint32_t cids[] = {0, 1, 2, 3, 4, UINT32_MAX};
	static const uint32_t lengths[] = {0, 1, 64, 65536, UINT32_MAX};

	for (uint32_t op = 0; op < 10; op++) {
		for (size_t i = 0; i < sizeof(cids) / sizeof(cids[0]); i++) {
			uint32_t words[27] = {cids[i],
					      0,
					      cids[(i + 1) % 6],
					      i == 5 ? 1 : 0,
					      1024,
					      1024,
					      lengths[(op + i) % 5],
					      (i == 4 ? 9 : 1) | op << 16,
					      UINT32_MAX,
					      op & 1 ? 0 : UINT32_MAX,
					      UINT32_MAX};

			send(d, words, sizeof(words), 0);
			send(d, words, 43, 0);
		}
	}
}

/* Connections without end, and no buffer to hear the refusals in: until the device takes no more. */
static void vsock_flood(struct device *d)
{
	uint32_t words[11] = {3, 0, 2, 0, 0, 1024, 0, 1 | 1 << 16, 0, 65536, 0};
	struct queue *q = &d->queues[d->request_queue];

	desc_set(q, 0, BUFFERS, sizeof(words), 0, 0);
	for (uint32_t port = 0; port < 3000; port++) {
		words[4] = port;
		copy((void *)BUFFERS, words, sizeof(words));
		if ((uint16_t)(q->avail->idx - q->used->idx) == QUEUE_SIZE)
			return;
		commit_chain(d, 0);
	}
}

static void net_headers(struct device *d)
{
	uint32_t words[32];

	for (uint32_t i = 0; i < 400; i++) {
		for (size_t w = 0; w < 32; w++)
			words[w] = random_number() * (w & 1 ? 1 : 0x10001);
		send(d, words, i % 128 + 1, 0);
	}
}

static void net_giants(struct device *d)
{
	struct queue *q = &d->queues[d->request_queue];

	for (uint32_t len = 1 << 10; len <= 1 << 20; len <<= 1) {
		fill((void *)BUFFERS, 0, 12);
		desc_set(q, 0, BUFFERS, len, 0, 0);
		commit_chain(d, 0);
	}
}

/* The control queue is the last of three (5.1.6.5). */
static void net_control(struct device *d)
{
	uint32_t words[16];

	device_start(d, FEATURE_CTRL_VQ);
	d->request_queue = 2;
	for (uint32_t command = 0; command < 0x800; command += 0x55) {
		fill(words, 0xff, sizeof(words));
		words[0] = command | 0xffff0000U;
		for (uint32_t len = 1; len <= 64; len += 21)
			send(d, words, len, 1);
	}
	d->request_queue = 1;
}

/* As many as there are pairs (5.1.4); the control queue comes after them when VIRTIO_NET_F_MQ is negotiated. */
static uint32_t net_pairs(struct device *d)
{
	return reg_read(d->base + REG_CONFIG + 8) & 0xffff;
}

/* Commands that are in order, every one with data of each length that one of them has: they reach the host's tap. */
static void net_commands(struct device *d)
{
	static const uint32_t lengths[] = {3, 4, 8, 10, 16};
	static const uint32_t values[] = {0, 1, 2, 0x80, 0xffff};
	uint32_t words[4] = {0};

	device_start(d, ~0ULL);
	d->request_queue = 2 * net_pairs(d);
	for (uint32_t command = 0; command < 6 * 3; command++) {
		for (size_t l = 0; l < sizeof(lengths) / sizeof(lengths[0]); l++) {
			for (size_t v = 0; v < sizeof(values) / sizeof(values[0]); v++) {
				words[0] = command / 3 | command % 3 << 8 | values[v] << 16;
				send(d, words, lengths[l], 1);
			}
		}
	}
	d->request_queue = 1;
}

/* Both pairs switched on, the second one gets what was meant for the first, and goes. */
static void net_second_pair(struct device *d)
{
	static const uint32_t on[] = {4 | 2 << 16}, off[] = {4 | 1 << 16};
	uint32_t words[32] = {0};

	if (net_pairs(d) < 2)
		return;
	for (uint32_t i = 0; i < 40; i++) {
		device_start(d, ~0ULL);
		d->request_queue = 2 * net_pairs(d);
		send(d, on, sizeof(on), 1);
		d->request_queue = 3;
		words[i % 3] = random_number();
		send(d, words, i % 128 + 1, 0);
		d->request_queue = 2 * net_pairs(d);
		send(d, off, sizeof(off), 1);
	}
	d->request_queue = 1;
}

/* Every event of every port, whole and cut short, and hardly a buffer for what there is to say (5.3.6.2). */
static void console_control(struct device *d)
{
	static const uint32_t ports[] = {0, 1, 7, 8, UINT32_MAX};
	struct queue *answers = &d->queues[2];

	device_start(d, FEATURE_MULTIPORT);
	d->request_queue = 3;
	desc_set(answers, 0, BUFFERS + 0x2000, 64, DESC_WRITE, 0);
	desc_set(answers, 1, BUFFERS + 0x2000, 3, DESC_WRITE, 0);
	for (uint32_t event = 0; event < 16; event++) {
		for (uint32_t i = 0; i < 5; i++) {
			const uint32_t words[] = {ports[i], event | event << 15};

			queue_offer(answers, event < 12 ? 0 : 1);
			send(d, words, sizeof(words), 0);
			send(d, words, i + 1, 0);
		}
	}
	d->request_queue = 1;
}

static void console_giants(struct device *d)
{
	struct queue *q = &d->queues[d->request_queue];

	for (uint32_t len = 1 << 10; len <= 1 << 20; len <<= 1) {
		desc_set(q, 0, BUFFERS, len, 0, 0);
		commit_chain(d, 0);
	}
}

const struct misdeed request_misdeeds[] = {
	{"disk requests of awkward lengths and places", ID_BLK, blk_requests},
	{"disk requests with half a header", ID_BLK, blk_short_headers},
	{"ranges to discard that wrap", ID_BLK, blk_ranges},
	{"FUSE headers that lie", ID_FS, fuse_headers},
	{"FUSE bodies of rubbish", ID_FS, fuse_bodies},
	{"names that lead elsewhere", ID_FS, fuse_names},
	{"forgetting what was never looked up", ID_FS, fuse_forgets},
	{"vsock packets with forged headers", ID_VSOCK, vsock_packets},
	{"a flood of vsock connections", ID_VSOCK, vsock_flood},
	{"frames with rubbish for a header", ID_NET, net_headers},
	{"frames longer than any network's", ID_NET, net_giants},
	{"control commands cut short", ID_NET, net_control},
	{"control commands of every length", ID_NET, net_commands},
	{"queues switched on and off", ID_NET, net_second_pair},
	{"console control messages of all kinds", ID_CONSOLE, console_control},
	{"console output without end", ID_CONSOLE, console_giants},
	{NULL, 0, NULL},
};
