/*
 * The table of inodes (inode.h): numbers by ids.c, and a chained hash over (mount id, device,
 * inode number).
 */
#include "vmm/dev/fs/inode.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/own.h"

#define FIRST_BUCKETS 256 /* power of two */

int fs_stat(int fd, struct statx *st)
{
	int flags = AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT;

	if (statx(fd, "", flags, STATX_BASIC_STATS | STATX_MNT_ID, st) < 0)
		return -errno;
	if (!(st->stx_mask & STATX_MNT_ID))
		st->stx_mnt_id = 0;
	return 0;
}

/*
 * The finalizer of splitmix64: inode numbers are dense, buckets are the low bits. The mount stays out,
 * since the same file is rarely there by two.
 */
static size_t bucket_of(const struct fs_inodes *t, uint32_t dev_minor, uint64_t ino)
{
	uint64_t h = ino ^ (uint64_t)dev_minor << 40;

	h = (h ^ h >> 30) * 0xbf58476d1ce4e5b9ULL;
	h = (h ^ h >> 27) * 0x94d049bb133111ebULL;
	return (h ^ h >> 31) & (t->nbuckets - 1);
}

static bool same(const struct fs_inode *i, const struct statx *st)
{
	return i->ino == st->stx_ino && i->mnt_id == st->stx_mnt_id &&
	       i->dev_major == st->stx_dev_major && i->dev_minor == st->stx_dev_minor;
}

static struct fs_inode *find(const struct fs_inodes *t, const struct statx *st)
{
	size_t b = bucket_of(t, st->stx_dev_minor, st->stx_ino);

	for (struct fs_inode *i = t->buckets[b]; i; i = i->next) {
		if (same(i, st))
			return i;
	}
	return NULL;
}

static void link_in(struct fs_inodes *t, struct fs_inode *i)
{
	size_t b = bucket_of(t, i->dev_minor, i->ino);

	i->next = t->buckets[b];
	t->buckets[b] = i;
}

static void unlink_from(struct fs_inodes *t, const struct fs_inode *i)
{
	struct fs_inode **at = &t->buckets[bucket_of(t, i->dev_minor, i->ino)];

	while (*at != i)
		at = &(*at)->next;
	*at = i->next;
}

static int grow_to(struct fs_inodes *t, size_t nbuckets)
{
	struct fs_inode **old = t->buckets;
	size_t nold = t->nbuckets;

	struct fs_inode **buckets = calloc(nbuckets, sizeof(struct fs_inode *));
	if (!buckets)
		return -ENOMEM;

	t->buckets = buckets;
	t->nbuckets = nbuckets;
	for (size_t b = 0; b < nold; b++) {
		for (struct fs_inode *i = old[b], *next; i; i = next) {
			next = i->next;
			link_in(t, i);
		}
	}
	free(old);
	return 0;
}

static enum fs_share share_below(const struct fs_inode *parent, const char *name, uint64_t mnt_id)
{
	switch (parent->share) {
	case FS_TOP:
		return FS_CONTAINER;
	case FS_CONTAINER:
		return strcmp(name, "rootfs") == 0 ? FS_EXCLUSIVE : FS_SHARED;
	case FS_EXCLUSIVE:
		return parent->mnt_id == mnt_id ? FS_EXCLUSIVE : FS_SHARED;
	case FS_SHARED:
		return FS_SHARED;
	}
	return FS_SHARED;
}

static int add(struct fs_inodes *t, enum fs_share share, int *fd, const struct statx *st,
	       struct fs_inode **out)
{
	if (t->ids.live >= t->nbuckets && grow_to(t, t->nbuckets * 2) < 0)
		return -ENOMEM;

	AUTO_FREE struct fs_inode *i = calloc(1, sizeof(*i));
	if (!i)
		return -ENOMEM;

	*i = (struct fs_inode){
		.mnt_id = st->stx_mnt_id,
		.ino = st->stx_ino,
		.dev_major = st->stx_dev_major,
		.dev_minor = st->stx_dev_minor,
		.type = st->stx_mode & S_IFMT,
		.share = share,
		.fd = *fd,
	};
	int rc = fs_ids_add(&t->ids, i, &i->id);
	if (rc < 0)
		return rc;

	*fd = -1;
	link_in(t, i);
	*out = TAKE_PTR(&i);
	return 0;
}

static void remove_inode(struct fs_inodes *t, struct fs_inode *i)
{
	unlink_from(t, i);
	fs_ids_take(&t->ids, i->id);
	(void)close(i->fd);
	free(i);
}

int fs_inodes_init(struct fs_inodes *t, int root_fd, uint32_t max)
{
	*t = (struct fs_inodes){0};
	fs_ids_init(&t->ids, max);

	struct statx st;
	int rc = fs_stat(root_fd, &st);
	if (rc == 0 && !S_ISDIR(st.stx_mode))
		rc = -ENOTDIR;
	if (rc == 0)
		rc = grow_to(t, FIRST_BUCKETS);

	struct fs_inode *root = NULL;
	int fd = root_fd;
	if (rc == 0)
		rc = add(t, FS_TOP, &fd, &st, &root);
	if (rc < 0)
		fs_inodes_done(t);
	return rc;
}

void fs_inodes_done(struct fs_inodes *t)
{
	for (uint32_t i = 0; i < t->ids.fresh; i++) {
		struct fs_inode *inode = fs_ids_at(&t->ids, i);
		if (inode)
			remove_inode(t, inode);
	}
	fs_ids_done(&t->ids);
	free(t->buckets);
	*t = (struct fs_inodes){0};
}

struct fs_inode *fs_inode_get(const struct fs_inodes *t, uint64_t id)
{
	return fs_ids_get(&t->ids, id);
}

int fs_inode_intern(struct fs_inodes *t, const struct fs_inode *parent, const char *name, int *fd,
		    const struct statx *st, struct fs_inode **out)
{
	struct fs_inode *i = find(t, st);

	if (i) {
		own_close(fd);
	} else {
		int rc = add(t, share_below(parent, name, st->stx_mnt_id), fd, st, &i);
		if (rc < 0)
			return rc;
	}
	i->nlookup++;
	*out = i;
	return 0;
}

void fs_inode_forget(struct fs_inodes *t, uint64_t id, uint64_t n)
{
	struct fs_inode *i = fs_inode_get(t, id);

	if (!i || i->share == FS_TOP)
		return;
	i->nlookup -= n < i->nlookup ? n : i->nlookup;
	if (i->nlookup == 0)
		remove_inode(t, i);
}

void fs_inodes_forget_all(struct fs_inodes *t)
{
	for (uint32_t i = 0; i < t->ids.fresh; i++) {
		struct fs_inode *inode = fs_ids_at(&t->ids, i);
		if (inode && inode->share != FS_TOP)
			remove_inode(t, inode);
	}
}
