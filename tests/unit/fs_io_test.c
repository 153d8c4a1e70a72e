/*
 * The FUSE server's open files: contents, appending, truncation, holes, copies, and the
 * privileges a write takes away.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/own.h"
#include "tests/unit/fs_client.h"

static struct fs_create_out create(struct fs_client *c, const char *name, uint32_t mode)
{
	struct fs_create_out out;

	assert_int_equal(fc_create(c, FUSE_ROOT_ID, name, O_RDWR, mode, &out), 0);
	return out;
}

static void test_read_write(void **state)
{
	struct fs_client *c = *state;
	struct fs_create_out f = create(c, "f", 0644);
	size_t big = 1 << 20;
	AUTO_FREE char *data = malloc(big);

	assert_non_null(data);
	for (size_t i = 0; i < big; i++)
		data[i] = (char)(i * 7);
	const struct fuse_write_in in = {.fh = f.open.fh, .offset = 3, .size = (uint32_t)big};
	assert_int_equal(fc_write(c, f.entry.nodeid, &in, data), big);
	assert_int_equal(fc_read(c, f.entry.nodeid, f.open.fh, 3, (uint32_t)big), big);
	assert_memory_equal(fc_body(c), data, big);
	/* Short at the end, nothing behind it. */
	assert_int_equal(fc_read(c, f.entry.nodeid, f.open.fh, big, 4096), 3);
	assert_int_equal(fc_read(c, f.entry.nodeid, f.open.fh, big + 3, 4096), 0);
	assert_int_equal(fc_host_stat(c, "f").st_size, big + 3);
	assert_int_equal(fc_release(c, FUSE_RELEASE, f.entry.nodeid, f.open.fh), 0);
	assert_int_equal(fc_read(c, f.entry.nodeid, f.open.fh, 0, 1), -EBADF);
}

static void test_ranges(void **state)
{
	static const struct {
		const char *what;
		uint64_t offset;
		uint32_t size;
		int expected;
	} cases[] = {
		{"in the file", 0, 2, 2},
		{"the descriptor's own position", UINT64_MAX, 2, -EINVAL},
		{"negative", 1ULL << 63, 2, -EINVAL},
		{"past the largest offset", INT64_MAX - 1, 2, -EINVAL},
	};
	struct fs_client *c = *state;
	struct fs_create_out f = create(c, "f", 0644);

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct fuse_write_in in = {
			.fh = f.open.fh, .offset = cases[i].offset, .size = cases[i].size};
		int rc = fc_write(c, f.entry.nodeid, &in, "ab");

		assert_int_equal(rc, cases[i].expected);
		rc = fc_read(c, f.entry.nodeid, f.open.fh, cases[i].offset, cases[i].size);
		assert_int_equal(rc, cases[i].expected);
	}
	assert_int_equal(fc_host_stat(c, "f").st_size, 2);
}

/* No more than INIT has said, whatever there is room for. */
static void test_sizes(void **state)
{
	static const struct {
		uint32_t size;
		bool ok;
	} cases[] = {{1 << 20, true}, {(1 << 20) + 1, false}};
	struct fs_client *c = *state;
	struct fs_create_out f = create(c, "f", 0644);
	AUTO_FREE char *data = calloc(2, 1 << 20);

	assert_non_null(data);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct fuse_write_in in = {.fh = f.open.fh, .size = cases[i].size};
		int expected = cases[i].ok ? (int)in.size : -EINVAL;

		assert_int_equal(fc_write(c, f.entry.nodeid, &in, data), expected);
		assert_int_equal(fc_read(c, f.entry.nodeid, f.open.fh, 0, in.size), expected);
	}
	assert_int_equal(fc_host_stat(c, "f").st_size, 1 << 20);
}

