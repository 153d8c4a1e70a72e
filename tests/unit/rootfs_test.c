/* A root file system as an image may have it: links that lead out of it are not followed by what root does there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/own.h"
#include "base/path.h"
#include "base/str.h"
#include "runtime/mount_points.h"
#include "runtime/rootfs_mount.h"

struct world {
	char dir[32];
	char *rootfs;
	int fd; /* of dir */
};

static int begin(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	struct err err = ERR_INIT;

	assert_non_null(w);
	(void)snprintf(w->dir, sizeof(w->dir), "/tmp/rootfs-test-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	w->rootfs = str_printf("%s/rootfs", w->dir);
	w->fd = open(w->dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	assert_true(w->rootfs && w->fd >= 0);
	assert_int_equal(path_mkdirs(w->fd, "outside", 0755, &err), 0);
	assert_int_equal(path_mkdirs(w->fd, "rootfs/real", 0755, &err), 0);
	AUTO_FREE char *outside = str_printf("%s/outside", w->dir);
	assert_int_equal(symlinkat(outside, w->fd, "rootfs/out"), 0);
	assert_int_equal(symlinkat("../outside", w->fd, "rootfs/up"), 0);
	assert_int_equal(symlinkat("/real", w->fd, "rootfs/in"), 0);
	*state = w;
	return 0;
}

static int end(void **state)
{
	struct world *w = *state;
	struct err err = ERR_INIT;

	assert_int_equal(path_remove_tree(AT_FDCWD, w->dir, &err), 0);
	own_close(&w->fd);
	free(w->rootfs);
	free(w);
	return 0;
}

/* By name: the directory's descriptor is of the mount namespace that was left. */
static bool is_mounted(const struct world *w, const char *name)
{
	AUTO_FREE char *path = str_printf("%s/%s", w->dir, name);
	struct stat above, below;

	assert_non_null(path);
	assert_int_equal(stat(w->dir, &above), 0);
	assert_int_equal(stat(path, &below), 0);
	return above.st_dev != below.st_dev;
}

static void need_own_mounts(void)
{
	if (geteuid() != 0 || unshare(CLONE_NEWNS) != 0 ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
		skip();
}

static void test_mount_target(void **state)
{
	static const struct {
		const char *target;
		bool mounted;
	} cases[] = {
		{"real", true}, {"in", true}, {"out", false}, {"up", false}, {"../outside", false}};
	struct world *w = *state;

	need_own_mounts();
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct rootfs_mount m = {
			.type = "tmpfs", .source = "tmpfs", .target = cases[i].target};
		struct err err = ERR_INIT;
		int rc = rootfs_mount_all(&m, 1, w->rootfs, &err);

		assert_int_equal(rc == 0, cases[i].mounted);
		assert_false(is_mounted(w, "outside"));
		assert_int_equal(is_mounted(w, "rootfs/real"), cases[i].mounted);
		AUTO_FREE char *real = str_printf("%s/real", w->rootfs);
		assert_int_equal(umount2(real, MNT_DETACH) == 0, cases[i].mounted);
	}
}

/* mount(2) would bind the source, whatever the type. */
static void test_hidden_binds(void **state)
{
	static const char *const bind[] = {"ro", "bind"};
	static const char *const types[] = {"overlay", "proc", "ext4"};
	struct world *w = *state;
	AUTO_FREE char *outside = str_printf("%s/outside", w->dir);

	need_own_mounts();
	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		const struct rootfs_mount m = {types[i], outside, "real", bind, ARRAY_SIZE(bind)};
		struct err err = ERR_INIT;

		assert_int_equal(rootfs_mount_all(&m, 1, w->rootfs, &err), -EINVAL);
		assert_non_null(strstr(err.text, "cannot be a bind"));
	}
}

/* A word that mount(2) would cut is another word. */
static void test_long_options(void **state)
{
	struct world *w = *state;
	char option[5000];
	const char *const options[] = {option};
	const struct rootfs_mount m = {"tmpfs", "tmpfs", "real", options, 1};
	struct err err = ERR_INIT;

	need_own_mounts();
	memset(option, '0', sizeof(option));
	memcpy(option, "size=", 5);
	option[sizeof(option) - 1] = '\0';
	assert_int_equal(rootfs_mount_all(&m, 1, w->rootfs, &err), -E2BIG);
}

static void test_mount_points(void **state)
{
	static const struct {
		const char *cwd, *destination;
		int rc;
		const char *made; /* below the test's directory; NULL: nothing to look for */
		const char *none;
	} cases[] = {
		{"/", "/a/b", 0, "rootfs/a/b", NULL},
		{"/", "/in/c", 0, "rootfs/real/c", NULL},
		{"/", "/out/d", 0, NULL, "outside/d"},
		{"/work/here", "/a", 0, "rootfs/work/here", NULL},
		{"/a/x", "/a", 0, "rootfs/a", "rootfs/a/x"},
		{"/out/e", "/a", 0, NULL, "outside/e"},
	};
	struct world *w = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char cwd[32], destination[32], type[] = "tmpfs", source[] = "tmpfs";
		struct oci_mount mount = {
			.destination = destination, .type = type, .source = source};
		struct oci_spec spec = {.process.cwd = cwd, .mounts = &mount, .nmounts = 1};
		struct err err = ERR_INIT;

		(void)snprintf(cwd, sizeof(cwd), "%s", cases[i].cwd);
		(void)snprintf(destination, sizeof(destination), "%s", cases[i].destination);
		assert_int_equal(mount_points_make(&spec, w->rootfs, &err), cases[i].rc);
		if (cases[i].made)
			assert_int_equal(faccessat(w->fd, cases[i].made, F_OK, 0), 0);
		if (cases[i].none)
			assert_int_equal(faccessat(w->fd, cases[i].none, F_OK, 0), -1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_mount_target, begin, end),
		cmocka_unit_test_setup_teardown(test_hidden_binds, begin, end),
		cmocka_unit_test_setup_teardown(test_long_options, begin, end),
		cmocka_unit_test_setup_teardown(test_mount_points, begin, end),
	};

	return cmocka_run_group_tests_name("rootfs", tests, NULL, NULL);
}
