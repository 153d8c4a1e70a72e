/* The driver's side of virtio 1.2, 2.7 and 3.1.1, small and honest unless a test asks it for single wrong pieces. */
#include "tests/unit/fake_driver.h"

#include <endian.h>
#include <linux/virtio_config.h>
#include <string.h>
#include <time.h>

#define RING_IDX_OFF   2
#define RING_SLOTS_OFF 4

static void put(struct fake_driver *d, uint64_t at, const void *data, size_t len)
{
	bool ok = gmem_write(d->mem, GPA(at), data, len);

	BUG_ON(!ok);
}

static void put16(struct fake_driver *d, uint64_t at, uint16_t value)
{
	value = htole16(value);
	put(d, at, &value, sizeof(value));
}

static uint16_t get16(const struct fake_driver *d, uint64_t at)
{
	uint16_t value = 0;

	fake_get(d, GPA(at), &value, sizeof(value));
	return le16toh(value);
}

void fake_init(struct fake_driver *d)
{
	struct gmem_range ram = {.at = GPA(FAKE_RAM_AT), .len_bytes = FAKE_RAM_BYTES};
	int rc;

	memset(d, 0, sizeof(*d));
	rc = gmem_create(&ram, 1, &d->mem, NULL);
	BUG_ON(rc < 0);
	rc = loop_create(&d->loop, NULL);
	BUG_ON(rc < 0);
	d->alloc_next = FAKE_RAM_AT;
}

void fake_done(struct fake_driver *d)
{
	loop_destroy(d->loop);
	gmem_destroy(d->mem);
	memset(d, 0, sizeof(*d));
}

void fake_rewind(struct fake_driver *d)
{
	static const uint8_t zeroes[4096];
	int rc = loop_step(d->loop, 0, NULL); /* what was removed from the loop is freed */

	BUG_ON(rc < 0);
	for (uint64_t at = FAKE_RAM_AT; at < d->alloc_next; at += sizeof(zeroes))
		put(d, at, zeroes, sizeof(zeroes));
	*d = (struct fake_driver){.mem = d->mem, .loop = d->loop, .alloc_next = FAKE_RAM_AT};
}

struct gpa fake_alloc(struct fake_driver *d, size_t len)
{
	struct gpa at = GPA(d->alloc_next);

	BUG_ON(len > FAKE_RAM_AT + FAKE_RAM_BYTES - d->alloc_next);
	d->alloc_next += (len + 15) & ~15ULL;
	return at;
}

struct gpa fake_put(struct fake_driver *d, const void *data, size_t len)
{
	struct gpa at = fake_alloc(d, len);

	put(d, at.v, data, len);
	return at;
}

void fake_get(const struct fake_driver *d, struct gpa at, void *out, size_t len)
{
	bool ok = gmem_read(d->mem, at, out, len);

	BUG_ON(!ok);
}

void fake_ring_init(struct fake_driver *d, uint16_t queue, uint16_t size, bool event_idx)
{
	struct fake_queue *q = &d->queues[queue];

	*q = (struct fake_queue){.size = size, .event_idx = event_idx};
	q->desc = fake_alloc(d, size * sizeof(struct vring_desc));
	q->avail = fake_alloc(d, RING_SLOTS_OFF + size * 2U + 2);
	q->used = fake_alloc(d, RING_SLOTS_OFF + size * 8U + 2);
}

static void on_interrupt(void *self, uint32_t bits)
{
	struct fake_driver *d = self;

	d->used_interrupts += bits & 1;
	d->config_interrupts += bits >> 1 & 1;
}

static void set_address(struct virtio_dev *dev, uint16_t queue, enum virtio_queue_reg reg,
			struct gpa at)
{
	virtio_queue_set(dev, queue, reg, false, (uint32_t)at.v);
	virtio_queue_set(dev, queue, reg, true, (uint32_t)(at.v >> 32));
}

static void probe_queue(struct fake_driver *d, uint16_t i)
{
	struct fake_queue *q = &d->queues[i];

	fake_ring_init(d, i, virtio_queue_size_max(d->dev, i),
		       d->features & VIRTIO_F_EVENT_IDX_BIT);
	virtio_queue_set(d->dev, i, VIRTIO_Q_SIZE, false, q->size);
	set_address(d->dev, i, VIRTIO_Q_DESC, q->desc);
	set_address(d->dev, i, VIRTIO_Q_AVAIL, q->avail);
	set_address(d->dev, i, VIRTIO_Q_USED, q->used);
	virtio_queue_set(d->dev, i, VIRTIO_Q_READY, false, 1);
}

void fake_probe(struct fake_driver *d, struct virtio_dev *dev, uint64_t wanted)
{
	uint32_t status = VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER;

	d->dev = dev;
	d->features = virtio_features_offered(dev) & (wanted | VIRTIO_F_VERSION_1_BIT);
	virtio_attach(dev, &(struct virtio_transport){.self = d, .interrupt = on_interrupt});
	virtio_set_status(dev, 0);
	virtio_set_status(dev, status);
	virtio_features_accept(dev, 0, (uint32_t)d->features);
	virtio_features_accept(dev, 1, (uint32_t)(d->features >> 32));
	status |= VIRTIO_CONFIG_S_FEATURES_OK;
	virtio_set_status(dev, status);
	BUG_ON(virtio_status(dev) != status);
	for (uint16_t i = 0; i < virtio_nqueues(dev); i++)
		probe_queue(d, i);
	virtio_set_status(dev, status | VIRTIO_CONFIG_S_DRIVER_OK);
}

