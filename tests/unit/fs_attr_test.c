/*
 * The FUSE server's attributes: owners, modes, sizes, times, extended attributes and ACLs, and
 * whose new files are.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/own.h"
#include "tests/unit/fs_client.h"
#include "vmm/dev/fs/cred.h"

static struct fuse_entry_out make(struct fs_client *c, const char *name, uint32_t mode)
{
	struct fuse_entry_out e;

	assert_int_equal(fc_mknod(c, FUSE_ROOT_ID, name, mode, 0, &e), 0);
	return e;
}

static void test_setattr(void **state)
{
	struct fs_client *c = *state;
	struct fuse_entry_out f = make(c, "f", S_IFREG | 0644);
	struct fuse_attr attr;

	const struct fuse_setattr_in mode = {.valid = FATTR_MODE, .mode = S_IFDIR | 04711};
	assert_int_equal(fc_setattr(c, f.nodeid, &mode), 0);
	assert_int_equal(fc_host_stat(c, "f").st_mode, S_IFREG | 04711);

	const struct fuse_setattr_in size = {.valid = FATTR_SIZE, .size = 12345};
	assert_int_equal(fc_setattr(c, f.nodeid, &size), 0);
	assert_int_equal(fc_host_stat(c, "f").st_size, 12345);
	const struct fuse_setattr_in huge = {.valid = FATTR_SIZE, .size = UINT64_MAX};
	assert_int_equal(fc_setattr(c, f.nodeid, &huge), -EFBIG);
	assert_int_equal(fc_setattr(c, FUSE_ROOT_ID, &size), -EISDIR);
	const struct fuse_setattr_in bad_fh = {.valid = FATTR_SIZE | FATTR_FH, .fh = 99};
	assert_int_equal(fc_setattr(c, f.nodeid, &bad_fh), -EBADF);

	const struct fuse_setattr_in times = {.valid = FATTR_ATIME | FATTR_MTIME,
					      .atime = 1000,
					      .atimensec = 5,
					      .mtime = (uint64_t)-7,
					      .mtimensec = 999999999};
	assert_int_equal(fc_setattr(c, f.nodeid, &times), 0);
	assert_int_equal(fc_getattr(c, f.nodeid, &attr), 0);
	assert_true(attr.atime == 1000 && attr.atimensec == 5);
	assert_true((int64_t)attr.mtime == -7 && attr.mtimensec == 999999999);

	/*
	 * UTIME_NOW by its number is not a time; the flag is the way to ask for it, of one of
	 * them alone.
	 */
	const struct fuse_setattr_in omit = {.valid = FATTR_MTIME, .mtimensec = UTIME_NOW};
	assert_int_equal(fc_setattr(c, f.nodeid, &omit), -EINVAL);
	const struct fuse_setattr_in now = {.valid = FATTR_MTIME | FATTR_MTIME_NOW};
	assert_int_equal(fc_setattr(c, f.nodeid, &now), 0);
	assert_int_equal(fc_host_stat(c, "f").st_atim.tv_sec, 1000);
	assert_true(fc_host_stat(c, "f").st_mtim.tv_sec > 1000000);
}

/* A link's own attributes change, never those of what it points to. */
static void test_setattr_link(void **state)
{
	struct fs_client *c = *state;
	struct fuse_entry_out f = make(c, "f", S_IFREG | 0644), l;
	const struct fuse_setattr_in times = {.valid = FATTR_MTIME, .mtime = 77};
	const struct fuse_setattr_in mode = {.valid = FATTR_MODE, .mode = 0777};

	(void)f;
	assert_int_equal(fc_symlink(c, FUSE_ROOT_ID, "l", "f", &l), 0);
	assert_int_equal(fc_setattr(c, l.nodeid, &times), 0);
	assert_int_equal(fc_host_stat(c, "l").st_mtim.tv_sec, 77);
	assert_true(fc_host_stat(c, "f").st_mtim.tv_sec != 77);
	assert_int_equal(fc_setattr(c, l.nodeid, &mode), -EOPNOTSUPP);
	assert_int_equal(fc_host_stat(c, "f").st_mode & 07777, 0644);
}

