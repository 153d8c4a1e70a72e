/* See rootfs.h. */
#include "agent/rootfs.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/mount_options.h"
#include "agent/mounts.h"
#include "base/own.h"
#include "base/path.h"

static int cut_propagation(struct err *err)
{
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return err_set(err, errno, "make the mount namespace private");
	return 0;
}

int rootfs_attach(int shared_fd, const char *name, int *root_fd, struct err *err)
{
	AUTO_FD int source = path_open_in_root(shared_fd, name, O_PATH | O_DIRECTORY, 0);
	AUTO_FD int at = open(ROOTFS_MOUNT_POINT, O_PATH | O_DIRECTORY | O_CLOEXEC);
	AUTO_FD int tree = -1;
	int ret;

	if (source < 0)
		return err_set(err, -source, "open the root filesystem '%s'", name);
	if (at < 0)
		return err_set(err, errno, "open '%s'", ROOTFS_MOUNT_POINT);
	ret = cut_propagation(err);
	if (ret == 0)
		ret = mount_clone(source, true, &tree, err);
	if (ret == 0)
		ret = mount_attach(tree, at, err);
	if (ret < 0)
		return err_wrap(err, "attach the root filesystem '%s'", name);
	*root_fd = TAKE_FD(&tree);
	return 0;
}

/* An empty read-only directory over a directory, the null device over anything else. */
static int mask(int root_fd, const char *path, struct err *err)
{
	AUTO_FD int at = path_open_in_root(root_fd, path, O_PATH, 0);
	AUTO_FD int null = -1;
	AUTO_FD int tree = -1;
	struct stat st;
	int ret;

	if (at == -ENOENT || at == -ENOTDIR)
		return 0;
	if (at < 0 || fstat(at, &st) < 0)
		return err_set(err, at < 0 ? -at : errno, "open");
	if (S_ISDIR(st.st_mode)) {
		ret = mount_new("tmpfs", &tree, err);
	} else {
		null = open("/dev/null", O_PATH | O_CLOEXEC);
		if (null < 0)
			return err_set(err, errno, "open '/dev/null'");
		ret = mount_clone(null, false, &tree, err);
	}
	if (ret == 0 && S_ISDIR(st.st_mode))
		ret = mount_make_readonly(tree, false, err);
	return ret < 0 ? ret : mount_attach(tree, at, err);
}

static int freeze(int root_fd, const char *path, struct err *err)
{
	AUTO_FD int at = path_open_in_root(root_fd, path, O_PATH, 0);
	AUTO_FD int tree = -1;
	int ret;

	if (at == -ENOENT || at == -ENOTDIR)
		return 0;
	if (at < 0)
		return err_set(err, -at, "open");
	ret = mount_clone(at, true, &tree, err);
	if (ret == 0)
		ret = mount_make_readonly(tree, true, err);
	return ret < 0 ? ret : mount_attach(tree, at, err);
}

int rootfs_hide(const struct oci_spec *spec, int root_fd, struct err *err)
{
	for (size_t i = 0; i < spec->readonly_paths.n; i++) {
		if (freeze(root_fd, spec->readonly_paths.v[i], err) < 0)
			return err_wrap(err, "readonly path '%s'", spec->readonly_paths.v[i]);
	}
	for (size_t i = 0; i < spec->masked_paths.n; i++) {
		if (mask(root_fd, spec->masked_paths.v[i], err) < 0)
			return err_wrap(err, "masked path '%s'", spec->masked_paths.v[i]);
	}
	return 0;
}

/*
 * pivot_root(".", ".") puts the old root on top of the new one (pivot_root(2), "pivot_root(".", ".")"): no directory for
 * it is needed, and one detaching umount ends it.
 */
static int pivot(int root_fd, struct err *err)
{
	AUTO_FD int old = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (old < 0)
		return err_set(err, errno, "open '/'");
	if (fchdir(root_fd) < 0)
		return err_set(err, errno, "enter the root filesystem");
	if (syscall(SYS_pivot_root, ".", ".") < 0)
		return err_set(err, errno, "pivot_root");
	if (fchdir(old) < 0)
		return err_set(err, errno, "enter the old root");
	if (umount2(".", MNT_DETACH) < 0)
		return err_set(err, errno, "unmount the old root");
	if (chdir("/") < 0)
		return err_set(err, errno, "enter the new root");
	return 0;
}

static int set_propagation(const char *word, struct err *err)
{
	uint64_t propagation;
	bool recursive;

	if (!word[0])
		return 0;
	if (mount_propagation_parse(word, &propagation, &recursive) < 0)
		return err_say(err, EINVAL, "rootfsPropagation: '%s' is not known", word);
	if (mount(NULL, "/", NULL, propagation | (recursive ? MS_REC : 0), NULL) < 0)
		return err_set(err, errno, "set rootfsPropagation '%s'", word);
	return 0;
}

int rootfs_enter(const struct oci_spec *spec, int root_fd, struct err *err)
{
	int ret = pivot(root_fd, err);

	if (ret == 0)
		ret = set_propagation(spec->rootfs_propagation, err);
	if (ret < 0 || !spec->root_readonly)
		return ret;
	if (mount_make_readonly(root_fd, false, err) < 0)
		return err_wrap(err, "make the root filesystem read-only");
	return 0;
}
