/*
 * Processes named by pid and start time. The pidfd is opened first and the start time read second: once the pidfd is held
 * the number cannot change hands under us, so what is read belongs to it or the process is gone.
 */
#include "runtime/procid.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>

#include "base/own.h"
#include "base/path.h"

#define STAT_MAX_BYTES     4096
#define STAT_FIELD_STATE   3
#define STAT_FIELD_STARTED 22 /* proc(5) */

int procid_parse_stat(const char *text, uint64_t *start_ticks)
{
	/* The name in field 2 may hold anything, parentheses and spaces too: only the last ')' ends it. */
	const char *at = strrchr(text, ')');

	for (int field = STAT_FIELD_STATE - 1; at && field < STAT_FIELD_STARTED; field++) {
		at = strchr(at, ' ');
		at = at ? at + 1 : NULL;
	}
	if (!at)
		return -EINVAL;
	char *end = NULL;

	errno = 0;
	uint64_t ticks = strtoull(at, &end, 10);
	if (errno || end == at || (*end != ' ' && *end != '\n' && *end))
		return -EINVAL;
	*start_ticks = ticks;
	return 0;
}

int procid_of(pid_t pid, struct procid *out, struct err *err)
{
	char path[64];
	AUTO_FREE char *text = NULL;
	uint64_t ticks = 0;

	(void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	int rc = path_read(AT_FDCWD, path, STAT_MAX_BYTES, &text, NULL, err);
	if (rc == -ENOENT || rc == -ESRCH)
		return err_set(err, ESRCH, "process %d", (int)pid);
	if (rc)
		return rc;
	rc = procid_parse_stat(text, &ticks);
	if (rc)
		return err_set(err, -rc, "read the start time in '%s'", path);
	*out = (struct procid){.pid = pid, .start_ticks = ticks};
	return 0;
}

int procid_open(const struct procid *id)
{
	struct procid now = {0};

	if (id->pid <= 0)
		return -ESRCH;
	AUTO_FD int fd = pidfd_open(id->pid, 0);
	if (fd < 0)
		return -errno;
	if (procid_of(id->pid, &now, NULL) || now.start_ticks != id->start_ticks)
		return -ESRCH;
	return TAKE_FD(&fd);
}

int procid_wait(int pidfd, int timeout_ms)
{
	struct pollfd p = {.fd = pidfd, .events = POLLIN};
	int n = 0;

	do {
		n = poll(&p, 1, timeout_ms);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	return n ? 0 : -ETIMEDOUT;
}

int procid_kill(const struct procid *id, int timeout_ms)
{
	AUTO_FD int fd = procid_open(id);

	if (fd == -ESRCH)
		return 0;
	if (fd < 0)
		return fd;
	if (pidfd_send_signal(fd, SIGKILL, NULL, 0))
		return errno == ESRCH ? 0 : -errno;
	return procid_wait(fd, timeout_ms);
}
