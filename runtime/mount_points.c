/* Mount points inside a rootfs: every name is resolved in it (openat2), since an image's links could lead anywhere. */
#include "runtime/mount_points.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/own.h"
#include "base/path.h"

/* What lies below one of the first n mounts is made there, not in the rootfs. */
static bool is_covered(const struct oci_spec *spec, size_t n, const char *path)
{
	for (size_t i = 0; i < n; i++) {
		const char *above = spec->mounts[i].destination;
		size_t len = strlen(above);

		if (len > 1 && strncmp(path, above, len) == 0 && path[len] == '/')
			return true;
	}
	return false;
}

static bool wants_file(const struct oci_mount *m)
{
	struct stat st;

	return m->source[0] == '/' && stat(m->source, &st) == 0 && !S_ISDIR(st.st_mode) &&
	       strcmp(m->type, "tmpfs") != 0;
}

/* As runc does: a working directory that is not there is made, in a root file system that will be read-only, too. */
static int make_cwd(const struct oci_spec *spec, int root, struct err *err)
{
	const char *cwd = spec->process.cwd;
	AUTO_FD int there = path_open_in_root(root, cwd, O_PATH, 0);

	/* One that cannot be gone to is the agent's to report. */
	if (there != -ENOENT || is_covered(spec, spec->nmounts, cwd))
		return 0;
	return path_mkdirs_in_root(root, cwd, 0755, NULL, err);
}

int mount_points_make(const struct oci_spec *spec, const char *rootfs, struct err *err)
{
	AUTO_FD int root = open(rootfs, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (root < 0)
		return err_set(err, errno, "rootfs '%s' of the bundle", rootfs);
	for (size_t i = 0; i < spec->nmounts; i++) {
		int rc = is_covered(spec, i, spec->mounts[i].destination)
				 ? 0
				 : path_make_in_root(root, spec->mounts[i].destination,
						     !wants_file(&spec->mounts[i]), NULL, err);
		/* A rootfs that is read-only here as well has what it has: the agent says what is missing. */
		if (rc && rc != -EROFS)
			return rc;
	}
	int rc = make_cwd(spec, root, err);

	return rc == -EROFS ? 0 : rc;
}
