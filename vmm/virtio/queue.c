/*
 * Split virtqueues (virtio 1.2, 2.7): the rings and the walk of descriptors. The driver is trusted with nothing: every
 * field is read once into a local, checked, and used from there; every loop is bounded by the queue's size. What breaks a
 * rule breaks the queue, with the rule's name in q->why; nothing of a bad chain reaches the device.
 *
 *	desc:   { addr le64, len le32, flags le16, next le16 }[size]
 *	avail:  flags le16, idx le16, ring le16[size], used_event le16
 *	used:   flags le16, idx le16, { id le32, len le32 }[size], avail_event le16
 *
 * The indexes run freely through 16 bits; a slot is the index modulo the size, which is a power of two.
 */
#include "vmm/virtio/queue.h"

#include <endian.h>
#include <linux/virtio_ring.h>
#include <string.h>

#define RING_IDX_OFF    2
#define RING_SLOTS_OFF  4
#define AVAIL_SLOT_SIZE 2U
#define USED_SLOT_SIZE  8U
#define RING_EVENT_SIZE 2U

_Static_assert(sizeof(struct vring_desc) == 16, "virtio 1.2, 2.7.5");
_Static_assert(sizeof(struct vring_used_elem) == USED_SLOT_SIZE, "virtio 1.2, 2.7.8");

static struct gpa gpa_add(struct gpa base, uint64_t off)
{
	return GPA(base.v + off);
}

static struct gpa avail_slot(const struct vq *q, uint16_t idx)
{
	return gpa_add(q->avail, RING_SLOTS_OFF + AVAIL_SLOT_SIZE * (idx & (q->size - 1U)));
}

static struct gpa used_slot(const struct vq *q, uint16_t idx)
{
	return gpa_add(q->used, RING_SLOTS_OFF + USED_SLOT_SIZE * (idx & (q->size - 1U)));
}

/* Where the driver says at which used index it wants an interrupt. */
static struct gpa used_event(const struct vq *q)
{
	return gpa_add(q->avail, RING_SLOTS_OFF + AVAIL_SLOT_SIZE * (uint64_t)q->size);
}

/* Where the device says at which available index it wants a notification. */
static struct gpa avail_event(const struct vq *q)
{
	return gpa_add(q->used, RING_SLOTS_OFF + USED_SLOT_SIZE * (uint64_t)q->size);
}

static bool vq_break(struct vq *q, const char *why)
{
	q->broken = true;
	if (!q->why)
		q->why = why;
	return false;
}

void vq_reset(struct vq *q)
{
	uint16_t size_max = q->size_max;

	*q = (struct vq){.size = size_max, .size_max = size_max, .budget = VQ_NO_BUDGET};
}

static bool ring_is_ram(const struct gmem *mem, struct gpa at, size_t len, uint64_t align)
{
	return at.v % align == 0 && gmem_is_ram(mem, at, len);
}

bool vq_start(struct vq *q, struct gmem *mem, bool event_idx, bool indirect)
{
	size_t n = q->size;
	size_t event_bytes = event_idx ? RING_EVENT_SIZE : 0;

	if (n == 0 || n > q->size_max || n > VQ_MAX_SIZE || (n & (n - 1)) != 0)
		return false;
	/* virtio 1.2, 2.7: alignments 16, 2 and 4. */
	if (!ring_is_ram(mem, q->desc, n * sizeof(struct vring_desc), VRING_DESC_ALIGN_SIZE) ||
	    !ring_is_ram(mem, q->avail, RING_SLOTS_OFF + n * AVAIL_SLOT_SIZE + event_bytes,
			 VRING_AVAIL_ALIGN_SIZE) ||
	    !ring_is_ram(mem, q->used, RING_SLOTS_OFF + n * USED_SLOT_SIZE + event_bytes,
			 VRING_USED_ALIGN_SIZE))
		return false;
	q->mem = mem;
	q->event_idx = event_idx;
	q->indirect = indirect;
	q->broken = false;
	q->why = NULL;
	q->avail_next = q->used_next = q->signalled = 0;
	q->budget = VQ_NO_BUDGET;
	q->ready = true;
	return true;
}

