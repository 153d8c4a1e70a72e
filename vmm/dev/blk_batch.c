/*
 * From the ring to the disk. A kick takes what waits, a batch; reads, or writes, of it that follow one another on the disk
 * become one operation. Vectors into guest memory are handed to the kernel, never followed; memory that the disk cannot
 * reach directly (O_DIRECT and an odd address) sends its request through a buffer.
 */
#include <string.h>

#include "base/clock.h"
#include "vmm/dev/blk.h"

void blk_batch_init(struct blk *blk)
{
	blk->batch_end = &blk->batch;
}

static bool merges(const struct blk_req *lead, const struct blk_req *req, uint32_t nreqs)
{
	return (lead->want == BLK_READ || lead->want == BLK_WRITE) && lead->want == req->want &&
	       !lead->bounced && !req->bounced && nreqs < BLK_MERGE_MAX &&
	       lead->off_bytes + lead->left_bytes == req->off_bytes &&
	       lead->io.niov + req->niov <= BLK_LONG_IOV;
}

static bool merge(struct blk_req *lead, struct blk_req **last, struct blk_req *req)
{
	if (!lead->merge_iov) {
		lead->merge_iov = blk_take_vector(lead->blk);
		if (!lead->merge_iov)
			return false;
		memcpy(lead->merge_iov, lead->iov, lead->niov * sizeof(lead->iov[0]));
		lead->at = lead->merge_iov;
	}
	memcpy(lead->merge_iov + lead->io.niov, req->iov, req->niov * sizeof(req->iov[0]));
	lead->io.niov += req->niov;
	lead->left_bytes += req->len_bytes;
	blk_count_of(&lead->blk->stats, req->want)->merged++;
	(*last)->merged = req;
	*last = req;
	return true;
}

/* With what follows it in the batch; the next leader. */
static struct blk_req *gather(struct blk_req *lead)
{
	struct blk_req *last = lead;
	struct blk_req *req = lead->next;

	for (uint32_t n = 1; req && merges(lead, req, n); n++) {
		if (!merge(lead, &last, req))
			break;
		req = req->next;
	}
	return req;
}

void blk_batch_go(struct blk *blk)
{
	struct blk_req *req = blk->batch;

	blk->batch = NULL;
	blk->batch_end = &blk->batch;
	while (req) {
		struct blk_req *next = gather(req);

		blk_io_start(req);
		req = next;
	}
	(void)blk_io_commit(blk);
}

static int chain_vectors(const struct blk *blk, const struct blk_req *req, struct iovec *iov,
			 int max)
{
	return req->want == BLK_READ ? chain_writable_iov(&blk->chain, req->len_bytes, iov, max)
				     : chain_readable_iov(&blk->chain, req->len_bytes, iov, max);
}

static bool is_aligned(const struct blk_req *req, uint32_t align_bytes)
{
	for (uint32_t i = 0; i < req->niov; i++) {
		if (((uintptr_t)req->iov[i].iov_base | req->iov[i].iov_len) & (align_bytes - 1))
			return false;
	}
	return true;
}

/* false: no long vector, or no buffer, is free now. */
static bool set_vectors(struct blk *blk, struct blk_req *req)
{
	int n = chain_vectors(blk, req, req->brief, BLK_SHORT_IOV);

	req->iov = req->brief;
	if (n == 0) {
		req->iov = req->long_iov = blk_take_vector(blk);
		if (!req->iov)
			return false;
		n = chain_vectors(blk, req, req->iov, BLK_LONG_IOV);
	}
	req->niov = req->io.niov = (uint32_t)n;
	req->at = req->iov;
	if (is_aligned(req, blk->node.align_bytes))
		return true;
	if (blk->bounce->busy)
		return false;
	blk_give_vector(blk, &req->long_iov);
	req->bounced = blk->bounce->busy = true;
	blk->bounce->chain = blk->chain;
	return true;
}

/* The chain just popped becomes a request of the batch. false: it must wait. */
static bool enlist(struct blk *blk, const struct blk_parsed *p, const struct vq_token *token)
{
	struct blk_req *req = blk_take_req(blk);

	if (!req)
		return false;
	req->io.done = blk_io_done;
	req->token = *token;
	req->want = p->want;
	req->began_ns = clock_now_ns();
	req->unmap = p->unmap;
	req->off_bytes = p->off_bytes;
	req->len_bytes = req->left_bytes = p->len_bytes;
	req->room_bytes = (uint32_t)chain_write_left(&blk->chain) - 1;
	if ((p->want == BLK_READ || p->want == BLK_WRITE) && !set_vectors(blk, req)) {
		blk_give_req(req);
		return false;
	}
	*blk->batch_end = req;
	blk->batch_end = &req->next;
	return true;
}

/* A request that is its own answer. */
static void answer(struct blk *blk, const struct blk_parsed *p, const struct vq_token *token)
{
	uint32_t room = blk->chain.writable_bytes - 1;

	if (p->asked != BLK_NOTHING && p->status != VIRTIO_BLK_S_OK)
		blk_count_of(&blk->stats, p->asked)->invalid++;
	vq_push_token(token, p->status, blk_used_bytes(p->written_bytes, room));
}

bool blk_batch_take(struct blk *blk, struct vq *q)
{
	while (!blk->draining && vq_pop(q, &blk->chain)) {
		struct blk_parsed parsed;
		struct vq_token token;

		if (!blk_parse(&blk->chain, blk, &parsed) || !vq_take_token(&blk->chain, &token))
			return false;
		if (parsed.want == BLK_NOTHING) {
			answer(blk, &parsed, &token);
		} else if (!enlist(blk, &parsed, &token)) {
			vq_unpop(&blk->chain);
			blk->stalled = true;
			return true;
		}
	}
	return true;
}
