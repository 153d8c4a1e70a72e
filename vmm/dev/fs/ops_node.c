/*
 * Names that come, move and go: SYMLINK, MKNOD, MKDIR, LINK, UNLINK, RMDIR, RENAME, RENAME2; and
 * READLINK.
 *
 * Device nodes are refused whoever asks: one made here would be a door to the host's device for
 * any process of the host that sees the tree without nodev. The one exception is the 0:0
 * character device, which opens nothing: it is the whiteout that an overlay in the guest needs.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/dev/fs/ops.h"

/* What MKNOD, MKDIR and SYMLINK have in common: what to make, in the words of the system calls. */
struct new_node {
	mode_t mode; /* with its type */
	mode_t umask;
	const char *target; /* of a symbolic link */
};

static int make(int dirfd, const char *name, const struct new_node *node)
{
	if (S_ISLNK(node->mode))
		return symlinkat(node->target, dirfd, name);
	if (S_ISDIR(node->mode))
		return mkdirat(dirfd, name, node->mode & 07777);
	return mknodat(dirfd, name, node->mode, 0);
}

static int make_and_reply(struct fs *fs, struct fs_req *req, const char *name,
			  const struct new_node *node)
{
	const struct fs_inode *parent = fs_req_inode(fs, req);
	struct fuse_entry_out out;

	if (!parent)
		return -ESTALE;
	/* Before, not after: what cannot be answered must not be made. */
	if (fs_ids_full(&fs->inodes.ids))
		return -ENFILE;

	int rc = fs_cred_enter(&fs->cred, req->in.uid, req->in.gid, node->umask);
	if (rc < 0)
		return rc;
	rc = make(parent->fd, name, node) < 0 ? -errno : 0;
	fs_cred_leave(&fs->cred);

	if (rc == 0)
		rc = fs_lookup(fs, parent, name, &out);
	return rc < 0 ? rc : fs_reply(req, &out, sizeof(out));
}

int fs_op_symlink(struct fs *fs, struct fs_req *req)
{
	struct new_node node = {.mode = S_IFLNK};
	const char *name = NULL;

	int rc = fs_req_name(req, &name);
	if (rc < 0)
		return rc;
	/* Any text is a good target: only the guest follows it. */
	node.target = cursor_cstr(&req->tail);
	if (!node.target || req->tail.left > 0)
		return -EINVAL;
	return make_and_reply(fs, req, name, &node);
}

static bool node_allowed(const struct fuse_mknod_in *in)
{
	switch (in->mode & S_IFMT) {
	case S_IFREG:
	case S_IFIFO:
	case S_IFSOCK:
		return true;
	case S_IFCHR:
		return in->rdev == 0;
	default:
		return false;
	}
}

int fs_op_mknod(struct fs *fs, struct fs_req *req)
{
	const struct fuse_mknod_in *in = FS_ARG(req, fuse_mknod_in);
	const struct new_node node = {
		.mode = in->mode & (S_IFMT | 07777),
		.umask = in->umask,
	};
	const char *name = NULL;
	int rc = fs_req_last_name(req, &name);

	if (rc < 0)
		return rc;
	return node_allowed(in) ? make_and_reply(fs, req, name, &node) : -EPERM;
}

int fs_op_mkdir(struct fs *fs, struct fs_req *req)
{
	const struct fuse_mkdir_in *in = FS_ARG(req, fuse_mkdir_in);
	const struct new_node node = {
		.mode = S_IFDIR | (in->mode & 07777),
		.umask = in->umask,
	};
	const char *name = NULL;
	int rc = fs_req_last_name(req, &name);

	return rc < 0 ? rc : make_and_reply(fs, req, name, &node);
}

int fs_op_link(struct fs *fs, struct fs_req *req)
{
	const struct fs_inode *old =
		fs_inode_get(&fs->inodes, FS_ARG(req, fuse_link_in)->oldnodeid);
	const struct fs_inode *parent = fs_req_inode(fs, req);
	struct fuse_entry_out out;
	const char *name = NULL;

	if (!old || !parent)
		return -ESTALE;
	int rc = fs_req_last_name(req, &name);
	if (rc < 0)
		return rc;
	/*
	 * AT_EMPTY_PATH would want CAP_DAC_READ_SEARCH. A symbolic link is linked itself: only
	 * the magic link is followed.
	 */
	if (linkat(fs->proc_fd, fs_proc_name(old->fd).s, parent->fd, name, AT_SYMLINK_FOLLOW) < 0)
		return -errno;
	rc = fs_lookup(fs, parent, name, &out);
	return rc < 0 ? rc : fs_reply(req, &out, sizeof(out));
}

static int remove_name(struct fs *fs, struct fs_req *req, int flags)
{
	const struct fs_inode *parent = fs_req_inode(fs, req);
	const char *name = NULL;

	if (!parent)
		return -ESTALE;
	int rc = fs_req_last_name(req, &name);
	if (rc < 0)
		return rc;
	return unlinkat(parent->fd, name, flags) < 0 ? -errno : 0;
}

int fs_op_unlink(struct fs *fs, struct fs_req *req)
{
	return remove_name(fs, req, 0);
}

int fs_op_rmdir(struct fs *fs, struct fs_req *req)
{
	return remove_name(fs, req, AT_REMOVEDIR);
}

static int rename_to(struct fs *fs, struct fs_req *req, uint64_t newdir, uint32_t flags)
{
	const struct fs_inode *from = fs_req_inode(fs, req);
	const struct fs_inode *to = fs_inode_get(&fs->inodes, newdir);
	const char *oldname = NULL, *newname = NULL;

	if (!from || !to)
		return -ESTALE;
	if (flags & ~(uint32_t)(RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT))
		return -EINVAL;
	int rc = fs_req_name(req, &oldname);
	if (rc == 0)
		rc = fs_req_last_name(req, &newname);
	if (rc < 0)
		return rc;
	return renameat2(from->fd, oldname, to->fd, newname, flags) < 0 ? -errno : 0;
}

int fs_op_rename(struct fs *fs, struct fs_req *req)
{
	return rename_to(fs, req, FS_ARG(req, fuse_rename_in)->newdir, 0);
}

int fs_op_rename2(struct fs *fs, struct fs_req *req)
{
	const struct fuse_rename2_in *in = FS_ARG(req, fuse_rename2_in);

	return rename_to(fs, req, in->newdir, in->flags);
}

int fs_op_readlink(struct fs *fs, struct fs_req *req)
{
	const struct fs_inode *inode = fs_req_inode(fs, req);
	char target[PATH_MAX];

	if (!inode)
		return -ESTALE;
	if (!S_ISLNK(inode->type))
		return -EINVAL;
	ssize_t n = readlinkat(inode->fd, "", target, sizeof(target));
	return n < 0 ? -errno : fs_reply(req, target, (size_t)n);
}
