/* Names: finding what one stands for, and LOOKUP, FORGET, BATCH_FORGET. */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/own.h"
#include "vmm/dev/fs/ops.h"

/*
 * The name was checked to be one component, so nothing can lead out; openat2 says it to the
 * kernel as well. O_NOFOLLOW with O_PATH gives the link itself, whatever it points to.
 */
static int open_path(int dirfd, const char *name)
{
	struct open_how how = {
		.flags = O_PATH | O_NOFOLLOW | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS,
	};
	long fd = syscall(SYS_openat2, dirfd, name, &how, sizeof(how));

	if (fd < 0)
		return errno == EMFILE ? -ENFILE : -errno;
	return (int)fd;
}

int fs_enter(struct fs *fs, const struct fs_inode *parent, const char *name, int *fd,
	     struct fuse_entry_out *out)
{
	struct statx st;
	int rc = fs_stat(*fd, &st);
	if (rc < 0)
		return rc;

	struct fs_inode *inode = NULL;
	rc = fs_inode_intern(&fs->inodes, parent, name, fd, &st, &inode);
	if (rc < 0)
		return rc;

	*out = (struct fuse_entry_out){
		.nodeid = inode->id,
		.entry_valid = fs_valid_s(parent->share),
		.attr_valid = fs_valid_s(inode->share),
	};
	fs_attr_fill(&st, &out->attr);
	/*
	 * The guest mounts another file system there by itself, so that st_dev differs where
	 * inode numbers may repeat.
	 */
	if ((fs->flags & FUSE_SUBMOUNTS) && S_ISDIR(inode->type) && inode->mnt_id != parent->mnt_id)
		out->attr.flags = FUSE_ATTR_SUBMOUNT;
	return 0;
}

int fs_lookup(struct fs *fs, const struct fs_inode *parent, const char *name,
	      struct fuse_entry_out *out)
{
	AUTO_FD int fd = open_path(parent->fd, name);

	return fd < 0 ? fd : fs_enter(fs, parent, name, &fd, out);
}

int fs_op_lookup(struct fs *fs, struct fs_req *req)
{
	const struct fs_inode *parent = fs_req_inode(fs, req);
	const char *name = NULL;
	struct fuse_entry_out out;

	if (!parent)
		return -ESTALE;
	int rc = fs_req_last_name(req, &name);
	if (rc == 0)
		rc = fs_lookup(fs, parent, name, &out);
	/* A miss where nobody else makes files is worth keeping: node id 0 says so. */
	if (rc == -ENOENT && parent->share == FS_EXCLUSIVE) {
		out = (struct fuse_entry_out){.entry_valid = fs_valid_s(parent->share)};
		rc = 0;
	}
	return rc < 0 ? rc : fs_reply(req, &out, sizeof(out));
}

int fs_op_forget(struct fs *fs, struct fs_req *req)
{
	fs_inode_forget(&fs->inodes, req->in.nodeid, FS_ARG(req, fuse_forget_in)->nlookup);
	return 0;
}

int fs_op_batch_forget(struct fs *fs, struct fs_req *req)
{
	uint32_t n = FS_ARG(req, fuse_batch_forget_in)->count;

	/* What bounds the loop is the tail, which was read whole. */
	for (uint32_t i = 0; i < n && req->tail.left >= sizeof(struct fuse_forget_one); i++) {
		struct fuse_forget_one one;
		cursor_copy(&req->tail, &one, sizeof(one));
		fs_inode_forget(&fs->inodes, one.nodeid, one.nlookup);
	}
	return 0;
}
