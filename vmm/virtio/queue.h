/*
 * Split virtqueues (virtio 1.2, 2.7) with INDIRECT_DESC and EVENT_IDX. The one place that walks descriptors: vq_pop checks
 * head and next < size, chain length <= size, readable before writable, zero length, indirect rules, index step, and hands
 * out a chain copied from guest memory once, whose segments are known to be RAM; chain.c moves its bytes. A broken rule sets
 * the queue broken; the core then sets DEVICE_NEEDS_RESET. Addresses and sizes come from the transport, are checked at vq_start.
 *
 * Thread: under the lock of the device that owns the queue.
 */
#ifndef NACRE_VMM_VIRTIO_QUEUE_H
#define NACRE_VMM_VIRTIO_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "base/compiler.h"
#include "vmm/gmem.h"

#define VQ_MAX_SIZE 1024 /* entries; also the most segments one chain may have, indirect included */

struct vq {
	/* What the transport set, valid while !ready too. */
	uint16_t size;     /* entries, power of two, <= size_max */
	uint16_t size_max; /* what the device offers */
	struct gpa desc, avail, used;
	bool ready; /* QueueReady written 1 and vq_start accepted it */

	/* The device's own view, reset by vq_reset. */
	struct gmem *mem;
	bool event_idx;
	bool indirect;
	bool broken;
	uint16_t avail_next; /* next avail ring index to look at */
	uint16_t used_next;  /* next used ring index to fill */
	uint16_t signalled;  /* used index when an interrupt was last thought about */
	/* Requests vq_pop may still hand out, VQ_NO_BUDGET outside of a kick: see virtio.c. */
	uint32_t budget;
	const char *why; /* the broken rule, a constant; NULL unless broken */
};

#define VQ_NO_BUDGET UINT32_MAX

struct vq_seg {
	struct gpa at;
	uint32_t len; /* bytes, > 0 */
};

/* One checked request. Embedded in the device's state (it is about 16 KiB), refilled by each vq_pop. */
struct vq_chain {
	struct vq *vq;
	uint16_t head;
	uint16_t nsegs; /* readable ones first */
	uint16_t nreadable;
	uint32_t readable_bytes,
		writable_bytes; /* totals; they never overflow: a chain past 4 GiB-1 is refused */
	uint32_t read_done, write_done; /* how far the cursors below have come */
	struct vq_seg segs[VQ_MAX_SIZE];
};

/* Forgets ring positions and everything the transport set. */
void vq_reset(struct vq *q);

/* Checks alignment, size and that all three rings are RAM (virtio 1.2, 2.7). false: refused, stays not ready. */
bool vq_start(struct vq *q, struct gmem *mem, bool event_idx, bool indirect) MUST_CHECK;

/*
 * true: *out is the next request. false: nothing there, or q->broken was set. The device need not turn notifications on
 * for what comes later (unless it turned them off): an empty queue asks the driver to notify before it says empty.
 */
bool vq_pop(struct vq *q, struct vq_chain *out) MUST_CHECK;

/* Gives the chain back with chain->write_done as the used length. */
void vq_push(struct vq_chain *chain);
/*
 * What is left of a chain whose answer comes later, when the chain itself has been refilled: enough to write its last
 * writable byte and to give it back. false when it has no writable byte.
 */
struct vq_token {
	struct vq *vq;
	struct gpa last;
	uint16_t head;
};
bool vq_take_token(const struct vq_chain *chain, struct vq_token *out) MUST_CHECK;
/* Writes `last`, then gives the chain back with `len` as the used length. */
void vq_push_token(const struct vq_token *token, uint8_t last, uint32_t len);
/* Undoes the vq_pop just made, so that the same request comes again (receive queues short of data). */
void vq_unpop(struct vq_chain *chain);
/* Gives `n` chains back in one step: a driver that sees the first sees all. n <= what was popped and not given back. */
struct vq_used {
	uint32_t len_bytes;
	uint16_t head;
};
void vq_push_all(struct vq *q, const struct vq_used *used, size_t n);

/* After a batch of pushes: does the driver want an interrupt (EVENT_IDX or the avail flag)? */
bool vq_wants_interrupt(struct vq *q);

/* --- a chain's bytes: each call goes on where the last one stopped ------------------------------------------- */

/* Copies from the readable part; bytes copied (fewer than len at its end). */
size_t chain_read(struct vq_chain *c, void *dst, size_t len);
/* Copies into the writable part; bytes copied. */
size_t chain_write(struct vq_chain *c, const void *src, size_t len);
size_t chain_read_left(const struct vq_chain *c);
size_t chain_write_left(const struct vq_chain *c);
/* Steps over readable or writable bytes without touching them; false when fewer are left (nothing moves then). */
bool chain_read_skip(struct vq_chain *c, size_t len) MUST_CHECK;
bool chain_write_skip(struct vq_chain *c, size_t len) MUST_CHECK;
/*
 * Rewrites bytes already written or skipped at `at` from the start of the writable part (a header whose content is
 * known last). false when outside.
 */
bool chain_write_at(struct vq_chain *c, size_t at, const void *src, size_t len) MUST_CHECK;

/*
 * Where the next `len` bytes of either part lie in this process, for a transfer that outlives the call; the cursor stays.
 * For vmm/dev/blk_batch.c alone (`make lint`), which hands them to the kernel and never follows them; they hold as long as the
 * guest has its memory. Vectors filled, 0 when there are not `len` bytes or `max` are too few for them.
 */
int chain_readable_iov(const struct vq_chain *c, size_t len, struct iovec *iov, int max);
int chain_writable_iov(const struct vq_chain *c, size_t len, struct iovec *iov, int max);

/*
 * Straight from the readable part to a file, or from a file into the writable part, without a copy. At most `len` bytes;
 * `off` < 0 means the descriptor's own position or a socket/pipe (readv/writev), else preadv2/pwritev2 with `flags`
 * (RWF_*). Short transfers as of the system call. Bytes moved (the cursor moves as far), 0 at end of file, or -errno.
 */
ssize_t chain_to_fd(struct vq_chain *c, size_t len, int fd, off_t off, int flags);
ssize_t chain_from_fd(struct vq_chain *c, size_t len, int fd, off_t off, int flags);
/*
 * One message (a frame to a tap): `head`, then all that is left of the readable part, in one write. Bytes written, the head's
 * included, or -errno (EMSGSIZE: more segments than one write takes); the cursor does not move.
 */
ssize_t chain_send(const struct vq_chain *c, const void *head, size_t head_len, int fd);

/* --- segments of several chains, in a row: for gather.c ------------------------------------------------------- */

/* At most this many, since one more vector is the caller's own. */
#define VQ_GATHER_SEGS (VQ_MAX_SIZE - 1)

/*
 * One message into the segments, and what does not fit there into `rest`. Bytes, 0 at end of file, or -errno. Each segment is
 * RAM, as vq_pop has found it to be.
 */
ssize_t segs_recv(const struct gmem *mem, const struct vq_seg *segs, size_t n, void *rest,
		  size_t rest_len, int fd);
/* Copies to `off` bytes behind their start; false when outside. */
bool segs_write(struct gmem *mem, const struct vq_seg *segs, size_t n, uint32_t off,
		const void *src, size_t len) MUST_CHECK;

#endif