static void test_append(void **state)
{
	static const struct {
		const char *what;
		uint32_t flags, write_flags;
		off_t size;
	} cases[] = {
		{"plain", O_WRONLY, 0, 10},
		{"append", O_WRONLY | O_APPEND, 0, 11},
		{"a page written back", O_WRONLY | O_APPEND, FUSE_WRITE_CACHE, 10},
	};
	struct fs_client *c = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct fs_create_out f;
		char name[8];

		(void)snprintf(name, sizeof(name), "f%zu", i);
		assert_int_equal(fc_create(c, FUSE_ROOT_ID, name, cases[i].flags, 0644, &f), 0);
		struct fuse_write_in in = {.fh = f.open.fh, .size = 10};
		assert_int_equal(fc_write(c, f.entry.nodeid, &in, "0123456789"), 10);
		in.size = 1;
		in.flags = cases[i].flags;
		in.write_flags = cases[i].write_flags;
		assert_int_equal(fc_write(c, f.entry.nodeid, &in, "x"), 1);
		assert_int_equal(fc_host_stat(c, name).st_size, cases[i].size);
	}
}

static void test_create_open(void **state)
{
	struct fs_client *c = *state;
	struct fs_create_out f = create(c, "f", 0600), g;
	struct fuse_write_in in = {.fh = f.open.fh, .size = 4};
	uint64_t fh;

	assert_int_equal(fc_write(c, f.entry.nodeid, &in, "data"), 4);
	assert_int_equal(fc_create(c, FUSE_ROOT_ID, "f", O_RDWR | O_EXCL, 0600, &g), -EEXIST);
	/* Another made it first: opened, not made. */
	assert_int_equal(fc_create(c, FUSE_ROOT_ID, "f", O_RDWR, 0644, &g), 0);
	assert_true(g.entry.nodeid == f.entry.nodeid);
	assert_int_equal(fc_host_stat(c, "f").st_size, 4);
	assert_int_equal(fc_host_stat(c, "f").st_mode & 07777, 0600);
	assert_int_equal(fc_open(c, f.entry.nodeid, O_RDWR | O_TRUNC, &fh), 0);
	assert_int_equal(fc_host_stat(c, "f").st_size, 0);
	assert_int_equal(fc_open(c, f.entry.nodeid, O_ACCMODE, &fh), -EINVAL);
	assert_int_equal(fc_open(c, FUSE_ROOT_ID, O_RDONLY, &fh), -EISDIR);
	assert_int_equal(fc_opendir(c, f.entry.nodeid, &fh), -ENOTDIR);
	/* Read-only handles do not write, whatever the kernel on the other side thinks. */
	assert_int_equal(fc_open(c, f.entry.nodeid, O_RDONLY, &fh), 0);
	in.fh = fh;
	assert_int_equal(fc_write(c, f.entry.nodeid, &in, "data"), -EBADF);
}

static void test_tmpfile(void **state)
{
	struct fs_client *c = *state;
	const struct fuse_create_in in = {.flags = O_RDWR, .mode = S_IFREG | 0640};
	struct fc_msg m = {.opcode = FUSE_TMPFILE,
			   .nodeid = FUSE_ROOT_ID,
			   .arg = &in,
			   .arg_len = sizeof(in),
			   .name = "/"};
	struct fs_create_out f;

	assert_int_equal(fc_do(c, &m), 0);
	memcpy(&f, fc_body(c), sizeof(f));
	assert_int_equal(f.entry.attr.nlink, 0);
	const struct fuse_write_in w = {.fh = f.open.fh, .size = 3};
	assert_int_equal(fc_write(c, f.entry.nodeid, &w, "tmp"), 3);

	const struct fuse_link_in link_in = {.oldnodeid = f.entry.nodeid};
	const struct fc_msg link_m = {.opcode = FUSE_LINK,
				      .nodeid = FUSE_ROOT_ID,
				      .arg = &link_in,
				      .arg_len = sizeof(link_in),
				      .name = "named"};
	assert_int_equal(fc_do(c, &link_m), 0);
	assert_int_equal(fc_host_stat(c, "named").st_size, 3);
	assert_int_equal(fc_host_stat(c, "named").st_mode, S_IFREG | 0640);
}

