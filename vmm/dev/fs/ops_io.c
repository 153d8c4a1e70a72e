/*
 * Contents: READ, WRITE, FALLOCATE, LSEEK, COPY_FILE_RANGE. Data goes between guest memory and
 * file in one system call, without a copy of ours; chain.c moves as much as the request says
 * unless the file ends.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/uio.h>
#include <unistd.h>

#include "vmm/dev/fs/ops.h"

/*
 * Of one copy, since the device serves several requests before it looks at anything else; a caller
 * of copy_file_range(2) asks again for the rest.
 */
#define COPY_MAX_BYTES (8ULL << 20)

/* A negative offset would mean the descriptor's own position. */
static bool range_ok(uint64_t off, uint64_t len)
{
	return off <= INT64_MAX && len <= INT64_MAX - off;
}

/* The guest was told by INIT; a chain has room for 4 GiB, which would take minutes. */
static bool size_ok(uint32_t size)
{
	return size <= FS_IO_MAX_BYTES;
}

int fs_op_read(struct fs *fs, struct fs_req *req)
{
	const struct fuse_read_in *in = FS_ARG(req, fuse_read_in);
	const struct fs_handle *h = fs_handle_file(&fs->handles, req->in.nodeid, in->fh);

	if (!h)
		return -EBADF;
	if (!size_ok(in->size) || !range_ok(in->offset, in->size) ||
	    in->size > chain_write_left(req->chain))
		return -EINVAL;

	/*
	 * The guest takes a short answer for the end of the file, so a short read is followed up.
	 */
	for (uint32_t done = 0; done < in->size;) {
		off_t at = (off_t)(in->offset + done);
		ssize_t n = chain_from_fd(req->chain, in->size - done, h->fd, at, 0);
		if (n < 0)
			return done ? 0 : (int)n;
		if (n == 0)
			break;
		done += (uint32_t)n;
	}
	return 0;
}

static ssize_t write_all(struct vq_chain *chain, int fd, uint64_t off, uint32_t size, int flags)
{
	for (uint32_t done = 0; done < size;) {
		ssize_t n = chain_to_fd(chain, size - done, fd, (off_t)(off + done), flags);
		if (n <= 0)
			return done ? (ssize_t)done : n;
		done += (uint32_t)n;
	}
	return size;
}

int fs_op_write(struct fs *fs, struct fs_req *req)
{
	const struct fuse_write_in *in = FS_ARG(req, fuse_write_in);
	const struct fs_handle *h = fs_handle_file(&fs->handles, req->in.nodeid, in->fh);

	if (!h)
		return -EBADF;
	if (!size_ok(in->size) || !range_ok(in->offset, in->size) || in->size > req->data_bytes)
		return -EINVAL;

	int rc = in->write_flags & FUSE_WRITE_KILL_SUIDGID ? fs_kill_suidgid(h->fd) : 0;
	if (rc < 0)
		return rc;

	/* A page of a mapping goes where it belongs, even if the descriptor it borrows appends. */
	bool append = (in->flags & O_APPEND) && !(in->write_flags & FUSE_WRITE_CACHE);
	mode_t kept = fs_kept_suidgid(h->fd);
	ssize_t n = write_all(req->chain, h->fd, in->offset, in->size, append ? RWF_APPEND : 0);

	fs_keep_suidgid(h->fd, kept);
	if (n < 0)
		return (int)n;

	const struct fuse_write_out out = {.size = (uint32_t)n};
	return fs_reply(req, &out, sizeof(out));
}

/*
 * These two carry no flag that says whether the caller may keep setuid; root may, as on any file
 * system.
 */
static int kill_unless_root(const struct fs_req *req, int fd)
{
	return req->in.uid == 0 ? 0 : fs_kill_suidgid(fd);
}

int fs_op_fallocate(struct fs *fs, struct fs_req *req)
{
	const struct fuse_fallocate_in *in = FS_ARG(req, fuse_fallocate_in);
	const struct fs_handle *h = fs_handle_file(&fs->handles, req->in.nodeid, in->fh);

	if (!h)
		return -EBADF;
	if (!range_ok(in->offset, in->length))
		return -EINVAL;
	if (in->mode &
	    ~(uint32_t)(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))
		return -EOPNOTSUPP;

	int rc = kill_unless_root(req, h->fd);
	if (rc < 0)
		return rc;
	mode_t kept = fs_kept_suidgid(h->fd);
	if (fallocate(h->fd, (int)in->mode, (off_t)in->offset, (off_t)in->length) < 0)
		rc = -errno;
	fs_keep_suidgid(h->fd, kept);
	return rc;
}

/*
 * Only what the guest cannot know itself. The position this leaves behind is never used: reads
 * and writes say theirs.
 */
int fs_op_lseek(struct fs *fs, struct fs_req *req)
{
	const struct fuse_lseek_in *in = FS_ARG(req, fuse_lseek_in);
	const struct fs_handle *h = fs_handle_file(&fs->handles, req->in.nodeid, in->fh);

	if (!h)
		return -EBADF;
	if ((in->whence != SEEK_DATA && in->whence != SEEK_HOLE) || in->offset > INT64_MAX)
		return -EINVAL;
	off_t at = lseek(h->fd, (off_t)in->offset, (int)in->whence);
	if (at < 0)
		return -errno;

	const struct fuse_lseek_out out = {.offset = (uint64_t)at};
	return fs_reply(req, &out, sizeof(out));
}

int fs_op_copy_file_range(struct fs *fs, struct fs_req *req)
{
	const struct fuse_copy_file_range_in *in = FS_ARG(req, fuse_copy_file_range_in);
	const struct fs_handle *from = fs_handle_file(&fs->handles, req->in.nodeid, in->fh_in);
	const struct fs_handle *to = fs_handle_file(&fs->handles, in->nodeid_out, in->fh_out);

	if (!from || !to)
		return -EBADF;
	size_t len = in->len < COPY_MAX_BYTES ? (size_t)in->len : COPY_MAX_BYTES;
	if (in->flags || !range_ok(in->off_in, len) || !range_ok(in->off_out, len))
		return -EINVAL;

	int rc = kill_unless_root(req, to->fd);
	if (rc < 0)
		return rc;
	off_t off_in = (off_t)in->off_in, off_out = (off_t)in->off_out;
	mode_t kept = fs_kept_suidgid(to->fd);
	ssize_t n = copy_file_range(from->fd, &off_in, to->fd, &off_out, len, 0);

	fs_keep_suidgid(to->fd, kept);
	if (n < 0)
		return -errno;

	const struct fuse_write_out out = {.size = (uint32_t)n};
	return fs_reply(req, &out, sizeof(out));
}