/* A descriptor table: the queue's own or an indirect one. */
struct desc_table {
	struct gpa at;
	uint16_t entries;
};

static bool desc_read(struct vq *q, const struct desc_table *t, uint16_t i, struct vring_desc *out)
{
	struct vring_desc raw;

	if (i >= t->entries)
		return vq_break(q, "descriptor index past its table");
	if (!gmem_read(q->mem, gpa_add(t->at, i * sizeof(raw)), &raw, sizeof(raw)))
		return vq_break(q, "descriptor table outside RAM");
	out->addr = le64toh(raw.addr);
	out->len = le32toh(raw.len);
	out->flags = le16toh(raw.flags);
	out->next = le16toh(raw.next);
	return true;
}

static bool chain_add(struct vq *q, struct vq_chain *c, const struct vring_desc *d)
{
	bool writable = d->flags & VRING_DESC_F_WRITE;
	uint32_t total;

	if (c->nsegs == q->size)
		return vq_break(q, "chain longer than the queue");
	if (d->len == 0)
		return vq_break(q, "descriptor of no bytes");
	if (!writable && c->nsegs > c->nreadable)
		return vq_break(q, "readable descriptor after a writable one");
	if (__builtin_add_overflow(c->readable_bytes + c->writable_bytes, d->len, &total))
		return vq_break(q, "chain of 4 GiB or more");
	if (!gmem_is_ram(q->mem, GPA(d->addr), d->len))
		return vq_break(q, "buffer outside RAM");
	c->segs[c->nsegs++] = (struct vq_seg){.at = GPA(d->addr), .len = d->len};
	if (writable) {
		c->writable_bytes += d->len;
	} else {
		c->nreadable++;
		c->readable_bytes += d->len;
	}
	return true;
}

/* virtio 1.2, 2.7.5.3: a table is the last of its chain and holds no tables. */
static bool table_enter(struct vq *q, const struct vring_desc *d, bool inside, struct desc_table *t)
{
	if (!q->indirect)
		return vq_break(q, "indirect descriptor that was not negotiated");
	if (inside)
		return vq_break(q, "indirect descriptor in an indirect table");
	if (d->flags & VRING_DESC_F_NEXT)
		return vq_break(q, "indirect descriptor with a next one");
	if (d->len == 0 || d->len % sizeof(struct vring_desc) != 0 ||
	    d->len / sizeof(struct vring_desc) > q->size)
		return vq_break(q, "indirect table of a bad length");
	t->at = GPA(d->addr);
	t->entries = (uint16_t)(d->len / sizeof(struct vring_desc));
	return true;
}

/*
 * Ends without a count of steps: each step but one adds a segment, and chain_add refuses more than q->size of them, so a
 * loop of descriptors ends as "longer than the queue".
 */
static bool chain_walk(struct vq *q, uint16_t head, struct vq_chain *c)
{
	struct desc_table table = {.at = q->desc, .entries = q->size};
	struct vring_desc d = {.next = head};
	bool inside = false;

	do {
		if (!desc_read(q, &table, d.next, &d))
			return false;
		if (d.flags & VRING_DESC_F_INDIRECT) {
			if (!table_enter(q, &d, inside, &table))
				return false;
			inside = true;
			d = (struct vring_desc){.flags = VRING_DESC_F_NEXT, .next = 0};
		} else if (!chain_add(q, c, &d)) {
			return false;
		}
	} while (d.flags & VRING_DESC_F_NEXT);
	return true;
}

/* How many requests wait; what more than `size` would be is a broken index. */
static uint16_t avail_pending(struct vq *q)
{
	uint16_t idx;
	uint16_t pending;

	if (!gmem_load16(q->mem, gpa_add(q->avail, RING_IDX_OFF), &idx)) {
		vq_break(q, "available ring outside RAM");
		return 0;
	}
	pending = (uint16_t)(idx - q->avail_next);
	if (pending > q->size) {
		vq_break(q, "available index jumped");
		return 0;
	}
	return pending;
}

