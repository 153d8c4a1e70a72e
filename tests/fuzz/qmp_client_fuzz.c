/*
 * What a vmm sends to the monitor over QMP: the input as it is, behind a good greeting and agreement when its first byte is even.
 * Two calls are open; each is answered exactly once, and the end is told at most once, whatever comes.
 */
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/loop.h"
#include "base/own.h"
#include "runtime/qmp_client.h"

#define MAX_BYTES 8192

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seen {
	int answers, ends;
};

static void on_event(void *arg, const char *name, struct json_object *data)
{
	(void)arg;
	BUG_ON(!name || (data && !json_object_is_type(data, json_type_object)));
}

static void on_close(void *arg, const struct err *why)
{
	struct seen *seen = arg;

	seen->ends++;
	BUG_ON(!why->code || !why->text[0] || seen->answers != 2);
}

static void on_reply(void *arg, const struct err *status, struct json_object *result)
{
	struct seen *seen = arg;

	seen->answers++;
	BUG_ON(status->code && (result || !status->text[0]));
}

static void say(int fd, const void *bytes, size_t len)
{
	BUG_ON(send(fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL) != (ssize_t)len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char greeting[] = "{\"QMP\":{}}\n", agreed[] = "{\"return\":{},\"id\":0}\n";
	CLEANUP(own_loop_destroy) struct loop *loop = NULL;
	struct qmp_client *c = NULL;
	struct seen seen = {0};
	struct err err = ERR_INIT;
	int fds[2];

	if (size < 1 || size - 1 > MAX_BYTES)
		return 0;
	BUG_ON(loop_create(&loop, &err));
	BUG_ON(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds));
	const struct qmp_client_params p = {.loop = loop,
					    .fd = fds[0],
					    .on_event = on_event,
					    .on_close = on_close,
					    .arg = &seen};
	BUG_ON(qmp_client_create(&p, &c, &err));
	qmp_client_call(c, "query-status", NULL, -1, 0, on_reply, &seen);
	qmp_client_call(c, "stop", NULL, -1, 0, on_reply, &seen);
	if (data[0] % 2 == 0) {
		say(fds[1], greeting, sizeof(greeting) - 1);
		BUG_ON(loop_step(loop, 0, &err));
		say(fds[1], agreed, sizeof(agreed) - 1);
		BUG_ON(loop_step(loop, 0, &err));
	}
	if (size > 1)
		say(fds[1], data + 1, size - 1);
	for (int i = 0; i < 4; i++)
		BUG_ON(loop_step(loop, 0, &err));
	(void)close(fds[1]);
	qmp_client_read_out(c);
	qmp_client_destroy(c);
	BUG_ON(seen.answers != 2 || seen.ends > 1);
	return 0;
}
