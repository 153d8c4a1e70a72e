/*
 * Writable chains taken from a queue ahead of time and filled as one stream: a message whose length shows only when it is read
 * may need one chain or many (virtio 1.2, 5.1.6.3.2: mergeable receive buffers). What a message leaves over stays for the
 * next one, so each chain is walked once.
 *
 * Thread: as of the queue. After a reset of the queue call gather_init before anything else.
 */
#ifndef NACRE_VMM_VIRTIO_GATHER_H
#define NACRE_VMM_VIRTIO_GATHER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/compiler.h"
#include "vmm/virtio/queue.h"

#define GATHER_MAX_CHAINS 256

struct vq_gather {
	struct vq *vq;
	uint64_t room_bytes; /* of all chains */
	uint16_t nchains;
	uint16_t nsegs;
	struct gather_chain {
		uint32_t bytes;
		uint16_t head;
		uint16_t nsegs;
	} chains[GATHER_MAX_CHAINS];
	struct vq_seg segs[VQ_GATHER_SEGS];
};

/* Empty; what was in it is forgotten. */
void gather_init(struct vq_gather *g, struct vq *q);

/* Takes over the writable part of a chain just popped. false: there is no place, the chain is still the caller's. */
bool gather_add(struct vq_gather *g, const struct vq_chain *c) MUST_CHECK;

/*
 * Reads one message into the chains, and what does not fit into `rest`. Its length, of which only the first room_bytes are in
 * the chains; 0 at end of file, or -errno. Needs a chain.
 */
ssize_t gather_recv(struct vq_gather *g, void *rest, size_t rest_len, int fd);

/* Copies to `off` bytes behind the start; false when outside. */
bool gather_write(struct vq_gather *g, uint32_t off, const void *src, size_t len) MUST_CHECK;

/* Into how many chains `len` bytes go; 0 when there is no room for them. */
uint16_t gather_count(const struct vq_gather *g, uint64_t len);

/* Gives back the chains of the first `len` bytes, 0 < len <= room_bytes, in one step. */
void gather_push(struct vq_gather *g, uint32_t len);

#endif
