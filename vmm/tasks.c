/* See the header. */
#include "vmm/tasks.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/own.h"
#include "base/str.h"

#define STATUS_BYTES 4096 /* the line stands in the first few hundred */

/* Steps over one number; false when there is none. */
static bool next_pid(const char **at, pid_t *out)
{
	char *end;
	long number;

	*at += strspn(*at, " \t");
	if (**at < '0' || **at > '9')
		return false;
	number = strtol(*at, &end, 10);
	if (number <= 0 || number > INT_MAX)
		return false;
	*at = end;
	*out = (pid_t)number;
	return true;
}

int tasks_parse_status(const char *text, struct task_name *out)
{
	static const char key[] = "\nNSpid:";
	const char *at = strstr(text, key);
	struct task_name name;

	if (!at)
		return -EINVAL;
	at += strlen(key);
	if (!next_pid(&at, &name.hosts))
		return -EINVAL;
	name.ours = name.hosts;
	while (next_pid(&at, &name.ours))
		;
	*out = name;
	return 0;
}

/* -ENOENT, -ESRCH: it has ended. */
static int read_status(int dir_fd, const char *tid, struct task_name *out)
{
	char path[32], text[STATUS_BYTES];
	AUTO_FD int fd = -1;
	ssize_t n;

	(void)snprintf(path, sizeof(path), "%.16s/status", tid);
	fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = fd_read_full(fd, text, sizeof(text) - 1);
	if (n < 0)
		return (int)n;
	text[n] = '\0';
	return tasks_parse_status(text, out);
}

static int add(struct tasks *tasks, const struct task_name *name)
{
	struct task_name *names = reallocarray(tasks->names, tasks->n + 1, sizeof(tasks->names[0]));

	if (!names)
		return -ENOMEM;
	names[tasks->n++] = *name;
	tasks->names = names;
	return 0;
}

static int add_all(struct tasks *tasks, DIR *dir)
{
	const struct dirent *entry;
	int rc = 0;

	while (rc == 0 && (entry = readdir(dir)) != NULL) {
		struct task_name name;

		if (entry->d_name[0] == '.')
			continue;
		rc = read_status(dirfd(dir), entry->d_name, &name);
		if (rc == 0)
			rc = add(tasks, &name);
		else if (rc == -ENOENT || rc == -ESRCH)
			rc = 0;
	}
	return rc;
}

int tasks_read(struct tasks *tasks, int dir_fd, struct err *err)
{
	AUTO_FD int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	int rc;

	if (!dir)
		return err_set(err, errno, "list our threads");
	(void)TAKE_FD(&fd);
	rc = add_all(tasks, dir);
	(void)closedir(dir);
	return rc < 0 ? err_set(err, -rc, "list our threads") : 0;
}

void tasks_done(struct tasks *tasks)
{
	free(tasks->names);
	*tasks = (struct tasks){0};
}

pid_t tasks_host(const struct tasks *tasks, pid_t tid)
{
	for (size_t i = 0; i < tasks->n; i++) {
		if (tasks->names[i].ours == tid)
			return tasks->names[i].hosts;
	}
	return tid;
}
