/*
 * Inside the server: its state, one request, and what the operations (ops_*.c) have in common. An
 * operation is
 *
 *	int fs_op_NAME(struct fs *fs, struct fs_req *req)
 *
 * and returns 0 after at most one fs_reply(), or -errno with nothing replied. The table ops.def
 * has made sure that the fixed part of the body is there and that the fixed part of the answer
 * fits, before anything is done.
 */
#ifndef NACRE_VMM_DEV_FS_STATE_H
#define NACRE_VMM_DEV_FS_STATE_H

#include <linux/fuse.h>
#include <stdalign.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/compiler.h"
#include "base/cursor.h"
#include "vmm/dev/fs/cred.h"
#include "vmm/dev/fs/handle.h"
#include "vmm/dev/fs/inode.h"
#include "vmm/virtio/queue.h"

#define FS_NAME_MAX        255
#define FS_XATTR_MAX_BYTES 65536 /* XATTR_SIZE_MAX, XATTR_LIST_MAX */
#define FS_ARG_MAX_BYTES   96
/* The most pages a request of the guest's has, and what one READ or WRITE moves with them. */
#define FS_MAX_PAGES    256
#define FS_IO_MAX_BYTES (FS_MAX_PAGES * 4096U)
/* The largest variable part that is read whole: fuse_setxattr_in's second half, a name, a value. */
#define FS_TAIL_MAX_BYTES (8 + FS_NAME_MAX + 1 + FS_XATTR_MAX_BYTES)

/*
 * Directory entries read ahead of what fitted into an answer, of the handle that was read last
 * (ops_dir.c).
 */
struct fs_dirbuf {
	uint64_t fh;   /* 0: nothing here */
	uint64_t next; /* the offset that the entry at `at` is read by */
	size_t at, end;
	alignas(8) uint8_t bytes[32768];
};

struct fs {
	struct fs_inodes inodes;
	struct fs_handles handles;
	struct fs_cred cred;
	int proc_fd; /* /proc/self/fd, O_PATH */
	bool readonly;
	bool started;   /* INIT was answered */
	uint32_t flags; /* FUSE_* agreed at INIT */
	struct fs_dirbuf dirbuf;
	uint8_t tail[FS_TAIL_MAX_BYTES];
	alignas(8) uint8_t scratch[FS_XATTR_MAX_BYTES]; /* where variable answers are made */
};

struct fs_req {
	struct fuse_in_header in;
	alignas(8) uint8_t arg[FS_ARG_MAX_BYTES]; /* the fixed part of the body */
	size_t data_bytes;                        /* body after the fixed part */
	struct cursor tail;                       /* the same, unless it was left in the chain */
	struct vq_chain *chain;
};

#define FS_ARG(req, type) ((const struct type *)(const void *)(req)->arg)

/* --- request.c --- */

/* Answers with len bytes of data. 0, or -EINVAL when the guest left less room. */
int fs_reply(struct fs_req *req, const void *data, size_t len) MUST_CHECK;

/*
 * The next string of the tail as one path component: 0, -EINVAL (unterminated, empty, ".", "..",
 * a slash), -ENAMETOOLONG. Lent until the request ends. fs_req_last_name also wants nothing
 * behind it.
 */
int fs_req_name(struct fs_req *req, const char **name) MUST_CHECK;
int fs_req_last_name(struct fs_req *req, const char **name) MUST_CHECK;

/* The inode the request is about, NULL: answer ESTALE. */
struct fs_inode *fs_req_inode(const struct fs *fs, const struct fs_req *req);

/* --- node.c: inodes and the host's files --- */

/*
 * The name of a descriptor below proc_fd: following it leads to that very inode, a symbolic link
 * too.
 */
struct fs_proc_name {
	char s[12];
};
struct fs_proc_name fs_proc_name(int fd);

/*
 * A new descriptor of a regular file or directory (anything else: -ELOOP, -ENXIO) with the
 * guest's open flags.
 */
int fs_open_inode(const struct fs *fs, const struct fs_inode *inode, uint32_t flags) MUST_CHECK;

/*
 * What of the guest's open(2) flags the host sees. -EINVAL, or -EROFS when they would write a
 * read-only tree.
 */
int fs_open_flags(const struct fs *fs, uint32_t flags) MUST_CHECK;

/*
 * Clears setuid, and setgid of a group-executable file, as a write by a caller without CAP_FSETID
 * does.
 */
int fs_kill_suidgid(int fd) MUST_CHECK;

/*
 * Which of setuid and setgid the guest's kernel wants to outlive a change of contents, asked before it, and put back after it: to
 * the host's kernel a writer in a user namespace never has CAP_FSETID (linux, setattr_should_drop_suidgid).
 */
mode_t fs_kept_suidgid(int fd);
void fs_keep_suidgid(int fd, mode_t kept);

/* --- entry.c: names --- */

/* Finds `name`, counts a lookup and fills the answer. */
int fs_lookup(struct fs *fs, const struct fs_inode *parent, const char *name,
	      struct fuse_entry_out *out) MUST_CHECK;
/* The same for an inode whose O_PATH descriptor is at hand; it is taken on success. */
int fs_enter(struct fs *fs, const struct fs_inode *parent, const char *name, int *fd,
	     struct fuse_entry_out *out) MUST_CHECK;

/* --- attr.c --- */

void fs_attr_fill(const struct statx *st, struct fuse_attr *out);
/* How long the guest may keep what it learns in such a place. */
uint64_t fs_valid_s(enum fs_share share);

#endif