static void test_owner(void **state)
{
	static const struct {
		const char *what;
		uint32_t valid;
		uid_t uid;
		gid_t gid;
	} cases[] = {
		{"user", FATTR_UID, 1000, 0},
		{"group", FATTR_GID, 1000, 2000},
		{"both", FATTR_UID | FATTR_GID, 1001, 2001},
		{"neither", 0, 1001, 2001},
	};
	struct fs_client *c = *state;

	if (geteuid() != 0)
		skip();
	struct fuse_entry_out f = make(c, "f", S_IFREG | 0644), l;
	assert_int_equal(fc_symlink(c, FUSE_ROOT_ID, "l", "f", &l), 0);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct fuse_setattr_in in = {
			.valid = cases[i].valid, .uid = cases[i].uid, .gid = cases[i].gid};

		assert_int_equal(fc_setattr(c, l.nodeid, &in), 0);
		assert_int_equal(fc_host_stat(c, "l").st_uid, cases[i].uid);
		assert_int_equal(fc_host_stat(c, "l").st_gid, cases[i].gid);
		assert_int_equal(fc_host_stat(c, "f").st_uid, 0);
	}
	/* A mode given with the owner is the last word. */
	const struct fuse_setattr_in both = {
		.valid = FATTR_UID | FATTR_MODE, .uid = 1000, .mode = 04755};
	assert_int_equal(fc_setattr(c, f.nodeid, &both), 0);
	assert_int_equal(fc_host_stat(c, "f").st_mode & 07777, 04755);
}

static void test_new_files_owner(void **state)
{
	struct fs_client *c = *state;
	struct fuse_entry_out e;
	struct fs_create_out f;

	if (geteuid() != 0)
		skip();
	mode_t old_mask = umask(027);
	c->uid = 1000;
	c->gid = 2000;
	/* In a directory of root's: the guest has checked, the host need not agree. */
	assert_int_equal(fc_create(c, FUSE_ROOT_ID, "f", O_RDWR, 0666, &f), 0);
	assert_int_equal(fc_mkdir(c, FUSE_ROOT_ID, "d", 0777, &e), 0);
	assert_int_equal(fc_symlink(c, FUSE_ROOT_ID, "l", "x", NULL), 0);
	assert_int_equal(fc_mknod(c, FUSE_ROOT_ID, "p", S_IFIFO | 0666, 0, NULL), 0);
	static const char *const names[] = {"f", "d", "l", "p"};
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		assert_int_equal(fc_host_stat(c, names[i]).st_uid, 1000);
		assert_int_equal(fc_host_stat(c, names[i]).st_gid, 2000);
	}
	assert_int_equal(fc_host_stat(c, "f").st_mode & 07777, 0644);
	assert_int_equal(fc_host_stat(c, "d").st_mode & 07777, 0755);

	/* A setgid directory gives its group, and passes the bit on to directories. */
	assert_int_equal(fchownat(c->dir_fd, "d", 0, 3000, 0), 0);
	assert_int_equal(fchmodat(c->dir_fd, "d", 02777, 0), 0);
	assert_int_equal(fc_mkdir(c, e.nodeid, "sub", 0755, NULL), 0);
	assert_int_equal(fc_host_stat(c, "d/sub").st_gid, 3000);
	assert_int_equal(fc_host_stat(c, "d/sub").st_uid, 1000);
	assert_int_equal(fc_host_stat(c, "d/sub").st_mode & 07777, 02755);

	/* The server is itself again. */
	AUTO_FD int fd = openat(c->dir_fd, "own", O_CREAT | O_WRONLY | O_CLOEXEC, 0666);
	assert_true(fd >= 0);
	assert_int_equal(fc_host_stat(c, "own").st_uid, 0);
	assert_int_equal(fc_host_stat(c, "own").st_mode & 07777, 0640);
	umask(old_mask);
}

static int setxattr_as(struct fs_client *c, uint64_t node, const char *name, const char *value,
		       uint32_t flags)
{
	const struct fuse_setxattr_in in = {.size = (uint32_t)strlen(value),
					    .setxattr_flags = flags};
	const struct fc_msg m = {.opcode = FUSE_SETXATTR,
				 .nodeid = node,
				 .arg = &in,
				 .arg_len = sizeof(in),
				 .name = name,
				 .data = value,
				 .data_len = strlen(value)};

	return fc_do(c, &m);
}

static int getxattr_of(struct fs_client *c, uint32_t opcode, uint64_t node, const char *name,
		       uint32_t size)
{
	const struct fuse_getxattr_in in = {.size = size};
	const struct fc_msg m = {
		.opcode = opcode, .nodeid = node, .arg = &in, .arg_len = sizeof(in), .name = name};

	return fc_do(c, &m);
}

