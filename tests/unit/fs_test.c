/*
 * The FUSE server's namespace: names, inodes and their life, the session, what is cached how
 * long.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/own.h"
#include "tests/unit/fs_client.h"

static mode_t host_mode(const struct fs_client *c, const char *name)
{
	struct stat st;

	return fstatat(c->dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 ? st.st_mode : 0;
}

static void test_init(void **state)
{
	const uint32_t expected = FUSE_ASYNC_READ | FUSE_ATOMIC_O_TRUNC | FUSE_BIG_WRITES |
				  FUSE_DONT_MASK | FUSE_DO_READDIRPLUS | FUSE_READDIRPLUS_AUTO |
				  FUSE_ASYNC_DIO | FUSE_PARALLEL_DIROPS | FUSE_POSIX_ACL |
				  FUSE_MAX_PAGES | FUSE_CACHE_SYMLINKS | FUSE_SUBMOUNTS |
				  FUSE_HANDLE_KILLPRIV_V2 | FUSE_SETXATTR_EXT;
	static const struct {
		const char *what;
		uint32_t major, minor, flags;
		int error;
		uint32_t out_major, out_flags;
	} cases[] = {
		{"7.31", 7, 31, FUSE_ASYNC_READ | FUSE_WRITEBACK_CACHE, 0, 7, FUSE_ASYNC_READ},
		{"newer minor", 7, 99, 0, 0, 7, 0},
		{"newer major", 8, 0, FUSE_ASYNC_READ, 0, 7, 0},
		{"older minor", 7, 30, 0, -EPROTO, 0, 0},
		{"older major", 6, 99, 0, -EPROTO, 0, 0},
	};
	struct fs_client *c = *state;

	assert_int_equal(c->init.flags, expected);
	assert_int_equal(c->init.max_pages, 256);
	assert_int_equal(c->init.max_write, 1 << 20);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		/* As short as it was before 7.36. */
		const struct fuse_init_in in = {
			.major = cases[i].major, .minor = cases[i].minor, .flags = cases[i].flags};
		const struct fc_msg m = {.opcode = FUSE_INIT, .arg = &in, .arg_len = 16};
		struct fuse_init_out out;

		assert_int_equal(fc_do(c, &m), cases[i].error);
		if (cases[i].error)
			continue;
		memcpy(&out, fc_body(c), sizeof(out));
		assert_int_equal(out.major, cases[i].out_major);
		assert_int_equal(out.flags, cases[i].out_flags);
	}
}

static void test_before_init(void **state)
{
	struct fs_client *c = *state;
	struct fuse_attr attr;

	fs_end_session(c->fs);
	assert_int_equal(fc_getattr(c, FUSE_ROOT_ID, &attr), -EIO);
}

static void test_kinds(void **state)
{
	static const struct {
		const char *name;
		uint32_t mode, rdev;
		int error;
		mode_t host;
	} cases[] = {
		{"reg", S_IFREG | 0666, 0, 0, S_IFREG | 0644},
		{"suid", S_IFREG | 06755, 0, 0, S_IFREG | 06755},
		{"fifo", S_IFIFO | 0600, 0, 0, S_IFIFO | 0600},
		{"sock", S_IFSOCK | 0777, 0, 0, S_IFSOCK | 0755},
		{"whiteout", S_IFCHR, 0, 0, S_IFCHR},
		{"null", S_IFCHR | 0666, 1 << 8 | 3, -EPERM, 0},
		{"disk", S_IFBLK | 0600, 8 << 8, -EPERM, 0},
		{"blk0", S_IFBLK | 0600, 0, -EPERM, 0},
		{"dir", S_IFDIR | 0755, 0, -EPERM, 0},
		{"lnk", S_IFLNK | 0777, 0, -EPERM, 0},
		{"none", 0644, 0, -EPERM, 0},
		{"strange", 0170000, 0, -EPERM, 0},
	};
	struct fs_client *c = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct fuse_entry_out e = {0};
		int rc = fc_mknod(c, FUSE_ROOT_ID, cases[i].name, cases[i].mode, cases[i].rdev, &e);

		assert_int_equal(rc, cases[i].error);
		assert_int_equal(host_mode(c, cases[i].name), cases[i].host);
		if (rc == 0)
			assert_int_equal(e.attr.mode, cases[i].host);
	}
}

