/* Standard streams: pumps over pipes, files and sockets, host ends by name, the opening of a stream to the guest. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>

#include "base/fd.h"
#include "base/loop.h"
#include "base/own.h"
#include "runtime/guest_stream.h"
#include "runtime/pump.h"
#include "runtime/stdio.h"
#include "runtime/stdio_host.h"
#include "runtime/unix_socket.h"

#define STEPS 2000

static void on_done(void *arg)
{
	++*(int *)arg;
}

static void steps(struct loop *loop, const int *until, int want)
{
	struct err err = ERR_INIT;

	for (int i = 0; i < STEPS && *until < want; i++)
		assert_int_equal(loop_step(loop, 10, &err), 0);
}

/* [0] is ours, [1] the pump's. */
static void pair(int fds[2])
{
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
}

static struct loop *new_loop(void)
{
	struct loop *loop = NULL;
	struct err err = ERR_INIT;

	assert_int_equal(loop_create(&loop, &err), 0);
	return loop;
}

static void test_bytes_then_end(void **state)
{
	struct loop *loop = new_loop();
	int from[2], to[2], done = 0;
	struct pump *p = NULL;
	struct err err = ERR_INIT;
	char buf[16] = "";

	(void)state;
	pair(from);
	pair(to);
	assert_int_equal(pump_create(loop, from[1], to[1], on_done, &done, &p, &err), 0);
	assert_int_equal(fd_write_full(from[0], "hello", 5), 0);
	(void)close(from[0]);
	steps(loop, &done, 1);
	assert_int_equal(done, 1);
	pump_destroy(p);
	/* The last byte, then the end: the pump has closed its ends. */
	assert_int_equal(fd_read_full(to[0], buf, sizeof(buf)), 5);
	assert_string_equal(buf, "hello");
	(void)close(to[0]);
	loop_destroy(loop);
}

static void test_vanished_reader_ends_it(void **state)
{
	struct loop *loop = new_loop();
	int from[2], to[2], done = 0;
	struct pump *p = NULL;
	struct err err = ERR_INIT;
	char c = 0;

	(void)state;
	pair(from);
	assert_int_equal(pipe2(to, O_CLOEXEC | O_NONBLOCK), 0);
	assert_int_equal(pump_create(loop, from[1], to[1], on_done, &done, &p, &err), 0);
	assert_int_equal(loop_step(loop, 0, &err), 0);
	assert_int_equal(done, 0);
	/* The source is silent all the while. */
	(void)close(to[0]);
	steps(loop, &done, 1);
	assert_int_equal(done, 1);
	pump_destroy(p);
	assert_int_equal(fd_read_full(from[0], &c, 1), 0);
	(void)close(from[0]);
	loop_destroy(loop);
}

/* A source that has hung up while its reader is slow must not be looked at in circles. */
static void test_slow_reader_does_not_spin(void **state)
{
	struct loop *loop = new_loop();
	int from[2], to[2], done = 0, turns = 0;
	struct pump *p = NULL;
	struct err err = ERR_INIT;
	char *big = calloc(1, 1 << 20);

	(void)state;
	assert_non_null(big);
	pair(from);
	assert_int_equal(pipe2(to, O_CLOEXEC | O_NONBLOCK), 0);
	assert_int_equal(pump_create(loop, from[1], to[1], on_done, &done, &p, &err), 0);
	ssize_t sent = send(from[0], big, 1 << 20, MSG_DONTWAIT);
	assert_true(sent > 65536);
	(void)close(from[0]);
	for (int i = 0; i < 20; i++)
		assert_int_equal(loop_step(loop, 0, &err), 0);
	/* Now nothing can move: the loop has to sleep. */
	struct timespec before, after;
	(void)clock_gettime(CLOCK_MONOTONIC, &before);
	while (turns < 3) {
		assert_int_equal(loop_step(loop, 20, &err), 0);
		turns++;
	}
	(void)clock_gettime(CLOCK_MONOTONIC, &after);
	assert_true((after.tv_sec - before.tv_sec) * 1000 +
			    (after.tv_nsec - before.tv_nsec) / 1000000 >=
		    40);
	ssize_t got = 0;
	for (int i = 0; i < STEPS && !done; i++) {
		ssize_t n = read(to[0], big, 1 << 20);

		got += n > 0 ? n : 0;
		assert_int_equal(loop_step(loop, 10, &err), 0);
	}
	for (ssize_t n = 1; n > 0; got += n > 0 ? n : 0)
		n = read(to[0], big, 1 << 20);
	assert_int_equal(got, sent);
	pump_destroy(p);
	(void)close(to[0]);
	loop_destroy(loop);
	free(big);
}

