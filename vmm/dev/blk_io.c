/*
 * Requests under way: the engine's answers go on after short transfers, take a failed merge apart so that one bad sector
 * fails one request, and end in a status byte that is written last. What goes through a buffer is copied by the chain's own
 * functions.
 */
#include <errno.h>
#include <sys/eventfd.h>

#include "base/clock.h"
#include "vmm/dev/blk.h"

/* When the kernel had no memory for an operation. */
#define RETRY_MS 10

/* --- the answer --------------------------------------------------------------------------------------------------- */

struct dev_blk_count *blk_count_of(struct dev_blk_stats *s, enum blk_want want)
{
	struct dev_blk_count *const counts[] = {
		[BLK_READ] = &s->read,     [BLK_WRITE] = &s->write, [BLK_FLUSH] = &s->flush,
		[BLK_DISCARD] = &s->unmap, [BLK_ZERO] = &s->write,
	};

	return counts[want];
}

static void count(struct dev_blk_stats *s, const struct blk_req *req, uint8_t status)
{
	struct dev_blk_count *c = blk_count_of(s, req->want);
	uint64_t end_bytes = req->off_bytes + req->len_bytes;

	if (status != VIRTIO_BLK_S_OK) {
		c->failed++;
		return;
	}
	c->operations++;
	c->time_ns += clock_now_ns() - req->began_ns;
	c->bytes += req->len_bytes;
	if (c == &s->write && end_bytes > s->written_end_bytes)
		s->written_end_bytes = end_bytes;
}

uint32_t blk_used_bytes(uint32_t written_bytes, uint32_t room_bytes)
{
	return written_bytes == room_bytes ? room_bytes + 1 : written_bytes;
}

static bool is_stale(const struct blk_req *req)
{
	return req->epoch != req->blk->epoch || !virtio_running(req->blk->dev);
}

static void finish_one(struct blk_req *req, uint8_t status)
{
	if (!is_stale(req)) {
		if (req->want == BLK_READ && status == VIRTIO_BLK_S_OK)
			req->written_bytes = req->room_bytes;
		count(&req->blk->stats, req, status);
		vq_push_token(&req->token, status,
			      blk_used_bytes(req->written_bytes, req->room_bytes));
	}
	blk_give_req(req);
}

/* The leader and all that hang at it. */
static void finish(struct blk_req *req, uint8_t status)
{
	while (req) {
		struct blk_req *next = req->merged;

		finish_one(req, status);
		req = next;
	}
}

static uint8_t status_of(int64_t result)
{
	if (result == -EOPNOTSUPP)
		return VIRTIO_BLK_S_UNSUPP;
	return result < 0 ? VIRTIO_BLK_S_IOERR : VIRTIO_BLK_S_OK;
}

/* --- what is under way -------------------------------------------------------------------------------------------- */

static void submit(struct blk_req *req, enum block_op op)
{
	req->io.op = op;
	req->io.fd = req->blk->node.fd;
	req->io.dsync = req->blk->write_through;
	block_engine_submit(req->blk->engine, &req->io);
}

static void submit_transfer(struct blk_req *req)
{
	req->io.iov = req->at;
	submit(req, req->want == BLK_READ ? BLOCK_READ : BLOCK_WRITE);
}

/* The next piece of a request that goes through the buffer. */
static void submit_piece(struct blk_req *req)
{
	struct blk_bounce *b = req->blk->bounce;
	size_t len = req->left_bytes < BLK_BOUNCE_BYTES ? req->left_bytes : BLK_BOUNCE_BYTES;

	if (req->want == BLK_WRITE && chain_read(&b->chain, b->buf, len) != len) {
		finish(req, VIRTIO_BLK_S_IOERR);
		return;
	}
	req->brief[0] = (struct iovec){.iov_base = b->buf, .iov_len = len};
	req->at = req->brief;
	req->io.niov = 1;
	submit_transfer(req);
}

/* The vectors behind the bytes already moved. */
static void step_over(struct blk_req *req, uint64_t moved)
{
	while (moved > 0) {
		size_t len = moved < req->at->iov_len ? moved : req->at->iov_len;

		req->at->iov_base = (char *)req->at->iov_base + len;
		req->at->iov_len -= len;
		moved -= len;
		if (req->at->iov_len == 0) {
			req->at++;
			req->io.niov--;
		}
	}
}

static void start_transfer(struct blk_req *req)
{
	req->io.off_bytes = req->off_bytes;
	if (req->bounced)
		submit_piece(req);
	else
		submit_transfer(req);
}

/* Each request of a failed transfer on its own. */
static void take_apart(struct blk_req *req)
{
	blk_give_vector(req->blk, &req->merge_iov);
	while (req) {
		struct blk_req *next = req->merged;

		req->merged = NULL;
		req->left_bytes = req->len_bytes;
		req->at = req->iov;
		req->io.niov = req->niov;
		start_transfer(req);
		req = next;
	}
}

