/* The session: INIT, DESTROY, SYNCFS, INTERRUPT. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/own.h"
#include "vmm/dev/fs/fs.h"
#include "vmm/dev/fs/ops.h"

#define OLDEST_MINOR   31
#define NEWEST_MINOR   38
#define MAX_BACKGROUND 64

/*
 * What the server would have, line by line the reason. Not wanted: WRITEBACK_CACHE (sizes and
 * times would be the guest's, wrong for volumes others write), AUTO_INVAL_DATA (a file's own
 * writes would drop its pages), POSIX_LOCKS and FLOCK_LOCKS (locks stay in the guest),
 * EXPORT_SUPPORT (nobody serves this by NFS).
 */
static const uint32_t wanted =
	FUSE_ASYNC_READ |         /* several reads of a file at once */
	FUSE_ATOMIC_O_TRUNC |     /* OPEN truncates: one request less, no moment in between */
	FUSE_BIG_WRITES |         /* more than a page a WRITE */
	FUSE_DONT_MASK |          /* the umask comes along, for default ACLs replace it */
	FUSE_DO_READDIRPLUS |     /* names with their inodes */
	FUSE_READDIRPLUS_AUTO |   /* ... when the guest sees that it helps */
	FUSE_ASYNC_DIO |          /* direct I/O in parallel */
	FUSE_PARALLEL_DIROPS |    /* lookups of one directory at once */
	FUSE_POSIX_ACL |          /* the guest checks ACLs, the host keeps them */
	FUSE_MAX_PAGES |          /* MAX_PAGES counts */
	FUSE_CACHE_SYMLINKS |     /* a link's text never changes */
	FUSE_SUBMOUNTS |          /* mounts of the shared tree are mounts of the guest */
	FUSE_HANDLE_KILLPRIV_V2 | /* setuid is cleared here, when the guest says so */
	FUSE_SETXATTR_EXT;        /* ... for ACLs too */

/*
 * A newer major would be told ours and come again; an older protocol than 7.31 has other structs.
 */
static int agree(const struct fuse_init_in *in, struct fuse_init_out *out)
{
	out->major = FUSE_KERNEL_VERSION;
	out->minor = NEWEST_MINOR;
	if (in->major < FUSE_KERNEL_VERSION)
		return -EPROTO;
	if (in->major == FUSE_KERNEL_VERSION && in->minor < OLDEST_MINOR)
		return -EPROTO;
	return 0;
}

int fs_op_init(struct fs *fs, struct fs_req *req)
{
	const struct fuse_init_in *in = FS_ARG(req, fuse_init_in);
	struct fuse_init_out out = {0};
	int rc = agree(in, &out);

	if (rc < 0)
		return rc;
	if (in->major > FUSE_KERNEL_VERSION)
		return fs_reply(req, &out, sizeof(out));

	fs_end_session(fs);
	/* Here and not at creation: this is the thread that serves, and the jail has closed. */
	rc = fs_cred_init(&fs->cred);
	if (rc < 0)
		return rc;

	fs->flags = in->flags & wanted;
	fs->started = true;
	out.flags = fs->flags;
	out.max_readahead = in->max_readahead;
	out.max_background = MAX_BACKGROUND;
	out.congestion_threshold = MAX_BACKGROUND * 3 / 4;
	out.max_write = FS_IO_MAX_BYTES;
	out.max_pages = FS_MAX_PAGES;
	out.time_gran = 1;
	return fs_reply(req, &out, sizeof(out));
}

int fs_op_destroy(struct fs *fs, struct fs_req *req)
{
	(void)req;
	fs_end_session(fs);
	return 0;
}

int fs_op_syncfs(struct fs *fs, struct fs_req *req)
{
	const struct fs_inode *inode = fs_req_inode(fs, req);

	if (!inode)
		return -ESTALE;
	AUTO_FD int fd = fs_open_inode(fs, inode, O_RDONLY);
	if (fd < 0)
		return fd;
	return syncfs(fd) < 0 ? -errno : 0;
}

/* Requests are served one after the other: the one to be interrupted has been answered. */
int fs_op_interrupt(struct fs *fs, struct fs_req *req)
{
	(void)fs;
	(void)req;
	return 0;
}