static void test_tree(void **state)
{
	struct fs_client *c = *state;
	struct fuse_entry_out d, e, f;
	const struct fc_msg readlink_m = {.opcode = FUSE_READLINK};
	struct fc_msg m = readlink_m;
	const char long_target[] = "../../../../../../../../etc/passwd";

	assert_int_equal(fc_mkdir(c, FUSE_ROOT_ID, "d", 01777, &d), 0);
	assert_int_equal(host_mode(c, "d"), S_IFDIR | 01755);
	assert_int_equal(fc_mkdir(c, FUSE_ROOT_ID, "d", 0755, &e), -EEXIST);
	assert_int_equal(fc_symlink(c, d.nodeid, "l", long_target, &e), 0);
	assert_true(S_ISLNK(e.attr.mode));
	m.nodeid = e.nodeid;
	assert_int_equal(fc_do(c, &m), 0);
	assert_int_equal(fc_body_len(c), strlen(long_target));
	assert_memory_equal(fc_body(c), long_target, strlen(long_target));
	m.nodeid = d.nodeid;
	assert_int_equal(fc_do(c, &m), -EINVAL);

	/* The same inode by another way, and a link to the symbolic link itself. */
	const struct fuse_link_in link_in = {.oldnodeid = e.nodeid};
	const struct fc_msg link_m = {.opcode = FUSE_LINK,
				      .nodeid = FUSE_ROOT_ID,
				      .arg = &link_in,
				      .arg_len = sizeof(link_in),
				      .name = "l2"};
	assert_int_equal(fc_do(c, &link_m), 0);
	assert_int_equal(host_mode(c, "l2") & S_IFMT, S_IFLNK);
	assert_int_equal(fc_lookup(c, FUSE_ROOT_ID, "l2", &f), 0);
	assert_true(f.nodeid == e.nodeid);
	assert_int_equal(f.attr.nlink, 2);

	const struct fc_msg rmdir_m = {.opcode = FUSE_RMDIR, .nodeid = FUSE_ROOT_ID, .name = "d"};
	const struct fc_msg unlink_m = {.opcode = FUSE_UNLINK, .nodeid = d.nodeid, .name = "l"};
	assert_int_equal(fc_do(c, &rmdir_m), -ENOTEMPTY);
	assert_int_equal(fc_do(c, &unlink_m), 0);
	assert_int_equal(fc_do(c, &unlink_m), -ENOENT);
	assert_int_equal(fc_do(c, &rmdir_m), 0);
	assert_int_equal(fc_lookup(c, FUSE_ROOT_ID, "d", &e), -ENOENT);
	/* A removed directory can still be asked about, and takes nothing in. */
	assert_int_equal(fc_mkdir(c, d.nodeid, "x", 0755, &e), -ENOENT);
}

static int rename2(struct fs_client *c, const char *from, const char *to, uint32_t flags)
{
	const struct fuse_rename2_in in = {.newdir = FUSE_ROOT_ID, .flags = flags};
	const struct fc_msg m = {.opcode = FUSE_RENAME2,
				 .nodeid = FUSE_ROOT_ID,
				 .arg = &in,
				 .arg_len = sizeof(in),
				 .name = from,
				 .name2 = to};

	return fc_do(c, &m);
}

