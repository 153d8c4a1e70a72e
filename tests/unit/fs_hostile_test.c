/*
 * The FUSE server against a guest that means harm: ways out of the tree, numbers and lengths that
 * were never given, requests cut short, and everything it could exhaust.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/own.h"
#include "tests/unit/fs_client.h"

static void test_names(void **state)
{
	static char name255[256], name256[257];
	static const struct {
		const char *what;
		const char *bytes;
		size_t len;
		int error;
	} cases[] = {
		{"a name", "ok", 3, 0},
		{"the longest", name255, 256, 0},
		{"too long", name256, 257, -ENAMETOOLONG},
		{"empty", "", 1, -EINVAL},
		{"nothing", "", 0, -EINVAL},
		{"dot", ".", 2, -EINVAL},
		{"up", "..", 3, -EINVAL},
		{"three dots are a name", "...", 4, 0},
		{"absolute", "/etc", 5, -EINVAL},
		{"two components", "ok/ok", 6, -EINVAL},
		{"up in the middle", "ok/../ok", 9, -EINVAL},
		{"slash at the end", "ok/", 4, -EINVAL},
		{"unterminated", "ok", 2, -EINVAL},
		{"bytes behind the NUL", "ok\0x", 4, -EINVAL},
		{"two NULs", "ok\0", 4, -EINVAL},
		{"not text", "\xff\xfe\n", 4, 0},
	};
	struct fs_client *c = *state;

	memset(name255, 'n', 255);
	memset(name256, 'n', 256);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct fuse_mknod_in in = {.mode = S_IFREG | 0644};
		struct fc_msg m = {.opcode = FUSE_MKNOD,
				   .nodeid = FUSE_ROOT_ID,
				   .arg = &in,
				   .arg_len = sizeof(in),
				   .data = cases[i].bytes,
				   .data_len = cases[i].len};

		assert_int_equal(fc_do(c, &m), cases[i].error);
		m = (struct fc_msg){.opcode = FUSE_LOOKUP,
				    .nodeid = FUSE_ROOT_ID,
				    .data = cases[i].bytes,
				    .data_len = cases[i].len};
		assert_int_equal(fc_do(c, &m), cases[i].error);
		m.opcode = FUSE_UNLINK;
		assert_int_equal(fc_do(c, &m), cases[i].error);
	}
}

/*
 * Links are the guest's to follow: the server sees the link, and what lies behind it stays out of
 * reach.
 */
static void test_links_are_not_followed(void **state)
{
	static const char *const targets[] = {"/etc", "../..", "/proc/self/root", ".",
					      "/etc/passwd"};
	struct fs_client *c = *state;
	uint64_t fh;

	for (size_t i = 0; i < ARRAY_SIZE(targets); i++) {
		struct fuse_entry_out l, e;
		char name[8];

		(void)snprintf(name, sizeof(name), "l%zu", i);
		assert_int_equal(fc_symlink(c, FUSE_ROOT_ID, name, targets[i], NULL), 0);
		assert_int_equal(fc_lookup(c, FUSE_ROOT_ID, name, &l), 0);
		assert_true(S_ISLNK(l.attr.mode));
		assert_int_equal(fc_lookup(c, l.nodeid, "passwd", &e), -ENOTDIR);
		assert_int_equal(fc_mkdir(c, l.nodeid, "x", 0755, &e), -ENOTDIR);
		assert_int_equal(fc_open(c, l.nodeid, O_RDONLY, &fh), -ELOOP);
		assert_int_equal(fc_opendir(c, l.nodeid, &fh), -ENOTDIR);
		struct fs_create_out out;
		assert_int_equal(fc_create(c, FUSE_ROOT_ID, name, O_RDWR, 0644, &out), -ELOOP);
	}
}

struct swapper {
	int dir_fd;
	atomic_bool stop;
};

/*
 * Another process of the container, or of the host: a directory and a link to / change places,
 * over and over.
 */
