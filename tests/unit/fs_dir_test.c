/*
 * The FUSE server's directories: every entry once, whatever the size of the answers and whoever
 * reads meanwhile.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/own.h"
#include "tests/unit/fs_client.h"

#define MANY 10000

static void fill_dir(const struct fs_client *c, int n)
{
	char name[16];

	for (int i = 0; i < n; i++) {
		(void)snprintf(name, sizeof(name), "n%d", i);
		AUTO_FD int fd = openat(c->dir_fd, name, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
		assert_true(fd >= 0);
	}
}

/* What a reader has seen: each of n0 ... n9999, and the two dots. */
struct seen {
	uint8_t times[MANY];
	int dots;
	uint64_t off;
};

static int ask_dir(struct fs_client *c, uint32_t opcode, uint64_t fh, uint64_t off, uint32_t size)
{
	const struct fuse_read_in in = {.fh = fh, .offset = off, .size = size};
	const struct fc_msg m = {.opcode = opcode,
				 .nodeid = FUSE_ROOT_ID,
				 .arg = &in,
				 .arg_len = sizeof(in),
				 .room = size};

	return fc_do(c, &m);
}

/* One answer from where *seen stands; the number of entries. */
static int read_some(struct fs_client *c, uint32_t opcode, uint64_t fh, uint32_t size,
		     struct seen *seen)
{
	size_t head = opcode == FUSE_READDIRPLUS ? sizeof(struct fuse_entry_out) : 0;
	uint64_t ids[512]; /* to be given back */
	size_t at = 0, nids = 0;
	int n = 0;

	assert_int_equal(ask_dir(c, opcode, fh, seen->off, size), 0);
	size_t len = fc_body_len(c);
	assert_true(len <= size);
	for (; at < len; n++) {
		const uint8_t *p = (const uint8_t *)fc_body(c) + at;
		struct fuse_dirent ent;
		char name[256] = {0};
		struct fuse_entry_out e = {0};

		if (head)
			memcpy(&e, p, head);
		memcpy(&ent, p + head, FUSE_NAME_OFFSET);
		assert_in_range(ent.namelen, 1, 255);
		memcpy(name, p + head + FUSE_NAME_OFFSET, ent.namelen);
		if (name[0] == '.') {
			seen->dots++;
			assert_true(e.nodeid == 0);
		} else {
			seen->times[atoi(name + 1)]++;
			assert_int_equal(ent.type, DT_REG);
			assert_true(!head || e.attr.ino == ent.ino);
			if (head)
				ids[nids++] = e.nodeid;
		}
		seen->off = ent.off;
		at += head + FUSE_DIRENT_SIZE(&ent);
	}
	while (nids > 0)
		fc_forget(c, ids[--nids], 1);
	return n;
}

static void check_all_once(const struct seen *seen, int n)
{
	for (int i = 0; i < n; i++)
		assert_int_equal(seen->times[i], 1);
	assert_int_equal(seen->dots, 2);
}

static void test_many_entries(void **state)
{
	static const struct {
		uint32_t opcode, size;
		int n;
	} cases[] = {
		{FUSE_READDIR, 4096, MANY},     {FUSE_READDIR, 40, 300},
		{FUSE_READDIR, 65536, MANY},    {FUSE_READDIR, 1 << 20, MANY},
		{FUSE_READDIRPLUS, 4096, MANY}, {FUSE_READDIRPLUS, 65536, MANY},
	};
	struct fs_client *c = *state;
	uint64_t fh;

	fill_dir(c, MANY);
	size_t before = fc_open_fds();
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct seen seen = {0};
		int n = 0, total = 0;

		assert_int_equal(fc_opendir(c, FUSE_ROOT_ID, &fh), 0);
		do {
			n = read_some(c, cases[i].opcode, fh, cases[i].size, &seen);
			total += n;
		} while (n > 0 && (cases[i].n == MANY || total < cases[i].n));
		if (cases[i].n == MANY)
			check_all_once(&seen, MANY);
		else
			assert_true(total >= cases[i].n);
		assert_int_equal(fc_release(c, FUSE_RELEASEDIR, FUSE_ROOT_ID, fh), 0);
	}
	assert_int_equal(fc_open_fds(), before);
}

/*
 * Two readers in step, so that each finds the other's read-ahead at the very offset it wants;
 * then one of them goes back to where it has been.
 */