static void put_desc(struct fake_driver *d, uint64_t at, const struct vring_desc *desc)
{
	struct vring_desc raw = {
		.addr = htole64(desc->addr),
		.len = htole32(desc->len),
		.flags = htole16(desc->flags),
		.next = htole16(desc->next),
	};

	put(d, at, &raw, sizeof(raw));
}

void fake_desc(struct fake_driver *d, uint16_t queue, uint16_t i, struct vring_desc desc)
{
	put_desc(d, d->queues[queue].desc.v + i * sizeof(desc), &desc);
}

void fake_avail_idx(struct fake_driver *d, uint16_t queue, uint16_t idx)
{
	struct fake_queue *q = &d->queues[queue];

	q->avail_idx = idx;
	put16(d, q->avail.v + RING_IDX_OFF, idx);
}

void fake_avail(struct fake_driver *d, uint16_t queue, uint16_t head)
{
	struct fake_queue *q = &d->queues[queue];

	put16(d, q->avail.v + RING_SLOTS_OFF + 2ULL * (q->avail_idx % q->size), head);
	fake_avail_idx(d, queue, (uint16_t)(q->avail_idx + 1));
}

static struct vring_desc desc_of(const struct fake_seg *seg, bool last, uint16_t next)
{
	uint16_t flags = (uint16_t)((seg->writable ? VRING_DESC_F_WRITE : 0) |
				    (last ? 0 : VRING_DESC_F_NEXT));

	return (struct vring_desc){
		.addr = seg->at.v,
		.len = seg->len,
		.flags = flags,
		.next = last ? 0 : next,
	};
}

static uint16_t take_desc(struct fake_queue *q)
{
	uint16_t i = q->next_desc;

	q->next_desc = (uint16_t)((i + 1) % q->size);
	return i;
}

uint16_t fake_add(struct fake_driver *d, uint16_t queue, const struct fake_seg *segs, size_t n)
{
	struct fake_queue *q = &d->queues[queue];
	uint16_t head = q->next_desc;

	BUG_ON(n == 0 || n > q->size);
	for (size_t i = 0; i < n; i++) {
		uint16_t at = take_desc(q);

		fake_desc(d, queue, at, desc_of(&segs[i], i == n - 1, q->next_desc));
	}
	fake_avail(d, queue, head);
	return head;
}

uint16_t fake_add_indirect(struct fake_driver *d, uint16_t queue, const struct fake_seg *segs,
			   size_t n)
{
	struct gpa table = fake_alloc(d, n * sizeof(struct vring_desc));
	uint16_t head = take_desc(&d->queues[queue]);

	for (size_t i = 0; i < n; i++) {
		struct vring_desc desc = desc_of(&segs[i], i == n - 1, (uint16_t)(i + 1));

		put_desc(d, table.v + i * sizeof(desc), &desc);
	}
	fake_desc(d, queue, head,
		  (struct vring_desc){.addr = table.v,
				      .len = (uint32_t)(n * sizeof(struct vring_desc)),
				      .flags = VRING_DESC_F_INDIRECT});
	fake_avail(d, queue, head);
	return head;
}

void fake_used_event(struct fake_driver *d, uint16_t queue, uint16_t idx)
{
	struct fake_queue *q = &d->queues[queue];

	put16(d, q->avail.v + RING_SLOTS_OFF + 2ULL * q->size, idx);
}

void fake_avail_flags(struct fake_driver *d, uint16_t queue, uint16_t flags)
{
	put16(d, d->queues[queue].avail.v, flags);
}

uint16_t fake_avail_event(const struct fake_driver *d, uint16_t queue)
{
	const struct fake_queue *q = &d->queues[queue];

	return get16(d, q->used.v + RING_SLOTS_OFF + 8ULL * q->size);
}

static int64_t now_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

/* loop_step does not say whether anything happened, so time does: a step that waited its time out was a quiet one. */
void fake_run(struct fake_driver *d, int quiet_ms)
{
	int64_t before;
	int rounds = 64;

	do {
		int rc;

		if (quiet_ms == 0 && loop_idle(d->loop))
			return;
		before = now_ms();
		rc = loop_step(d->loop, quiet_ms, NULL);
		BUG_ON(rc < 0);
	} while (--rounds > 0 && (quiet_ms == 0 || now_ms() - before < quiet_ms));
}

void fake_kick(struct fake_driver *d, uint16_t queue)
{
	virtio_notify(d->dev, queue);
	fake_run(d, 0);
}

bool fake_used(struct fake_driver *d, uint16_t queue, uint16_t *head, uint32_t *len)
{
	struct fake_queue *q = &d->queues[queue];
	struct vring_used_elem elem;

	if (get16(d, q->used.v + RING_IDX_OFF) == q->used_seen)
		return false;
	fake_get(d, GPA(q->used.v + RING_SLOTS_OFF + 8ULL * (q->used_seen % q->size)), &elem,
		 sizeof(elem));
	q->used_seen++;
	/* The next one interrupts. */
	if (q->event_idx)
		fake_used_event(d, queue, q->used_seen);
	*head = (uint16_t)le32toh(elem.id);
	*len = le32toh(elem.len);
	return true;
}

bool fake_used_wait(struct fake_driver *d, uint16_t queue, uint16_t *head, uint32_t *len,
		    int timeout_ms)
{
	int64_t deadline = now_ms() + timeout_ms;

	while (!fake_used(d, queue, head, len)) {
		int rc;

		if (now_ms() >= deadline)
			return false;
		rc = loop_step(d->loop, 10, NULL);
		BUG_ON(rc < 0);
	}
	return true;
}
