/* Open files: OPEN, CREATE, TMPFILE, RELEASE, FLUSH, FSYNC. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/own.h"
#include "vmm/dev/fs/ops.h"

/*
 * Where nobody else writes, pages outlive the last close, and close has nothing to tell the host.
 */
static uint32_t cache_flags(const struct fs_inode *inode)
{
	return inode->share == FS_EXCLUSIVE ? FOPEN_KEEP_CACHE | FOPEN_NOFLUSH : 0;
}

static int add_handle(struct fs *fs, const struct fs_inode *inode, int *fd,
		      struct fuse_open_out *out)
{
	*out = (struct fuse_open_out){.open_flags = cache_flags(inode)};
	return fs_handle_add(&fs->handles, inode->id, false, fd, &out->fh);
}

static int open_file(struct fs *fs, const struct fs_inode *inode, const struct fuse_open_in *in,
		     struct fuse_open_out *out)
{
	if (S_ISDIR(inode->type))
		return -EISDIR;

	mode_t kept = in->flags & O_TRUNC ? fs_kept_suidgid(inode->fd) : 0;
	AUTO_FD int fd = fs_open_inode(fs, inode, in->flags);
	if (fd < 0)
		return fd;
	/*
	 * The open may have truncated what this kills the privileges of; nobody runs in between
	 * but us.
	 */
	fs_keep_suidgid(fd, kept);
	if ((in->flags & O_TRUNC) && (in->open_flags & FUSE_OPEN_KILL_SUIDGID)) {
		int rc = fs_kill_suidgid(fd);
		if (rc < 0)
			return rc;
	}
	return add_handle(fs, inode, &fd, out);
}

int fs_op_open(struct fs *fs, struct fs_req *req)
{
	const struct fs_inode *inode = fs_req_inode(fs, req);
	struct fuse_open_out out;

	if (!inode)
		return -ESTALE;
	int rc = open_file(fs, inode, FS_ARG(req, fuse_open_in), &out);
	return rc < 0 ? rc : fs_reply(req, &out, sizeof(out));
}

/*
 * Makes a new file and opens it: `how` is O_CREAT | O_EXCL for `name`, or O_TMPFILE for "." as
 * the caller of the request. The new descriptor, or -errno.
 */
static int create_as_caller(struct fs *fs, const struct fs_req *req, const struct fs_inode *parent,
			    const char *name, int how)
{
	const struct fuse_create_in *in = FS_ARG(req, fuse_create_in);
	int flags = fs_open_flags(fs, in->flags & ~(uint32_t)O_TRUNC);

	if (flags < 0)
		return flags;
	if (fs_ids_full(&fs->inodes.ids) || fs_ids_full(&fs->handles.ids))
		return -ENFILE;

	int rc = fs_cred_enter(&fs->cred, req->in.uid, req->in.gid, in->umask);
	if (rc < 0)
		return rc;
	int fd = openat(parent->fd, name, flags | how | O_NOFOLLOW, in->mode & 07777);
	rc = fd < 0 ? -errno : fd;
	fs_cred_leave(&fs->cred);
	return rc == -EMFILE ? -ENFILE : rc;
}

/* Answers with the inode and the handle of a file that was just made. */
static int reply_created(struct fs *fs, struct fs_req *req, const struct fs_inode *parent,
			 const char *name, int *fd)
{
	struct fs_create_out out = {0};
	AUTO_FD int path_fd = openat(fs->proc_fd, fs_proc_name(*fd).s, O_PATH | O_CLOEXEC);

	if (path_fd < 0)
		return errno == EMFILE ? -ENFILE : -errno;
	int rc = fs_enter(fs, parent, name, &path_fd, &out.entry);
	if (rc < 0)
		return rc;
	rc = add_handle(fs, fs_inode_get(&fs->inodes, out.entry.nodeid), fd, &out.open);
	if (rc < 0) {
		fs_inode_forget(&fs->inodes, out.entry.nodeid, 1);
		return rc;
	}
	return fs_reply(req, &out, sizeof(out));
}

/* Without O_EXCL: the file came into being since the guest looked, by another's hand. */
static int open_existing(struct fs *fs, struct fs_req *req, const struct fs_inode *parent,
			 const char *name)
{
	const struct fuse_create_in *in = FS_ARG(req, fuse_create_in);
	const struct fuse_open_in open_in = {.flags = in->flags, .open_flags = in->open_flags};
	struct fs_create_out out = {0};

	int rc = fs_lookup(fs, parent, name, &out.entry);
	if (rc < 0)
		return rc;
	rc = open_file(fs, fs_inode_get(&fs->inodes, out.entry.nodeid), &open_in, &out.open);
	if (rc < 0) {
		fs_inode_forget(&fs->inodes, out.entry.nodeid, 1);
		return rc;
	}
	return fs_reply(req, &out, sizeof(out));
}

int fs_op_create(struct fs *fs, struct fs_req *req)
{
	const struct fs_inode *parent = fs_req_inode(fs, req);
	const char *name = NULL;

	if (!parent)
		return -ESTALE;
	int rc = fs_req_last_name(req, &name);
	if (rc < 0)
		return rc;

	/* Always O_EXCL: O_CREAT alone would open whatever bears the name, a fifo too. */
	AUTO_FD int fd = create_as_caller(fs, req, parent, name, O_CREAT | O_EXCL);
	if (fd == -EEXIST && !(FS_ARG(req, fuse_create_in)->flags & O_EXCL))
		return open_existing(fs, req, parent, name);
	return fd < 0 ? fd : reply_created(fs, req, parent, name, &fd);
}

int fs_op_tmpfile(struct fs *fs, struct fs_req *req)
{
	const struct fuse_create_in *in = FS_ARG(req, fuse_create_in);
	const struct fs_inode *parent = fs_req_inode(fs, req);

	if (!parent)
		return -ESTALE;
	if ((in->flags & O_ACCMODE) == O_RDONLY)
		return -EINVAL;
	/*
	 * The name in the tail is the guest kernel's placeholder. O_EXCL here means: never to be
	 * linked.
	 */
	int how = O_TMPFILE | (int)(in->flags & O_EXCL);
	AUTO_FD int fd = create_as_caller(fs, req, parent, ".", how);
	return fd < 0 ? fd : reply_created(fs, req, parent, "", &fd);
}

int fs_op_release(struct fs *fs, struct fs_req *req)
{
	uint64_t fh = FS_ARG(req, fuse_release_in)->fh;
	struct fs_handle *h = fs_handle_file(&fs->handles, req->in.nodeid, fh);

	if (!h)
		return -EBADF;
	fs_handle_close(&fs->handles, h);
	return 0;
}

/* Closing a duplicate makes network file systems report what they have put off. */
int fs_op_flush(struct fs *fs, struct fs_req *req)
{
	uint64_t fh = FS_ARG(req, fuse_flush_in)->fh;
	const struct fs_handle *h = fs_handle_file(&fs->handles, req->in.nodeid, fh);

	if (!h)
		return -EBADF;
	int fd = fcntl(h->fd, F_DUPFD_CLOEXEC, 0);
	return fd < 0 || close(fd) < 0 ? -errno : 0;
}

int fs_op_fsync(struct fs *fs, struct fs_req *req)
{
	const struct fuse_fsync_in *in = FS_ARG(req, fuse_fsync_in);
	const struct fs_handle *h = fs_handle_file(&fs->handles, req->in.nodeid, in->fh);

	if (!h)
		return -EBADF;
	int rc = in->fsync_flags & FUSE_FSYNC_FDATASYNC ? fdatasync(h->fd) : fsync(h->fd);
	return rc < 0 ? -errno : 0;
}
