/*
 * The pieces of the jail that need no guest: ids handed on, a child born in namespaces, capabilities given up. What needs
 * privileges says so and is skipped without them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/caps.h"
#include "base/fd.h"
#include "base/idmap.h"
#include "base/own.h"
#include "base/spawn.h"
#include "base/str.h"
#include "vmm/jail.h"

static void test_idmap_identity(void **state)
{
	static const struct {
		const char *own, *want;
		size_t size;
		int rc;
	} cases[] = {
		{"         0          0 4294967295\n", "0 0 4294967295\n", 64, 0},
		{"0 100000 65536\n70000 300000 1\n", "0 0 65536\n70000 70000 1\n", 64, 0},
		{"0 0 4294967295\n", "", 8, -E2BIG},
		{"", "", 64, -EINVAL},
		{"0 0\n", "", 64, -EINVAL},
		{"zero 0 1\n", "", 64, -EINVAL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char out[64];

		assert_int_equal(idmap_identity(cases[i].own, out, cases[i].size), cases[i].rc);
		if (cases[i].rc == 0)
			assert_string_equal(out, cases[i].want);
	}
}

static void need_root(void)
{
	if (geteuid() != 0) {
		print_message("needs root\n");
		skip();
	}
}

/* What a shell script says that is born as `s` says. */
static void say_in(struct spawn *s, const char *script, char *out, size_t size)
{
	char *argv[] = {(char[]){"sh"}, (char[]){"-c"}, strdup(script), NULL};
	char *path_env[] = {(char[]){"PATH=/usr/bin:/bin:/usr/sbin"}, NULL};
	struct err err = ERR_INIT;
	int p[2], status = 0;
	pid_t pid = 0;

	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	struct spawn_fd fds[] = {{.from = p[1], .to = STDOUT_FILENO}};

	s->path = "/bin/sh";
	s->argv = argv;
	s->envp = path_env;
	s->fds = fds;
	s->nfds = ARRAY_SIZE(fds);
	int rc = spawn_start(s, &pid, NULL, &err);
	if (rc)
		print_error("%s\n", err.text);
	assert_int_equal(rc, 0);
	(void)close(p[1]);
	ssize_t n = fd_read_full(p[0], out, size - 1);
	assert_true(n >= 0);
	out[n] = '\0';
	(void)close(p[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	free(argv[2]);
}

static void test_born_in_namespaces(void **state)
{
	struct spawn s = {.new_namespaces = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID |
					    CLONE_NEWIPC | CLONE_NEWUTS};
	char out[256], here[64], want[80];

	(void)state;
	need_root();
	say_in(&s, "echo $$ $(id -u) $(id -g) $(cat /proc/self/uid_map)", out, sizeof(out));
	assert_string_equal(out, "1 0 0 0 0 4294967295\n");
	for (const char *const *ns =
		     (const char *const[]){"user", "mnt", "pid", "ipc", "uts", NULL};
	     *ns; ns++) {
		AUTO_FREE char *path = str_printf("/proc/self/ns/%s", *ns);
		AUTO_FREE char *script = str_printf("readlink %s", path);
		ssize_t n = readlink(path, here, sizeof(here) - 1);

		assert_true(n > 0);
		here[n] = '\0';
		say_in(&s, script, out, sizeof(out));
		(void)snprintf(want, sizeof(want), "%s\n", here);
		assert_true(str_starts(out, *ns));
		assert_string_not_equal(out, want);
	}
}

/* Born elsewhere, and the parent is where it was. */
static void test_born_in_a_network(void **state)
{
	struct spawn s = {.new_namespaces = CLONE_NEWUSER};
	char theirs[64] = {0}, before[64] = {0}, after[64] = {0};
	char out[256];

	(void)state;
	need_root();
	assert_true(readlink("/proc/self/ns/net", before, sizeof(before) - 1) > 0);
	AUTO_FD int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	assert_int_equal(unshare(CLONE_NEWNET), 0);
	assert_true(readlink("/proc/self/ns/net", theirs, sizeof(theirs) - 2) > 0);
	AUTO_FD int other = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	assert_int_equal(setns(home, CLONE_NEWNET), 0);
	s.net_ns_fd = other;
	say_in(&s, "readlink /proc/self/ns/net", out, sizeof(out));
	theirs[strlen(theirs)] = '\n';
	assert_string_equal(out, theirs);
	assert_true(readlink("/proc/self/ns/net", after, sizeof(after) - 1) > 0);
	assert_string_equal(before, after);
}

/* In a child, since there is no way back. 0: everything was as it should be. */
static int give_up(void)
{
	const uint64_t keep = CAP_BIT(CAP_CHOWN) | CAP_BIT(CAP_SETFCAP);
	struct err err = ERR_INIT;

	if (caps_bound(keep, &err) || caps_set(keep, &err))
		return 1;
	if (prctl(PR_CAPBSET_READ, CAP_CHOWN, 0, 0, 0) != 1 ||
	    prctl(PR_CAPBSET_READ, CAP_SYS_ADMIN, 0, 0, 0) != 0)
		return 2;
	if (unshare(CLONE_NEWNS) == 0 || errno != EPERM)
		return 3;
	if (caps_set(keep | CAP_BIT(CAP_SYS_ADMIN), &err) != -EPERM)
		return 4;
	if (caps_set(CAP_BIT(CAP_CHOWN), &err) || caps_set(CAP_BIT(CAP_SETFCAP), &err) != -EPERM)
		return 5;
	return caps_set(0, &err) ? 6 : 0;
}

static int status_of(int (*fn)(void))
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0)
		_exit(fn());
	assert_true(pid > 0 && waitpid(pid, &status, 0) == pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static void test_capabilities_are_given_up(void **state)
{
	(void)state;
	need_root();
	assert_int_equal(status_of(give_up), 0);
}

/* A root in the host's own mount namespace would be a misfortune. */
static void test_no_jail_without_namespaces(void **state)
{
	struct jail jail = {.root_fd = -1, .proc_fd = -1, .task_fd = -1};
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(jail_open("/", &jail, &err), -EPERM);
	assert_non_null(strstr(err.text, "namespace"));
	assert_int_equal(jail.root_fd, -1);
}

/* Owners, modes and attributes work by the capabilities of a user namespace: the file server's own tests say so. */
static void test_files_can_be_served(void **state)
{
	static const char *const tests[] = {"fs_test", "fs_attr_test", "fs_dir_test", "fs_io_test"};
	char self[PATH_MAX] = {0};

	(void)state;
	need_root();
	assert_true(readlink("/proc/self/exe", self, sizeof(self) - 1) > 0);
	*strrchr(self, '/') = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(tests); i++) {
		struct spawn s = {.new_namespaces = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID};
		AUTO_FREE char *script =
			str_printf("%s/%s >/dev/null 2>&1 && echo passed || echo %s", self,
				   tests[i], tests[i]);
		char out[64];

		assert_non_null(script);
		say_in(&s, script, out, sizeof(out));
		assert_string_equal(out, "passed\n");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_idmap_identity),
		cmocka_unit_test(test_born_in_namespaces),
		cmocka_unit_test(test_born_in_a_network),
		cmocka_unit_test(test_capabilities_are_given_up),
		cmocka_unit_test(test_no_jail_without_namespaces),
		cmocka_unit_test(test_files_can_be_served),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
