/* base: strings, cursor, errors, paths, descriptors, loop and spawn, each as a table or one short story. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/cursor.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/listener.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/own.h"
#include "base/path.h"
#include "base/spawn.h"
#include "base/str.h"

static void test_clock(void **state)
{
	uint64_t us = clock_now_us(), ms = clock_now_ms();

	(void)state;
	assert_in_range(ms, us / 1000, us / 1000 + 10000);
	assert_in_range(clock_now_ns() / 1000, us, us + 10000000);
	assert_int_equal(clock_ms_left(0), 0);
	assert_int_equal(clock_ms_left(ms), 0);
	assert_in_range(clock_ms_left(clock_now_ms() + 60000), 1, 60000);
	assert_int_equal(clock_ms_left(UINT64_MAX), INT_MAX);
}

static void test_numbers(void **state)
{
	static const struct {
		const char *text;
		uint64_t max;
		int ret;
		uint64_t value;
	} cases[] = {
		{"0", UINT64_MAX, 0, 0},
		{"42", 42, 0, 42},
		{"43", 42, -ERANGE, 7},
		{"18446744073709551615", UINT64_MAX, 0, UINT64_MAX},
		{"18446744073709551616", UINT64_MAX, -ERANGE, 7},
		{"", UINT64_MAX, -EINVAL, 7},
		{" 1", UINT64_MAX, -EINVAL, 7},
		{"1 ", UINT64_MAX, -EINVAL, 7},
		{"-1", UINT64_MAX, -EINVAL, 7},
		{"0x10", UINT64_MAX, -EINVAL, 7},
	};
	int64_t i = 7;

	(void)state;
	for (size_t n = 0; n < ARRAY_SIZE(cases); n++) {
		uint64_t v = 7;

		assert_int_equal(str_to_u64(cases[n].text, 0, cases[n].max, &v), cases[n].ret);
		assert_int_equal(v, cases[n].value);
	}
	assert_int_equal(str_to_i64("-9223372036854775808", INT64_MIN, INT64_MAX, &i), 0);
	assert_true(i == INT64_MIN);
	assert_int_equal(str_to_i64("-5", -4, 4, &i), -ERANGE);
}

static void test_strbuf_cap(void **state)
{
	AUTO_STRBUF struct strbuf b = {.max_bytes = 4};

	(void)state;
	assert_int_equal(strbuf_add(&b, "abcd", 4), 0);
	assert_int_equal(strbuf_add(&b, "e", 1), -EMSGSIZE);
	assert_string_equal(b.data, "abcd");
}

static void test_cursor(void **state)
{
	static const uint8_t bytes[] = {1, 2, 0, 3, 0, 0, 0, 'a', 'b', 0, 'c'};
	struct cursor c = cursor_of(bytes, sizeof(bytes));

	(void)state;
	assert_int_equal(cursor_u8(&c), 1);
	assert_int_equal(cursor_u16(&c), 2);
	assert_int_equal(cursor_u32(&c), 3);
	assert_string_equal(cursor_cstr(&c), "ab");
	assert_false(c.bad);
	assert_null(cursor_cstr(&c)); /* no NUL left */
	assert_true(c.bad);
	assert_int_equal(cursor_u8(&c), 0); /* poisoned, although a byte is left */
	c = cursor_of(bytes, 3);
	assert_int_equal(cursor_u32(&c), 0);
	assert_true(c.bad);
}

static void test_err(void **state)
{
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(err_set(&err, ENOENT, "open '%s'", "x"), -ENOENT);
	assert_string_equal(err.text, "open 'x': No such file or directory");
	assert_int_equal(err_wrap(&err, "start %d", 7), -ENOENT);
	assert_string_equal(err.text, "start 7: open 'x': No such file or directory");
	for (int i = 0; i < 500; i++)
		(void)err_wrap(&err, "again and again");
	assert_true(strlen(err.text) < ERR_TEXT_BYTES);
	assert_int_equal(err_say(NULL, EINVAL, "nobody listens"), -EINVAL);
}

static int make_dir(void **state)
{
	char name[] = "/tmp/nacre-base-XXXXXX";

	*state = mkdtemp(name) ? strdup(name) : NULL;
	return *state ? 0 : -1;
}

