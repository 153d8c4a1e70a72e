/* See sandbox_cgroup.h, and Documentation/admin-guide/cgroup-v2.rst. */
#include "runtime/sandbox_cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/vfs.h>

#include "base/log.h"
#include "base/own.h"
#include "base/path.h"
#include "base/str.h"
#include "runtime/resources.h"

/* -1: no cgroup of ours will be at such a path, and why is in the log. */
static int open_root(const char *path)
{
	AUTO_FD int root = open(CGROUP_ROOT, O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct statfs fs;

	if (path[strspn(path, "/")] == '\0' || root < 0)
		return -1;
	if (fstatfs(root, &fs) < 0 || fs.f_type != CGROUP2_SUPER_MAGIC) {
		log_info("cgroup '%s' is not made: the host has no cgroup v2", path);
		return -1;
	}
	if (strchr(path, ':')) {
		log_info("cgroup '%s' is not made: it is systemd's", path);
		return -1;
	}
	return TAKE_FD(&root);
}

int sandbox_cgroup_make(const char *path, const char *state_dir, int *fd, struct err *err)
{
	AUTO_FD int root = open_root(path);

	*fd = 0;
	if (root < 0)
		return 0;
	AUTO_FD int there = path_open_in_root(root, path, O_PATH | O_DIRECTORY, 0);
	if (there >= 0) {
		*fd = TAKE_FD(&there);
		return 0;
	}
	int rc = resources_add_cgroup(state_dir, path, err);
	return rc < 0 ? rc : path_mkdirs_in_root(root, path, 0755, fd, err);
}

void sandbox_cgroup_remove(const char *path)
{
	AUTO_FD int root = open_root(path);
	AUTO_FREE char *real = NULL;

	if (root < 0 || path_resolve_in_root(root, path, &real, NULL) < 0)
		return;
	AUTO_FREE char *kill_file = str_printf("%s/cgroup.kill", real + 1);
	if (!kill_file)
		return;
	if (path_poke(root, kill_file, "1", NULL) < 0)
		log_debug("cgroup '%s' has no cgroup.kill", path);
	if (unlinkat(root, real + 1, AT_REMOVEDIR) < 0 && errno != ENOENT)
		log_warn("remove the cgroup '%s': %s", path, strerror(errno));
}
