/*
 * The inodes the guest knows. Each holds an O_PATH descriptor, so the host cannot reuse its inode
 * number while the guest has it, and is found again by (mount id, device, inode number): a bind
 * mount of the same directory is another inode, as it may have another policy. An inode lives as
 * long as the guest's count of lookups is not zero; the root lives for ever.
 *
 * Who else may change a file decides how long the guest may trust its cache, and that follows
 * from the place in the shared tree (runtime/sandbox lays it out):
 *
 *	/                     FS_TOP         kept for a second
 *	/ID                   FS_CONTAINER   kept for a second
 *	/ID/rootfs            FS_EXCLUSIVE   nobody else writes: kept for good, misses too
 *	/ID/rootfs/...        FS_EXCLUSIVE   on the same mount only
 *	anything else         FS_SHARED      a volume: kept for a second
 */
#ifndef NACRE_VMM_DEV_FS_INODE_H
#define NACRE_VMM_DEV_FS_INODE_H

#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "base/compiler.h"
#include "vmm/dev/fs/ids.h"

enum fs_share { FS_TOP, FS_CONTAINER, FS_EXCLUSIVE, FS_SHARED };

struct fs_inode {
	uint64_t mnt_id;
	uint64_t ino;
	uint32_t dev_major, dev_minor;
	mode_t type; /* S_IFMT bits; cannot change while fd is held */
	enum fs_share share;
	int fd; /* O_PATH, owned */
	uint64_t id;
	uint64_t nlookup;
	struct fs_inode *next; /* in its hash bucket */
};

struct fs_inodes {
	struct fs_ids ids;
	struct fs_inode **buckets;
	size_t nbuckets; /* power of two */
};

/* Takes root_fd on success. 0 or -errno. `max` inodes at once, the root among them. */
int fs_inodes_init(struct fs_inodes *t, int root_fd, uint32_t max) MUST_CHECK;
void fs_inodes_done(struct fs_inodes *t);

/* Lent; NULL when the guest has no such inode. */
struct fs_inode *fs_inode_get(const struct fs_inodes *t, uint64_t id);

/*
 * The inode behind *fd (O_PATH, described by st), known or new, with one lookup more. The
 * descriptor is taken on success. `name` is what it is called in `parent`. 0, -ENFILE, -ENOMEM.
 */
int fs_inode_intern(struct fs_inodes *t, const struct fs_inode *parent, const char *name, int *fd,
		    const struct statx *st, struct fs_inode **out) MUST_CHECK;

/* Takes n lookups back; the inode is gone at zero. Numbers unknown or too large do no harm. */
void fs_inode_forget(struct fs_inodes *t, uint64_t id, uint64_t n);
/* The guest has forgotten everything but the root. */
void fs_inodes_forget_all(struct fs_inodes *t);

/* statx of a descriptor with all this server wants to know. 0 or -errno. */
int fs_stat(int fd, struct statx *st) MUST_CHECK;

#endif
