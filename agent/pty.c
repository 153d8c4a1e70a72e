/*
 * See pty.h. For an exec the container's /dev is already in hostile hands: the multiplexer is believed only when it is
 * device 5:2 on a devpts, and the slave is taken from the master (TIOCGPTPEER), never by a path.
 */
#include "agent/pty.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "agent/mounts.h"
#include "base/own.h"
#include "base/path.h"

static int open_multiplexer(int root_fd, int *out, struct err *err)
{
	AUTO_FD int place = path_open_in_root(root_fd, "/dev/pts/ptmx", O_PATH, 0);
	struct statfs fs;
	struct stat st;
	int fd;

	if (place < 0)
		return err_set(err, -place, "open '/dev/pts/ptmx'");
	if (fstat(place, &st) < 0 || fstatfs(place, &fs) < 0)
		return err_set(err, errno, "stat '/dev/pts/ptmx'");
	if (!S_ISCHR(st.st_mode) || st.st_rdev != makedev(5, 2) || fs.f_type != DEVPTS_SUPER_MAGIC)
		return err_say(err, ENODEV, "'/dev/pts/ptmx' is not a pty multiplexer");
	fd = path_open_in_root(root_fd, "/dev/pts/ptmx", O_RDWR | O_NOCTTY, 0);
	if (fd < 0)
		return err_set(err, -fd, "open '/dev/pts/ptmx'");
	*out = fd;
	return 0;
}

int pty_open_pair(int root_fd, int *master, int *slave, struct err *err)
{
	AUTO_FD int m = -1;
	int unlock = 0;
	int s, ret = open_multiplexer(root_fd, &m, err);

	if (ret < 0)
		return ret;
	if (ioctl(m, TIOCSPTLCK, &unlock) < 0)
		return err_set(err, errno, "unlock the pty");
	s = ioctl(m, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (s < 0)
		return err_set(err, errno, "open the pty's other end");
	*slave = s;
	*master = TAKE_FD(&m);
	return 0;
}

int pty_bind_console(int root_fd, int slave, struct err *err)
{
	AUTO_FD int tree = -1;
	AUTO_FD int at = -1;
	int ret = mount_clone(slave, false, &tree, err);

	if (ret == 0)
		ret = path_make_in_root(root_fd, "/dev/console", false, &at, err);
	if (ret == 0)
		ret = mount_attach(tree, at, err);
	return ret < 0 ? err_wrap(err, "bind the pty on '/dev/console'") : 0;
}

int pty_become_stdio(int slave, struct err *err)
{
	if (ioctl(slave, TIOCSCTTY, 0) < 0)
		return err_set(err, errno, "set the controlling terminal");
	for (int fd = 0; fd <= 2; fd++) {
		if (dup2(slave, fd) < 0)
			return err_set(err, errno, "give the process its terminal");
	}
	return 0;
}

int pty_resize(int fd, uint16_t width, uint16_t height)
{
	struct winsize size = {.ws_col = width, .ws_row = height};

	return ioctl(fd, TIOCSWINSZ, &size) < 0 ? -errno : 0;
}
