/* What a sandbox leaves on the host for `delete`: its directory and the list in it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/own.h"
#include "base/path.h"
#include "base/str.h"
#include "runtime/procid.h"
#include "runtime/resources.h"
#include "runtime/state_dir.h"

/* What a killed monitor leaves behind is found again by its list. */
static void test_resources(void **state)
{
	char root[] = "/tmp/sandbox-test-XXXXXX";
	struct err err = ERR_INIT;
	struct procid self = {0}, found = {0};

	(void)state;
	assert_non_null(mkdtemp(root));
	AUTO_FREE char *dir = str_printf("%s/@ns/c1", root);
	AUTO_FREE char *file = str_printf("%s/socket", root);
	AUTO_FREE char *parent = str_printf("%s/@ns", root);
	assert_int_equal(state_dir_exists(dir, &err), -ENOENT);
	assert_int_equal(state_dir_make(dir, &err), 0);
	assert_int_equal(state_dir_make(dir, &err), -EEXIST);
	assert_int_equal(resources_add_file(dir, file, &err), 0);
	assert_int_equal(procid_of(getpid(), &self, &err), 0);
	/* Its number is ours, its start time is not: it has ended, and we must live. */
	self.start_ticks--;
	assert_int_equal(resources_add_process(dir, "monitor", &self, &err), 0);
	assert_int_equal(resources_find_process(dir, "monitor", &found), 0);
	assert_int_equal(found.pid, self.pid);
	assert_int_equal(found.start_ticks, self.start_ticks);
	assert_int_equal(resources_find_process(dir, "vmm", &found), -ENOENT);
	int fd = open(file, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	(void)close(fd);
	assert_int_equal(resources_replay(dir, &err), 0);
	assert_int_equal(access(file, F_OK), -1);
	assert_int_equal(access(parent, F_OK), -1);
	assert_int_equal(resources_replay(dir, &err), 0);
	(void)rmdir(root);
}

/* What cannot be read names things all the same: it is not written over by a list of one. */
static void test_unreadable_list(void **state)
{
	static const struct {
		const char *text;
		size_t len;
		int rc;
	} cases[] = {
		{"{\"version\":1,\"resources\":[]} ", 2u << 20, -EFBIG}, /* spaces behind it */
		{"{\"version\":2,\"resources\":[]}", 0, -EINVAL},
		{"{\"version\":1}", 0, -EINVAL},
		{"{\"version\":1,\"resources\":[", 0, -EINVAL},
		{"", 0, -EINVAL},
	};
	char dir[] = "/tmp/sandbox-test-XXXXXX";
	struct err err = ERR_INIT;

	(void)state;
	assert_non_null(mkdtemp(dir));
	AUTO_FREE char *list = str_printf("%s/%s", dir, RESOURCES_FILE);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const size_t len = cases[i].len ? cases[i].len : strlen(cases[i].text);
		AUTO_FREE char *text = malloc(len + 1);
		AUTO_FREE char *now = NULL;
		size_t now_len = 0;

		assert_non_null(text);
		memset(text, ' ', len);
		memcpy(text, cases[i].text, strlen(cases[i].text));
		assert_int_equal(path_write_atomic(AT_FDCWD, list, text, len, 0600, &err), 0);
		assert_int_equal(resources_add_file(dir, "/run/x", &err), cases[i].rc);
		assert_int_equal(path_read(AT_FDCWD, list, 4u << 20, &now, &now_len, &err), 0);
		assert_int_equal(now_len, len);
		assert_memory_equal(now, text, len);
	}
	assert_int_equal(unlink(list), 0);
	assert_int_equal(resources_add_file(dir, "/run/x", &err), 0);
	assert_int_equal(resources_replay(dir, &err), 0);
}

static int
	parents_to_take; /* so often another sandbox's end comes between the two steps of state_dir_make */

/* Stands in front of the C library's; directories that lead to a sandbox's are made with mkdirat. */
int mkdir(const char *path, mode_t mode)
{
	AUTO_FREE char *parent = strndup(path, (size_t)(strrchr(path, '/') - path));

	if (parents_to_take > 0) {
		parents_to_take--;
		assert_int_equal(rmdir(parent), 0);
	}
	return mkdirat(AT_FDCWD, path, mode);
}

/* The directory of a namespace goes with its last sandbox, and comes back when the next one is quick. */
static void test_namespace_directory(void **state)
{
	char root[] = "/tmp/sandbox-test-XXXXXX";
	struct err err = ERR_INIT;

	(void)state;
	assert_non_null(mkdtemp(root));
	AUTO_FREE char *ns = str_printf("%s/@ns", root);
	AUTO_FREE char *first = str_printf("%s/c1", ns);
	AUTO_FREE char *second = str_printf("%s/c2", ns);
	AUTO_FREE char *plain = str_printf("%s/c1", root);

	parents_to_take = 2;
	assert_int_equal(state_dir_make(first, &err), 0);
	assert_int_equal(parents_to_take, 0);
	assert_int_equal(state_dir_make(second, &err), 0);
	assert_int_equal(resources_remove_files(first, &err), 0);
	assert_int_equal(state_dir_exists(second, &err), 0);
	assert_int_equal(resources_remove_files(second, &err), 0);
	assert_int_equal(access(ns, F_OK), -1);

	/* The root of the OCI face is nobody's namespace and stays. */
	assert_int_equal(state_dir_make(plain, &err), 0);
	assert_int_equal(resources_remove_files(plain, &err), 0);
	assert_int_equal(rmdir(root), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_resources),
		cmocka_unit_test(test_unreadable_list),
		cmocka_unit_test(test_namespace_directory),
	};

	return cmocka_run_group_tests_name("state directory", tests, NULL, NULL);
}