static void bounce_moved(struct blk_req *req, size_t moved)
{
	struct blk_bounce *b = req->blk->bounce;

	if (req->want == BLK_WRITE && moved < req->at->iov_len) {
		step_over(req, moved);
		submit_transfer(req);
		return;
	}
	if (req->want == BLK_READ)
		req->written_bytes += (uint32_t)chain_write(&b->chain, b->buf, moved);
	if (req->left_bytes > 0)
		submit_piece(req);
	else
		finish(req, VIRTIO_BLK_S_OK);
}

static void transfer_done(struct blk_req *req, int64_t result)
{
	/* An end of file inside the capacity is a file that was cut behind our back. */
	if (result <= 0 || is_stale(req)) {
		if (req->merged && !is_stale(req))
			take_apart(req);
		else
			finish(req, VIRTIO_BLK_S_IOERR);
		return;
	}
	req->left_bytes -= (uint64_t)result;
	req->io.off_bytes += (uint64_t)result;
	if (req->bounced) {
		bounce_moved(req, (size_t)result);
	} else if (req->left_bytes > 0) {
		if (req->want == BLK_READ && !req->merged)
			req->written_bytes += (uint32_t)result;
		step_over(req, (uint64_t)result);
		submit_transfer(req);
	} else {
		finish(req, VIRTIO_BLK_S_OK);
	}
}

/* A hole reads as zeros, and zeros do for a hole: where a disk cannot do the one it may do the other. */
static void erase_done(struct blk_req *req, int64_t result)
{
	if (is_stale(req) || req->syncing) {
		finish(req, status_of(result));
	} else if (result == -EOPNOTSUPP && req->want == BLK_ZERO && !req->retried) {
		req->retried = true;
		submit(req, req->unmap ? BLOCK_ZERO : BLOCK_PUNCH);
	} else if (result == 0 && req->blk->write_through) {
		req->syncing = true;
		submit(req, BLOCK_FLUSH);
	} else {
		finish(req, status_of(result));
	}
}

void blk_io_done(struct block_io *io, int64_t result)
{
	struct blk_req *req = container_of(io, struct blk_req, io);

	switch (req->want) {
	case BLK_READ:
	case BLK_WRITE:
		transfer_done(req, result);
		return;
	case BLK_DISCARD:
	case BLK_ZERO:
		erase_done(req, result);
		return;
	case BLK_FLUSH:
	case BLK_NOTHING:
		finish(req, status_of(result));
		return;
	}
}

static enum block_op erase_op(const struct blk_req *req)
{
	if (req->want == BLK_DISCARD)
		return req->blk->node.is_device ? BLOCK_DISCARD : BLOCK_PUNCH;
	return req->unmap ? BLOCK_PUNCH : BLOCK_ZERO;
}

void blk_io_start(struct blk_req *req)
{
	switch (req->want) {
	case BLK_READ:
	case BLK_WRITE:
		start_transfer(req);
		return;
	case BLK_DISCARD:
	case BLK_ZERO:
		req->io.off_bytes = req->off_bytes;
		req->io.len_bytes = req->len_bytes;
		submit(req, erase_op(req));
		return;
	case BLK_FLUSH:
	case BLK_NOTHING:
		submit(req, BLOCK_FLUSH);
		return;
	}
}

/* --- the engine's answers ----------------------------------------------------------------------------------------- */

bool blk_io_commit(struct blk *blk)
{
	bool ok = block_engine_commit(blk->engine);

	if (!ok && loop_arm(blk->retry, RETRY_MS) < 0)
		virtio_break(blk->dev, "no memory for its requests");
	return ok;
}

static void wake_queues(struct blk *blk)
{
	blk->stalled = false;
	for (uint16_t i = 0; i < virtio_nqueues(blk->dev); i++)
		virtio_notify(blk->dev, i);
}

bool blk_io_reap(struct blk *blk)
{
	bool ok;

	block_engine_reap(blk->engine);
	ok = blk_io_commit(blk);
	if (blk->in_flight == 0) {
		if (blk->drainers > 0)
			(void)eventfd_write(blk->idle_fd, 1);
		blk->stalled |= blk->draining;
		blk->draining = false;
		if (!blk->present)
			block_node_close(&blk->node);
	}
	if (blk->stalled && !blk->draining)
		wake_queues(blk);
	for (uint16_t i = 0; i < virtio_nqueues(blk->dev); i++)
		virtio_interrupt(blk->dev, virtio_queue(blk->dev, i));
	return ok;
}

static void wait_unlocked(const struct blk *blk, int timeout_ms)
{
	virtio_unlock(blk->dev);
	block_engine_wait(blk->engine, blk->idle_fd, timeout_ms);
	virtio_lock(blk->dev);
}

bool blk_io_drain(struct blk *blk, int timeout_ms)
{
	uint64_t deadline_ms = clock_now_ms() + (uint64_t)timeout_ms;
	bool committed = blk_io_reap(blk);
	eventfd_t count;

	blk->drainers++;
	while (blk->in_flight > 0) {
		int left_ms = clock_ms_left(deadline_ms);

		if (left_ms == 0)
			break;
		wait_unlocked(blk, committed || left_ms < RETRY_MS ? left_ms : RETRY_MS);
		committed = blk_io_reap(blk);
	}
	if (--blk->drainers == 0)
		(void)eventfd_read(blk->idle_fd, &count);
	return blk->in_flight == 0;
}