static void test_holes(void **state)
{
	struct fs_client *c = *state;
	struct fs_create_out f = create(c, "f", 0644);
	static const struct {
		const char *what;
		uint32_t mode;
		uint64_t offset, length;
		int expected;
		off_t size;
	} cases[] = {
		{"grow", 0, 0, 65536, 0, 65536},
		{"keep the size", FALLOC_FL_KEEP_SIZE, 0, 131072, 0, 65536},
		{"punch", FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, 0, 32768, 0, 65536},
		{"collapse", FALLOC_FL_COLLAPSE_RANGE, 0, 4096, -EOPNOTSUPP, 65536},
		{"negative", 0, UINT64_MAX, 1, -EINVAL, 65536},
		{"too long", 0, 1, INT64_MAX, -EINVAL, 65536},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct fuse_fallocate_in in = {.fh = f.open.fh,
						     .offset = cases[i].offset,
						     .length = cases[i].length,
						     .mode = cases[i].mode};
		const struct fc_msg m = {.opcode = FUSE_FALLOCATE,
					 .nodeid = f.entry.nodeid,
					 .arg = &in,
					 .arg_len = sizeof(in)};

		assert_int_equal(fc_do(c, &m), cases[i].expected);
		assert_int_equal(fc_host_stat(c, "f").st_size, cases[i].size);
	}

	const struct fuse_write_in w = {.fh = f.open.fh, .offset = 40960, .size = 1};
	assert_int_equal(fc_write(c, f.entry.nodeid, &w, "x"), 1);
	static const struct {
		uint64_t offset;
		uint32_t whence;
		int expected;
	} seeks[] = {
		{0, SEEK_HOLE, 0},      {0, SEEK_DATA, 0}, {1 << 20, SEEK_DATA, -ENXIO},
		{0, SEEK_SET, -EINVAL}, {0, 77, -EINVAL},  {UINT64_MAX, SEEK_DATA, -EINVAL},
	};
	for (size_t i = 0; i < ARRAY_SIZE(seeks); i++) {
		const struct fuse_lseek_in in = {
			.fh = f.open.fh, .offset = seeks[i].offset, .whence = seeks[i].whence};
		const struct fc_msg m = {.opcode = FUSE_LSEEK,
					 .nodeid = f.entry.nodeid,
					 .arg = &in,
					 .arg_len = sizeof(in)};

		assert_int_equal(fc_do(c, &m), seeks[i].expected);
	}
}

static int truncate_to(const struct fs_client *c, const char *name, off_t size)
{
	AUTO_FD int fd = openat(c->dir_fd, name, O_WRONLY | O_CLOEXEC);

	return ftruncate(fd, size);
}

static void test_copy_range(void **state)
{
	struct fs_client *c = *state;
	struct fs_create_out f = create(c, "f", 0644), g = create(c, "g", 0644);
	const struct fuse_write_in w = {.fh = f.open.fh, .size = 10};
	struct fuse_copy_file_range_in in = {.fh_in = f.open.fh,
					     .off_in = 2,
					     .nodeid_out = g.entry.nodeid,
					     .fh_out = g.open.fh,
					     .off_out = 1,
					     .len = UINT64_MAX};
	const struct fc_msg m = {.opcode = FUSE_COPY_FILE_RANGE,
				 .nodeid = f.entry.nodeid,
				 .arg = &in,
				 .arg_len = sizeof(in)};

	assert_int_equal(fc_write(c, f.entry.nodeid, &w, "0123456789"), 10);
	assert_int_equal(fc_do(c, &m), 0);
	assert_int_equal(((const struct fuse_write_out *)fc_body(c))->size, 8);
	assert_int_equal(fc_read(c, g.entry.nodeid, g.open.fh, 0, 16), 9);
	assert_memory_equal(fc_body(c),
			    "\0"
			    "23456789",
			    9);
	in.nodeid_out = f.entry.nodeid; /* the handle is another file's */
	assert_int_equal(fc_do(c, &m), -EBADF);
	in.nodeid_out = g.entry.nodeid;
	in.flags = 1;
	assert_int_equal(fc_do(c, &m), -EINVAL);
	in.flags = 0;
	in.off_out = UINT64_MAX;
	assert_int_equal(fc_do(c, &m), -EINVAL);

	/* A long one in pieces, each of which the caller sees. */
	in.off_in = in.off_out = 0;
	assert_int_equal(truncate_to(c, "f", 9 << 20), 0);
	assert_int_equal(fc_do(c, &m), 0);
	assert_int_equal(((const struct fuse_write_out *)fc_body(c))->size, 8 << 20);
}

