/* See the header. */
#include "tests/unit/qmp_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"

static int note(struct qmp_world *w, const char *what, struct err *err)
{
	size_t len = strlen(w->calls);

	(void)snprintf(w->calls + len, sizeof(w->calls) - len, "%s ", what);
	return w->fail_with ? err_set(err, w->fail_with, "%s", what) : 0;
}

static int do_stop(void *self, struct err *err)
{
	return note(self, "stop", err);
}

static int do_cont(void *self, struct err *err)
{
	return note(self, "cont", err);
}

static int do_reset(void *self, struct err *err)
{
	struct qmp_world *w = self;
	int rc = note(w, "reset", err);

	return rc == 0 && w->reset_is_end ? 1 : rc;
}

/* What is plugged is closed, as the machine would own it. */
static int do_plug(void *self, struct machine_device *device, int addr, struct err *err)
{
	struct qmp_world *w = self;
	char what[128];
	int rc;

	(void)snprintf(what, sizeof(what), "plug:%s:%s:%d%s%s", device->id,
		       device->kind == DEVICE_BLK ? "blk" : "net", addr,
		       device->iothread ? ":" : "", device->iothread ? device->iothread : "");
	rc = note(w, what, err);
	if (rc < 0)
		return rc;
	if (device->kind == DEVICE_BLK)
		own_close(&device->blk.fd);
	while (device->kind == DEVICE_NET && device->net.ntaps > 0)
		own_close(&device->net.tap_fds[--device->net.ntaps]);
	return 0;
}

static int do_unplug(void *self, const char *id, struct err *err)
{
	char what[64];

	(void)snprintf(what, sizeof(what), "unplug:%s", id);
	return note(self, what, err);
}

static bool console_has_client(void *self UNUSED, const char *chardev)
{
	return !strcmp(chardev, "talking");
}

static bool has_iothread(void *self UNUSED, const char *id)
{
	return !strcmp(id, "io0");
}

static bool look(void *self UNUSED, size_t idx, struct machine_slot *out)
{
	static const struct machine_slot slots[] = {
		{.kind = DEVICE_RNG, .id = "rng", .iothread = ""},
		{.kind = DEVICE_BLK,
		 .id = "root",
		 .iothread = "io0",
		 .tid = 7,
		 .blk = {.read = {1, 2, 3, 4, 5, 7}, .written_end_bytes = 6}},
		{.kind = DEVICE_BLK, .id = "", .iothread = "", .tid = 8, .spare = true},
		{.kind = DEVICE_NET, .id = "nic", .iothread = "io0", .tid = 9},
	};

	if (idx >= ARRAY_SIZE(slots))
		return false;
	*out = slots[idx];
	return true;
}

static void do_quit(void *self)
{
	(void)note(self, "quit", NULL);
}

static bool has_agent(void *self)
{
	return ((struct qmp_world *)self)->agent;
}

static struct qmp_start_times start_times(void *self)
{
	const struct qmp_world *w = self;

	return (struct qmp_start_times){1, 2, 3, 4, 5, w->not_entered ? 0 : 6};
}

static pid_t tid_of_vcpu(void *self UNUSED, uint32_t idx)
{
	return 1000 + (pid_t)idx;
}

int qmp_world_setup(void **state)
{
	static const struct qmp_engine_ops ops = {.stop = do_stop,
						  .cont = do_cont,
						  .reset = do_reset,
						  .quit = do_quit,
						  .has_agent = has_agent,
						  .start_times = start_times,
						  .plug = do_plug,
						  .unplug = do_unplug,
						  .console_has_client = console_has_client,
						  .has_iothread = has_iothread,
						  .look = look,
						  .vcpu_tid = tid_of_vcpu};
	struct qmp_world *w = calloc(1, sizeof(*w));
	const struct qmp_engine engine = {
		.ops = &ops, .self = w, .backends = &w->backends, .vcpus = 2, .max_vcpus = 4};
	struct err err = ERR_INIT;

	assert_non_null(w);
	assert_int_equal(loop_create(&w->loop, &err), 0);
	assert_int_equal(qmp_create(w->loop, &engine, &w->qmp, &err), 0);
	*state = w;
	return 0;
}