static int remove_dir(void **state)
{
	int ret = path_remove_tree(AT_FDCWD, *state, NULL);

	free(*state);
	return ret;
}

static void test_paths(void **state)
{
	AUTO_FD int dir = open(*state, O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct err err = ERR_INIT;
	AUTO_FREE char *text = NULL;
	size_t len = 0;

	assert_true(dir >= 0);
	assert_int_equal(path_mkdirs(dir, "a/b/c", 0700, &err), 0);
	assert_int_equal(path_mkdirs(dir, "a/b/c", 0700, &err), 0);
	assert_int_equal(path_write_atomic(dir, "a/f", "hello", 5, 0600, &err), 0);
	assert_int_equal(path_read(dir, "a/f", 5, &text, &len, &err), 0);
	assert_string_equal(text, "hello");
	assert_int_equal(len, 5);
	own_free(&text);
	text = NULL;
	assert_int_equal(path_read(dir, "a/f", 4, &text, &len, &err), -EFBIG);
	assert_int_equal(path_poke(dir, "a/none", "1", &err), -ENOENT);
	assert_int_equal(path_remove_tree(dir, "a", &err), 0);
	assert_int_equal(faccessat(dir, "a", F_OK, 0), -1);
	assert_int_equal(path_remove_tree(dir, "a", &err), 0);
}

/* What a hostile root file system may hold: absolute and dotted links that point out of it. */
static void test_paths_stay_in_root(void **state)
{
	AUTO_FD int dir = open(*state, O_PATH | O_DIRECTORY | O_CLOEXEC);
	AUTO_FD int root = -1;
	AUTO_FD int made = -1;
	struct err err = ERR_INIT;

	assert_int_equal(path_mkdirs(dir, "root", 0755, &err), 0);
	assert_int_equal(path_mkdirs(dir, "outside", 0755, &err), 0);
	root = openat(dir, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(symlinkat("/../../outside", root, "absolute"), 0);
	assert_int_equal(symlinkat("../outside", root, "dotted"), 0);
	assert_true(path_open_in_root(root, "absolute", O_PATH, 0) < 0);
	assert_int_equal(path_mkdirs_in_root(root, "/../x//y/./z/", 0700, &made, &err), 0);
	assert_true(made >= 0);
	assert_int_equal(faccessat(root, "x/y/z", F_OK, 0), 0);
	assert_int_equal(path_mkdirs_in_root(root, "dotted/in", 0700, NULL, &err), 0);
	assert_int_equal(faccessat(root, "outside/in", F_OK, 0), 0);
	assert_int_equal(faccessat(dir, "outside/in", F_OK, 0), -1);
	assert_int_equal(path_remove_tree(dir, "root", &err), 0);
	assert_int_equal(faccessat(dir, "outside", F_OK, 0), 0);
}

/* A path through a dangling link stands for the place the link names, inside the root (systemd's /etc/resolv.conf). */
static void test_resolve_in_root(void **state)
{
	static const struct {
		const char *path, *resolved; /* NULL: refused */
	} cases[] = {
		{"/", "/"},
		{"/a/./b/../c", "/a/c"},
		{"/../../x", "/x"},
		{"/etc/resolv.conf", "/run/systemd/stub.conf"},
		{"/etc/absolute/more", "/var/there/more"},
		{"/etc/real", "/etc/real"},
		{"/etc/escape", "/outside"},
		{"/etc/loop", NULL},
	};
	AUTO_FD int dir = open(*state, O_PATH | O_DIRECTORY | O_CLOEXEC);
	AUTO_FD int made = -1;
	struct err err = ERR_INIT;

	assert_int_equal(path_mkdirs(dir, "etc/real", 0755, &err), 0);
	assert_int_equal(symlinkat("../run/systemd/stub.conf", dir, "etc/resolv.conf"), 0);
	assert_int_equal(symlinkat("/var/there", dir, "etc/absolute"), 0);
	assert_int_equal(symlinkat("../../../../outside", dir, "etc/escape"), 0);
	assert_int_equal(symlinkat("loop", dir, "etc/loop"), 0);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		AUTO_FREE char *out = NULL;
		int ret = path_resolve_in_root(dir, cases[i].path, &out, &err);

		assert_int_equal(ret, cases[i].resolved ? 0 : -ELOOP);
		if (ret == 0)
			assert_string_equal(out, cases[i].resolved);
	}
	assert_int_equal(path_mkdirs_in_root(dir, "/etc/absolute/more", 0755, &made, &err), 0);
	assert_int_equal(faccessat(dir, "var/there/more", F_OK, 0), 0);
}

static void test_make_in_root(void **state)
{
	static const struct {
		const char *path;
		bool directory;
		int ret;
		const char *there; /* afterwards, seen from outside */
		mode_t type;
	} cases[] = {
		{"/a/dir", true, 0, "root/a/dir", S_IFDIR},
		{"/b/file", false, 0, "root/b/file", S_IFREG},
		{"/top", false, 0, "root/top", S_IFREG},
		{"/b/file", true, 0, "root/b/file", S_IFREG}, /* what is there stays */
		{"/out", false, 0, "root/outside/f", S_IFREG},
		{"/b/file/c", false, -ENOTDIR, "root/b/file", S_IFREG},
		{"/loop", false, -ELOOP, "root/loop", S_IFLNK},
	};
	AUTO_FD int dir = open(*state, O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct err err = ERR_INIT;

	assert_int_equal(path_mkdirs(dir, "root", 0755, &err), 0);
	assert_int_equal(path_mkdirs(dir, "outside", 0755, &err), 0);
	AUTO_FD int root = openat(dir, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(symlinkat("../../outside/f", root, "out"), 0);
	assert_int_equal(symlinkat("loop", root, "loop"), 0);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		AUTO_FD int made = -1;
		struct stat at, by;
		int ret = path_make_in_root(root, cases[i].path, cases[i].directory, &made, &err);

		if (ret != cases[i].ret)
			fail_msg("%s: %d", cases[i].path, ret);
		assert_int_equal(fstatat(dir, cases[i].there, &at, AT_SYMLINK_NOFOLLOW), 0);
		assert_int_equal(at.st_mode & S_IFMT, cases[i].type);
		if (ret == 0) {
			assert_int_equal(fstat(made, &by), 0);
			assert_int_equal(by.st_ino, at.st_ino);
		}
		assert_int_equal(faccessat(dir, "outside/f", F_OK, 0), -1);
	}
}

static void test_fd_passing(void **state)
{
	int pair[2], pipe_fds[2], got[2] = {-1, -1};
	size_t n = 1; /* two are sent: the second is closed on arrival */
	char byte = 0;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
	assert_int_equal(fd_send(pair[0], "x", 1, pipe_fds, 2), 1);
	assert_int_equal(fd_recv(pair[1], &byte, 1, got, &n), 1);
	assert_int_equal(n, 1);
	assert_int_equal(byte, 'x');
	assert_true((fcntl(got[0], F_GETFD) & FD_CLOEXEC) != 0);
	assert_int_equal(fd_write_full(pipe_fds[1], "y", 1), 0);
	assert_int_equal(fd_read_full(got[0], &byte, 1), 1);
	assert_int_equal(byte, 'y');
	for (int i = 0; i < 2; i++) {
		(void)close(pair[i]);
		(void)close(pipe_fds[i]);
	}
	(void)close(got[0]);
}

struct story {
	struct loop *loop;
	struct loop_source *a, *b;
	int fired;
	int status;
};

static void remove_both(void *arg, int fd, uint32_t events)
{
	struct story *s = arg;

	(void)fd;
	(void)events;
	s->fired++;
	loop_remove(s->a);
	loop_remove(s->b);
	loop_stop(s->loop);
}

/* Two ready sources in one batch, each of which removes both: exactly one may fire. */
static void test_loop_removal_in_batch(void **state)
{
	CLEANUP(own_loop_destroy) struct loop *loop = NULL;
	struct err err = ERR_INIT;
	int p[2], q[2];
	struct story s = {0};

	(void)state;
	assert_int_equal(loop_create(&loop, &err), 0);
	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	assert_int_equal(pipe2(q, O_CLOEXEC), 0);
	s.loop = loop;
	assert_int_equal(loop_add_fd(loop, p[0], EPOLLIN, remove_both, &s, &s.a, &err), 0);
	assert_int_equal(loop_add_fd(loop, q[0], EPOLLIN, remove_both, &s, &s.b, &err), 0);
	assert_true(loop_idle(loop));
	assert_int_equal(fd_write_full(p[1], "1", 1), 0);
	assert_int_equal(fd_write_full(q[1], "1", 1), 0);
	assert_false(loop_idle(loop));
	assert_int_equal(loop_run(loop, &err), 0);
	assert_int_equal(s.fired, 1);
	for (int i = 0; i < 2; i++) {
		(void)close(p[i]);
		(void)close(q[i]);
	}
}

static void on_timer(void *arg)
{
	struct story *s = arg;

	s->fired++;
	loop_stop(s->loop);
}

static void on_child(void *arg, pid_t pid, int status)
{
	struct story *s = arg;

	(void)pid;
	s->status = status;
	loop_stop(s->loop);
}

static void test_loop_timer_and_child(void **state)
{
	CLEANUP(own_loop_destroy) struct loop *loop = NULL;
	struct err err = ERR_INIT;
	char *argv[] = {(char[]){"sh"}, (char[]){"-c"}, (char[]){"kill -9 $$"}, NULL};
	struct spawn spawn = {.path = "/bin/sh", .argv = argv};
	struct loop_source *timer = NULL;
	struct story s = {0};
	pid_t pid;

	(void)state;
	assert_int_equal(loop_create(&loop, &err), 0);
	s.loop = loop;
	assert_int_equal(loop_add_timer(loop, on_timer, &s, &timer, &err), 0);
	assert_int_equal(loop_arm(timer, 1), 0);
	assert_int_equal(loop_run(loop, &err), 0);
	assert_int_equal(s.fired, 1);
	assert_int_equal(spawn_start(&spawn, &pid, NULL, &err), 0);
	assert_int_equal(loop_add_child(loop, pid, on_child, &s, NULL, &err), 0);
	assert_int_equal(loop_run(loop, &err), 0);
	assert_int_equal(s.status, 137);
}

static void on_connection(void *arg, int conn_fd)
{
	struct story *s = arg;

	s->fired++;
	(void)close(conn_fd);
	loop_stop(s->loop);
}

/* A client that cannot be taken for want of descriptors stays in the queue, and the loop is not told of it over and over. */
static void test_listener_rests(void **state)
{
	CLEANUP(own_loop_destroy) struct loop *loop = NULL;
	CLEANUP(own_listener_destroy) struct listener *l = NULL;
	AUTO_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	AUTO_FD int client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un at = {.sun_family = AF_UNIX}; /* a name that the kernel makes up */
	socklen_t len = sizeof(at);
	struct rlimit before, none;
	struct err err = ERR_INIT;
	struct story s = {0};

	(void)state;
	assert_int_equal(loop_create(&loop, &err), 0);
	s.loop = loop;
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(sa_family_t)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
	assert_int_equal(listen(fd, 8), 0);
	assert_int_equal(listener_create(loop, fd, on_connection, &s, &l, &err), 0);
	assert_int_equal(connect(client, (struct sockaddr *)&at, len), 0);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = (struct rlimit){.rlim_cur = 0, .rlim_max = before.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	for (int i = 0; i < 5; i++)
		assert_int_equal(loop_step(loop, 0, &err), 0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_int_equal(s.fired, 0);
	assert_int_equal(listener_rests(l), 1);
	assert_int_equal(loop_run(loop, &err), 0);
	assert_int_equal(s.fired, 1);
}

/* The child sees the listed descriptors where they were asked for, /dev/null on the rest, and nothing else. */
static void test_spawn_descriptors(void **state)
{
	char *argv[] = {
		(char[]){"sh"}, (char[]){"-c"},
		(char[]){"ls /proc/self/fd | tr '\\n' ' ' >&5; readlink /proc/self/fd/0 >&5"},
		NULL};
	char out[128] = {0};
	struct err err = ERR_INIT;
	int p[2], status = 0;
	pid_t pid;

	(void)state;
	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	{
		struct spawn_fd fds[] = {{.from = p[1], .to = 5}};
		struct spawn spawn = {.path = "/bin/sh", .argv = argv, .fds = fds, .nfds = 1};
		char *path_env[] = {(char[]){"PATH=/usr/bin:/bin"}, NULL};

		spawn.envp = path_env;
		assert_int_equal(spawn_start(&spawn, &pid, NULL, &err), 0);
	}
	(void)close(p[1]);
	assert_true(fd_read_full(p[0], out, sizeof(out) - 1) > 0);
	(void)close(p[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_string_equal(out, "0 1 2 3 5 /dev/null\n"); /* 3 is ls's own directory */
}

struct gate {
	const char *mark; /* the program makes it */
	int answer;
	pid_t child;
};

static int at_gate(void *arg, pid_t child, struct err *err)
{
	struct gate *g = arg;

	g->child = child;
	(void)usleep(50000); /* a child that does not wait has done it by now */
	assert_int_equal(access(g->mark, F_OK), -1);
	return g->answer ? err_set(err, g->answer, "write it down") : 0;
}

/* The program runs after its starter has agreed, or not at all. */
static void test_spawn_waits(void **state)
{
	char dir[] = "/tmp/base-test-XXXXXX";

	(void)state;
	assert_non_null(mkdtemp(dir));
	AUTO_FREE char *mark = str_printf("%s/mark", dir);
	AUTO_FREE char *script = str_printf(": >%s", mark);
	char sh[] = "sh", c[] = "-c";
	char *argv[] = {sh, c, script, NULL};

	for (int answer = EIO; answer >= 0; answer -= EIO) {
		struct gate gate = {.mark = mark, .answer = answer};
		struct spawn spawn = {
			.path = "/bin/sh", .argv = argv, .before_exec = at_gate, .arg = &gate};
		struct err err = ERR_INIT;
		pid_t pid = -1;
		int status = 1;

		assert_int_equal(spawn_start(&spawn, &pid, NULL, &err), -answer);
		if (answer) {
			assert_int_equal(kill(gate.child, 0), -1); /* reaped */
			continue;
		}
		assert_int_equal(pid, gate.child);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, 0);
		assert_int_equal(access(mark, F_OK), 0);
	}
	assert_int_equal(unlink(mark), 0);
	assert_int_equal(rmdir(dir), 0);
}

static void test_spawn_missing_program(void **state)
{
	char *argv[] = {(char[]){"none"}, NULL};
	struct spawn spawn = {.path = "/nonexistent/none", .argv = argv};
	struct err err = ERR_INIT;
	pid_t pid = -7;

	(void)state;
	assert_int_equal(spawn_start(&spawn, &pid, NULL, &err), -ENOENT);
	assert_string_equal(err.text, "start '/nonexistent/none': No such file or directory");
	assert_int_equal(pid, -7);
}

/* Kata's driver looks for what comes before ":WARN: ", one character at least that is no colon. */
static void test_log_lines(void **state)
{
	static const struct {
		enum log_format format;
		const char *line;
	} cases[] = {
		{LOG_FORMAT_TEXT, "time=\"20*Z\" level=warning msg=\"two\\\\nlines\"\n"},
		{LOG_FORMAT_JSON,
		 "{\"level\":\"warning\",\"msg\":\"two\\\\nlines\",\"time\":\"20*Z\"}\n"},
		{LOG_FORMAT_COLON, "20*Z :WARN: two\\\\nlines\n"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		AUTO_FD int fd = memfd_create("log", MFD_CLOEXEC);
		char line[256] = "";

		log_init(fd, LOG_LEVEL_WARN, cases[i].format);
		log_warn("two\n%s", "lines");
		log_info("not that much");
		log_init(STDERR_FILENO, LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
		assert_true(pread(fd, line, sizeof(line) - 1, 0) > 0);
		if (fnmatch(cases[i].line, line, 0) != 0)
			fail_msg("%s", line);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_strbuf_cap),
		cmocka_unit_test(test_cursor),
		cmocka_unit_test(test_err),
		cmocka_unit_test_setup_teardown(test_paths, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(test_paths_stay_in_root, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(test_resolve_in_root, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(test_make_in_root, make_dir, remove_dir),
		cmocka_unit_test(test_clock),
		cmocka_unit_test(test_fd_passing),
		cmocka_unit_test(test_loop_removal_in_batch),
		cmocka_unit_test(test_loop_timer_and_child),
		cmocka_unit_test(test_listener_rests),
		cmocka_unit_test(test_spawn_descriptors),
		cmocka_unit_test(test_spawn_waits),
		cmocka_unit_test(test_spawn_missing_program),
		cmocka_unit_test(test_log_lines),
	};

	return cmocka_run_group_tests_name("base", tests, NULL, NULL);
}