/* Each way to change contents, by a caller that may keep setuid and by one that may not. */
static void test_kill_privileges(void **state)
{
	static const struct {
		const char *what;
		uint32_t mode, write_flags, uid;
		mode_t expected;
	} cases[] = {
		{"may keep", 06755, 0, 0, 06755},
		{"both", 06755, FUSE_WRITE_KILL_SUIDGID, 0, 0755},
		{"setgid without group execution", 02745, FUSE_WRITE_KILL_SUIDGID, 0, 02745},
		{"setuid without execution", 04644, FUSE_WRITE_KILL_SUIDGID, 0, 0644},
		{"sticky stays", 05755, FUSE_WRITE_KILL_SUIDGID, 0, 01755},
	};
	struct fs_client *c = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char name[8];
		uint64_t fh;

		(void)snprintf(name, sizeof(name), "f%zu", i);
		struct fs_create_out f = create(c, name, 0644);
		assert_int_equal(fchmodat(c->dir_fd, name, cases[i].mode, 0), 0);
		const struct fuse_write_in in = {
			.fh = f.open.fh, .size = 1, .write_flags = cases[i].write_flags};
		assert_int_equal(fc_write(c, f.entry.nodeid, &in, "x"), 1);
		assert_int_equal(fc_host_stat(c, name).st_mode & 07777, cases[i].expected);

		bool kill = cases[i].write_flags;
		assert_int_equal(fchmodat(c->dir_fd, name, cases[i].mode, 0), 0);
		const struct fuse_setattr_in set = {
			.valid = FATTR_SIZE | (kill ? FATTR_KILL_SUIDGID : 0), .size = 1};
		assert_int_equal(fc_setattr(c, f.entry.nodeid, &set), 0);
		assert_int_equal(fc_host_stat(c, name).st_mode & 07777, cases[i].expected);

		assert_int_equal(fchmodat(c->dir_fd, name, cases[i].mode, 0), 0);
		const struct fuse_open_in open_in = {
			.flags = O_RDWR | O_TRUNC, .open_flags = kill ? FUSE_OPEN_KILL_SUIDGID : 0};
		const struct fc_msg open_m = {.opcode = FUSE_OPEN,
					      .nodeid = f.entry.nodeid,
					      .arg = &open_in,
					      .arg_len = sizeof(open_in)};
		assert_int_equal(fc_do(c, &open_m), 0);
		assert_int_equal(fc_host_stat(c, name).st_mode & 07777, cases[i].expected);

		/* No flag travels with FALLOCATE: the caller's uid decides. */
		fh = ((const struct fuse_open_out *)fc_body(c))->fh;
		assert_int_equal(fchmodat(c->dir_fd, name, cases[i].mode, 0), 0);
		const struct fuse_fallocate_in fa = {.fh = fh, .length = 10};
		const struct fc_msg fa_m = {.opcode = FUSE_FALLOCATE,
					    .nodeid = f.entry.nodeid,
					    .arg = &fa,
					    .arg_len = sizeof(fa)};
		c->uid = kill ? 1000 : 0;
		assert_int_equal(fc_do(c, &fa_m), 0);
		c->uid = 0;
		assert_int_equal(fc_host_stat(c, name).st_mode & 07777, cases[i].expected);
	}
}

