/*
 * What the jail's threads lose by Landlock and what they keep: each set of rights is given up by a child, which then tries.
 * A host whose kernel has no Landlock says so; what would be asked of other versions is a table.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/own.h"
#include "vmm/landlock.h"

#define REFER LANDLOCK_ACCESS_FS_REFER

static void test_plans(void **state)
{
	static const struct {
		const char *what;
		unsigned int version, errata;
		uint64_t file_rights;
		struct landlock_plan want;
	} cases[] = {
		{"no Landlock", 0, 0, LANDLOCK_ALL_FILES, {.bytes = 0}},
		{"all of 1", 1, 0, LANDLOCK_ALL_FILES, {{.files = 0x1fff}, 8, false}},
		{"1 knows no renames", 1, 0, LANDLOCK_FILE_SERVER, {.bytes = 0}},
		{"all of 2", 2, 0, LANDLOCK_ALL_FILES, {{.files = 0x3fff}, 8, false}},
		{"files of 2", 2, 0, LANDLOCK_FILE_SERVER, {{.files = 0x801 | REFER}, 8, true}},
		{"all of 3", 3, 0, LANDLOCK_ALL_FILES, {{.files = 0x7fff}, 8, false}},
		{"files of 4", 4, 0, LANDLOCK_FILE_SERVER, {{0x801 | REFER, 3, 0}, 16, true}},
		{"all of 5", 5, 0, LANDLOCK_ALL_FILES, {{0xffff, 3, 0}, 16, false}},
		{"files of 6", 6, 7, LANDLOCK_FILE_SERVER, {{0x801 | REFER, 3, 3}, 24, true}},
		{"6 with its erratum", 6, 1, LANDLOCK_ALL_FILES, {{0xffff, 3, 1}, 24, false}},
		{"all of a later one", 99, 2, LANDLOCK_ALL_FILES, {{0xffff, 3, 3}, 24, false}},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct landlock_plan *want = &cases[i].want;
		struct landlock_plan got =
			landlock_plan(cases[i].version, cases[i].errata, cases[i].file_rights);

		if (got.bytes != want->bytes)
			print_error("%s\n", cases[i].what);
		assert_int_equal(got.bytes, want->bytes);
		assert_int_equal(got.rules.files, want->rules.files);
		assert_int_equal(got.rules.network, want->rules.network);
		assert_int_equal(got.rules.scoped, want->rules.scoped);
		assert_int_equal(got.keeps_refer, want->keeps_refer);
	}
}

static void need_landlock(unsigned int version)
{
	if (landlock_version() >= version)
		return;
	print_message("needs Landlock's version %u, this kernel has %u (0: none)\n", version,
		      landlock_version());
	skip();
}

/* A directory of the test's with the directories `a`, which has a file, and `b`. */
static void make_tree(void)
{
	assert_int_equal(mkdir("a", 0755), 0);
	assert_int_equal(mkdir("b", 0755), 0);
	AUTO_FD int fd = open("a/file", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	assert_true(fd >= 0);
}

static int remove_one(const char *path, const struct stat *st UNUSED, int type UNUSED,
		      struct FTW *at UNUSED)
{
	return remove(path);
}

static int enter_dir(void **state)
{
	char *dir = strdup("/tmp/landlock-test.XXXXXX");

	*state = dir;
	return dir && mkdtemp(dir) ? chdir(dir) : -1;
}

static int leave_dir(void **state)
{
	AUTO_FREE char *dir = *state;

	return chdir("/") || nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* `try` in a child that has given up `file_rights`, when a byte has come from `go_fd` (-1: at once). 0: all was as it should be. */
static pid_t start_confined(uint64_t file_rights, int go_fd, int (*try)(void))
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		struct err err = ERR_INIT;
		char byte;

		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || landlock_forbid(file_rights, &err))
			_exit(99);
		_exit(go_fd >= 0 && read(go_fd, &byte, 1) != 1 ? 98 : try());
	}
	return pid;
}

