/* See cgroup.h. */
#include "agent/cgroup.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/cgroup_limits.h"
#include "agent/device_filter.h"
#include "base/own.h"
#include "base/path.h"
#include "base/str.h"

#define CGROUP_FILE_MAX_BYTES (1u << 20)

/* A container may nest cgroups; deeper than this is not followed. */
#define MAX_DEPTH 32

int cgroup_create(int parent_fd, const char *name, const struct oci_resources *resources, int *fd,
		  struct err *err)
{
	AUTO_FD int made = -1;
	int ret;

	if (mkdirat(parent_fd, name, 0755) < 0)
		return err_set(err, errno, "make the cgroup '%s'", name);
	made = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (made < 0)
		ret = err_set(err, errno, "open the cgroup '%s'", name);
	else
		ret = cgroup_limits_write(made, resources, err);
	if (ret == 0)
		ret = device_filter_attach(made, resources->devices, resources->ndevices, err);
	if (ret < 0) {
		(void)unlinkat(parent_fd, name, AT_REMOVEDIR);
		return err_wrap(err, "cgroup");
	}
	*fd = TAKE_FD(&made);
	return 0;
}

/* Calls fn for each cgroup directly below dirfd. */
static int each_child(int fd, int (*fn)(int fd, const char *name, void *arg), void *arg)
{
	AUTO_FD int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	AUTO_DIR DIR *dir = NULL;
	struct dirent *entry;
	int ret = 0;

	if (copy < 0)
		return -errno;
	dir = fdopendir(copy);
	if (!dir)
		return -ENOMEM;
	(void)TAKE_FD(&copy);
	while (ret == 0 && (entry = readdir(dir))) {
		if (entry->d_type == DT_DIR && strcmp(entry->d_name, ".") != 0 &&
		    strcmp(entry->d_name, "..") != 0)
			ret = fn(fd, entry->d_name, arg);
	}
	return ret;
}

static int remove_below(int parent_fd, const char *name, void *arg)
{
	int depth = *(int *)arg + 1;
	AUTO_FD int fd = -1;
	int ret;

	if (unlinkat(parent_fd, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
		return 0;
	if (errno != EBUSY || depth > MAX_DEPTH)
		return -errno;
	fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	ret = each_child(fd, remove_below, &depth);
	if (ret < 0)
		return ret;
	return unlinkat(parent_fd, name, AT_REMOVEDIR) < 0 ? -errno : 0;
}

int cgroup_remove(int parent_fd, const char *name)
{
	int depth = 0;

	return remove_below(parent_fd, name, &depth);
}

int cgroup_kill(int fd, struct err *err)
{
	return path_poke(fd, "cgroup.kill", "1", err);
}

int cgroup_watch(int fd, int *events_fd, struct err *err)
{
	int events = openat(fd, "cgroup.events", O_RDONLY | O_CLOEXEC);

	if (events < 0)
		return err_set(err, errno, "open 'cgroup.events'");
	*events_fd = events;
	return 0;
}

/* Value of "key N" in a flat-keyed file's text, 0 when it is not there. */
static uint64_t flat_value(const char *text, const char *key)
{
	size_t len = strlen(key);

	while (*text) {
		if (strncmp(text, key, len) == 0 && text[len] == ' ')
			return strtoull(text + len + 1, NULL, 10);
		text += strcspn(text, "\n");
		text += *text == '\n';
	}
	return 0;
}

static bool event_is_set(int events_fd, const char *key)
{
	char text[256];
	ssize_t n = pread(events_fd, text, sizeof(text) - 1, 0);

	if (n < 0)
		return false; /* the cgroup is gone */
	text[n] = '\0';
	return flat_value(text, key) != 0;
}

bool cgroup_populated(int events_fd)
{
	return event_is_set(events_fd, "populated");
}

bool cgroup_frozen(int events_fd)
{
	return event_is_set(events_fd, "frozen");
}

int cgroup_freeze(int fd, bool freeze, struct err *err)
{
	return path_poke(fd, "cgroup.freeze", freeze ? "1" : "0", err);
}

uint64_t cgroup_oom_kills(int fd)
{
	AUTO_FREE char *text = NULL;
	struct err ignored = ERR_INIT;

	if (path_read(fd, "memory.events", CGROUP_FILE_MAX_BYTES, &text, NULL, &ignored) < 0)
		return 0; /* no memory controller, no such kill */
	return flat_value(text, "oom_kill");
}

struct pid_walk {
	void (*fn)(void *arg, pid_t pid);
	void *arg;
	int depth;
	struct err *err;
};

static int walk_pids(int parent_fd, const char *name, void *arg)
{
	struct pid_walk *walk = arg;
	AUTO_FD int fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	AUTO_FREE char *text = NULL;
	int ret;

	if (fd < 0 || walk->depth >= MAX_DEPTH)
		return 0; /* removed meanwhile, or hiding */
	ret = path_read(fd, "cgroup.procs", CGROUP_FILE_MAX_BYTES, &text, NULL, walk->err);
	/* A threaded cgroup has no processes of its own to show. */
	if (ret < 0 && ret != -EOPNOTSUPP && ret != -ENODEV)
		return ret;
	for (char *p = text; p && *p;) {
		long pid = strtol(p, &p, 10);

		if (pid > 0)
			walk->fn(walk->arg, (pid_t)pid);
		p += strcspn(p, "0123456789");
	}
	walk->depth++;
	ret = each_child(fd, walk_pids, walk);
	walk->depth--;
	return ret;
}

int cgroup_each_pid(int fd, void (*fn)(void *arg, pid_t pid), void *arg, struct err *err)
{
	struct pid_walk walk = {.fn = fn, .arg = arg, .err = err};
	int ret = walk_pids(fd, ".", &walk);

	if (ret < 0 && err->code == 0)
		return err_set(err, -ret, "list the cgroup's processes");
	return ret;
}

int cgroup_delegate(int dirfd, struct err *err)
{
	AUTO_FREE char *text = NULL;
	char *save = NULL;
	int ret = path_read(dirfd, "cgroup.controllers", CGROUP_FILE_MAX_BYTES, &text, NULL, err);

	if (ret < 0)
		return ret;
	for (char *name = strtok_r(text, " \n", &save); name; name = strtok_r(NULL, " \n", &save)) {
		AUTO_FREE char *word = str_printf("+%s", name);

		if (!word)
			return err_set(err, ENOMEM, "enable the controller '%s'", name);
		ret = path_poke(dirfd, "cgroup.subtree_control", word, err);
		if (ret < 0)
			return ret;
	}
	return 0;
}
