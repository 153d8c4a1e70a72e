/*
 * The FUSE client of the tests (fs_client.h). Requests and answers are cut into odd pieces of
 * guest memory, since a device must not rely on their framing.
 */
#include "tests/unit/fs_client.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/own.h"
#include "base/path.h"

#define RAM_BYTES (8ULL << 20)
#define IN_AT     0x1000ULL
#define OUT_AT    0x400000ULL

static void add_seg(struct vq_chain *chain, uint64_t at, size_t len)
{
	if (len == 0)
		return;
	chain->segs[chain->nsegs++] = (struct vq_seg){GPA(at), (uint32_t)len};
}

bool fc_raw(struct fs_client *c, const void *bytes, size_t len, size_t room)
{
	size_t in_cut = len > 7 ? 7 : len, out_cut = room > 5 ? 5 : room;
	const char *why = NULL;

	BUG_ON(len > OUT_AT - IN_AT || room > FC_OUT_BYTES);
	BUG_ON(!gmem_write(c->mem, GPA(IN_AT), bytes, len));
	c->chain.vq = &c->vq;
	c->chain.nsegs = 0;
	add_seg(&c->chain, IN_AT, in_cut);
	add_seg(&c->chain, IN_AT + in_cut, len - in_cut);
	c->chain.nreadable = c->chain.nsegs;
	add_seg(&c->chain, OUT_AT, out_cut);
	add_seg(&c->chain, OUT_AT + out_cut, room - out_cut);
	c->chain.readable_bytes = (uint32_t)len;
	c->chain.writable_bytes = (uint32_t)room;
	c->chain.read_done = c->chain.write_done = 0;

	bool ok = fs_serve(c->fs, &c->chain, &why);
	BUG_ON(!ok && !why);
	c->out_len = c->chain.write_done;
	BUG_ON(!gmem_read(c->mem, GPA(OUT_AT), c->out, c->out_len));
	return ok;
}

const void *fc_body(const struct fs_client *c)
{
	return c->out + sizeof(struct fuse_out_header);
}

size_t fc_body_len(const struct fs_client *c)
{
	return c->out_len - sizeof(struct fuse_out_header);
}

static void append(uint8_t *to, size_t *len, const void *data, size_t n)
{
	if (n > 0)
		memcpy(to + *len, data, n);
	*len += n;
}

int fc_do(struct fs_client *c, const struct fc_msg *m)
{
	struct fuse_in_header in = {
		.opcode = m->opcode,
		.unique = 42,
		.nodeid = m->nodeid,
		.uid = c->uid,
		.gid = c->gid,
		.pid = 1,
	};
	AUTO_FREE uint8_t *bytes = malloc(sizeof(in) + m->arg_len + m->data_len + 65536);
	struct fuse_out_header out;
	size_t len = sizeof(in);

	BUG_ON(!bytes);
	append(bytes, &len, m->arg, m->arg_len);
	if (m->name)
		append(bytes, &len, m->name, strlen(m->name) + 1);
	if (m->name2)
		append(bytes, &len, m->name2, strlen(m->name2) + 1);
	append(bytes, &len, m->data, m->data_len);
	in.len = m->len ? m->len : (uint32_t)len;
	memcpy(bytes, &in, sizeof(in));

	if (!fc_raw(c, bytes, len, sizeof(out) + (m->room ? m->room : 4096)))
		return -1000;
	if (c->out_len == 0)
		return 0;
	memcpy(&out, c->out, sizeof(out));
	BUG_ON(out.unique != 42 || out.len != c->out_len || out.error > 0);
	BUG_ON(out.error && out.len != sizeof(out));
	return out.error;
}

/* Sends, and copies the body out when there is one and somebody wants it. */
static int ask(struct fs_client *c, const struct fc_msg *m, void *out, size_t len)
{
	int rc = fc_do(c, m);

	if (rc == 0)
		BUG_ON(fc_body_len(c) != len);
	if (rc == 0 && out)
		memcpy(out, fc_body(c), len);
	return rc;
}

