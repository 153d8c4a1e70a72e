/* Host terminals: made raw, since the guest's terminal does the line editing and signals. */
#include "runtime/pty.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/fd.h"
#include "base/own.h"
#include "runtime/unix_socket.h"

int pty_make_raw(int fd, struct termios *saved, struct err *err)
{
	struct termios raw;

	if (tcgetattr(fd, saved))
		return err_set(err, errno, "read the terminal's settings");
	raw = *saved;
	cfmakeraw(&raw);
	if (tcsetattr(fd, TCSANOW, &raw))
		return err_set(err, errno, "make the terminal raw");
	return 0;
}

int pty_open(uint16_t width, uint16_t height, int *master, int *slave, char name[PTY_NAME_BYTES],
	     struct err *err)
{
	const struct winsize size = {.ws_col = width, .ws_row = height};
	struct termios ignored;
	AUTO_FD int m = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);

	if (m < 0 || grantpt(m) || unlockpt(m))
		return err_set(err, errno, "make a pty");
	int code = ptsname_r(m, name, PTY_NAME_BYTES);
	if (code)
		return err_set(err, code, "name the pty");
	AUTO_FD int s = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (s < 0)
		return err_set(err, errno, "open '%s'", name);
	int rc = pty_make_raw(s, &ignored, err);
	if (rc)
		return rc;
	if (width && height && ioctl(m, TIOCSWINSZ, &size))
		return err_set(err, errno, "set the size of '%s'", name);
	*master = TAKE_FD(&m);
	*slave = TAKE_FD(&s);
	return 0;
}

int pty_send(const char *path, int master, const char *name, struct err *err)
{
	AUTO_FD int sock = -1;
	int rc = unix_connect(path, 0, &sock, err);

	if (rc)
		return err_wrap(err, "console socket");
	ssize_t n = fd_send(sock, name, strlen(name), &master, 1);
	return n < 0 ? err_set(err, (int)-n, "send the terminal to '%s'", path) : 0;
}