static void *swap(void *arg)
{
	struct swapper *s = arg;

	while (!atomic_load(&s->stop))
		(void)renameat2(s->dir_fd, "dir", s->dir_fd, "link", RENAME_EXCHANGE);
	return NULL;
}

static void test_swapped_for_a_link(void **state)
{
	struct fs_client *c = *state;
	struct swapper s = {.dir_fd = c->dir_fd};
	struct stat etc;
	pthread_t thread;

	assert_int_equal(mkdirat(c->dir_fd, "dir", 0755), 0);
	assert_int_equal(mkdirat(c->dir_fd, "dir/etc", 0755), 0);
	assert_int_equal(symlinkat("/", c->dir_fd, "link"), 0);
	assert_int_equal(stat("/etc", &etc), 0);
	assert_int_equal(pthread_create(&thread, NULL, swap, &s), 0);
	for (int i = 0; i < 5000; i++) {
		struct fuse_entry_out d, e;
		int rc = fc_lookup(c, FUSE_ROOT_ID, "dir", &d);

		assert_int_equal(rc, 0);
		rc = fc_lookup(c, d.nodeid, "etc", &e);
		assert_true(rc == (S_ISLNK(d.attr.mode) ? -ENOTDIR : 0));
		assert_true(rc < 0 || e.attr.ino != etc.st_ino);
		fc_forget(c, d.nodeid, 1);
		if (rc == 0)
			fc_forget(c, e.nodeid, 1);
	}
	atomic_store(&s.stop, true);
	assert_int_equal(pthread_join(thread, NULL), 0);
}

/*
 * Special files that the host has in the tree are never opened on this side; a fifo would hold
 * the server for ever.
 */
