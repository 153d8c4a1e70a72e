/*
 * The server's life, and the way of one request: header, table, body, operation, answer (fs.h,
 * state.h).
 */
#include "vmm/dev/fs/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/own.h"
#include "vmm/dev/fs/ops.h"

/* Descriptors left for the rest of the process, and the most the server would use. */
#define FD_RESERVE 256
#define FD_MAX     (1U << 20)

enum fs_op_flags {
	FS_OP_WRITES = 1,   /* EROFS when the tree is shared read-only */
	FS_OP_NO_REPLY = 2, /* never answered, not even when it fails */
	FS_OP_DATA = 4,     /* what follows the fixed part stays in the chain */
	FS_OP_ANY_TIME = 8, /* before INIT too */
};

struct fs_op {
	int (*fn)(struct fs *fs, struct fs_req *req); /* NULL: ENOSYS */
	uint16_t in_bytes, out_bytes;
	unsigned int flags;
};

#define FS_OP(opcode, name, in, out, flags)                                                        \
	_Static_assert((in) <= FS_ARG_MAX_BYTES, "FS_ARG_MAX_BYTES");
#include "vmm/dev/fs/ops.def"
#undef FS_OP

static const struct fs_op ops[] = {
#define FS_OP(opcode, name, in, out, flags) [opcode] = {fs_op_##name, in, out, flags},
#include "vmm/dev/fs/ops.def"
#undef FS_OP
};

static const struct fs_op *op_of(uint32_t opcode)
{
	return opcode < ARRAY_SIZE(ops) && ops[opcode].fn ? &ops[opcode] : NULL;
}

/* The descriptors that may be spent on the guest, the soft limit raised as far as it goes. */
static int fd_budget(uint32_t *out, struct err *err)
{
	struct rlimit lim;
	if (getrlimit(RLIMIT_NOFILE, &lim) < 0)
		return err_set(err, errno, "read the limit of open files");

	lim.rlim_cur = lim.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &lim) < 0)
		return err_set(err, errno, "raise the limit of open files to %llu",
			       (unsigned long long)lim.rlim_max);
	if (lim.rlim_max < 2 * FD_RESERVE)
		return err_say(err, EMFILE,
			       "a limit of %llu open files is too low to share a directory: "
			       "raise it to %d or more",
			       (unsigned long long)lim.rlim_max, 2 * FD_RESERVE);

	rlim_t left = lim.rlim_max - FD_RESERVE;
	*out = left < FD_MAX ? (uint32_t)left : FD_MAX;
	return 0;
}

/* A descriptor of our own. */
static int take_proc(struct fs *fs, int proc_fd, struct err *err)
{
	fs->proc_fd = proc_fd >= 0 ? fcntl(proc_fd, F_DUPFD_CLOEXEC, 0)
				   : open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
	return fs->proc_fd < 0 ? err_set(err, errno, "open '/proc/self/fd'") : 0;
}

int fs_create(int root_fd, int proc_fd, bool readonly, struct fs **out, struct err *err)
{
	uint32_t budget = 0;
	int rc = fd_budget(&budget, err);
	if (rc < 0)
		return rc;

	CLEANUP(own_fs_destroy) struct fs *fs = calloc(1, sizeof(*fs));
	if (!fs)
		return err_set(err, ENOMEM, "allocate the file server");

	fs->readonly = readonly;
	fs_handles_init(&fs->handles, budget / 4);
	rc = take_proc(fs, proc_fd, err);
	if (rc < 0)
		return rc;
	rc = fs_inodes_init(&fs->inodes, root_fd, budget - budget / 4);
	if (rc < 0)
		return err_set(err, -rc, "share the directory");

	*out = TAKE_PTR(&fs);
	return 0;
}

void fs_destroy(struct fs *fs)
{
	if (!fs)
		return;
	fs_handles_done(&fs->handles);
	fs_inodes_done(&fs->inodes);
	own_close(&fs->proc_fd);
	free(fs);
}

void fs_end_session(struct fs *fs)
{
	fs_handles_close_all(&fs->handles);
	fs_inodes_forget_all(&fs->inodes);
	fs->dirbuf.fh = 0;
	fs->flags = 0;
	fs->started = false;
}

/* Takes the body apart as the table says: the fixed part, then what is left. */
static int read_body(struct fs *fs, struct fs_req *req, const struct fs_op *op)
{
	size_t body = req->in.len - sizeof(req->in);

	if (body < op->in_bytes || chain_read(req->chain, req->arg, op->in_bytes) < op->in_bytes)
		return -EINVAL;
	req->data_bytes = body - op->in_bytes;
	if (op->flags & FS_OP_DATA)
		return 0;

	if (req->data_bytes > sizeof(fs->tail))
		return -E2BIG;
	if (chain_read(req->chain, fs->tail, req->data_bytes) < req->data_bytes)
		return -EINVAL;
	req->tail = cursor_of(fs->tail, req->data_bytes);
	return 0;
}

static int run(struct fs *fs, struct fs_req *req, const struct fs_op *op)
{
	uint32_t len = req->in.len;

	if (len < sizeof(req->in) || len - sizeof(req->in) > chain_read_left(req->chain))
		return -EINVAL;
	if (!op)
		return -ENOSYS;
	if (!fs->started && !(op->flags & FS_OP_ANY_TIME))
		return -EIO;
	if (fs->readonly && (op->flags & FS_OP_WRITES))
		return -EROFS;
	/* Checked first: nothing is done that cannot be answered. */
	if (chain_write_left(req->chain) < op->out_bytes)
		return -EINVAL;

	int rc = read_body(fs, req, op);
	return rc < 0 ? rc : op->fn(fs, req);
}

bool fs_serve(struct fs *fs, struct vq_chain *chain, const char **why)
{
	struct fs_req req = {.chain = chain};

	if (chain_read(chain, &req.in, sizeof(req.in)) < sizeof(req.in)) {
		*why = "a FUSE request without a header";
		return false;
	}
	const struct fs_op *op = op_of(req.in.opcode);
	if (op && (op->flags & FS_OP_NO_REPLY)) {
		(void)run(fs, &req, op);
		return true;
	}

	struct fuse_out_header out = {.unique = req.in.unique};
	if (!chain_write_skip(chain, sizeof(out))) {
		*why = "a FUSE request without room for an answer";
		return false;
	}
	out.error = run(fs, &req, op);
	out.len = chain->write_done;
	*why = "a FUSE answer that cannot be written";
	return chain_write_at(chain, 0, &out, sizeof(out));
}