static void test_files_are_always_ready(void **state)
{
	struct loop *loop = new_loop();
	char path[] = "/tmp/pump-test-XXXXXX", buf[64] = "";
	int file = mkstemp(path), to[2], from[2], done = 0;
	struct pump *p = NULL;
	struct err err = ERR_INIT;

	(void)state;
	assert_true(file >= 0);
	assert_int_equal(fd_write_full(file, "from a file", 11), 0);
	assert_int_equal(lseek(file, 0, SEEK_SET), 0);
	pair(to);
	assert_int_equal(pump_create(loop, file, to[1], on_done, &done, &p, &err), 0);
	steps(loop, &done, 1);
	pump_destroy(p);
	assert_int_equal(fd_read_full(to[0], buf, sizeof(buf)), 11);
	(void)close(to[0]);

	file = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
	pair(from);
	assert_int_equal(pump_create(loop, from[1], file, on_done, &done, &p, &err), 0);
	assert_int_equal(fd_write_full(from[0], "into", 4), 0);
	(void)close(from[0]);
	steps(loop, &done, 2);
	pump_destroy(p);
	file = open(path, O_RDONLY | O_CLOEXEC);
	assert_int_equal(fd_read_full(file, buf, sizeof(buf)), 4);
	(void)close(file);
	(void)unlink(path);
	loop_destroy(loop);
}

static void test_host_ends(void **state)
{
	char dir[] = "/tmp/stdio-host-XXXXXX", path[128], name[160];
	struct stdio_host h = STDIO_HOST_INIT;
	struct err err = ERR_INIT;
	int pipe_fds[2];

	(void)state;
	assert_non_null(mkdtemp(dir));
	assert_int_equal(stdio_host_open("binary:///bin/true", false, &h, &err), -ENOTSUP);
	assert_int_equal(stdio_host_open("file:///tmp/x", true, &h, &err), -ENOTSUP);
	assert_int_equal(stdio_host_open("fd://3", true, &h, &err), -ENOTSUP);
	assert_int_equal(stdio_host_open("/dev/null", true, &h, &err), -EINVAL);
	assert_int_equal(stdio_host_inherit("fd://1", true, &h, &err), -EINVAL);
	assert_int_equal(stdio_host_inherit("fd://x", true, &h, &err), -EINVAL);
	assert_int_equal(stdio_host_inherit("fd://100000", true, &h, &err), -EBADF);
	assert_int_equal(stdio_host_open("/no/such/fifo", true, &h, &err), -ENOENT);

	/* A fifo has both of its ends held, whoever comes or goes. */
	(void)snprintf(path, sizeof(path), "%s/fifo", dir);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(stdio_host_open(path, false, &h, &err), 0);
	assert_true(h.fd >= 0 && h.keep >= 0);
	assert_int_equal(fd_write_full(h.fd, "x", 1), 0);
	stdio_host_close(&h);
	(void)unlink(path);

	(void)snprintf(path, sizeof(path), "%s/deep/log", dir);
	(void)snprintf(name, sizeof(name), "file://%s?x=y", path);
	assert_int_equal(stdio_host_open(name, false, &h, &err), 0);
	stdio_host_close(&h);
	assert_int_equal(access(path, F_OK), 0);
	(void)unlink(path);
	(void)snprintf(path, sizeof(path), "%s/deep", dir);
	(void)rmdir(path);
	(void)rmdir(dir);

	/* O_NONBLOCK must not reach those who share the inherited descriptor. */
	assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
	int shared = dup(pipe_fds[1]);
	(void)snprintf(name, sizeof(name), "fd://%d", pipe_fds[1]);
	assert_int_equal(stdio_host_inherit(name, false, &h, &err), 0);
	assert_true(fcntl(h.fd, F_GETFL) & O_NONBLOCK);
	assert_false(fcntl(shared, F_GETFL) & O_NONBLOCK);
	assert_int_equal(fcntl(pipe_fds[1], F_GETFD), -1);
	stdio_host_close(&h);
	(void)close(shared);
	(void)close(pipe_fds[0]);
}

struct opening {
	int calls, fd, code;
};

static void on_stream(void *arg, int fd, const struct err *why)
{
	struct opening *o = arg;

	o->calls++;
	o->fd = fd;
	o->code = why ? why->code : 0;
}