static void test_special_files_are_not_opened(void **state)
{
	struct fs_client *c = *state;
	static const char *const names[] = {"fifo", "sock", "null"};
	struct sockaddr_un addr = {.sun_family = AF_UNIX};

	assert_int_equal(mkfifoat(c->dir_fd, "fifo", 0666), 0);
	AUTO_FD int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	(void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%.60s/sock", c->dir);
	assert_int_equal(bind(sock, (const struct sockaddr *)&addr, sizeof(addr)), 0);
	bool device = mknodat(c->dir_fd, "null", S_IFCHR | 0666, 1 << 8 | 3) == 0;
	for (size_t i = 0; i < (device ? 3 : 2); i++) {
		struct fuse_entry_out e;
		struct fs_create_out out;
		uint64_t fh;
		const struct fuse_setattr_in set = {.valid = FATTR_SIZE};

		assert_int_equal(fc_lookup(c, FUSE_ROOT_ID, names[i], &e), 0);
		assert_int_equal(fc_open(c, e.nodeid, O_RDONLY, &fh), -ENXIO);
		assert_int_equal(fc_open(c, e.nodeid, O_WRONLY, &fh), -ENXIO);
		assert_int_equal(fc_create(c, FUSE_ROOT_ID, names[i], O_RDONLY, 0644, &out),
				 -ENXIO);
		assert_int_equal(fc_setattr(c, e.nodeid, &set), -EINVAL);
		if (i == 2)
			assert_int_equal(e.attr.rdev, 1 << 8 | 3);
	}
}

static void test_numbers_never_given(void **state)
{
	static const uint64_t bad[] = {0, 2, 3, 1ULL << 32, 1ULL << 32 | 1, UINT64_MAX, 0xffffffff};
	static const struct {
		uint32_t opcode;
		size_t arg_len;
		const char *name;
		int error;
	} ops[] = {
		{FUSE_LOOKUP, 0, "f", -ESTALE},
		{FUSE_GETATTR, sizeof(struct fuse_getattr_in), NULL, -ESTALE},
		{FUSE_SETATTR, sizeof(struct fuse_setattr_in), NULL, -ESTALE},
		{FUSE_READLINK, 0, NULL, -ESTALE},
		{FUSE_MKDIR, sizeof(struct fuse_mkdir_in), "f", -ESTALE},
		{FUSE_UNLINK, 0, "f", -ESTALE},
		{FUSE_RMDIR, 0, "f", -ESTALE},
		{FUSE_OPEN, sizeof(struct fuse_open_in), NULL, -ESTALE},
		{FUSE_OPENDIR, sizeof(struct fuse_open_in), NULL, -ESTALE},
		{FUSE_CREATE, sizeof(struct fuse_create_in), "f", -ESTALE},
		{FUSE_STATFS, 0, NULL, -ESTALE},
		{FUSE_ACCESS, sizeof(struct fuse_access_in), NULL, -ESTALE},
		{FUSE_LISTXATTR, sizeof(struct fuse_getxattr_in), NULL, -ESTALE},
		{FUSE_REMOVEXATTR, 0, "user.a", -ESTALE},
		{FUSE_SYNCFS, sizeof(struct fuse_syncfs_in), NULL, -ESTALE},
		{FUSE_READ, sizeof(struct fuse_read_in), NULL, -EBADF},
		{FUSE_WRITE, sizeof(struct fuse_write_in), NULL, -EBADF},
		{FUSE_READDIR, sizeof(struct fuse_read_in), NULL, -EBADF},
		{FUSE_RELEASE, sizeof(struct fuse_release_in), NULL, -EBADF},
		{FUSE_FLUSH, sizeof(struct fuse_flush_in), NULL, -EBADF},
		{FUSE_FSYNC, sizeof(struct fuse_fsync_in), NULL, -EBADF},
		{FUSE_FSYNCDIR, sizeof(struct fuse_fsync_in), NULL, -EBADF},
		{FUSE_FALLOCATE, sizeof(struct fuse_fallocate_in), NULL, -EBADF},
		{FUSE_LSEEK, sizeof(struct fuse_lseek_in), NULL, -EBADF},
	};
	struct fs_client *c = *state;

	for (size_t i = 0; i < ARRAY_SIZE(ops); i++) {
		for (size_t n = 0; n < ARRAY_SIZE(bad); n++) {
			/* Every handle in the body is made up as well. */
			uint64_t arg[FS_ARG_MAX_BYTES / 8] = {bad[n]};
			struct fc_msg m = {.opcode = ops[i].opcode,
					   .nodeid = bad[n],
					   .arg = arg,
					   .arg_len = ops[i].arg_len,
					   .name = ops[i].name};

			assert_int_equal(fc_do(c, &m), ops[i].error);
			fc_forget(c, bad[n], UINT64_MAX);
		}
	}
}

/*
 * Every operation with its body one byte short and its answer's room one byte short: refused, and
 * nothing done.
 */
static void test_short_bodies_and_answers(void **state)
{
	static const struct {
		uint32_t opcode;
		size_t in, out;
		bool silent;
	} ops[] = {
#define FS_OP_WRITES                        0
#define FS_OP_DATA                          0
#define FS_OP_ANY_TIME                      0
#define FS_OP_NO_REPLY                      1
#define FS_OP(opcode, name, in, out, flags) {opcode, in, out, flags},
#include "vmm/dev/fs/ops.def"
#undef FS_OP
	};
	struct fs_client *c = *state;
	uint8_t bytes[sizeof(struct fuse_in_header) + FS_ARG_MAX_BYTES];

	for (size_t i = 0; i < ARRAY_SIZE(ops); i++) {
		struct fuse_in_header in = {.opcode = ops[i].opcode, .nodeid = FUSE_ROOT_ID};
		struct fuse_out_header out;

		for (size_t less = 0; less < 2; less++) {
			size_t body = less ? ops[i].in : ops[i].in - 1;
			size_t room = less ? ops[i].out - 1 : ops[i].out;

			if (ops[i].silent || (less ? ops[i].out == 0 : ops[i].in == 0))
				continue;
			memset(bytes, 0, sizeof(bytes));
			in.len = (uint32_t)(sizeof(in) + body);
			memcpy(bytes, &in, sizeof(in));
			assert_true(fc_raw(c, bytes, in.len, sizeof(out) + room));
			memcpy(&out, c->out, sizeof(out));
			assert_int_equal(out.error, -EINVAL);
			assert_int_equal(out.len, sizeof(out));
		}
	}
	struct fuse_entry_out e;
	assert_int_equal(fc_lookup(c, FUSE_ROOT_ID, "f", &e), -ENOENT);
}

static void test_headers(void **state)
{
	static const struct {
		const char *what;
		size_t bytes;
		uint32_t opcode, len;
		size_t room;
		bool ok;
		int error;
	} cases[] = {
		{"good", 56, FUSE_GETATTR, 56, 120, true, 0},
		{"no header", 39, FUSE_GETATTR, 56, 120, false, 0},
		{"nothing", 0, 0, 0, 120, false, 0},
		{"no room for an answer", 56, FUSE_GETATTR, 56, 15, false, 0},
		{"no answer wanted", 48, FUSE_FORGET, 48, 0, true, 0},
		{"longer than it is", 56, FUSE_GETATTR, 57, 120, true, -EINVAL},
		{"much longer", 56, FUSE_GETATTR, UINT32_MAX, 120, true, -EINVAL},
		{"shorter than its struct", 56, FUSE_GETATTR, 55, 120, true, -EINVAL},
		{"shorter than a header", 56, FUSE_GETATTR, 39, 120, true, -EINVAL},
		{"opcode 0", 40, 0, 40, 120, true, -ENOSYS},
		{"opcode of a hole", 40, 7, 40, 120, true, -ENOSYS},
		{"opcode past the end", 40, 53, 40, 120, true, -ENOSYS},
		{"largest opcode", 40, UINT32_MAX, 40, 120, true, -ENOSYS},
		{"locks", 40, FUSE_SETLKW, 40, 120, true, -ENOSYS},
		{"ioctl", 40, FUSE_IOCTL, 40, 120, true, -ENOSYS},
		{"poll", 40, FUSE_POLL, 40, 120, true, -ENOSYS},
	};
	struct fs_client *c = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint8_t bytes[64] = {0};
		const struct fuse_in_header in = {.len = cases[i].len,
						  .opcode = cases[i].opcode,
						  .unique = 7,
						  .nodeid = FUSE_ROOT_ID};
		struct fuse_out_header out = {0};

		memcpy(bytes, &in, sizeof(in));
		bool ok = fc_raw(c, bytes, cases[i].bytes, cases[i].room);
		assert_true(ok == cases[i].ok);
		if (!ok || cases[i].room == 0)
			continue;
		memcpy(&out, c->out, sizeof(out));
		assert_int_equal(out.error, cases[i].error);
		assert_int_equal(out.unique, 7);
		assert_int_equal(out.len, c->out_len);
	}
}

