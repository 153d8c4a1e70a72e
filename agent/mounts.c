/*
 * See mounts.h. A mount is built detached (fsmount or open_tree), given its attributes, and only then attached: no moment
 * in which a volume is writable that should not be.
 */
#include "agent/mounts.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "agent/mount_options.h"
#include "base/own.h"
#include "base/path.h"
#include "base/str.h"

int mount_clone(int fd, bool recursive, int *out, struct err *err)
{
	unsigned flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH |
			 (recursive ? AT_RECURSIVE : 0);
	int tree = open_tree(fd, "", flags);

	if (tree < 0)
		return err_set(err, errno, "open_tree");
	*out = tree;
	return 0;
}

/* fsconfig words: "key=value" or a flag. */
static int configure(int fs, const char *option, struct err *err)
{
	const char *equals = strchr(option, '=');
	AUTO_FREE char *key = NULL;
	int ret;

	if (!equals) {
		ret = fsconfig(fs, FSCONFIG_SET_FLAG, option, NULL, 0);
	} else {
		key = strndup(option, (size_t)(equals - option));
		if (!key)
			return err_set(err, ENOMEM, "mount option '%s'", option);
		ret = fsconfig(fs, FSCONFIG_SET_STRING, key, equals + 1, 0);
	}
	return ret < 0 ? err_set(err, errno, "mount option '%s'", option) : 0;
}

static int new_filesystem(const char *type, const char *source, const char *const *options,
			  size_t n, int *out, struct err *err)
{
	AUTO_FD int fs = fsopen(type, FSOPEN_CLOEXEC);
	int tree, ret;

	if (fs < 0)
		return err_set(err, errno, "filesystem type '%s'", type);
	if (fsconfig(fs, FSCONFIG_SET_STRING, "source", source[0] ? source : type, 0) < 0)
		return err_set(err, errno, "source '%s'", source);
	for (size_t i = 0; i < n; i++) {
		ret = configure(fs, options[i], err);
		if (ret < 0)
			return ret;
	}
	if (fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return err_set(err, errno, "create a '%s' filesystem", type);
	tree = fsmount(fs, FSMOUNT_CLOEXEC, 0);
	if (tree < 0)
		return err_set(err, errno, "fsmount");
	*out = tree;
	return 0;
}

int mount_new(const char *type, int *out, struct err *err)
{
	return new_filesystem(type, type, NULL, 0, out, err);
}

int mount_attach(int tree_fd, int at_fd, struct err *err)
{
	unsigned flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH;

	if (move_mount(tree_fd, "", at_fd, "", flags) < 0)
		return err_set(err, errno, "move_mount");
	return 0;
}

static int set_attributes(int fd, struct mount_attr attr, bool recursive, struct err *err)
{
	unsigned flags = AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0);

	if (attr.attr_set == 0 && attr.attr_clr == 0 && attr.propagation == 0)
		return 0;
	if (mount_setattr(fd, "", flags, &attr, sizeof(attr)) < 0)
		return err_set(err, errno, "mount_setattr");
	return 0;
}

int mount_make_readonly(int fd, bool recursive, struct err *err)
{
	return set_attributes(fd, (struct mount_attr){.attr_set = MOUNT_ATTR_RDONLY}, recursive,
			      err);
}

static int apply_options(int tree, const struct mount_options *options, struct err *err)
{
	struct mount_attr all = {.attr_set = options->set_recursive,
				 .attr_clr = options->clear_recursive};
	struct mount_attr top = {.attr_set = options->set, .attr_clr = options->clear};
	struct mount_attr propagation = {.propagation = options->propagation};
	int ret = set_attributes(tree, all, true, err);

	if (ret == 0)
		ret = set_attributes(tree, top, false, err);
	return ret < 0 ? ret
		       : set_attributes(tree, propagation, options->propagation_recursive, err);
}

static int open_bind(const struct oci_mount *mount, bool recursive, int shared_fd, int *tree,
		     bool *directory, struct err *err)
{
	AUTO_FD int source = path_open_in_root(shared_fd, mount->source, O_PATH, 0);
	struct stat st;

	if (source < 0)
		return err_set(err, -source, "open the source '%s'", mount->source);
	if (fstat(source, &st) < 0)
		return err_set(err, errno, "stat the source '%s'", mount->source);
	*directory = S_ISDIR(st.st_mode);
	return mount_clone(source, recursive, tree, err);
}

/*
 * A user namespace that shares the guest's network may not mount a sysfs of its own: it gets the guest's, which shows the
 * same.
 */
static int clone_sysfs(int *tree, struct err *err)
{
	AUTO_FD int sys = open("/sys", O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (sys < 0)
		return err_set(err, errno, "open '/sys'");
	return mount_clone(sys, true, tree, err);
}

static int open_new(const struct oci_mount *mount, const struct mount_options *options, int *tree,
		    struct err *err)
{
	/* The guest's cgroups are v2 whatever the host's are. */
	bool cgroup = strcmp(mount->type, "cgroup") == 0;
	const char *type = cgroup ? "cgroup2" : mount->type;
	int ret = new_filesystem(type, mount->source, options->data, cgroup ? 0 : options->ndata,
				 tree, err);

	if (ret == -EPERM && strcmp(type, "sysfs") == 0)
		return clone_sysfs(tree, err);
	return ret;
}

static int mount_with_options(const struct oci_mount *mount, const struct mount_options *options,
			      int shared_fd, int root_fd, struct err *err)
{
	AUTO_FD int tree = -1;
	AUTO_FD int at = -1;
	bool directory = true;
	int ret;

	if (options->bind)
		ret = open_bind(mount, options->bind_recursive, shared_fd, &tree, &directory, err);
	else
		ret = open_new(mount, options, &tree, err);
	if (ret == 0)
		ret = apply_options(tree, options, err);
	if (ret == 0)
		ret = path_make_in_root(root_fd, mount->destination, directory, &at, err);
	return ret < 0 ? ret : mount_attach(tree, at, err);
}

int mount_from_spec(const struct oci_mount *mount, int shared_fd, int root_fd, struct err *err)
{
	struct mount_options options;
	int ret = mount_options_parse(mount, &options, err);

	if (ret == 0) {
		ret = mount_with_options(mount, &options, shared_fd, root_fd, err);
		if (ret < 0)
			ret = err_wrap(err, "mount \"%s\" (%s)", mount->destination,
				       options.bind ? "bind" : mount->type);
	}
	mount_options_done(&options);
	return ret;
}