static void test_rename(void **state)
{
	struct fs_client *c = *state;
	const struct fuse_rename_in in = {.newdir = FUSE_ROOT_ID};
	struct fuse_entry_out a, b, e;

	assert_int_equal(fc_mknod(c, FUSE_ROOT_ID, "a", S_IFREG | 0644, 0, &a), 0);
	assert_int_equal(fc_mknod(c, FUSE_ROOT_ID, "b", S_IFREG | 0600, 0, &b), 0);
	assert_int_equal(rename2(c, "a", "b", RENAME_NOREPLACE), -EEXIST);
	assert_int_equal(rename2(c, "a", "b", RENAME_EXCHANGE), 0);
	assert_int_equal(fc_lookup(c, FUSE_ROOT_ID, "a", &e), 0);
	assert_true(e.nodeid == b.nodeid);
	assert_int_equal(rename2(c, "a", "b", 1 << 5), -EINVAL);
	assert_int_equal(rename2(c, "a", "../b", 0), -EINVAL);

	const struct fc_msg m = {.opcode = FUSE_RENAME,
				 .nodeid = FUSE_ROOT_ID,
				 .arg = &in,
				 .arg_len = sizeof(in),
				 .name = "b",
				 .name2 = "a"};
	assert_int_equal(fc_do(c, &m), 0);
	assert_int_equal(fc_lookup(c, FUSE_ROOT_ID, "a", &e), 0);
	assert_true(e.nodeid == a.nodeid);
	assert_int_equal(fc_lookup(c, FUSE_ROOT_ID, "b", &e), -ENOENT);
	if (rename2(c, "a", "w", RENAME_WHITEOUT) == 0)
		assert_int_equal(host_mode(c, "a") & S_IFMT, S_IFCHR);
}

static void test_forget_frees(void **state)
{
	struct fs_client *c = *state;
	size_t before = fc_open_fds();
	struct fuse_entry_out e[50], again;
	struct fuse_attr attr;
	char name[16];

	for (int i = 0; i < 50; i++) {
		(void)snprintf(name, sizeof(name), "f%d", i);
		assert_int_equal(fc_mknod(c, FUSE_ROOT_ID, name, S_IFREG | 0644, 0, &e[i]), 0);
	}
	assert_int_equal(fc_open_fds(), before + 50);
	assert_int_equal(fc_lookup(c, FUSE_ROOT_ID, "f0", &again), 0);
	assert_true(again.nodeid == e[0].nodeid);
	assert_int_equal(fc_open_fds(), before + 50);

	/* Twice looked up, so one forget is not enough; then far too many at once. */
	fc_forget(c, e[0].nodeid, 1);
	assert_int_equal(fc_getattr(c, e[0].nodeid, &attr), 0);
	fc_forget(c, e[0].nodeid, UINT64_MAX);
	assert_int_equal(fc_getattr(c, e[0].nodeid, &attr), -ESTALE);

	struct {
		struct fuse_batch_forget_in in;
		struct fuse_forget_one one[49];
	} batch = {.in = {.count = UINT32_MAX}};
	for (size_t i = 0; i < 49; i++)
		batch.one[i] = (struct fuse_forget_one){e[i + 1].nodeid, 1};
	const struct fc_msg m = {
		.opcode = FUSE_BATCH_FORGET, .arg = &batch, .arg_len = sizeof(batch)};
	assert_int_equal(fc_do(c, &m), 0);
	assert_int_equal(fc_open_fds(), before);

	/* The number's next life has another generation. */
	assert_int_equal(fc_lookup(c, FUSE_ROOT_ID, "f0", &again), 0);
	for (int i = 0; i < 50; i++)
		assert_true(again.nodeid != e[i].nodeid);
	fc_forget(c, FUSE_ROOT_ID, UINT64_MAX);
	assert_int_equal(fc_getattr(c, FUSE_ROOT_ID, &attr), 0);
}

static void test_end_of_session(void **state)
{
	struct fs_client *c = *state;
	size_t before = fc_open_fds();
	const struct fc_msg destroy = {.opcode = FUSE_DESTROY};
	struct fs_create_out out;

	assert_int_equal(fc_create(c, FUSE_ROOT_ID, "f", O_RDWR, 0644, &out), 0);
	assert_int_equal(fc_open_fds(), before + 2);
	assert_int_equal(fc_do(c, &destroy), 0);
	assert_int_equal(fc_open_fds(), before);
	assert_int_equal(fc_do(c, &destroy), 0);
}

