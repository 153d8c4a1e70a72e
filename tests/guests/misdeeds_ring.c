/* Lies in descriptors and rings, and a second vCPU that changes them while the device reads (virtio 1.2, 2.7). */
#include "misdeeds.h"

#define RACE_KICKS 300U

static struct queue *requests(struct device *d)
{
	return &d->queues[d->request_queue];
}

static void one(struct device *d, uint64_t addr, uint32_t len, uint16_t flags, uint16_t next)
{
	struct queue *q = requests(d);

	q->desc[0].addr = addr;
	q->desc[0].len = len;
	q->desc[0].flags = flags;
	q->desc[0].next = next;
	commit_chain(d, 0);
}

static void loop_of_one(struct device *d)
{
	one(d, BUFFERS, 64, DESC_NEXT, 0);
}

static void loop_of_all(struct device *d)
{
	for (uint16_t i = 0; i < QUEUE_SIZE; i++)
		desc_set(requests(d), i, BUFFERS, 64, DESC_NEXT, (uint16_t)((i + 1) % QUEUE_SIZE));
	commit_chain(d, 3);
}

static void next_outside(struct device *d)
{
	one(d, BUFFERS, 64, DESC_NEXT, 0xffff);
}

static void head_outside(struct device *d)
{
	commit_chain(d, QUEUE_SIZE);
	commit_chain(d, 0xffff);
}

static void outside_ram(struct device *d)
{
	one(d, 0x7fffffffffffULL, 64, 0, 0);
}

static void at_the_top(struct device *d)
{
	one(d, UINT64_MAX - 7, 8, DESC_WRITE, 0);
}

/* The device's own registers, as a buffer. */
static void own_registers(struct device *d)
{
	one(d, d->base, 0x200, DESC_WRITE, 0);
}

static void over_the_end_of_ram(struct device *d)
{
	one(d, GUEST_RAM_BYTES - 16, 4096, DESC_WRITE, 0);
}

static void length_wraps(struct device *d)
{
	one(d, BUFFERS, UINT32_MAX, DESC_WRITE, 0);
}

static void sum_wraps(struct device *d)
{
	one(d, 0xfffffffffffff000ULL, 0x2000, 0, 0);
}

static void zero_length(struct device *d)
{
	one(d, BUFFERS, 0, 0, 0);
}

static void unknown_flags(struct device *d)
{
	one(d, BUFFERS, 64, 0xfff8, 0);
}

static void readable_after_writable(struct device *d)
{
	desc_set(requests(d), 0, BUFFERS, 512, DESC_WRITE | DESC_NEXT, 1);
	desc_set(requests(d), 1, BUFFERS, 512, 0, 0);
	commit_chain(d, 0);
}

static void table(uint16_t at, uint32_t len, uint16_t flags, uint16_t next)
{
	struct desc *entry = (struct desc *)BUFFERS + at;

	*entry = (struct desc){.addr = BUFFERS + 0x2000, .len = len, .flags = flags, .next = next};
	barrier();
}

static void indirect_odd_length(struct device *d)
{
	table(0, 64, 0, 0);
	one(d, BUFFERS, 17, DESC_INDIRECT, 0);
}

static void indirect_empty(struct device *d)
{
	one(d, BUFFERS, 0, DESC_INDIRECT, 0);
}

static void indirect_in_indirect(struct device *d)
{
	table(0, 16, DESC_INDIRECT, 0);
	one(d, BUFFERS, 16, DESC_INDIRECT, 0);
}

static void indirect_and_next(struct device *d)
{
	table(0, 64, 0, 0);
	one(d, BUFFERS, 16, DESC_INDIRECT | DESC_NEXT, 1);
}

static void indirect_loop(struct device *d)
{
	table(0, 64, DESC_NEXT, 1);
	table(1, 64, DESC_NEXT, 0);
	one(d, BUFFERS, 32, DESC_INDIRECT, 0);
}

static void indirect_outside_ram(struct device *d)
{
	one(d, 0xffffffff00ULL, 4096, DESC_INDIRECT, 0);
}

static void indirect_huge(struct device *d)
{
	for (uint16_t i = 0; i < 4096; i++)
		table(i, 1, DESC_NEXT, (uint16_t)(i + 1));
	one(d, BUFFERS, 4096 * 16, DESC_INDIRECT, 0);
}