static void test_xattr_list_of_allowed(void **state)
{
	static const struct {
		const char *name;
		int set, get, remove;
	} cases[] = {
		{"user.a", 0, 0, 0},
		{"user.", -EPERM, -ENODATA, -EPERM},
		{"user", -EPERM, -ENODATA, -EPERM},
		{"trusted.overlay.opaque", -EPERM, -ENODATA, -EPERM},
		{"security.selinux", -EPERM, -ENODATA, -EPERM},
		{"security.capability.x", -EPERM, -ENODATA, -EPERM},
		{"system.posix_acl_accessx", -EPERM, -ENODATA, -EPERM},
		{"USER.a", -EPERM, -ENODATA, -EPERM},
		{"", -EINVAL, -EINVAL, -EINVAL},
	};
	struct fs_client *c = *state;
	struct fuse_entry_out f = make(c, "f", S_IFREG | 0644);

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct fc_msg m = {
			.opcode = FUSE_REMOVEXATTR, .nodeid = f.nodeid, .name = cases[i].name};

		assert_int_equal(setxattr_as(c, f.nodeid, cases[i].name, "v", 0), cases[i].set);
		assert_int_equal(getxattr_of(c, FUSE_GETXATTR, f.nodeid, cases[i].name, 16),
				 cases[i].get);
		assert_int_equal(fc_do(c, &m), cases[i].remove);
	}
}

static void test_xattr_values(void **state)
{
	struct fs_client *c = *state;
	struct fuse_entry_out f = make(c, "f", S_IFREG | 0644), p, l;
	char path[128];

	p = make(c, "p", S_IFIFO | 0644);
	assert_int_equal(fc_symlink(c, FUSE_ROOT_ID, "l", "f", &l), 0);
	assert_int_equal(setxattr_as(c, f.nodeid, "user.a", "value", 0), 0);
	assert_int_equal(getxattr_of(c, FUSE_GETXATTR, f.nodeid, "user.a", 0), 0);
	assert_int_equal(((const struct fuse_getxattr_out *)fc_body(c))->size, 5);
	assert_int_equal(getxattr_of(c, FUSE_GETXATTR, f.nodeid, "user.a", 4), -ERANGE);
	assert_int_equal(getxattr_of(c, FUSE_GETXATTR, f.nodeid, "user.a", 5), 0);
	assert_memory_equal(fc_body(c), "value", 5);
	assert_int_equal(getxattr_of(c, FUSE_GETXATTR, f.nodeid, "user.b", 5), -ENODATA);

	/* What the host has for itself does not show. */
	(void)snprintf(path, sizeof(path), "%s/f", c->dir);
	/* Nor is it in reach of a user namespace. */
	if (setxattr(path, "trusted.overlay.opaque", "y", 1, 0) < 0)
		assert_int_equal(errno, EPERM);
	assert_int_equal(getxattr_of(c, FUSE_LISTXATTR, f.nodeid, NULL, 256), 0);
	assert_int_equal(fc_body_len(c), sizeof("user.a"));
	assert_memory_equal(fc_body(c), "user.a", sizeof("user.a"));
	assert_int_equal(getxattr_of(c, FUSE_LISTXATTR, f.nodeid, NULL, 3), -ERANGE);

	/* Neither a fifo nor what a link points to is opened for it. */
	assert_int_equal(getxattr_of(c, FUSE_GETXATTR, l.nodeid, "user.a", 16), -ENODATA);
	assert_int_equal(setxattr_as(c, l.nodeid, "user.b", "v", 0), -EPERM);
	assert_int_equal(getxattr_of(c, FUSE_LISTXATTR, p.nodeid, NULL, 256), 0);
	assert_int_equal(fc_body_len(c), 0);
}

/* An ACL as the kernel reads it: version 2, then tag, permissions and id of each entry. */
#define ACL_ENTRY(tag, perm, id) (tag), 0, (perm), 0, (id)&0xff, (id) >> 8 & 0xff, 0, 0
#define ACL_NO_ID                0xff, 0xff, 0xff, 0xff

