/*
 * A queue whose rings and descriptors are the input, byte for byte: 64 KiB of RAM begin with it. The first byte chooses the
 * negotiated features and what is done with each chain.
 */
#include <stdlib.h>
#include <string.h>

#include "vmm/gmem.h"
#include "vmm/virtio/queue.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define RAM_BYTES  65536
#define RING_SIZE  8
#define DESC_AT    0
#define AVAIL_AT   128
#define USED_AT    256
#define MAX_CHAINS 64

static void use_chain(struct vq_chain *c, uint8_t how)
{
	uint8_t bytes[512];
	size_t n = chain_read(c, bytes, how);

	memset(bytes, how, sizeof(bytes));
	if (!chain_read_skip(c, chain_read_left(c) / 2))
		abort();
	n += chain_write(c, bytes, how);
	if (!chain_write_skip(c, chain_write_left(c) / 2))
		abort();
	(void)chain_write_at(c, n, bytes, how);
	(void)chain_read(c, bytes, sizeof(bytes));
	(void)chain_write(c, bytes, sizeof(bytes));
	if (c->read_done > c->readable_bytes || c->write_done > c->writable_bytes)
		abort();
}

static void run(struct gmem *mem, struct vq_chain *chain, uint8_t how)
{
	struct vq q = {.size_max = RING_SIZE};

	vq_reset(&q);
	q.desc = GPA(DESC_AT);
	q.avail = GPA(AVAIL_AT);
	q.used = GPA(USED_AT);
	if (!vq_start(&q, mem, how & 1, how & 2))
		abort();
	for (int i = 0; i < MAX_CHAINS && vq_pop(&q, chain); i++) {
		if (chain->nsegs == 0 || chain->nsegs > RING_SIZE)
			abort();
		use_chain(chain, how);
		if (how & 4)
			vq_unpop(chain);
		else
			vq_push(chain);
		(void)vq_wants_interrupt(&q);
	}
	if (q.broken != (q.why != NULL))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct gmem_range ram = {.at = GPA(0), .len_bytes = RAM_BYTES};
	CLEANUP(own_gmem_destroy) struct gmem *mem = NULL;
	AUTO_FREE struct vq_chain *chain = malloc(sizeof(*chain));

	if (size < 1 || size > RAM_BYTES || !chain || gmem_create(&ram, 1, &mem, NULL) < 0)
		return 0;
	if (gmem_write(mem, GPA(0), data + 1, size - 1))
		run(mem, chain, data[0]);
	return 0;
}