int fc_lookup(struct fs_client *c, uint64_t dir, const char *name, struct fuse_entry_out *out)
{
	const struct fc_msg m = {.opcode = FUSE_LOOKUP, .nodeid = dir, .name = name};

	return ask(c, &m, out, sizeof(*out));
}

int fc_mkdir(struct fs_client *c, uint64_t dir, const char *name, uint32_t mode,
	     struct fuse_entry_out *out)
{
	const struct fuse_mkdir_in in = {.mode = mode, .umask = 022};
	const struct fc_msg m = {.opcode = FUSE_MKDIR,
				 .nodeid = dir,
				 .arg = &in,
				 .arg_len = sizeof(in),
				 .name = name};

	return ask(c, &m, out, sizeof(*out));
}

int fc_mknod(struct fs_client *c, uint64_t dir, const char *name, uint32_t mode, uint32_t rdev,
	     struct fuse_entry_out *out)
{
	const struct fuse_mknod_in in = {.mode = mode, .rdev = rdev, .umask = 022};
	const struct fc_msg m = {.opcode = FUSE_MKNOD,
				 .nodeid = dir,
				 .arg = &in,
				 .arg_len = sizeof(in),
				 .name = name};

	return ask(c, &m, out, sizeof(*out));
}

int fc_symlink(struct fs_client *c, uint64_t dir, const char *name, const char *target,
	       struct fuse_entry_out *out)
{
	const struct fc_msg m = {
		.opcode = FUSE_SYMLINK, .nodeid = dir, .name = name, .name2 = target};

	return ask(c, &m, out, sizeof(*out));
}

int fc_create(struct fs_client *c, uint64_t dir, const char *name, uint32_t flags, uint32_t mode,
	      struct fs_create_out *out)
{
	const struct fuse_create_in in = {
		.flags = flags | O_CREAT, .mode = mode | S_IFREG, .umask = 022};
	const struct fc_msg m = {.opcode = FUSE_CREATE,
				 .nodeid = dir,
				 .arg = &in,
				 .arg_len = sizeof(in),
				 .name = name};

	return ask(c, &m, out, sizeof(*out));
}

static int open_as(struct fs_client *c, uint32_t opcode, uint64_t node, uint32_t flags,
		   uint64_t *fh)
{
	const struct fuse_open_in in = {.flags = flags};
	const struct fc_msg m = {
		.opcode = opcode, .nodeid = node, .arg = &in, .arg_len = sizeof(in)};
	struct fuse_open_out out = {0};
	int rc = ask(c, &m, &out, sizeof(out));

	*fh = out.fh;
	return rc;
}

int fc_open(struct fs_client *c, uint64_t node, uint32_t flags, uint64_t *fh)
{
	return open_as(c, FUSE_OPEN, node, flags, fh);
}

int fc_opendir(struct fs_client *c, uint64_t node, uint64_t *fh)
{
	return open_as(c, FUSE_OPENDIR, node, O_RDONLY, fh);
}

int fc_release(struct fs_client *c, uint32_t opcode, uint64_t node, uint64_t fh)
{
	const struct fuse_release_in in = {.fh = fh};
	const struct fc_msg m = {
		.opcode = opcode, .nodeid = node, .arg = &in, .arg_len = sizeof(in)};

	return ask(c, &m, NULL, 0);
}

int fc_write(struct fs_client *c, uint64_t node, const struct fuse_write_in *in, const void *data)
{
	const struct fc_msg m = {.opcode = FUSE_WRITE,
				 .nodeid = node,
				 .arg = in,
				 .arg_len = sizeof(*in),
				 .data = data,
				 .data_len = in->size};
	struct fuse_write_out out = {0};
	int rc = ask(c, &m, &out, sizeof(out));

	return rc < 0 ? rc : (int)out.size;
}

int fc_read(struct fs_client *c, uint64_t node, uint64_t fh, uint64_t off, uint32_t size)
{
	const struct fuse_read_in in = {.fh = fh, .offset = off, .size = size};
	const struct fc_msg m = {.opcode = FUSE_READ,
				 .nodeid = node,
				 .arg = &in,
				 .arg_len = sizeof(in),
				 .room = size};
	int rc = fc_do(c, &m);

	return rc < 0 ? rc : (int)fc_body_len(c);
}

