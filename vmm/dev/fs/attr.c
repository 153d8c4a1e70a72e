/* Attributes as FUSE wants them, and how long they hold. */
#include <string.h>

#include "vmm/dev/fs/state.h"

#define KEEP_S (24 * 3600)

uint64_t fs_valid_s(enum fs_share share)
{
	return share == FS_EXCLUSIVE ? KEEP_S : 1;
}

/* The guest kernel's new_decode_dev undoes this. */
static uint32_t encode_dev(uint32_t major, uint32_t minor)
{
	return (minor & 0xff) | major << 8 | (minor & ~0xffU) << 12;
}

void fs_attr_fill(const struct statx *st, struct fuse_attr *out)
{
	memset(out, 0, sizeof(*out));
	out->ino = st->stx_ino;
	out->size = st->stx_size;
	out->blocks = st->stx_blocks;
	out->atime = (uint64_t)st->stx_atime.tv_sec;
	out->mtime = (uint64_t)st->stx_mtime.tv_sec;
	out->ctime = (uint64_t)st->stx_ctime.tv_sec;
	out->atimensec = st->stx_atime.tv_nsec;
	out->mtimensec = st->stx_mtime.tv_nsec;
	out->ctimensec = st->stx_ctime.tv_nsec;
	out->mode = st->stx_mode;
	out->nlink = st->stx_nlink;
	out->uid = st->stx_uid;
	out->gid = st->stx_gid;
	out->rdev = encode_dev(st->stx_rdev_major, st->stx_rdev_minor);
	out->blksize = st->stx_blksize;
}
