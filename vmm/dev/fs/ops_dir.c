/*
 * Directories: OPENDIR, READDIR, READDIRPLUS, RELEASEDIR, FSYNCDIR. The offsets the guest sees
 * are the host's own cookies (d_off), so they stay good over removals and between handles.
 * getdents64 returns more than fits into an answer; what is left is kept for the handle that was
 * read last, one buffer for the whole server, so that open directories cost no memory.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/own.h"
#include "vmm/dev/fs/ops.h"

int fs_op_opendir(struct fs *fs, struct fs_req *req)
{
	const struct fs_inode *inode = fs_req_inode(fs, req);
	struct fuse_open_out out = {0};

	if (!inode)
		return -ESTALE;
	if (!S_ISDIR(inode->type))
		return -ENOTDIR;

	AUTO_FD int fd = fs_open_inode(fs, inode, O_RDONLY);
	if (fd < 0)
		return fd;
	if (inode->share == FS_EXCLUSIVE)
		out.open_flags = FOPEN_KEEP_CACHE | FOPEN_CACHE_DIR;
	int rc = fs_handle_add(&fs->handles, inode->id, true, &fd, &out.fh);
	return rc < 0 ? rc : fs_reply(req, &out, sizeof(out));
}

/*
 * Makes the buffer hold the entries of h from offset `off` on; empty at the end of the directory.
 */
static int fill(struct fs_dirbuf *b, const struct fs_handle *h, uint64_t off)
{
	/* Offset 0 is a rewind, which must show what has changed. */
	bool same = b->fh == h->fh && b->next == off && off != 0;
	if (same && b->at < b->end)
		return 0;

	b->fh = 0;
	/* With a buffer read to its end the descriptor is where it should be. */
	if (!same && lseek(h->fd, (off_t)off, SEEK_SET) < 0)
		return -errno;
	ssize_t n = getdents64(h->fd, b->bytes, sizeof(b->bytes));
	if (n < 0)
		return -errno;

	b->fh = h->fh;
	b->next = off;
	b->at = 0;
	b->end = (size_t)n;
	return 0;
}

/* The entry at the front, NULL at the end; lent until the next fill. */
static const struct dirent64 *front(const struct fs_dirbuf *b)
{
	return b->at < b->end ? (const void *)(b->bytes + b->at) : NULL;
}

static void step(struct fs_dirbuf *b, const struct dirent64 *ent)
{
	b->at += ent->d_reclen;
	b->next = (uint64_t)ent->d_off;
}

static bool is_dots(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/*
 * The inode behind an entry; the node id stays 0, which tells the guest to look it up when it
 * needs it, if the name is gone by now or no more inodes can be had.
 */
static void look_up(struct fs *fs, const struct fs_inode *dir, const struct dirent64 *ent,
		    struct fuse_entry_out *out)
{
	memset(out, 0, sizeof(*out));
	if (dir && !is_dots(ent->d_name) && fs_lookup(fs, dir, ent->d_name, out) < 0)
		memset(out, 0, sizeof(*out));
}

/*
 * Writes one entry at `at` and returns its length, 0 when it does not fit. `dir` is NULL but for
 * READDIRPLUS.
 */
static size_t pack(struct fs *fs, const struct fs_inode *dir, bool plus, const struct dirent64 *ent,
		   uint8_t *at, size_t room)
{
	size_t namelen = strlen(ent->d_name);
	size_t head = plus ? sizeof(struct fuse_entry_out) : 0;
	size_t len = head + FUSE_DIRENT_ALIGN(FUSE_NAME_OFFSET + namelen);

	if (len > room)
		return 0;
	if (plus) {
		struct fuse_entry_out entry;
		look_up(fs, dir, ent, &entry);
		memcpy(at, &entry, sizeof(entry));
	}

	const struct fuse_dirent head_of = {
		.ino = ent->d_ino,
		.off = (uint64_t)ent->d_off,
		.namelen = (uint32_t)namelen,
		.type = ent->d_type,
	};
	memset(at + head, 0, len - head);
	memcpy(at + head, &head_of, FUSE_NAME_OFFSET);
	memcpy(at + head + FUSE_NAME_OFFSET, ent->d_name, namelen);
	return len;
}

static int read_dir(struct fs *fs, struct fs_req *req, bool plus)
{
	const struct fuse_read_in *in = FS_ARG(req, fuse_read_in);
	const struct fs_handle *h = fs_handle_dir(&fs->handles, req->in.nodeid, in->fh);
	size_t room = in->size < sizeof(fs->scratch) ? in->size : sizeof(fs->scratch);
	uint64_t off = in->offset;
	size_t done = 0;
	int rc = 0;

	if (!h)
		return -EBADF;
	if (room > chain_write_left(req->chain))
		return -EINVAL;
	for (;;) {
		rc = fill(&fs->dirbuf, h, off);
		const struct dirent64 *ent = rc < 0 ? NULL : front(&fs->dirbuf);
		if (!ent)
			break;
		size_t len =
			pack(fs, fs_req_inode(fs, req), plus, ent, fs->scratch + done, room - done);
		if (len == 0) {
			rc = -EINVAL; /* unless something was there before it */
			break;
		}
		step(&fs->dirbuf, ent);
		off = fs->dirbuf.next;
		done += len;
	}
	return rc < 0 && done == 0 ? rc : fs_reply(req, fs->scratch, done);
}

int fs_op_readdir(struct fs *fs, struct fs_req *req)
{
	return read_dir(fs, req, false);
}

int fs_op_readdirplus(struct fs *fs, struct fs_req *req)
{
	return read_dir(fs, req, true);
}

int fs_op_releasedir(struct fs *fs, struct fs_req *req)
{
	uint64_t fh = FS_ARG(req, fuse_release_in)->fh;
	struct fs_handle *h = fs_handle_dir(&fs->handles, req->in.nodeid, fh);

	if (!h)
		return -EBADF;
	fs_handle_close(&fs->handles, h);
	return 0;
}

int fs_op_fsyncdir(struct fs *fs, struct fs_req *req)
{
	const struct fuse_fsync_in *in = FS_ARG(req, fuse_fsync_in);
	const struct fs_handle *h = fs_handle_dir(&fs->handles, req->in.nodeid, in->fh);

	if (!h)
		return -EBADF;
	int rc = in->fsync_flags & FUSE_FSYNC_FDATASYNC ? fdatasync(h->fd) : fsync(h->fd);
	return rc < 0 ? -errno : 0;
}
