/* The honest part: virtio 1.2, 3.1.1 for the start, 2.7.13 for requests. */
#include "driver.h"

#define RINGS       0x200000U
#define RING_BYTES  0x800U
#define AVAIL_OFF   0x400U
#define USED_OFF    0x600U
#define WAIT_ROUNDS 400000U  /* about a second where ring 0 is emulated, much less elsewhere */
#define WORK_ROUNDS 8000000U /* an honest request is answered: only a busy host makes it wait */

static const struct {
	enum device_id id;
	uint32_t request_queue;
	const char *name;
} known[] = {
	{ID_NET, 1, "net"},     {ID_BLK, 0, "blk"}, {ID_RNG, 0, "rng"},
	{ID_VSOCK, 1, "vsock"}, {ID_FS, 1, "fs"},   {ID_CONSOLE, 1, "console"},
};

/* The last of a disk's queues (num_queues in virtio 1.2, 5.2.4), so that not always the first one is abused. */
static uint32_t last_blk_queue(uint32_t base)
{
	return (reg_read(base + REG_CONFIG + 32) >> 16) - 1;
}

_Bool device_find(uint32_t slot, struct device *d)
{
	uint32_t base = MMIO_BASE + slot * MMIO_SLOT_BYTES;
	uint32_t id = reg_read(base + REG_DEVICE_ID);

	if (reg_read(base + REG_MAGIC) != 0x74726976)
		return 0;
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (known[i].id != id)
			continue;
		*d = (struct device){.name = known[i].name,
				     .base = base,
				     .id = known[i].id,
				     .request_queue = known[i].request_queue};
		if (d->id == ID_BLK)
			d->request_queue = last_blk_queue(base);
		return 1;
	}
	return 0;
}

static void accept_features(struct device *d, uint64_t wanted)
{
	for (uint32_t word = 0; word < 2; word++) {
		reg_write(d->base + REG_FEATURES_SEL, word);
		reg_write(d->base + REG_DRIVER_FEATURES_SEL, word);
		reg_write(d->base + REG_DRIVER_FEATURES,
			  reg_read(d->base + REG_FEATURES) & (uint32_t)(wanted >> 32 * word));
	}
}

static void start_queue(struct device *d, uint32_t i)
{
	struct queue *q = &d->queues[i];
	uint32_t at = RINGS + i * RING_BYTES;

	reg_write(d->base + REG_QUEUE_SEL, i);
	if (reg_read(d->base + REG_QUEUE_NUM_MAX) < QUEUE_SIZE)
		return;
	fill((void *)at, 0, RING_BYTES);
	q->desc = (void *)at;
	q->avail = (void *)(at + AVAIL_OFF);
	q->used = (void *)(at + USED_OFF);
	reg_write(d->base + REG_QUEUE_NUM, QUEUE_SIZE);
	reg_write(d->base + REG_QUEUE_DESC, at);
	reg_write(d->base + REG_QUEUE_DESC + 4, 0);
	reg_write(d->base + REG_QUEUE_DRIVER, at + AVAIL_OFF);
	reg_write(d->base + REG_QUEUE_DRIVER + 4, 0);
	reg_write(d->base + REG_QUEUE_DEVICE, at + USED_OFF);
	reg_write(d->base + REG_QUEUE_DEVICE + 4, 0);
	reg_write(d->base + REG_QUEUE_READY, 1);
}

void device_start(struct device *d, uint64_t features)
{
	uint32_t status = STATUS_ACKNOWLEDGE | STATUS_DRIVER;

	d->features = features;
	reg_write(d->base + REG_STATUS, 0);
	while (reg_read(d->base + REG_STATUS) != 0)
		barrier();
	reg_write(d->base + REG_STATUS, status);
	accept_features(d, features | FEATURE_VERSION_1);
	reg_write(d->base + REG_STATUS, status |= STATUS_FEATURES_OK);
	for (uint32_t i = 0; i < MAX_QUEUES; i++)
		start_queue(d, i);
	reg_write(d->base + REG_STATUS, status | STATUS_DRIVER_OK);
}

void device_kick(struct device *d, uint32_t queue)
{
	barrier();
	reg_write(d->base + REG_NOTIFY, queue);
}

void queue_offer(struct queue *q, uint16_t head)
{
	q->avail->ring[q->avail->idx % QUEUE_SIZE] = head;
	barrier();
	q->avail->idx++;
}

