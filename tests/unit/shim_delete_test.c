/*
 * `containerd-shim-nacre-v2 delete` after its monitor: each container's poststop hooks are run once, whichever of a pod's
 * containers containerd takes first, and not at all where the monitor has run them. Needs root, for a /run of its own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/own.h"
#include "base/path.h"
#include "base/str.h"
#include "runtime/shim.h"

#define STATE   "/run/nacre/@n/pod"
#define BUNDLES "/run/bundles"
#define DONE    "/run/done"

static void make_bundle(const char *id, const char *annotations)
{
	AUTO_FREE char *dir = str_printf(BUNDLES "/%s", id);
	AUTO_FREE char *path = str_printf(BUNDLES "/%s/config.json", id);
	AUTO_FREE char *text = str_printf(
		"{\"ociVersion\":\"1.2.0\",\"root\":{\"path\":\"r\"},\"process\":{\"cwd\":\"/\","
		"\"args\":[\"x\"]},\"linux\":{},\"annotations\":{%s},\"hooks\":{\"poststop\":[{"
		"\"path\":\"/bin/sh\",\"args\":[\"sh\",\"-c\",\"echo %s >>" DONE "\"]}]}}",
		annotations, id);
	struct err err = ERR_INIT;

	assert_int_equal(path_mkdirs(AT_FDCWD, dir, 0700, &err), 0);
	assert_int_equal(path_write_atomic(AT_FDCWD, path, text, strlen(text), 0600, &err), 0);
}

static void delete_one(const char *id)
{
	AUTO_FREE char *bundle = str_printf(BUNDLES "/%s", id);
	const struct shim_args args = {
		.namespace_ = "n", .address = "/run/c.sock", .id = id, .bundle = bundle};
	struct err err = ERR_INIT;

	if (shim_delete(&args, &err))
		fail_msg("%s: %s", id, err.text);
}

static const char *const orders[][3] = {
	{"pod", "a", "b"}, {"a", "pod", "b"}, {"a", "b", "pod"}, {"pod", "a", "a"}};

static void forget_all(void)
{
	struct err err = ERR_INIT;

	assert_int_equal(path_remove_tree(AT_FDCWD, BUNDLES, &err), 0);
	if (unlink(DONE))
		assert_int_equal(access(DONE, F_OK), -1);
}

static void delete_all(const char *const ids[3])
{
	make_bundle("pod", "");
	make_bundle("a", "\"io.kubernetes.cri.sandbox-id\":\"pod\"");
	make_bundle("b", "\"io.kubernetes.cri.sandbox-id\":\"pod\"");
	make_bundle("other", "\"io.kubernetes.cri.sandbox-id\":\"other\"");
	for (int i = 0; i < 3; i++)
		delete_one(ids[i]);
}

/* In a process of its own: /run, and standard output, which has the answers to containerd. */
static void run(void)
{
	struct err err = ERR_INIT;

	for (size_t i = 0; i < ARRAY_SIZE(orders); i++) {
		AUTO_FREE char *done = NULL;
		AUTO_FREE char *want = str_printf("%s\n%s\n%s\n", orders[i][0], orders[i][1],
						  i == 3 ? "" : orders[i][2]);

		if (i == 3)
			want[strlen(want) - 1] = '\0'; /* the second time there is nothing to do */
		assert_int_equal(path_mkdirs(AT_FDCWD, STATE, 0700, &err), 0);
		delete_all(orders[i]);
		assert_int_equal(path_read(AT_FDCWD, DONE, 64, &done, NULL, &err), 0);
		assert_string_equal(done, want);
		assert_int_equal(access(STATE, F_OK), -1);
		assert_int_equal(access(BUNDLES "/other/nacre-lost", F_OK), -1);
		forget_all();
		/* ... and with a monitor that has taken its directory along. */
		delete_all(orders[i]);
		assert_int_equal(access(DONE, F_OK), -1);
		forget_all();
	}
}

static void test_poststop_of_all(void **state)
{
	int status = 0;

	(void)state;
	if (geteuid() != 0) {
		print_message("needs root\n");
		skip();
	}
	pid_t child = fork();

	assert_true(child >= 0);
	if (child == 0) {
		if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
		    mount("tmpfs", "/run", "tmpfs", 0, "mode=755") ||
		    dup2(STDERR_FILENO, STDOUT_FILENO) < 0)
			_exit(2);
		run();
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_poststop_of_all),
	};

	(void)signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