static void test_sizes_that_lie(void **state)
{
	struct fs_client *c = *state;
	struct fs_create_out f;

	assert_int_equal(fc_create(c, FUSE_ROOT_ID, "f", O_RDWR, 0644, &f), 0);
	/* More data promised than sent. */
	const struct fuse_write_in w = {.fh = f.open.fh, .size = 100};
	struct fc_msg m = {.opcode = FUSE_WRITE,
			   .nodeid = f.entry.nodeid,
			   .arg = &w,
			   .arg_len = sizeof(w),
			   .data = "abc",
			   .data_len = 3};
	assert_int_equal(fc_do(c, &m), -EINVAL);

	/* More data asked for than there is room. */
	const struct fuse_read_in r = {.fh = f.open.fh, .size = 100};
	m = (struct fc_msg){.opcode = FUSE_READ,
			    .nodeid = f.entry.nodeid,
			    .arg = &r,
			    .arg_len = sizeof(r),
			    .room = 99};
	assert_int_equal(fc_do(c, &m), -EINVAL);

	/* An answer whose length only shows when it is there. */
	struct fuse_entry_out l;
	assert_int_equal(fc_symlink(c, FUSE_ROOT_ID, "l", "target", &l), 0);
	m = (struct fc_msg){.opcode = FUSE_READLINK, .nodeid = l.nodeid, .room = 5};
	assert_int_equal(fc_do(c, &m), -EINVAL);
	m.room = 6;
	assert_int_equal(fc_do(c, &m), 0);

	/* A link without a target, and with more than one. */
	m = (struct fc_msg){.opcode = FUSE_SYMLINK, .nodeid = FUSE_ROOT_ID, .name = "l2"};
	assert_int_equal(fc_do(c, &m), -EINVAL);
	m.data = "a\0b";
	m.data_len = 4;
	assert_int_equal(fc_do(c, &m), -EINVAL);

	/* An attribute's value that is longer, or shorter, than it says. */
	for (uint32_t size = 2; size <= 4; size++) {
		const struct fuse_setxattr_in x = {.size = size};
		m = (struct fc_msg){.opcode = FUSE_SETXATTR,
				    .nodeid = f.entry.nodeid,
				    .arg = &x,
				    .arg_len = sizeof(x),
				    .name = "user.a",
				    .data = "abc",
				    .data_len = 3};
		assert_int_equal(fc_do(c, &m), size == 3 ? 0 : -EINVAL);
	}

	/* A variable part larger than any request has. */
	AUTO_FREE char *big = calloc(1, FS_TAIL_MAX_BYTES + 1);
	assert_non_null(big);
	m = (struct fc_msg){.opcode = FUSE_LOOKUP,
			    .nodeid = FUSE_ROOT_ID,
			    .data = big,
			    .data_len = FS_TAIL_MAX_BYTES + 1};
	assert_int_equal(fc_do(c, &m), -E2BIG);
}

