/*
 * An open disk image: its descriptor, its geometry, its lock and what can be erased in it. The descriptor came from outside
 * (the jailed vmm opens nothing); a regular file or a block device.
 */
#ifndef NACRE_VMM_BLOCK_NODE_H
#define NACRE_VMM_BLOCK_NODE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"

#define BLOCK_SECTOR_BYTES 512U

struct block_node_params {
	int fd;           /* open for reading, and for writing unless `readonly` */
	const char *name; /* for messages; NULL: "descriptor N" */
	bool readonly;
	bool direct;  /* past the host's page cache, where the file system can */
	bool no_lock; /* others may have the image, and write to it */
	uint32_t
		block_max_bytes; /* a block size past this is not wanted: `direct` is given up then, or the device's goes untold */
};

struct block_node {
	int fd; /* owned; -1: none */
	bool readonly;
	bool direct;
	bool is_device; /* a block device: discarded by BLOCK_DISCARD, not by a hole */
	bool can_discard;
	bool can_zero;
	bool locked;
	uint64_t capacity_bytes; /* multiple of BLOCK_SECTOR_BYTES */
	uint32_t
		block_bytes; /* offsets and lengths are multiples: 512 unless the device or `direct` asks for more */
	uint32_t
		physical_bytes; /* what the disk writes at once, as far as it is known; >= block_bytes */
	uint32_t erase_bytes; /* the same of what is discarded or zeroed; >= block_bytes */
	uint32_t align_bytes; /* addresses of memory are multiples; 1 unless `direct` */
};

#define BLOCK_NODE_NONE                                                                            \
	{                                                                                          \
		.fd = -1                                                                           \
	}

/*
 * Takes the lock: alone for who writes, together for readers (an open file description lock, which dies with the last
 * descriptor of it). -EAGAIN when someone else has the image. The descriptor stays the caller's on failure.
 */
int block_node_open(const struct block_node_params *p, struct block_node *out,
		    struct err *err) MUST_CHECK;
/* Gives the lock back; the descriptor stays open. */
void block_node_unlock(struct block_node *node);
/* Gives the lock back, closes, and leaves BLOCK_NODE_NONE. */
void block_node_close(struct block_node *node);

#endif