static void index_jumps(struct device *d)
{
	requests(d)->avail->idx = QUEUE_SIZE + 1;
	device_kick(d, d->request_queue);
	requests(d)->avail->idx = 0x8000;
	device_kick(d, d->request_queue);
}

static void index_goes_back(struct device *d)
{
	desc_set(requests(d), 0, BUFFERS, 64, DESC_WRITE, 0);
	commit_chain(d, 0);
	(void)queue_wait(d, requests(d), 0);
	requests(d)->avail->idx = (uint16_t)-1;
	device_kick(d, d->request_queue);
}

static void same_chain_many_times(struct device *d)
{
	desc_set(requests(d), 0, BUFFERS, 64, DESC_WRITE, 0);
	for (uint16_t i = 0; i < QUEUE_SIZE; i++)
		queue_offer(requests(d), 0);
	device_kick(d, d->request_queue);
}

/* Event indexes are the driver's to write: any value must do no more than cost interrupts. */
static void event_indexes_lie(struct device *d)
{
	for (uint16_t i = 0; i < 200; i++) {
		requests(d)->avail->used_event = (uint16_t)random_number();
		requests(d)->used->avail_event = (uint16_t)random_number();
		requests(d)->used->idx = (uint16_t)random_number();
		commit_chain(d, (uint16_t)(i % QUEUE_SIZE));
	}
}

static struct queue *raced;

static void flip_descriptors(void)
{
	static const struct desc faces[] = {
		{BUFFERS, 64, 0, 0},
		{BUFFERS, 64, DESC_WRITE | DESC_NEXT, 1},
		{UINT64_MAX, UINT32_MAX, DESC_NEXT, 0xffff},
		{GUEST_RAM_BYTES - 1, 2, DESC_INDIRECT, 0},
		{BUFFERS, 16, DESC_INDIRECT | DESC_WRITE, 0},
	};

	for (uint32_t i = 0; !*cpu_stop_wanted(); i++) {
		const struct desc *face = &faces[i % (sizeof(faces) / sizeof(faces[0]))];

		desc_set(raced, 0, (uint32_t)face->addr, face->len, face->flags, face->next);
		raced->avail->ring[i % QUEUE_SIZE] = (uint16_t)(i % 7 == 0 ? 0xffff : 0);
	}
}

static void race_for_descriptors(struct device *d)
{
	raced = requests(d);
	cpu_start(flip_descriptors);
	for (uint32_t i = 0; i < RACE_KICKS; i++) {
		if (reg_read(d->base + REG_STATUS) & STATUS_NEEDS_RESET)
			device_start(d, FEATURE_INDIRECT | FEATURE_EVENT_IDX);
		commit_chain(d, 0);
	}
	cpu_stop();
}

const struct misdeed ring_misdeeds[] = {
	{"a descriptor that is its own next", 0, loop_of_one},
	{"a chain that is a circle", 0, loop_of_all},
	{"a next outside the queue", 0, next_outside},
	{"a head outside the queue", 0, head_outside},
	{"a buffer outside RAM", 0, outside_ram},
	{"a buffer at the top of the address space", 0, at_the_top},
	{"the device's registers as a buffer", 0, own_registers},
	{"a buffer over the end of RAM", 0, over_the_end_of_ram},
	{"a length of 4 GiB", 0, length_wraps},
	{"an address and a length that wrap", 0, sum_wraps},
	{"a descriptor without length", 0, zero_length},
	{"descriptor flags that do not exist", 0, unknown_flags},
	{"readable after writable", 0, readable_after_writable},
	{"an indirect table of odd length", 0, indirect_odd_length},
	{"an empty indirect table", 0, indirect_empty},
	{"an indirect table in another", 0, indirect_in_indirect},
	{"an indirect descriptor with a next", 0, indirect_and_next},
	{"a circle in an indirect table", 0, indirect_loop},
	{"an indirect table outside RAM", 0, indirect_outside_ram},
	{"an indirect table longer than the queue", 0, indirect_huge},
	{"an available index that jumps", 0, index_jumps},
	{"an available index that goes back", 0, index_goes_back},
	{"one chain offered many times", 0, same_chain_many_times},
	{"event indexes that lie", 0, event_indexes_lie},
	{"descriptors changed by a second vCPU", 0, race_for_descriptors},
	{NULL, 0, NULL},
};
