/*
 * The block device from inside, for its own files:
 *
 *	blk.c          the device: made, filled, emptied, kicked, reset
 *	blk_config.c   features and configuration space (virtio 1.2, 5.2.3, 5.2.4)
 *	blk_request.c  one request, from a chain to what the disk is to do
 *	blk_pool.c     what there is a bounded number of
 *	blk_batch.c    a batch of requests, merged, from the ring to the disk
 *	blk_io.c       what is under way: gone on with after short transfers, answered
 *
 * Everything here is called with the device's lock held; blk_io_drain alone lets go of it. What is under way is bounded by BLOCK_DEPTH requests and
 * BLK_LONG_VECTORS long vectors; a request that finds none stays in its ring until something is finished.
 */
#ifndef NACRE_VMM_DEV_BLK_H
#define NACRE_VMM_DEV_BLK_H

#include <linux/virtio_blk.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/compiler.h"
#include "base/loop.h"
#include "vmm/block/engine.h"
#include "vmm/block/node.h"
#include "vmm/dev/dev.h"
#include "vmm/virtio/virtio.h"

#define BLK_QUEUE_SIZE   256
#define BLK_SECTOR_SHIFT 9

/* DISCARD and WRITE_ZEROES: one range a request, of at most so many sectors (1 GiB). */
#define BLK_RANGE_SECTORS_MAX (1U << 21)

/* Requests that one read or write may answer. */
#define BLK_MERGE_MAX 32

/* Vectors in a request itself, and in each of the long ones. */
#define BLK_SHORT_IOV    8
#define BLK_LONG_IOV     VQ_MAX_SIZE
#define BLK_LONG_VECTORS 32

#define BLK_BOUNCE_BYTES (256U << 10)
#define BLK_BOUNCE_ALIGN 4096

/* What a request wants of the disk; NOTHING: it has its answer. */
enum blk_want { BLK_NOTHING, BLK_READ, BLK_WRITE, BLK_FLUSH, BLK_DISCARD, BLK_ZERO };

/* A request as parsed, still in its chain. */
struct blk_parsed {
	enum blk_want want;
	enum blk_want asked; /* what it was before it got its answer */
	uint8_t status;      /* NOTHING: the answer */
	bool unmap;          /* ZERO: a hole will do */
	uint64_t off_bytes;  /* inside the disk, as off + len */
	uint64_t len_bytes;
	uint32_t written_bytes; /* into the chain by now, the status not counted */
};

struct blk;

/* A request under way. It leads a transfer of its own, or hangs at the `merged` of the one that leads. */
struct blk_req {
	struct block_io io; /* the leader's */
	struct blk *blk;
	struct blk_req *next; /* free, or waiting to be merged */
	struct blk_req *merged;
	struct vq_token token;
	enum blk_want want;
	uint64_t began_ns;
	uint32_t epoch; /* the device's when it came: an older one is not answered */
	bool unmap;
	bool retried; /* ZERO: the other way */
	bool bounced;
	bool syncing; /* an erased range goes on to the disk */
	uint64_t off_bytes;
	uint64_t len_bytes;
	uint64_t left_bytes;    /* READ, WRITE: of the whole transfer, the leader's */
	uint32_t room_bytes;    /* writable, before the status */
	uint32_t written_bytes; /* of these */
	uint32_t niov;
	struct iovec *iov;       /* its own: `brief` or `long_iov` */
	struct iovec *long_iov;  /* taken, or NULL, as the next */
	struct iovec *merge_iov; /* the whole transfer's, the leader's */
	struct iovec *at;        /* in one of these: what is still to be moved */
	struct iovec brief[BLK_SHORT_IOV];
};

/* The one request whose memory the disk cannot reach directly: it goes by pieces through a buffer. */
struct blk_bounce {
	bool busy;
	uint8_t *buf; /* BLK_BOUNCE_BYTES, aligned to a page */
	struct vq_chain chain;
};

struct blk {
	struct virtio_dev *dev; /* owns us */
	struct block_engine *engine;
	struct loop_source *engine_source;
	struct loop_source *retry; /* timer: the kernel was short of memory */