static void test_default_acl_replaces_umask(void **state)
{
	static const uint8_t acl[] = {2, 0, 0, 0,         1,    0, 7, 0, ACL_NO_ID, 4,
				      0, 7, 0, ACL_NO_ID, 0x20, 0, 5, 0, ACL_NO_ID};
	struct fs_client *c = *state;
	struct fuse_entry_out d;
	struct fs_create_out f;

	assert_int_equal(fc_mkdir(c, FUSE_ROOT_ID, "d", 0755, &d), 0);
	const struct fuse_setxattr_in in = {.size = sizeof(acl)};
	const struct fc_msg m = {.opcode = FUSE_SETXATTR,
				 .nodeid = d.nodeid,
				 .arg = &in,
				 .arg_len = sizeof(in),
				 .name = "system.posix_acl_default",
				 .data = acl,
				 .data_len = sizeof(acl)};
	if (fc_do(c, &m) == -EOPNOTSUPP)
		skip();
	/* The client's umask is 022: without the ACL this is 0644. */
	assert_int_equal(fc_create(c, d.nodeid, "f", O_RDWR, 0666, &f), 0);
	assert_int_equal(fc_host_stat(c, "d/f").st_mode & 07777, 0664);
}

static void test_acl_kills_setgid(void **state)
{
	static const uint8_t acl[] = {2,    0, 0, 0, ACL_ENTRY(1, 7, 0xffff),
				      4,    0, 7, 0, ACL_NO_ID,
				      0x20, 0, 5, 0, ACL_NO_ID};
	struct fs_client *c = *state;
	struct fuse_entry_out f = make(c, "f", S_IFREG | 0644);

	for (uint32_t kill = 0; kill < 2; kill++) {
		const struct fuse_setxattr_in in = {.size = sizeof(acl),
						    .setxattr_flags =
							    kill ? FUSE_SETXATTR_ACL_KILL_SGID : 0};
		const struct fc_msg m = {.opcode = FUSE_SETXATTR,
					 .nodeid = f.nodeid,
					 .arg = &in,
					 .arg_len = sizeof(in),
					 .name = "system.posix_acl_access",
					 .data = acl,
					 .data_len = sizeof(acl)};

		assert_int_equal(fchmodat(c->dir_fd, "f", 02755, 0), 0);
		if (fc_do(c, &m) == -EOPNOTSUPP)
			skip();
		assert_int_equal(fc_host_stat(c, "f").st_mode & S_ISGID, kill ? 0 : S_ISGID);
	}
}

static void test_statfs_access(void **state)
{
	struct fs_client *c = *state;
	const struct fc_msg m = {.opcode = FUSE_STATFS, .nodeid = FUSE_ROOT_ID};
	static const struct {
		uint32_t mask;
		int expected;
	} cases[] = {{0, 0}, {R_OK | W_OK | X_OK, 0}, {8, -EINVAL}};
	struct fuse_statfs_out out;

	assert_int_equal(fc_do(c, &m), 0);
	memcpy(&out, fc_body(c), sizeof(out));
	assert_true(out.st.blocks > 0 && out.st.namelen == 255 && out.st.frsize > 0);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct fuse_access_in in = {.mask = cases[i].mask};
		const struct fc_msg a = {.opcode = FUSE_ACCESS,
					 .nodeid = FUSE_ROOT_ID,
					 .arg = &in,
					 .arg_len = sizeof(in)};

		assert_int_equal(fc_do(c, &a), cases[i].expected);
	}
}

static void *serve_and_stay(void *arg)
{
	pthread_barrier_t *barrier = arg;
	struct fs_cred cred;

	if (fs_cred_init(&cred) < 0 || fs_cred_enter(&cred, geteuid(), getegid(), 0) < 0)
		abort();
	(void)pthread_barrier_wait(barrier); /* in the middle of making a file */
	(void)pthread_barrier_wait(barrier);
	fs_cred_leave(&cred);
	return NULL;
}

/* Two devices have two threads: one's umask must not be what the other makes its files by. */
static void test_umask_is_the_threads(void **state)
{
	pthread_barrier_t barrier;
	pthread_t thread;
	mode_t old_mask = umask(027), seen;

	(void)state;
	assert_int_equal(pthread_barrier_init(&barrier, NULL, 2), 0);
	assert_int_equal(pthread_create(&thread, NULL, serve_and_stay, &barrier), 0);
	(void)pthread_barrier_wait(&barrier);
	seen = umask(old_mask);
	(void)pthread_barrier_wait(&barrier);
	assert_int_equal(pthread_join(thread, NULL), 0);
	(void)pthread_barrier_destroy(&barrier);
	assert_int_equal(seen, 027);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, fc_setup, fc_teardown)
	const struct CMUnitTest tests[] = {
		T(test_setattr),
		T(test_setattr_link),
		T(test_owner),
		T(test_new_files_owner),
		T(test_xattr_list_of_allowed),
		T(test_xattr_values),
		T(test_default_acl_replaces_umask),
		T(test_umask_is_the_threads),
		T(test_acl_kills_setgid),
		T(test_statfs_access),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