void desc_set(struct queue *q, uint16_t at, uint32_t addr, uint32_t len, uint16_t flags,
	      uint16_t next)
{
	q->desc[at].addr = addr;
	q->desc[at].len = len;
	q->desc[at].flags = flags;
	q->desc[at].next = next;
}

static _Bool wait_rounds(struct device *d, struct queue *q, uint16_t before, uint32_t rounds)
{
	for (uint32_t i = 0; i < rounds; i++) {
		if (q->used->idx != before)
			return 1;
		if (i % 1024 == 1023 && reg_read(d->base + REG_STATUS) & STATUS_NEEDS_RESET)
			return 0;
	}
	return 0;
}

_Bool queue_wait(struct device *d, struct queue *q, uint16_t before)
{
	return wait_rounds(d, q, before, WAIT_ROUNDS);
}

static _Bool is_answered(struct device *d, struct queue *q, uint16_t before)
{
	return wait_rounds(d, q, before, WORK_ROUNDS);
}

/* A request of two parts, the first to be read by the device, the second (if any) to be written. */
static _Bool exchange(struct device *d, const void *request, uint32_t len, uint32_t reply_len)
{
	struct queue *q = &d->queues[d->request_queue];
	uint16_t before = q->used->idx;

	copy((void *)BUFFERS, request, len);
	fill((void *)(BUFFERS + 0x1000), 0xee, reply_len);
	desc_set(q, 0, BUFFERS, len, reply_len ? DESC_NEXT : 0, 1);
	desc_set(q, 1, BUFFERS + 0x1000, reply_len, DESC_WRITE, 0);
	queue_offer(q, 0);
	device_kick(d, d->request_queue);
	return is_answered(d, q, before);
}

static _Bool rng_works(struct device *d)
{
	struct queue *q = &d->queues[0];

	desc_set(q, 0, BUFFERS, 8, DESC_WRITE, 0);
	queue_offer(q, 0);
	device_kick(d, 0);
	return is_answered(d, q, 0) && q->used->ring[0].len == 8;
}

/* Reads the first sector (virtio 1.2, 5.2.6), which a spare slot's disk does not have: an I/O error. */
static _Bool blk_works(struct device *d)
{
	static const uint32_t header[4];
	const _Bool is_empty = reg_read(d->base + REG_CONFIG) == 0;

	return exchange(d, header, sizeof(header), 513) &&
	       *(volatile uint8_t *)(BUFFERS + 0x1000 + 512) == is_empty;
}

/* FUSE_INIT (linux/fuse.h): header of 40 bytes, then 64 of fuse_init_in; the answer's error is its second word. */
static _Bool fs_works(struct device *d)
{
	static const uint32_t init[26] = {104, 26, 1, 0, [10] = 7, 38, 65536};

	return exchange(d, init, sizeof(init), 80) && reg_read(BUFFERS + 0x1000 + 4) == 0;
}

/* A request for a port where nobody listens is refused in the receive queue (virtio 1.2, 5.10.6). */
static _Bool vsock_works(struct device *d)
{
	static const uint32_t request[11] = {3, 0, 2, 0, 4711, 4712, 0, 1 | 1 << 16, 0, 65536, 0};
	struct queue *rx = &d->queues[0];

	desc_set(rx, 0, BUFFERS + 0x2000, 4096, DESC_WRITE, 0);
	queue_offer(rx, 0);
	device_kick(d, 0);
	/* word 7: type 1 (stream), operation 3 (RST) */
	return exchange(d, request, sizeof(request), 0) && is_answered(d, rx, 0) &&
	       reg_read(BUFFERS + 0x2000 + 28) == (1 | 3 << 16);
}

/* A frame without offloads (virtio 1.2, 5.1.6): header of 12 bytes, then an ARP-sized one. */
static _Bool net_works(struct device *d)
{
	static const uint32_t frame[18] = {0, 0, 0, ~0U, 0x5452ffff};

	return exchange(d, frame, sizeof(frame), 0);
}

/* Output of the first port (virtio 1.2, 5.3.6). */
static _Bool console_works(struct device *d)
{
	return exchange(d, "works\n", 6, 0);
}

_Bool device_works(struct device *d)
{
	switch (d->id) {
	case ID_NET:
		return net_works(d);
	case ID_BLK:
		return blk_works(d);
	case ID_RNG:
		return rng_works(d);
	case ID_VSOCK:
		return vsock_works(d);
	case ID_FS:
		return fs_works(d);
	case ID_CONSOLE:
		return console_works(d);
	}
	return 0;
}
