/*
 * A FUSE client for tests: it speaks to the server (vmm/dev/fs/fs.h) in messages, bytes in and
 * bytes out, over a temporary directory. It knows nothing of cmocka, so the fuzz target uses it
 * too; what cannot go wrong in a sane test is a BUG_ON.
 */
#ifndef NACRE_TESTS_FS_CLIENT_H
#define NACRE_TESTS_FS_CLIENT_H

#include <linux/fuse.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "vmm/dev/fs/fs.h"
#include "vmm/dev/fs/ops.h"
#include "vmm/gmem.h"

#define FC_OUT_BYTES (2U << 20)

struct fs_client {
	struct gmem *mem;
	struct vq vq;
	struct vq_chain chain;
	struct fs *fs;
	char dir[64];      /* the host's name of what is shared */
	int dir_fd;        /* the same, for the *at calls of a test */
	uint32_t uid, gid; /* of the requests to come */
	uint8_t *out;      /* the last answer, header included */
	size_t out_len;    /* as the used ring would have it */
	struct fuse_init_out init;
};

/* One request: what is NULL or 0 is not sent; strings go with their NUL. */
struct fc_msg {
	uint32_t opcode;
	uint64_t nodeid;
	const void *arg;
	size_t arg_len;
	const char *name, *name2;
	const void *data;
	size_t data_len;
	size_t room;  /* writable bytes after the header; 0: 4096 */
	uint32_t len; /* what the header says; 0: the truth */
};

/* A new directory and a session over it: INIT is done. */
void fc_init(struct fs_client *c, bool readonly);
/* Removes the directory. */
void fc_done(struct fs_client *c);
/* For cmocka: *state is a client. */
int fc_setup(void **state);
int fc_setup_readonly(void **state);
int fc_teardown(void **state);

/* What the host sees below the shared directory. */
struct stat fc_host_stat(const struct fs_client *c, const char *name);

/* The same in parts, for many short sessions in one memory: fc_memory once, then each with a new directory in `base`. */
void fc_memory(struct fs_client *c);
void fc_begin(struct fs_client *c, const char *base, bool readonly);
void fc_end(struct fs_client *c);

/*
 * The answer's error, 0 or -errno; the body is at fc_body. -1000 when the server called it a
 * broken transport.
 */
int fc_do(struct fs_client *c, const struct fc_msg *m);
const void *fc_body(const struct fs_client *c);
size_t fc_body_len(const struct fs_client *c);
/* Bytes as they are, with `room` writable bytes, header included. */
bool fc_raw(struct fs_client *c, const void *bytes, size_t len, size_t room);

/* The common ones. `out` may be NULL. */
int fc_lookup(struct fs_client *c, uint64_t dir, const char *name, struct fuse_entry_out *out);
int fc_mkdir(struct fs_client *c, uint64_t dir, const char *name, uint32_t mode,
	     struct fuse_entry_out *out);
int fc_mknod(struct fs_client *c, uint64_t dir, const char *name, uint32_t mode, uint32_t rdev,
	     struct fuse_entry_out *out);
int fc_symlink(struct fs_client *c, uint64_t dir, const char *name, const char *target,
	       struct fuse_entry_out *out);
int fc_create(struct fs_client *c, uint64_t dir, const char *name, uint32_t flags, uint32_t mode,
	      struct fs_create_out *out);
int fc_open(struct fs_client *c, uint64_t node, uint32_t flags, uint64_t *fh);
int fc_opendir(struct fs_client *c, uint64_t node, uint64_t *fh);
int fc_release(struct fs_client *c, uint32_t opcode, uint64_t node, uint64_t fh);
/* Bytes moved or -errno. */
int fc_write(struct fs_client *c, uint64_t node, const struct fuse_write_in *in, const void *data);
int fc_read(struct fs_client *c, uint64_t node, uint64_t fh, uint64_t off, uint32_t size);
int fc_getattr(struct fs_client *c, uint64_t node, struct fuse_attr *out);
int fc_setattr(struct fs_client *c, uint64_t node, const struct fuse_setattr_in *in);
void fc_forget(struct fs_client *c, uint64_t node, uint64_t n);

/* Descriptors this process has open. */
size_t fc_open_fds(void);

#endif