/*
 * Asks to be notified of what comes after avail_next. The fence orders this store before the caller's next look at the
 * available index: without it both sides could miss each other (virtio 1.2, 2.7.10).
 */
static void notify_arm(struct vq *q)
{
	bool ok = q->event_idx ? gmem_store16(q->mem, avail_event(q), q->avail_next)
			       : gmem_store16(q->mem, q->used, 0);

	if (!ok)
		vq_break(q, "used ring outside RAM");
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

bool vq_pop(struct vq *q, struct vq_chain *out)
{
	uint16_t head;

	if (!q->ready || q->broken || q->budget == 0)
		return false;
	if (avail_pending(q) == 0) {
		if (q->broken)
			return false;
		notify_arm(q);
		if (avail_pending(q) == 0)
			return false;
	}
	if (!gmem_load16(q->mem, avail_slot(q, q->avail_next), &head))
		return vq_break(q, "available ring outside RAM");

	out->vq = q;
	out->head = head;
	out->nsegs = out->nreadable = 0;
	out->readable_bytes = out->writable_bytes = 0;
	out->read_done = out->write_done = 0;
	if (!chain_walk(q, head, out))
		return false;
	q->avail_next++;
	if (q->budget != VQ_NO_BUDGET)
		q->budget--;
	return true;
}

void vq_unpop(struct vq_chain *chain)
{
	struct vq *q = chain->vq;

	if (!q->ready || q->broken)
		return;
	q->avail_next--;
	if (q->budget != VQ_NO_BUDGET)
		q->budget++;
}

void vq_push_all(struct vq *q, const struct vq_used *used, size_t n)
{
	/* A device that answers late may find its queue stopped or reset. */
	if (!q->ready || q->broken)
		return;
	for (size_t i = 0; i < n; i++) {
		struct vring_used_elem elem = {
			.id = htole32(used[i].head),
			.len = htole32(used[i].len_bytes),
		};

		if (!gmem_write(q->mem, used_slot(q, (uint16_t)(q->used_next + i)), &elem,
				sizeof(elem))) {
			vq_break(q, "used ring outside RAM");
			return;
		}
	}
	/* Only the index makes them seen, so all come at once. */
	q->used_next = (uint16_t)(q->used_next + n);
	if (!gmem_store16(q->mem, gpa_add(q->used, RING_IDX_OFF), q->used_next))
		vq_break(q, "used ring outside RAM");
}

void vq_push(struct vq_chain *chain)
{
	vq_push_all(chain->vq,
		    &(struct vq_used){.head = chain->head, .len_bytes = chain->write_done}, 1);
}

bool vq_take_token(const struct vq_chain *chain, struct vq_token *out)
{
	const struct vq_seg *seg = &chain->segs[chain->nsegs - 1];

	if (chain->writable_bytes == 0)
		return false;
	*out = (struct vq_token){
		.vq = chain->vq,
		.last = GPA(seg->at.v + seg->len - 1),
		.head = chain->head,
	};
	return true;
}

void vq_push_token(const struct vq_token *token, uint8_t last, uint32_t len)
{
	struct vq_used used = {.head = token->head, .len_bytes = len};
	struct vq *q = token->vq;

	if (!q->ready || q->broken)
		return;
	if (!gmem_write(q->mem, token->last, &last, sizeof(last)))
		vq_break(q, "request outside RAM");
	vq_push_all(q, &used, 1);
}

bool vq_wants_interrupt(struct vq *q)
{
	uint16_t old = q->signalled;
	uint16_t driver;

	if (!q->ready || q->broken || q->used_next == old)
		return false;
	q->signalled = q->used_next;
	/* The used index must be seen before the driver's wish is read: the mirror image of notify_arm. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (!gmem_load16(q->mem, q->event_idx ? used_event(q) : q->avail, &driver))
		return vq_break(q, "available ring outside RAM");
	if (q->event_idx)
		return vring_need_event(driver, q->used_next, old);
	return !(driver & VRING_AVAIL_F_NO_INTERRUPT);
}