int fc_getattr(struct fs_client *c, uint64_t node, struct fuse_attr *out)
{
	const struct fuse_getattr_in in = {0};
	const struct fc_msg m = {
		.opcode = FUSE_GETATTR, .nodeid = node, .arg = &in, .arg_len = sizeof(in)};
	struct fuse_attr_out attr;
	int rc = ask(c, &m, &attr, sizeof(attr));

	if (rc == 0)
		*out = attr.attr;
	return rc;
}

int fc_setattr(struct fs_client *c, uint64_t node, const struct fuse_setattr_in *in)
{
	const struct fc_msg m = {
		.opcode = FUSE_SETATTR, .nodeid = node, .arg = in, .arg_len = sizeof(*in)};

	return ask(c, &m, NULL, sizeof(struct fuse_attr_out));
}

void fc_forget(struct fs_client *c, uint64_t node, uint64_t n)
{
	const struct fuse_forget_in in = {.nlookup = n};
	const struct fc_msg m = {
		.opcode = FUSE_FORGET, .nodeid = node, .arg = &in, .arg_len = sizeof(in)};

	BUG_ON(fc_do(c, &m) != 0 || c->out_len != 0);
}

size_t fc_open_fds(void)
{
	AUTO_DIR DIR *d = opendir("/proc/self/fd");
	size_t n = 0;

	BUG_ON(!d);
	while (readdir(d))
		n++;
	return n;
}

void fc_begin(struct fs_client *c, const char *base, bool readonly)
{
	const struct fuse_init_in in = {.major = 7, .minor = 41, .flags = UINT32_MAX};
	const struct fc_msg m = {.opcode = FUSE_INIT, .arg = &in, .arg_len = sizeof(in)};

	(void)snprintf(c->dir, sizeof(c->dir), "%s/nacre-fs-XXXXXX", base);
	BUG_ON(!mkdtemp(c->dir));
	c->dir_fd = open(c->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int root_fd = open(c->dir, O_PATH | O_CLOEXEC);
	BUG_ON(c->dir_fd < 0 || root_fd < 0);
	BUG_ON(fs_create(root_fd, -1, readonly, &c->fs, NULL) < 0);
	BUG_ON(ask(c, &m, &c->init, sizeof(c->init)) < 0);
}

void fc_end(struct fs_client *c)
{
	fs_destroy(TAKE_PTR(&c->fs));
	own_close(&c->dir_fd);
	BUG_ON(path_remove_tree(AT_FDCWD, c->dir, NULL) < 0);
}

void fc_memory(struct fs_client *c)
{
	static const struct gmem_range ram = {.at = {0}, .len_bytes = RAM_BYTES};

	memset(c, 0, sizeof(*c));
	c->out = malloc(FC_OUT_BYTES);
	BUG_ON(!c->out || gmem_create(&ram, 1, &c->mem, NULL) < 0);
	c->vq.mem = c->mem;
}

void fc_init(struct fs_client *c, bool readonly)
{
	fc_memory(c);
	fc_begin(c, "/var/tmp", readonly);
}

void fc_done(struct fs_client *c)
{
	fc_end(c);
	gmem_destroy(c->mem);
	free(c->out);
}

int fc_setup(void **state)
{
	static struct fs_client client;

	fc_init(&client, false);
	*state = &client;
	return 0;
}

int fc_setup_readonly(void **state)
{
	static struct fs_client client;

	fc_init(&client, true);
	*state = &client;
	return 0;
}

int fc_teardown(void **state)
{
	fc_done(*state);
	return 0;
}

struct stat fc_host_stat(const struct fs_client *c, const char *name)
{
	struct stat st;
	int rc = fstatat(c->dir_fd, name, &st, AT_SYMLINK_NOFOLLOW);

	BUG_ON(rc < 0);
	return st;
}
