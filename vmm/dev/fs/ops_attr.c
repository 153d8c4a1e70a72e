/* GETATTR, SETATTR, STATFS, ACCESS. */
#include <errno.h>
#include <fcntl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/own.h"
#include "vmm/dev/fs/ops.h"

#define NSEC_PER_SEC 1000000000U

static int reply_attr(const struct fs_inode *inode, struct fs_req *req)
{
	struct statx st;
	struct fuse_attr_out out = {.attr_valid = fs_valid_s(inode->share)};
	int rc = fs_stat(inode->fd, &st);

	if (rc < 0)
		return rc;
	fs_attr_fill(&st, &out.attr);
	return fs_reply(req, &out, sizeof(out));
}

int fs_op_getattr(struct fs *fs, struct fs_req *req)
{
	const struct fs_inode *inode = fs_req_inode(fs, req);

	return inode ? reply_attr(inode, req) : -ESTALE;
}

static int set_owner(const struct fs_inode *inode, const struct fuse_setattr_in *in)
{
	uid_t uid = in->valid & FATTR_UID ? in->uid : (uid_t)-1;
	gid_t gid = in->valid & FATTR_GID ? in->gid : (gid_t)-1;

	if (!(in->valid & (FATTR_UID | FATTR_GID)))
		return 0;
	if (fchownat(inode->fd, "", uid, gid, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	return 0;
}

static int set_size(const struct fs *fs, const struct fs_inode *inode,
		    const struct fuse_setattr_in *in)
{
	AUTO_FD int own_fd = -1;

	if (!(in->valid & FATTR_SIZE))
		return 0;
	if (!S_ISREG(inode->type))
		return S_ISDIR(inode->type) ? -EISDIR : -EINVAL;
	if (in->size > INT64_MAX)
		return -EFBIG;

	int fd = -1;
	if (in->valid & FATTR_FH) {
		const struct fs_handle *h = fs_handle_file(&fs->handles, inode->id, in->fh);
		if (!h)
			return -EBADF;
		fd = h->fd;
	} else {
		own_fd = fs_open_inode(fs, inode, O_WRONLY);
		if (own_fd < 0)
			return own_fd;
		fd = own_fd;
	}

	int rc = in->valid & FATTR_KILL_SUIDGID ? fs_kill_suidgid(fd) : 0;
	mode_t kept = fs_kept_suidgid(fd);
	if (rc == 0 && ftruncate(fd, (off_t)in->size) < 0)
		rc = -errno;
	fs_keep_suidgid(fd, kept);
	return rc;
}

static int set_mode(const struct fs *fs, const struct fs_inode *inode,
		    const struct fuse_setattr_in *in)
{
	if (!(in->valid & FATTR_MODE))
		return 0;
	if (S_ISLNK(inode->type))
		return -EOPNOTSUPP;
	/*
	 * fchmod takes no O_PATH descriptor; its name below /proc/self/fd leads to the same
	 * inode.
	 */
	if (fchmodat(fs->proc_fd, fs_proc_name(inode->fd).s, in->mode & 07777, 0) < 0)
		return -errno;
	return 0;
}

static int set_times(const struct fs_inode *inode, const struct fuse_setattr_in *in)
{
	struct timespec ts[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_nsec = UTIME_OMIT}};

	if (!(in->valid & (FATTR_ATIME | FATTR_MTIME)))
		return 0;
	/* UTIME_NOW and UTIME_OMIT hide among the nanoseconds past the end. */
	if (in->atimensec >= NSEC_PER_SEC || in->mtimensec >= NSEC_PER_SEC)
		return -EINVAL;
	if (in->valid & FATTR_ATIME)
		ts[0] = (struct timespec){(time_t)in->atime, in->atimensec};
	if (in->valid & FATTR_MTIME)
		ts[1] = (struct timespec){(time_t)in->mtime, in->mtimensec};
	if (in->valid & FATTR_ATIME_NOW)
		ts[0].tv_nsec = UTIME_NOW;
	if (in->valid & FATTR_MTIME_NOW)
		ts[1].tv_nsec = UTIME_NOW;
	return utimensat(inode->fd, "", ts, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

int fs_op_setattr(struct fs *fs, struct fs_req *req)
{
	const struct fuse_setattr_in *in = FS_ARG(req, fuse_setattr_in);
	const struct fs_inode *inode = fs_req_inode(fs, req);
	if (!inode)
		return -ESTALE;

	/*
	 * Owner and size may clear setuid on the host, so the mode the guest has decided on comes
	 * after them.
	 */
	int rc = set_owner(inode, in);
	if (rc == 0)
		rc = set_size(fs, inode, in);
	if (rc == 0)
		rc = set_mode(fs, inode, in);
	if (rc == 0)
		rc = set_times(inode, in);
	return rc < 0 ? rc : reply_attr(inode, req);
}

int fs_op_statfs(struct fs *fs, struct fs_req *req)
{
	const struct fs_inode *inode = fs_req_inode(fs, req);
	struct statvfs st;

	if (!inode)
		return -ESTALE;
	if (fstatvfs(inode->fd, &st) < 0)
		return -errno;

	const struct fuse_statfs_out out = {
		.st = {.blocks = st.f_blocks,
		       .bfree = st.f_bfree,
		       .bavail = st.f_bavail,
		       .files = st.f_files,
		       .ffree = st.f_ffree,
		       .bsize = (uint32_t)st.f_bsize,
		       .namelen = (uint32_t)st.f_namemax,
		       .frsize = (uint32_t)st.f_frsize},
	};
	return fs_reply(req, &out, sizeof(out));
}

/*
 * The guest's kernel checks permissions itself and does not ask; who does learns what the server
 * may do.
 */
int fs_op_access(struct fs *fs, struct fs_req *req)
{
	uint32_t mask = FS_ARG(req, fuse_access_in)->mask;
	const struct fs_inode *inode = fs_req_inode(fs, req);

	if (!inode)
		return -ESTALE;
	if (fs->readonly && (mask & W_OK))
		return -EROFS;
	if (mask & ~(uint32_t)(R_OK | W_OK | X_OK))
		return -EINVAL;
	if (faccessat(fs->proc_fd, fs_proc_name(inode->fd).s, (int)mask, 0) < 0)
		return -errno;
	return 0;
}
