/* See the header. */
#include "vmm/open.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/fd.h"
#include "base/own.h"

#define LISTEN_BACKLOG 64

int open_adopt(int64_t number, const char *what, int *out, struct err *err)
{
	int rc = fd_set_cloexec((int)number, true);

	if (rc < 0)
		return err_set(err, -rc, "%s: descriptor %lld", what, (long long)number);
	*out = (int)number;
	return 0;
}

int open_adopt_if_given(int64_t number, const char *what, int *out, struct err *err)
{
	*out = -1;
	return number < 0 ? 0 : open_adopt(number, what, out, err);
}

int open_path(const char *path, int flags, const char *what, int *out, struct err *err)
{
	int fd = open(path, flags | O_CLOEXEC | O_NOCTTY, 0600);

	if (fd < 0)
		return err_set(err, errno, "%s: open '%s'", what, path);
	*out = fd;
	return 0;
}

/* Does the socket file lead nowhere? */
static bool is_dead(const struct sockaddr_un *addr)
{
	AUTO_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	return fd >= 0 && connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) < 0 &&
	       errno == ECONNREFUSED;
}

static int bind_at(int fd, const struct sockaddr_un *addr)
{
	if (bind(fd, (const struct sockaddr *)addr, sizeof(*addr)) == 0)
		return 0;
	if (errno != EADDRINUSE)
		return -errno;
	if (!is_dead(addr) || unlink(addr->sun_path) < 0)
		return -EADDRINUSE;
	return bind(fd, (const struct sockaddr *)addr, sizeof(*addr)) < 0 ? -errno : 0;
}

int open_listener(const char *path, const char *what, int *out, struct err *err)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	AUTO_FD int fd = -1;
	int rc;

	if (strlen(path) >= sizeof(addr.sun_path))
		return err_set(err, ENAMETOOLONG, "%s: path=%s", what, path);
	(void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_set(err, errno, "%s: socket", what);
	rc = bind_at(fd, &addr);
	if (rc == 0 && listen(fd, LISTEN_BACKLOG) < 0)
		rc = -errno;
	if (rc < 0)
		return err_set(err, -rc, "%s: listen at '%s'", what, path);
	*out = TAKE_FD(&fd);
	return 0;
}
