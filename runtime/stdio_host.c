/*
 * Opens host ends. An inherited descriptor shares its flags with whoever else holds it (a shell's terminal, conmon's pipe), so
 * O_NONBLOCK is not set on it: it is opened anew through /proc, which gives flags of our own.
 */
#include "runtime/stdio_host.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/own.h"
#include "base/path.h"
#include "base/str.h"

void stdio_host_close(struct stdio_host *h)
{
	own_close(&h->fd);
	own_close(&h->keep);
}

/* The path a file:// or fifo:// name holds, without its query. The caller frees. */
static char *path_of(const char *name)
{
	const char *at = strstr(name, "://");

	at = at ? at + 3 : name;
	return strndup(at, strcspn(at, "?"));
}

static bool reopenable(int fd, mode_t mode)
{
	unsigned int pts = 0;

	if (S_ISFIFO(mode))
		return true;
	/* Opening a pty master anew would make another pty. */
	return S_ISCHR(mode) && ioctl(fd, TIOCGPTN, &pts) < 0;
}

bool stdio_host_is_inherited(const char *name)
{
	return str_starts(name, "fd://");
}

int stdio_host_inherit(const char *name, bool input, struct stdio_host *out, struct err *err)
{
	uint64_t n = 0;
	struct stat st;
	char proc[64];

	if (str_to_u64(name + strlen("fd://"), 3, 1 << 20, &n))
		return err_say(err, EINVAL, "stdio '%s' does not name a descriptor", name);
	AUTO_FD int fd = (int)n;
	if (fstat(fd, &st))
		return err_set(err, errno, "stdio '%s'", name);
	if (reopenable(fd, st.st_mode)) {
		(void)snprintf(proc, sizeof(proc), "/proc/self/fd/%d", fd);
		out->fd = open(proc,
			       (input ? O_RDONLY : O_WRONLY) | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
		if (out->fd >= 0)
			return 0;
	}
	/* Regular files never block and sockets are asked not to, call by call. */
	if (!S_ISREG(st.st_mode) && !S_ISSOCK(st.st_mode) && fd_set_nonblock(fd, true))
		return err_set(err, errno, "stdio '%s'", name);
	out->fd = TAKE_FD(&fd);
	return 0;
}

int stdio_host_open_log(int dir, const char *leaf, struct stdio_host *out, struct err *err)
{
	/* A fifo without a reader would block; what is no file is found out before anything is written. */
	AUTO_FD int fd = openat(dir, leaf,
				O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY |
					O_CLOEXEC,
				0600);
	struct stat st;

	if (fd < 0 || fstat(fd, &st))
		return err_set(err, errno, "open log file '%s'", leaf);
	if (!S_ISREG(st.st_mode))
		return err_say(err, EINVAL, "log file '%s' is no regular file", leaf);
	*out = (struct stdio_host){.fd = TAKE_FD(&fd), .keep = -1};
	return 0;
}

static int open_log_file(const char *name, struct stdio_host *out, struct err *err)
{
	AUTO_FREE char *path = path_of(name);
	AUTO_FREE char *copy = path ? strdup(path) : NULL;
	const char *slash = path ? strrchr(path, '/') : NULL;

	if (!copy)
		return err_set(err, ENOMEM, "stdio '%s'", name);
	const char *parent = dirname(copy);
	int rc = path_mkdirs(AT_FDCWD, parent, 0755, err);
	if (rc)
		return rc;
	AUTO_FD int dir = open(parent, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return err_set(err, errno, "open '%s'", parent);
	rc = stdio_host_open_log(dir, slash ? slash + 1 : path, out, err);
	return rc ? err_wrap(err, "stdio '%s'", name) : 0;
}

/* By its own descriptor: opening what only looks like a fifo might do something. */
static int open_end(int path_fd, int how, int *out, const char *path, struct err *err)
{
	char proc[64];

	(void)snprintf(proc, sizeof(proc), "/proc/self/fd/%d", path_fd);
	*out = open(proc, how | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	return *out < 0 ? err_set(err, errno, "open '%s'", path) : 0;
}

static int open_fifo(const char *name, bool input, struct stdio_host *out, struct err *err)
{
	AUTO_FREE char *path = path_of(name);
	AUTO_FD int at = path ? open(path, O_PATH | O_CLOEXEC) : -1;
	AUTO_FD int reader = -1;
	AUTO_FD int writer = -1;
	struct stat st;

	if (!path)
		return err_set(err, ENOMEM, "stdio '%s'", name);
	if (at < 0 || fstat(at, &st))
		return err_set(err, errno, "open '%s'", path);
	if (!S_ISFIFO(st.st_mode))
		return err_say(err, EINVAL, "stdio '%s' is no fifo", path);
	/* The reading end first: a fifo without a reader cannot be opened for writing without blocking. */
	int rc = open_end(at, O_RDONLY, &reader, path, err);
	if (!rc)
		rc = open_end(at, O_WRONLY, &writer, path, err);
	if (rc)
		return rc;
	out->fd = TAKE_FD(input ? &reader : &writer);
	out->keep = TAKE_FD(input ? &writer : &reader);
	return 0;
}

char *stdio_host_log_path(const char *name)
{
	return str_starts(name, "file://") ? path_of(name) : NULL;
}

int stdio_host_open(const char *name, bool input, struct stdio_host *out, struct err *err)
{
	*out = (struct stdio_host)STDIO_HOST_INIT;
	if (str_starts(name, "file://") && !input)
		return open_log_file(name, out, err);
	if (name[0] == '/' || str_starts(name, "fifo://"))
		return open_fifo(name, input, out, err);
	return err_say(err, ENOTSUP, "stdio '%s' is not supported: use a fifo or file://", name);
}