int qmp_world_teardown(void **state)
{
	struct qmp_world *w = *state;

	qmp_destroy(w->qmp);
	backends_done(&w->backends);
	loop_destroy(w->loop);
	free(w->text);
	free(w);
	return 0;
}

static void on_close(void *arg)
{
	((struct qmp_world *)arg)->closed = true;
}

/* By a listener of the abstract namespace, as an ordinary client comes. */
static int connect_to(struct qmp_world *w)
{
	struct sockaddr_storage addr;
	socklen_t len = sizeof(addr);
	struct err err = ERR_INIT;
	sa_family_t family = AF_UNIX;
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	/* autobind */
	assert_int_equal(bind(listener, (const struct sockaddr *)&family, sizeof(family)), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&addr, &len), 0);
	assert_int_equal(connect(client, (const struct sockaddr *)&addr, len), 0);
	assert_int_equal(qmp_add_listener(w->qmp, listener, "mon", &err), 0);
	assert_int_equal(loop_step(w->loop, 0, &err), 0);
	return client;
}

int qmp_world_connect(struct qmp_world *w, bool monitor)
{
	struct err err = ERR_INIT;
	int pair[2];

	if (!monitor) {
		pair[0] = connect_to(w);
	} else {
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
		assert_int_equal(qmp_add_monitor(w->qmp, pair[1], on_close, w, &err), 0);
	}
	assert_int_equal(fd_set_nonblock(pair[0], true), 0);
	return pair[0];
}

void qmp_world_send(int client, const char *text, int fd)
{
	size_t len = strlen(text);

	assert_int_equal(fd_send(client, text, len, &fd, fd >= 0 ? 1 : 0), (ssize_t)len);
}

const char *qmp_world_hear(struct qmp_world *w, int client)
{
	AUTO_STRBUF struct strbuf heard = STRBUF_INIT;
	struct err err = ERR_INIT;
	char buf[4096];
	ssize_t n = 0;

	/* A batch reads, a second one writes what did not go at once. */
	for (int quiet = 0; quiet<2; quiet = n> 0 ? 0 : quiet + 1) {
		assert_int_equal(loop_step(w->loop, 0, &err), 0);
		n = read(client, buf, sizeof(buf));
		if (n > 0)
			assert_int_equal(strbuf_add(&heard, buf, (size_t)n), 0);
	}
	assert_int_equal(strbuf_add(&heard, "", 0), 0);
	free(w->text);
	w->text = heard.data;
	heard.data = NULL;
	return w->text;
}

const char *qmp_world_say(struct qmp_world *w, int client, const char *text)
{
	qmp_world_send(client, text, -1);
	return qmp_world_hear(w, client);
}

int qmp_world_ready(struct qmp_world *w)
{
	int client = qmp_world_connect(w, false);

	assert_non_null(strstr(qmp_world_hear(w, client), "\"QMP\""));
	assert_string_equal(qmp_world_say(w, client, "{\"execute\":\"qmp_capabilities\"}"),
			    "{\"return\":{}}\r\n");
	return client;
}

void qmp_assert_says(const char *heard, const char *part)
{
	if (!strstr(heard, part))
		fail_msg("'%s' is not in '%s'", part, heard);
}

int qmp_world_file(void)
{
	int fd = memfd_create("disk", MFD_CLOEXEC);

	assert_true(fd >= 0 && ftruncate(fd, 4096) == 0);
	return fd;
}

const char *qmp_world_say_with_fd(struct qmp_world *w, int client, const char *text)
{
	AUTO_FD int fd = qmp_world_file();

	qmp_world_send(client, text, fd);
	return qmp_world_hear(w, client);
}

void qmp_world_talk(struct qmp_world *w, int client, const struct qmp_line *lines, size_t n)
{
	for (size_t i = 0; i < n; i++)
		qmp_assert_says(lines[i].with_fd ? qmp_world_say_with_fd(w, client, lines[i].say)
						 : qmp_world_say(w, client, lines[i].say),
				lines[i].part);
}
