/*
 * QMP's bytes: whatever a client sends, in pieces or whole, the server answers with whole JSON lines and lives on. The engine
 * behind it does nothing, and as if in its jail it opens nothing but what it was given.
 */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "base/own.h"
#include "vmm/qmp/qmp.h"

#define PIECE 512

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int refuse(void *self UNUSED, struct err *err)
{
	return err_set(err, EIO, "fuzz");
}

static int work(void *self UNUSED, struct err *err UNUSED)
{
	return 0;
}

static void do_nothing(void *self UNUSED)
{
}

static bool has_agent(void *self UNUSED)
{
	return true;
}

static struct qmp_start_times start_times(void *self UNUSED)
{
	return (struct qmp_start_times){0};
}

static int plug(void *self UNUSED, struct machine_device *device, int addr UNUSED,
		struct err *err UNUSED)
{
	if (device->kind == DEVICE_BLK)
		own_close(&device->blk.fd);
	while (device->kind == DEVICE_NET && device->net.ntaps > 0)
		own_close(&device->net.tap_fds[--device->net.ntaps]);
	return 0;
}

static int unplug(void *self UNUSED, const char *id UNUSED, struct err *err UNUSED)
{
	return 0;
}

static bool has_iothread(void *self UNUSED, const char *id)
{
	return !strcmp(id, "io");
}

static bool look(void *self UNUSED, size_t idx UNUSED, struct machine_slot *out UNUSED)
{
	return false;
}

static pid_t tid_of_vcpu(void *self UNUSED, uint32_t idx UNUSED)
{
	return 1;
}

static const struct qmp_engine_ops ops = {.stop = work,
					  .cont = work,
					  .reset = refuse,
					  .quit = do_nothing,
					  .has_agent = has_agent,
					  .start_times = start_times,
					  .plug = plug,
					  .unplug = unplug,
					  .console_has_client = has_iothread,
					  .has_iothread = has_iothread,
					  .look = look,
					  .vcpu_tid = tid_of_vcpu};

/* What came back: lines, each of them one object. */
static void hear(int client, struct loop *loop)
{
	char buf[8192];
	ssize_t n;

	BUG_ON(loop_step(loop, 0, NULL) < 0);
	while ((n = read(client, buf, sizeof(buf))) > 0)
		BUG_ON(memchr(buf, '\0', (size_t)n) != NULL);
}

static void talk(struct loop *loop, int client, const uint8_t *data, size_t size)
{
	/* A file to name by /dev/fdset/0, for what is opened must be ours. */
	static const char hello[] = "{\"execute\":\"qmp_capabilities\"}{\"execute\":\"add-fd\"}";
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	BUG_ON(null < 0 || fd_send(client, hello, strlen(hello), &null, 1) < 0);
	(void)close(null);
	hear(client, loop);
	for (size_t at = 0; at < size; at += PIECE) {
		size_t len = size - at < PIECE ? size - at : PIECE;

		if (send(client, data + at, len, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
			return;
		hear(client, loop);
	}
}

static void on_close(void *arg UNUSED)
{
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct backends backends = {.fdsets.sealed = true};
	const struct qmp_engine engine = {
		.ops = &ops, .backends = &backends, .vcpus = 1, .max_vcpus = 4};
	CLEANUP(own_loop_destroy) struct loop *loop = NULL;
	CLEANUP(own_qmp_destroy) struct qmp *qmp = NULL;
	AUTO_FD int client = -1;
	int pair[2];

	BUG_ON(loop_create(&loop, NULL) < 0 || qmp_create(loop, &engine, &qmp, NULL) < 0);
	BUG_ON(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0);
	client = pair[0];
	BUG_ON(qmp_add_monitor(qmp, pair[1], on_close, NULL, NULL) < 0);
	talk(loop, client, data, size);
	backends_done(&backends);
	return 0;
}
