/* See the header. */
#include "vmm/open.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

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

int open_duplicate(int fd, const char *what, int *out, struct err *err)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);

	if (copy < 0)
		return err_set(err, errno, "%s: duplicate a descriptor", what);
	*out = copy;
	return 0;
}

int open_allowed(const struct fdsets *sets, const char *name, const char *what, struct err *err)
{
	if (!sets->sealed)
		return 0;
	return err_say(err, EACCES,
		       "%s: '%s': the engine is in its jail and opens nothing: open it yourself, "
		       "give it by add-fd and "
		       "name it /dev/fdset/N, or by getfd",
		       what, name);
}

int open_path(const struct fdsets *sets, const char *path, int flags, const char *what, int *out,
	      struct err *err)
{
	int fd, rc;

	if (fdset_is_name(path))
		return fdsets_open(sets, path, flags, out, err) < 0 ? err_wrap(err, "%s", what) : 0;
	rc = open_allowed(sets, path, what, err);
	if (rc < 0)
		return rc;
	fd = open(path, flags | O_CLOEXEC | O_NOCTTY, 0600);
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

static const char *type_of_file(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISBLK(st.st_mode) ? "host_device" : "file";
}

static int check_below(const struct open_drive *p, const char *what, struct err *err)
{
	int rc = backends_check_free(p->below, err);

	if (rc == 0 && p->below->readonly && !p->readonly && !p->auto_readonly)
		rc = err_say(err, EACCES, "the drive '%s' is read-only", p->below->id);
	return rc < 0 ? err_wrap(err, "%s", what) : 0;
}

/* Sets the descriptor, and whether it is only for reading. */
static int open_drive_fd(struct backends *backends, const struct open_drive *p, const char *file,
			 const char *what, struct backend *drive, struct err *err)
{
	int rc;

	drive->readonly = p->readonly || (p->below && p->below->readonly);
	if (p->below)
		return open_duplicate(p->below->fd, what, &drive->fd, err);
	if (p->fd >= 0)
		return open_adopt(p->fd, what, &drive->fd, err);
	rc = open_path(&backends->fdsets, file, p->readonly ? O_RDONLY : O_RDWR, what, &drive->fd,
		       err);
	if (!p->auto_readonly || (rc != -EACCES && rc != -EROFS))
		return rc;
	drive->readonly = true;
	return open_path(&backends->fdsets, file, O_RDONLY, what, &drive->fd, err);
}

int open_drive(struct backends *backends, const struct open_drive *p, const char *file,
	       const char *what, struct err *err)
{
	struct backend *drive = NULL;
	int rc = p->below ? check_below(p, what, err) : 0;

	if (rc < 0)
		return rc;
	if (p->serial && strlen(p->serial) >= sizeof(drive->serial))
		return err_say(err, EINVAL, "%s: serial has more than %zu bytes", what,
			       sizeof(drive->serial) - 1);
	rc = backends_add(backends, BACKEND_DRIVE, p->id, file, &drive, err);
	if (rc < 0)
		return err_wrap(err, "%s", what);
	rc = open_drive_fd(backends, p, file, what, drive, err);
	if (rc < 0) {
		backends_drop(backends, drive);
		return rc;
	}
	if (p->below)
		p->below->above = drive;
	drive->type = type_of_file(drive->fd);
	drive->direct = p->direct;
	drive->from_start = p->from_start;
	drive->aio = p->aio;
	(void)snprintf(drive->serial, sizeof(drive->serial), "%s", p->serial ? p->serial : "");
	return 0;
}

int open_blk_params(const struct backend *drive, const char *serial, struct dev_blk_params *out,
		    struct err *err)
{
	int fd = -1;
	int rc;

	if (serial && strlen(serial) >= sizeof(out->serial))
		return err_say(err, EINVAL, "serial has more than %zu bytes",
			       sizeof(out->serial) - 1);
	rc = open_duplicate(drive->fd, drive->id, &fd, err);
	if (rc < 0)
		return rc;
	*out = (struct dev_blk_params){
		.fd = fd,
		.readonly = drive->readonly,
		.direct = drive->direct,
		.aio = drive->aio,
		.name = drive->file[0] ? drive->file : drive->id,
	};
	(void)snprintf(out->serial, sizeof(out->serial), "%s", serial ? serial : drive->serial);
	return 0;
}

int open_net_taps(const struct backend *netdev, struct dev_net_params *out, struct err *err)
{
	int rc = 0;

	while (rc == 0 && out->ntaps < netdev->ntaps) {
		rc = open_duplicate(netdev->tap_fds[out->ntaps], netdev->id,
				    &out->tap_fds[out->ntaps], err);
		out->ntaps += rc == 0;
	}
	return rc;
}

static int open_stdio(struct backend *chardev, const char *what, struct err *err)
{
	int rc = open_duplicate(STDOUT_FILENO, what, &chardev->fd, err);

	return rc < 0 ? rc : open_duplicate(STDIN_FILENO, what, &chardev->in_fd, err);
}

int open_chardev(struct backends *backends, const struct open_chardev *p, const char *what,
		 struct err *err)
{
	int flags = O_WRONLY | O_CREAT | (p->append ? O_APPEND : O_TRUNC);
	bool listens = !strcmp(p->kind, "socket");
	struct backend *chardev = NULL;
	int rc = listens && p->path ? open_allowed(&backends->fdsets, p->path, what, err) : 0;

	if (rc < 0)
		return rc;
	rc = backends_add(backends, BACKEND_CHARDEV, p->id, p->path ? p->path : "", &chardev, err);
	if (rc < 0)
		return err_wrap(err, "%s", what);
	chardev->type = p->kind;
	if (!strcmp(p->kind, "file"))
		rc = open_path(&backends->fdsets, p->path, flags, what, &chardev->fd, err);
	else if (!strcmp(p->kind, "stdio"))
		rc = open_stdio(chardev, what, err);
	else if (listens)
		rc = p->path ? open_listener(p->path, what, &chardev->fd, err)
			     : open_adopt(p->fd, what, &chardev->fd, err);
	if (rc < 0)
		backends_drop(backends, chardev);
	return rc;
}
