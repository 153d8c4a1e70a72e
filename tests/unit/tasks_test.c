/* Numbers of threads: the line of proc(5), and a process that is alone in a pid namespace. That needs root and says so. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/own.h"
#include "vmm/tasks.h"

static void test_status(void **state)
{
	static const struct {
		const char *text;
		int rc;
		pid_t ours, hosts;
	} cases[] = {
		{"Name:\tvmm\nPid:\t7\nNSpid:\t7\nNSpgid:\t1\n", 0, 7, 7},
		{"Pid:\t7\nNSpid:\t4711\t7\nNSpgid:\t1\n", 0, 7, 4711},
		{"Pid:\t7\nNSpid:\t4711\t90\t7\n", 0, 7, 4711},
		{"Pid:\t7\nNSpid:\t\nNSpgid:\t1\n", -EINVAL, 0, 0},
		{"Pid:\t7\nNSpid:\t0\t7\n", -EINVAL, 0, 0},
		{"Pid:\t7\nNSpid:\t99999999999\t7\n", -EINVAL, 0, 0},
		{"Pid:\t7\nNSpgid:\t4711\t7\n", -EINVAL, 0, 0},
		{"", -EINVAL, 0, 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct task_name name = {0};

		assert_int_equal(tasks_parse_status(cases[i].text, &name), cases[i].rc);
		assert_int_equal(name.ours, cases[i].ours);
		assert_int_equal(name.hosts, cases[i].hosts);
	}
}

static void test_without_a_namespace(void **state)
{
	AUTO_FD int dir = open("/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct tasks tasks = {0};

	(void)state;
	assert_int_equal(tasks_read(&tasks, dir, NULL), 0);
	assert_int_equal(tasks.n, 1);
	assert_int_equal(tasks_host(&tasks, gettid()), gettid());
	assert_int_equal(tasks_host(&tasks, 1), 1); /* nobody of ours */
	tasks_done(&tasks);
	assert_int_equal(tasks_read(&tasks, -1, NULL), -EBADF);
}

/* The first process of the namespace: what the host calls it. */
static pid_t name_of_first(void)
{
	AUTO_FD int dir = open("/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct tasks tasks = {0};
	pid_t host = 0;

	if (getpid() == 1 && tasks_read(&tasks, dir, NULL) == 0)
		host = tasks_host(&tasks, 1);
	tasks_done(&tasks);
	return host;
}

static void test_in_a_namespace(void **state)
{
	pid_t told = 0;
	int fds[2], status;
	pid_t child, first;

	(void)state;
	if (geteuid() != 0) {
		print_message("needs root\n");
		skip();
	}
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	child = fork();
	if (child == 0) {
		if (unshare(CLONE_NEWPID) < 0)
			_exit(1);
		first = fork();
		if (first == 0) {
			told = name_of_first();
			_exit(write(fds[1], &told, sizeof(told)) != sizeof(told));
		}
		if (waitpid(first, &status, 0) != first || status != 0)
			_exit(1);
		_exit(write(fds[1], &first, sizeof(first)) != sizeof(first));
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_int_equal(read(fds[0], &told, sizeof(told)), sizeof(told));
	assert_int_equal(read(fds[0], &first, sizeof(first)), sizeof(first));
	assert_true(told > 1);
	assert_int_equal(told, first);
	close(fds[0]);
	close(fds[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_status),
		cmocka_unit_test(test_without_a_namespace),
		cmocka_unit_test(test_in_a_namespace),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