	struct block_node node;           /* open until nothing is under way any more */
	int reset_wait_ms, empty_wait_ms; /* how long each waits for what is under way */
	bool present;                     /* the guest has it */
	char serial[VIRTIO_BLK_ID_BYTES + 1];
	uint32_t block_max_bytes; /* what the guest was told of blocks, for disks that come later */
	struct dev_blk_stats stats;

	uint64_t features; /* negotiated */
	struct virtio_blk_config config;
	bool write_through;

	uint32_t epoch;     /* resets so far */
	uint32_t in_flight; /* requests taken from the pool */
	uint32_t drainers;  /* threads in blk_io_drain */
	int idle_fd;   /* eventfd: tells drainers that another thread has reaped the last one */
	bool stalled;  /* requests wait in a ring for a place here */
	bool draining; /* a reset gave up waiting: no request is taken until the old ones are gone */
	struct blk_req *free_reqs;
	struct blk_req *batch, **batch_end; /* of this kick, to be merged */
	uint32_t nused_reqs;                /* of reqs, ever; the same for long_iov below */
	uint16_t nfree_long, nused_long;
	struct iovec *free_long[BLK_LONG_VECTORS];
	struct iovec *
		long_iov; /* BLK_LONG_VECTORS of BLK_LONG_IOV: pages are touched as they are used */
	struct blk_bounce *bounce; /* NULL unless the disk asks for alignment */
	struct vq_chain chain;
	struct blk_req reqs[BLOCK_DEPTH];
};

/* --- blk_config.c: pure ----------------------------------------------------------------------------------------- */

/* Fills what never changes; the device's features. A spare slot's node is BLOCK_NODE_NONE. */
uint64_t blk_configure(struct virtio_blk_config *config, const struct block_node *node, bool spare,
		       uint16_t queues);
/* virtio 1.2, 5.2.5.2: whether each write goes through to the disk. */
bool blk_is_write_through(uint64_t features, uint8_t writeback);

/* --- blk_request.c ---------------------------------------------------------------------------------------------- */

/* false: the chain has no header or no place for a status, and cannot be answered. */
bool blk_parse(struct vq_chain *chain, const struct blk *blk, struct blk_parsed *out) MUST_CHECK;

/* --- blk_pool.c ------------------------------------------------------------------------------------------------- */

/* A fresh request, in flight from now on; NULL: none is left. It gives back its vectors and the buffer, too. */
struct blk_req *blk_take_req(struct blk *blk) MUST_CHECK;
void blk_give_req(struct blk_req *req);
/* Of BLK_LONG_IOV entries; NULL: none is left. */
struct iovec *blk_take_vector(struct blk *blk) MUST_CHECK;
/* Leaves NULL in *iov; nothing when it is. */
void blk_give_vector(struct blk *blk, struct iovec **iov);

/* --- blk_batch.c ------------------------------------------------------------------------------------------------ */

void blk_batch_init(struct blk *blk);
/* Takes what waits in the queue. false: a chain could not be answered. */
bool blk_batch_take(struct blk *blk, struct vq *q) MUST_CHECK;
/* Starts what was taken, merged. */
void blk_batch_go(struct blk *blk);

/* --- blk_io.c --------------------------------------------------------------------------------------------------- */

/* Where such a request is counted; not for NOTHING. */
struct dev_blk_count *blk_count_of(struct dev_blk_stats *stats, enum blk_want want);

/*
 * virtio 1.2, 2.7.8.2: the used length says how much is written from the start on without a gap, so a status behind data
 * that is not there does not count. `room_bytes` is the writable part without the status.
 */
uint32_t blk_used_bytes(uint32_t written_bytes, uint32_t room_bytes);
/* A request's io.done. */
void blk_io_done(struct block_io *io, int64_t result);
/* A request as the batch has set it, or with those merged into it, to the engine; under way from the next commit on. */
void blk_io_start(struct blk_req *req);
/* false: the kernel is short of memory; a timer will try again. */
bool blk_io_commit(struct blk *blk);
/* What finished is answered; requests that waited for a place come next. false: the kernel is short of memory. */
bool blk_io_reap(struct blk *blk);
/*
 * Reaps until nothing is under way; false after timeout_ms. It waits without the lock, so that registers are served and the
 * device's own thread may reap, too; the caller has seen to it that nothing new is begun.
 */
bool blk_io_drain(struct blk *blk, int timeout_ms) MUST_CHECK;

#endif