static void test_two_readers(void **state)
{
	struct fs_client *c = *state;
	struct seen a = {0}, b = {0}, back = {0};
	uint64_t fh_a, fh_b;
	int n = 0, first = 0, again = 0;

	fill_dir(c, MANY);
	assert_int_equal(fc_opendir(c, FUSE_ROOT_ID, &fh_a), 0);
	assert_int_equal(fc_opendir(c, FUSE_ROOT_ID, &fh_b), 0);
	do {
		n = read_some(c, FUSE_READDIR, fh_a, 4096, &a);
		n += read_some(c, FUSE_READDIR, fh_b, 4096, &b);
	} while (n > 0);
	check_all_once(&a, MANY);
	check_all_once(&b, MANY);

	assert_true(read_some(c, FUSE_READDIR, fh_a, 4096, &back) > 0);
	uint64_t mark = back.off;
	first = read_some(c, FUSE_READDIR, fh_a, 4096, &back);
	back.off = mark;
	again = read_some(c, FUSE_READDIR, fh_a, 4096, &back);
	assert_int_equal(first, again);
	for (int i = 0; i < MANY; i++)
		assert_in_range(back.times[i], 0, 2);
	n = 0;
	for (int i = 0; i < MANY; i++)
		n += back.times[i] == 2;
	assert_int_equal(n, again);
}

static void test_removed_while_read(void **state)
{
	struct fs_client *c = *state;
	struct seen seen = {0};
	uint64_t fh;
	char name[16];

	fill_dir(c, 500);
	assert_int_equal(fc_opendir(c, FUSE_ROOT_ID, &fh), 0);
	assert_true(read_some(c, FUSE_READDIR, fh, 2048, &seen) > 0);
	for (int i = 0; i < 500; i++) {
		(void)snprintf(name, sizeof(name), "n%d", i);
		if (seen.times[i])
			assert_int_equal(unlinkat(c->dir_fd, name, 0), 0);
	}
	while (read_some(c, FUSE_READDIR, fh, 2048, &seen) > 0)
		;
	check_all_once(&seen, 500);
}

/* Offset 0 shows what has come since; names that are gone by then are listed without an inode. */
static void test_rewind(void **state)
{
	struct fs_client *c = *state;
	struct seen seen = {0}, again = {0};
	uint64_t fh;

	assert_int_equal(fc_opendir(c, FUSE_ROOT_ID, &fh), 0);
	assert_int_equal(read_some(c, FUSE_READDIR, fh, 4096, &seen), 2);
	/* A first read that had no room has read ahead all the same. */
	assert_int_equal(ask_dir(c, FUSE_READDIR, fh, 0, 8), -EINVAL);
	fill_dir(c, 3);
	assert_int_equal(read_some(c, FUSE_READDIR, fh, 4096, &again), 5);
}

static void test_hostile(void **state)
{
	static const struct {
		const char *what;
		uint64_t off;
		uint32_t size;
		int expected;
	} cases[] = {
		{"an entry that fits", 0, 32, 0},
		{"no room for one entry", 0, 16, -EINVAL},
		{"no room at all", 0, 0, -EINVAL},
		{"negative offset", UINT64_MAX, 4096, -EINVAL},
	};
	struct fs_client *c = *state;
	uint64_t fh;

	assert_int_equal(fc_opendir(c, FUSE_ROOT_ID, &fh), 0);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(ask_dir(c, FUSE_READDIR, fh, cases[i].off, cases[i].size),
				 cases[i].expected);
	/* Any other offset is the host's to judge; the server stays whole. */
	(void)ask_dir(c, FUSE_READDIR, fh, 0x1234567, 4096);
	assert_int_equal(ask_dir(c, FUSE_READDIR, fh + 1, 0, 4096), -EBADF);

	/* More asked for than there is room. */
	const struct fuse_read_in in = {.fh = fh, .size = 8192};
	const struct fc_msg m = {.opcode = FUSE_READDIR,
				 .nodeid = FUSE_ROOT_ID,
				 .arg = &in,
				 .arg_len = sizeof(in),
				 .room = 100};
	assert_int_equal(fc_do(c, &m), -EINVAL);
	/* A directory's handle is no file's, nor the other way round. */
	assert_int_equal(fc_read(c, FUSE_ROOT_ID, fh, 0, 16), -EBADF);
	assert_int_equal(fc_release(c, FUSE_RELEASE, FUSE_ROOT_ID, fh), -EBADF);
	assert_int_equal(fc_release(c, FUSE_RELEASEDIR, FUSE_ROOT_ID, fh), 0);
	assert_int_equal(fc_release(c, FUSE_RELEASEDIR, FUSE_ROOT_ID, fh), -EBADF);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, fc_setup, fc_teardown)
	const struct CMUnitTest tests[] = {
		T(test_many_entries), T(test_two_readers), T(test_removed_while_read),
		T(test_rewind),       T(test_hostile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