/* What the layout of the shared tree says about caching (inode.h). */
static void test_cache_policy(void **state)
{
	static const struct {
		const char *name;
		int up; /* index of the parent, -1: the root */
		uint64_t entry_s, attr_s;
	} cases[] = {
		{"id", -1, 1, 1},    {"rootfs", 0, 1, 24 * 3600}, {"usr", 1, 24 * 3600, 24 * 3600},
		{"volume", 0, 1, 1}, {"rootfs", 3, 1, 1},         {"rootfs", -1, 1, 1},
	};
	struct fs_client *c = *state;
	struct fuse_entry_out e[ARRAY_SIZE(cases)], miss;
	uint64_t fh;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint64_t up = cases[i].up < 0 ? FUSE_ROOT_ID : e[cases[i].up].nodeid;

		assert_int_equal(fc_mkdir(c, up, cases[i].name, 0755, &e[i]), 0);
		assert_int_equal(e[i].entry_valid, cases[i].entry_s);
		assert_int_equal(e[i].attr_valid, cases[i].attr_s);
	}
	/* A miss is kept only where nobody else makes files. */
	assert_int_equal(fc_lookup(c, e[2].nodeid, "miss", &miss), 0);
	assert_true(miss.nodeid == 0 && miss.entry_valid == 24 * 3600);
	assert_int_equal(fc_lookup(c, e[3].nodeid, "miss", &miss), -ENOENT);

	struct fs_create_out out;
	assert_int_equal(fc_create(c, e[2].nodeid, "f", O_RDWR, 0644, &out), 0);
	assert_int_equal(out.open.open_flags, FOPEN_KEEP_CACHE | FOPEN_NOFLUSH);
	assert_int_equal(fc_create(c, e[3].nodeid, "f", O_RDWR, 0644, &out), 0);
	assert_int_equal(out.open.open_flags, 0);
	assert_int_equal(fc_opendir(c, e[2].nodeid, &fh), 0);
	assert_int_equal(((const struct fuse_open_out *)fc_body(c))->open_flags,
			 FOPEN_KEEP_CACHE | FOPEN_CACHE_DIR);
}

/*
 * A mount below the tree: inodes of their own, marked for the guest to mount, and a policy of their
 * own.
 */
static void test_submounts(void **state)
{
	struct fs_client *c = *state;
	struct fuse_entry_out id, rootfs, dir, other, again;
	char path[96];

	assert_int_equal(fc_mkdir(c, FUSE_ROOT_ID, "id", 0755, &id), 0);
	assert_int_equal(fc_mkdir(c, id.nodeid, "rootfs", 0755, &rootfs), 0);
	assert_int_equal(fc_mkdir(c, rootfs.nodeid, "dir", 0755, &dir), 0);
	assert_int_equal(fc_mkdir(c, rootfs.nodeid, "mnt", 0755, &other), 0);
	(void)snprintf(path, sizeof(path), "%s/id/rootfs/mnt", c->dir);
	if (mount(c->dir, path, NULL, MS_BIND, NULL) < 0)
		skip();

	/* The same directory by another mount. */
	assert_int_equal(fc_lookup(c, rootfs.nodeid, "mnt", &other), 0);
	assert_int_equal(other.attr.flags, FUSE_ATTR_SUBMOUNT);
	assert_int_equal(other.attr_valid, 1);
	assert_true(other.nodeid != FUSE_ROOT_ID);
	assert_int_equal(fc_lookup(c, other.nodeid, "id", &again), 0);
	assert_true(again.attr.ino == id.attr.ino && again.nodeid != id.nodeid);
	assert_int_equal(again.attr.flags, 0);
	assert_int_equal(fc_lookup(c, rootfs.nodeid, "dir", &again), 0);
	assert_true(again.nodeid == dir.nodeid && again.attr.flags == 0);
	assert_int_equal(umount2(path, MNT_DETACH), 0);
}

/*
 * Mounts of the tests stay among themselves; without the right to make any, the test that wants
 * one skips.
 */
static int own_mounts(void **state)
{
	(void)state;
	if (unshare(CLONE_NEWNS) == 0)
		(void)mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
	return 0;
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, fc_setup, fc_teardown)
	const struct CMUnitTest tests[] = {
		T(test_init),           T(test_before_init),  T(test_kinds),
		T(test_tree),           T(test_rename),       T(test_forget_frees),
		T(test_end_of_session), T(test_cache_policy), T(test_submounts),
	};

	return cmocka_run_group_tests(tests, own_mounts, NULL);
}
