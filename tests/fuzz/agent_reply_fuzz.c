/*
 * What the guest's agent sends to the monitor: the input's first byte chooses the call that waits for an answer, the rest is the
 * body of a response to it; bit 7 of that byte sends the rest as it is instead, headers and all. The call is answered exactly
 * once, whatever comes.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include "base/loop.h"
#include "base/own.h"
#include "runtime/agent_client.h"

#define HEADER_BYTES 10
#define MAX_BYTES    4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_lost(void *arg, const struct err *why)
{
	(void)arg;
	BUG_ON(!why->code || !why->text[0]);
}

static void on_answer(void *arg, const struct err *status, const struct agent_answer *answer)
{
	int *answers = arg;

	++*answers;
	BUG_ON(status->code && !status->text[0]);
	BUG_ON(answer->exit_status > 255);
	BUG_ON(!memchr(answer->kernel_release, 0, sizeof(answer->kernel_release)));
}

static void ask(struct agent_client *a, uint8_t which, int *answers)
{
	if (which % 3 == 0)
		agent_hello(a, "fuzz", 0, on_answer, answers);
	else if (which % 3 == 1)
		agent_process(a, AGENT_WAIT, "c", "", on_answer, answers);
	else
		agent_process(a, AGENT_START, "c", "", on_answer, answers);
}

static void reply(int fd, bool raw, const uint8_t *body, size_t len)
{
	uint8_t frame[HEADER_BYTES + MAX_BYTES] = {
		0, 0, (uint8_t)(len >> 8), (uint8_t)len, 0, 0, 0, 1, 2, 0};
	const size_t header = raw ? 0 : HEADER_BYTES;

	memcpy(frame + header, body, len);
	BUG_ON(send(fd, frame, header + len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(own_loop_destroy) struct loop *loop = NULL;
	struct agent_client *a = NULL;
	struct err err = ERR_INIT;
	int fds[2], answers = 0;

	if (size < 1 || size - 1 > MAX_BYTES)
		return 0;
	BUG_ON(loop_create(&loop, &err));
	BUG_ON(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds));
	BUG_ON(agent_client_create(loop, fds[0], on_lost, NULL, &a, &err));
	ask(a, data[0], &answers);
	reply(fds[1], data[0] & 0x80, data + 1, size - 1);
	(void)close(fds[1]);
	for (int i = 0; i < 4; i++)
		BUG_ON(loop_step(loop, 0, &err));
	agent_client_destroy(a);
	BUG_ON(answers != 1);
	return 0;
}
