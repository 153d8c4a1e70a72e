/*
 * Messages between the agent and its children before exec. The child runs our code, but beside hostile processes of its
 * container: what comes is checked for size and word all the same.
 */
#include "agent/child_channel.h"

#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "base/own.h"

struct child_message {
	uint32_t word; /* enum child_word */
	struct err why;
};

int child_channel_open(int *agent_fd, int *child_fd, struct err *err)
{
	int pair[2];
	int ret;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_set(err, errno, "make a channel to the process");
	ret = fd_set_nonblock(pair[0], true);
	if (ret < 0) {
		own_close(&pair[0]);
		own_close(&pair[1]);
		return err_set(err, -ret, "make a channel to the process");
	}
	*agent_fd = pair[0];
	*child_fd = pair[1];
	return 0;
}

void child_channel_go(int fd)
{
	char go = 'g';

	if (send(fd, &go, 1, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		return;
}

static int check_message(struct child_message *msg, size_t len)
{
	if (len != sizeof(*msg))
		return -EBADMSG;
	if (msg->word == CHILD_READY)
		return 0;
	if (msg->word != CHILD_FAILED || msg->why.code <= 0 || msg->why.code > 4095)
		return -EBADMSG;
	msg->why.text[sizeof(msg->why.text) - 1] = '\0';
	return 0;
}

int child_channel_receive(int fd, enum child_word *word, struct err *why, int *pty_fd)
{
	struct child_message msg;
	AUTO_FD int passed = -1;
	size_t nfds = 1;
	ssize_t n = fd_recv(fd, &msg, sizeof(msg), &passed, &nfds);
	int ret;

	if (nfds == 0)
		passed = -1;
	if (n < 0)
		return (int)n;
	if (n == 0) {
		*word = CHILD_GONE;
		return 0;
	}
	ret = check_message(&msg, (size_t)n);
	if (ret < 0)
		return ret;
	*word = (enum child_word)msg.word;
	if (*word == CHILD_FAILED)
		*why = msg.why;
	else
		*pty_fd = TAKE_FD(&passed);
	return 0;
}

int child_channel_wait_go(int fd)
{
	char go;
	ssize_t n;

	do
		n = recv(fd, &go, 1, 0);
	while (n < 0 && errno == EINTR);
	return n == 1 && go == 'g' ? 0 : -EPIPE;
}

int child_channel_ready(int fd, int pty_fd)
{
	struct child_message msg = {.word = CHILD_READY};
	ssize_t n = fd_send(fd, &msg, sizeof(msg), &pty_fd, pty_fd >= 0);

	return n < 0 ? (int)n : 0;
}

void child_channel_failed(int fd, const struct err *why)
{
	struct child_message msg = {.word = CHILD_FAILED, .why = *why};

	if (fd_send(fd, &msg, sizeof(msg), NULL, 0) < 0)
		return;
}