static void test_sync(void **state)
{
	struct fs_client *c = *state;
	struct fs_create_out f = create(c, "f", 0644);
	const struct fuse_flush_in flush = {.fh = f.open.fh};
	const struct fuse_fsync_in fsync_in = {.fh = f.open.fh}, fdatasync_in = {f.open.fh, 1, 0};
	const struct fuse_syncfs_in syncfs_in = {0};
	const struct fc_msg msgs[] = {
		{.opcode = FUSE_FLUSH, .arg = &flush, .arg_len = sizeof(flush)},
		{.opcode = FUSE_FSYNC, .arg = &fsync_in, .arg_len = sizeof(fsync_in)},
		{.opcode = FUSE_FSYNC, .arg = &fdatasync_in, .arg_len = sizeof(fdatasync_in)},
		{.opcode = FUSE_SYNCFS, .arg = &syncfs_in, .arg_len = sizeof(syncfs_in)},
	};

	for (size_t i = 0; i < ARRAY_SIZE(msgs); i++) {
		struct fc_msg m = msgs[i];

		m.nodeid = f.entry.nodeid;
		assert_int_equal(fc_do(c, &m), 0);
		/* Another inode's handle; the last of them has none. */
		m.nodeid = FUSE_ROOT_ID;
		assert_int_equal(fc_do(c, &m), m.opcode == FUSE_SYNCFS ? 0 : -EBADF);
	}
}

static void test_readonly(void **state)
{
	struct fs_client *c = *state;
	struct fuse_entry_out e;
	uint64_t fh;
	static const uint8_t body[128];
#define W(op, n)                                                                                   \
	{                                                                                          \
		.opcode = op, .arg = body, .arg_len = n, .name = "f", .name2 = "g"                 \
	}
	const struct fc_msg writers[] = {
		W(FUSE_SETATTR, sizeof(struct fuse_setattr_in)),
		W(FUSE_SYMLINK, 0),
		W(FUSE_MKNOD, sizeof(struct fuse_mknod_in)),
		W(FUSE_MKDIR, sizeof(struct fuse_mkdir_in)),
		W(FUSE_UNLINK, 0),
		W(FUSE_RMDIR, 0),
		W(FUSE_RENAME, sizeof(struct fuse_rename_in)),
		W(FUSE_RENAME2, sizeof(struct fuse_rename2_in)),
		W(FUSE_LINK, sizeof(struct fuse_link_in)),
		W(FUSE_WRITE, sizeof(struct fuse_write_in)),
		W(FUSE_SETXATTR, sizeof(struct fuse_setxattr_in)),
		W(FUSE_REMOVEXATTR, 0),
		W(FUSE_CREATE, sizeof(struct fuse_create_in)),
		W(FUSE_TMPFILE, sizeof(struct fuse_create_in)),
		W(FUSE_FALLOCATE, sizeof(struct fuse_fallocate_in)),
		W(FUSE_COPY_FILE_RANGE, sizeof(struct fuse_copy_file_range_in)),
	};

	AUTO_FD int fd = openat(c->dir_fd, "f", O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
	assert_true(fd >= 0);
	assert_int_equal(fc_lookup(c, FUSE_ROOT_ID, "f", &e), 0);
	for (size_t i = 0; i < ARRAY_SIZE(writers); i++) {
		struct fc_msg m = writers[i];

		m.nodeid = FUSE_ROOT_ID;
		assert_int_equal(fc_do(c, &m), -EROFS);
	}
	assert_int_equal(fc_open(c, e.nodeid, O_RDWR, &fh), -EROFS);
	assert_int_equal(fc_open(c, e.nodeid, O_RDONLY | O_TRUNC, &fh), -EROFS);
	assert_int_equal(fc_open(c, e.nodeid, O_RDONLY, &fh), 0);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, fc_setup, fc_teardown)
	const struct CMUnitTest tests[] = {
		T(test_read_write),
		T(test_ranges),
		T(test_sizes),
		T(test_append),
		T(test_create_open),
		T(test_tmpfile),
		T(test_holes),
		T(test_copy_range),
		T(test_kill_privileges),
		T(test_sync),
		cmocka_unit_test_setup_teardown(test_readonly, fc_setup_readonly, fc_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