static void test_guest_stream(void **state)
{
	static const struct {
		const char *name, *answer; /* NULL: the vmm hangs up */
		int code;
		const char *behind; /* what the guest may send at once */
	} cases[] = {
		{"accepted", "OK 1073741824\n", 0, ""},
		{"accepted, and data behind it", "OK 5\nearly", 0, "early"},
		{"refused", "NO\n", ECONNREFUSED, ""},
		{"empty answer", "\n", ECONNREFUSED, ""},
		{"endless answer",
		 "OK 00000000000000000000000000000000000000000000000000000000000000000", EPROTO,
		 ""},
		{"hung up", NULL, ECONNREFUSED, ""},
		{"silent", "", ETIMEDOUT, ""},
	};
	uint8_t token[STREAM_TOKEN_BYTES];
	char dir[] = "/tmp/guest-stream-XXXXXX", path[64], got[128];

	(void)state;
	memset(token, 0xa5, sizeof(token));
	assert_non_null(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/vsock", dir);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct loop *loop = new_loop();
		struct opening o = {.fd = -1};
		struct guest_stream *s = NULL;
		struct err err = ERR_INIT;
		int listener = -1;

		assert_int_equal(unix_listen(path, &listener, &err), 0);
		int connection = -1;
		assert_int_equal(unix_connect(path, SOCK_NONBLOCK, &connection, &err), 0);
		assert_int_equal(
			guest_stream_open(loop, connection, token, 200, on_stream, &o, &s, &err),
			0);
		int vmm = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		assert_true(vmm >= 0);
		assert_int_equal(loop_step(loop, 100, &err), 0);
		assert_int_equal(read(vmm, got, sizeof(got)), 13);
		assert_memory_equal(got, "CONNECT 1024\n", 13);
		if (!cases[i].answer)
			(void)shutdown(vmm, SHUT_RDWR);
		else
			assert_int_equal(
				fd_write_full(vmm, cases[i].answer, strlen(cases[i].answer)), 0);
		steps(loop, &o.calls, 1);
		if (o.calls != 1 || o.code != cases[i].code)
			fail_msg("%s: %d calls, code %d", cases[i].name, o.calls, o.code);
		if (!o.code) {
			assert_int_equal(read(vmm, got, sizeof(got)), (int)sizeof(token));
			assert_memory_equal(got, token, sizeof(token));
			ssize_t n = recv(o.fd, got, sizeof(got), MSG_DONTWAIT);
			assert_int_equal(n < 0 ? 0 : n, strlen(cases[i].behind));
			(void)close(o.fd);
		}
		(void)close(vmm);
		(void)close(listener);
		(void)unlink(path);
		loop_destroy(loop);
	}
	(void)rmdir(dir);
}

static int connect_guest(void *arg, int *fd, struct err *err)
{
	return unix_connect(arg, SOCK_NONBLOCK, fd, err);
}

static void on_connected(void *arg, const struct err *why)
{
	*(int *)arg = why ? -1 : 1;
}

/* Standard input may be shared with its caller: a process that was only created takes nothing from it. */
static void test_input_waits_for_the_start(void **state)
{
	struct loop *loop = new_loop();
	char dir[] = "/tmp/stdio-input-XXXXXX", path[64], name[32], got[80];
	int listener = -1, connected = 0, in[2];
	struct stdio *io = NULL;
	struct err err = ERR_INIT;

	(void)state;
	assert_non_null(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/vsock", dir);
	assert_int_equal(unix_listen(path, &listener, &err), 0);
	assert_int_equal(pipe2(in, O_CLOEXEC), 0);
	assert_int_equal(fd_write_full(in[1], "words", 5), 0);
	int ours = dup(in[0]);
	(void)snprintf(name, sizeof(name), "fd://%d", in[0]);
	const char *const names[STDIO_STREAMS] = {name, "", NULL};
	const struct stdio_ways ways = {.connect_guest = connect_guest, .arg = path};
	assert_int_equal(stdio_open(loop, &ways, names, false, &io, &err), 0);
	assert_non_null(stdio_token(io, STDIO_IN));
	assert_null(stdio_token(io, STDIO_OUT));
	stdio_connect(io, on_connected, &connected);
	int vmm = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(vmm >= 0);
	assert_int_equal(fd_write_full(vmm, "OK 1\n", 5), 0);
	steps(loop, &connected, 1);
	for (int i = 0; i < 5; i++)
		assert_int_equal(loop_step(loop, 1, &err), 0);
	assert_int_equal(connected, 1);
	struct pollfd left = {.fd = ours, .events = POLLIN};
	assert_int_equal(poll(&left, 1, 0), 1);

	assert_int_equal(stdio_start_input(io, &err), 0);
	assert_int_equal(stdio_start_input(io, &err), 0);
	for (int i = 0; i < 5; i++)
		assert_int_equal(loop_step(loop, 1, &err), 0);
	assert_int_equal(poll(&left, 1, 0), 0);
	assert_int_equal(fd_read_full(vmm, got, 13 + STREAM_TOKEN_BYTES + 5),
			 13 + STREAM_TOKEN_BYTES + 5);
	assert_memory_equal(got + 13 + STREAM_TOKEN_BYTES, "words", 5);
	stdio_destroy(io);
	assert_int_equal(fd_read_full(vmm, got, 1), 0);
	(void)close(vmm);
	(void)close(listener);
	(void)close(ours);
	(void)close(in[1]);
	(void)unlink(path);
	(void)rmdir(dir);
	loop_destroy(loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bytes_then_end),
		cmocka_unit_test(test_vanished_reader_ends_it),
		cmocka_unit_test(test_slow_reader_does_not_spin),
		cmocka_unit_test(test_files_are_always_ready),
		cmocka_unit_test(test_host_ends),
		cmocka_unit_test(test_guest_stream),
		cmocka_unit_test(test_input_waits_for_the_start),
	};

	(void)signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
