/* See the header. */
#include "vmm/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/own.h"

/* The child's end of the pipe closes with it, whatever becomes of it. */
static int status_of_child(int fd)
{
	char byte;

	return fd_read_full(fd, &byte, 1) == 1 ? 0 : 1;
}

int daemon_begin(int *ready_fd, struct err *err)
{
	int pipe_fds[2];

	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return err_set(err, errno, "-daemonize: pipe");
	AUTO_FD int reader = pipe_fds[0];
	AUTO_FD int writer = pipe_fds[1];
	const pid_t child = fork();

	if (child < 0)
		return err_set(err, errno, "-daemonize: fork");
	if (child > 0) {
		own_close(&writer);
		_exit(status_of_child(reader));
	}
	if (setsid() < 0)
		return err_set(err, errno, "-daemonize: new session");
	*ready_fd = TAKE_FD(&writer);
	return 0;
}

int daemon_ready(int *ready_fd, struct err *err)
{
	AUTO_FD int ready = TAKE_FD(ready_fd);
	AUTO_FD int null = open("/dev/null", O_RDWR | O_CLOEXEC | O_NOCTTY);

	if (null < 0 || chdir("/") < 0)
		return err_set(err, errno, "-daemonize: leave the caller's files");
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
		if (dup2(null, fd) < 0)
			return err_set(err, errno, "-daemonize: standard streams");
	}
	return fd_write_full(ready, "", 1);
}
