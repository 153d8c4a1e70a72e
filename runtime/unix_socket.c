/* Unix stream sockets by path: bind, connect, and who is on the other end. */
#include "runtime/unix_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/own.h"

#define LISTEN_BACKLOG 128

/* Fills addr; *dirfd becomes the directory's descriptor when the name had to go through it (the caller closes it). */
static int address_of(const char *path, struct sockaddr_un *addr, int *dirfd, struct err *err)
{
	*addr = (struct sockaddr_un){.sun_family = AF_UNIX};
	size_t len = strlen(path);
	if (len < sizeof(addr->sun_path)) {
		memcpy(addr->sun_path, path, len + 1);
		return 0;
	}
	AUTO_FREE char *dir_copy = strdup(path);
	AUTO_FREE char *base_copy = strdup(path);
	if (!dir_copy || !base_copy)
		return err_set(err, ENOMEM, "socket '%s'", path);
	AUTO_FD int fd = open(dirname(dir_copy), O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_set(err, errno, "open the directory of socket '%s'", path);
	int n = snprintf(addr->sun_path, sizeof(addr->sun_path), "/proc/self/fd/%d/%s", fd,
			 basename(base_copy));
	if (n < 0 || (size_t)n >= sizeof(addr->sun_path))
		return err_set(err, ENAMETOOLONG, "socket '%s'", path);
	*dirfd = TAKE_FD(&fd);
	return 0;
}

int unix_listen(const char *path, int *out, struct err *err)
{
	struct sockaddr_un addr;
	AUTO_FD int dirfd = -1;
	AUTO_FD int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (sock < 0)
		return err_set(err, errno, "make a unix socket");
	int rc = address_of(path, &addr, &dirfd, err);
	if (rc)
		return rc;
	/* The mode of the file is that of the socket's inode at bind time: no moment in which it is open to others. */
	if (fchmod(sock, 0600))
		return err_set(err, errno, "set the mode of socket '%s'", path);
	if (bind(sock, (struct sockaddr *)&addr, sizeof(addr)))
		return err_set(err, errno, "bind socket '%s'", path);
	if (listen(sock, LISTEN_BACKLOG))
		return err_set(err, errno, "listen on socket '%s'", path);
	*out = TAKE_FD(&sock);
	return 0;
}

int unix_connect(const char *path, int flags, int *out, struct err *err)
{
	struct sockaddr_un addr;
	AUTO_FD int dirfd = -1;
	AUTO_FD int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);

	if (sock < 0)
		return err_set(err, errno, "make a unix socket");
	int rc = address_of(path, &addr, &dirfd, err);
	if (rc)
		return rc;
	if (connect(sock, (struct sockaddr *)&addr, sizeof(addr)))
		return err_set(err, errno, "connect to '%s'", path);
	*out = TAKE_FD(&sock);
	return 0;
}

int unix_peer(int sock, pid_t *pid, uid_t *uid)
{
	struct ucred cred = {0};
	socklen_t len = sizeof(cred);

	if (getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &cred, &len))
		return -errno;
	*pid = cred.pid;
	*uid = cred.uid;
	return 0;
}