/* The budget of descriptors ends in ENFILE for the guest, and giving some back makes room again. */
static void test_descriptors_run_out(void **state)
{
	struct fs_client *c = *state;
	struct fs *small = NULL, *whole = c->fs;
	const struct fuse_init_in init = {.major = 7, .minor = 38};
	const struct fc_msg init_m = {.opcode = FUSE_INIT, .arg = &init, .arg_len = sizeof(init)};
	struct fuse_entry_out first = {0}, e;
	struct fs_create_out out;
	char name[16];
	int n = 0, rc = 0;

	/* The hard limit cannot be raised again: this is the last test of the program. */
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &(struct rlimit){512, 512}), 0);
	int root_fd = open(c->dir, O_PATH | O_CLOEXEC);
	rc = fs_create(root_fd, -1, false, &small, NULL);
	assert_int_equal(rc, 0);
	c->fs = small;
	assert_int_equal(fc_do(c, &init_m), 0);
	for (rc = 0; rc == 0 && n < 1000; n++) {
		(void)snprintf(name, sizeof(name), "f%d", n);
		rc = fc_mknod(c, FUSE_ROOT_ID, name, S_IFREG | 0644, 0, n ? &e : &first);
	}
	assert_int_equal(rc, -ENFILE);
	assert_in_range(n, 100, 256);
	/* What could not be answered was not made. */
	assert_int_equal(faccessat(c->dir_fd, name, F_OK, 0), -1);
	assert_int_equal(fc_create(c, FUSE_ROOT_ID, name, O_RDWR, 0644, &out), -ENFILE);
	assert_int_equal(fc_lookup(c, FUSE_ROOT_ID, "f1", &e), 0);
	fc_forget(c, first.nodeid, 1);
	assert_int_equal(fc_mknod(c, FUSE_ROOT_ID, name, S_IFREG | 0644, 0, &e), 0);
	uint64_t fh;
	for (rc = 0, n = 0; rc == 0 && n < 1000; n++)
		rc = fc_open(c, e.nodeid, O_RDONLY, &fh);
	assert_int_equal(rc, -ENFILE);
	c->fs = whole;
	fs_destroy(small);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, fc_setup, fc_teardown)
	const struct CMUnitTest tests[] = {
		T(test_names),
		T(test_links_are_not_followed),
		T(test_swapped_for_a_link),
		T(test_special_files_are_not_opened),
		T(test_numbers_never_given),
		T(test_short_bodies_and_answers),
		T(test_headers),
		T(test_sizes_that_lie),
		T(test_descriptors_run_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
