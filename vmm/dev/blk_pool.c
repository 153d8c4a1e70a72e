/* What a disk has a bounded number of: requests under way, and vectors for those of many pieces (vmm/dev/blk.h). */
#include "vmm/dev/blk.h"

struct iovec *blk_take_vector(struct blk *blk)
{
	if (blk->nfree_long > 0)
		return blk->free_long[--blk->nfree_long];
	if (blk->nused_long < BLK_LONG_VECTORS)
		return blk->long_iov + BLK_LONG_IOV * blk->nused_long++;
	return NULL;
}

void blk_give_vector(struct blk *blk, struct iovec **iov)
{
	if (*iov)
		blk->free_long[blk->nfree_long++] = *iov;
	*iov = NULL;
}

/* Fresh ones last, so that an idle disk touches few pages. */
struct blk_req *blk_take_req(struct blk *blk)
{
	struct blk_req *req = blk->free_reqs;

	if (req)
		blk->free_reqs = req->next;
	else if (blk->nused_reqs < BLOCK_DEPTH)
		req = &blk->reqs[blk->nused_reqs++];
	else
		return NULL;
	blk->in_flight++;
	*req = (struct blk_req){.blk = blk, .epoch = blk->epoch};
	return req;
}

void blk_give_req(struct blk_req *req)
{
	struct blk *blk = req->blk;

	blk_give_vector(blk, &req->long_iov);
	blk_give_vector(blk, &req->merge_iov);
	if (req->bounced)
		blk->bounce->busy = false;
	req->next = blk->free_reqs;
	blk->free_reqs = req;
	blk->in_flight--;
}