static int status_of(pid_t pid)
{
	int status = 0;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* From one directory to the other, which only a right of its own allows. */
static int move_about(void)
{
	if (rename("a/file", "b/moved") || link("b/moved", "a/linked"))
		return 1;
	if (renameat2(AT_FDCWD, "a/linked", AT_FDCWD, "b/moved", RENAME_EXCHANGE))
		return 2;
	return mkdir("a/dir", 0755) || rename("a/dir", "b/dir") || access("b/dir", F_OK) ? 3 : 0;
}

static int execute_nothing(void)
{
	char *argv[] = {(char[]){"true"}, NULL};

	(void)execv("/bin/true", argv);
	return errno == EACCES ? 0 : 1;
}

static int touch_nothing(void)
{
	if (open("a/file", O_RDONLY | O_CLOEXEC) >= 0 || errno != EACCES)
		return 1;
	if (open("a/other", O_WRONLY | O_CREAT | O_CLOEXEC, 0644) >= 0 || errno != EACCES)
		return 2;
	if (open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC) >= 0 || errno != EACCES)
		return 3;
	if (mkdir("b/dir", 0755) == 0 || errno != EACCES)
		return 4;
	if (rename("a/file", "b/moved") == 0 || (errno != EACCES && errno != EXDEV))
		return 5;
	return unlink("a/file") == 0 || errno != EACCES ? 6 : execute_nothing();
}

static void test_file_server_moves_files(void **state)
{
	(void)state;
	need_landlock(1);
	make_tree();
	assert_int_equal(status_of(start_confined(LANDLOCK_FILE_SERVER, -1, move_about)), 0);
}

static void test_file_server_executes_nothing(void **state)
{
	(void)state;
	need_landlock(2);
	assert_int_equal(status_of(start_confined(LANDLOCK_FILE_SERVER, -1, execute_nothing)), 0);
}

static void test_others_have_no_files(void **state)
{
	(void)state;
	need_landlock(1);
	make_tree();
	assert_int_equal(status_of(start_confined(LANDLOCK_ALL_FILES, -1, touch_nothing)), 0);
}

static int move_about_in_mount(void)
{
	return chdir("mount") ? 4 : move_about();
}

/* Mounts in a mount namespace of its own, below a server that is confined already: as the next container's tree comes. */
static int serve_later_mount(void)
{
	int go[2];

	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mkdir("mount", 0755) || pipe2(go, O_CLOEXEC))
		return 97;
	pid_t server = start_confined(LANDLOCK_FILE_SERVER, go[0], move_about_in_mount);

	if (mount("later", "mount", "tmpfs", 0, NULL) || chdir("mount"))
		return 96;
	make_tree();
	return write(go[1], "g", 1) == 1 ? status_of(server) : 95;
}

static void test_later_mounts_are_covered(void **state)
{
	(void)state;
	need_landlock(1);
	if (geteuid() != 0) {
		print_message("needs root\n");
		skip();
	}
	pid_t pid = fork();

	if (pid == 0)
		_exit(serve_later_mount());
	assert_int_equal(status_of(pid), 0);
}

static void *confine_and_kick(void *arg)
{
	const pthread_t *other = arg;
	struct err err = ERR_INIT;
	intptr_t rc = landlock_forbid(LANDLOCK_ALL_FILES, &err);

	return (void *)(rc ? rc : pthread_kill(*other, SIGWINCH));
}

/* As the main thread does with a vCPU's, which is confined by rules of its own. */
static int kick_a_thread(void)
{
	pthread_t self = pthread_self(), other;
	void *result = NULL;

	if (pthread_create(&other, NULL, confine_and_kick, &self) || pthread_join(other, &result))
		return 1;
	return result ? 2 : 0;
}

static void test_threads_signal_each_other(void **state)
{
	(void)state;
	need_landlock(1);
	assert_int_equal(status_of(start_confined(LANDLOCK_ALL_FILES, -1, kick_a_thread)), 0);
}

int main(void)
{
#define TEST_IN_DIR(test) cmocka_unit_test_setup_teardown(test, enter_dir, leave_dir)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plans),
		TEST_IN_DIR(test_file_server_moves_files),
		TEST_IN_DIR(test_file_server_executes_nothing),
		TEST_IN_DIR(test_others_have_no_files),
		TEST_IN_DIR(test_later_mounts_are_covered),
		cmocka_unit_test(test_threads_signal_each_other),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
