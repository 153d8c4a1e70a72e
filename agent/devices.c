/*
 * Nodes are made with mknod. Where that is refused (the host's share of the root filesystem, user namespaces) the guest's
 * own node is bound in place.
 */
#include "agent/devices.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "agent/mounts.h"
#include "base/own.h"
#include "base/path.h"
#include "base/str.h"

/* Admin-guide/devices.rst of the kernel. */
static const struct default_device {
	const char *path;
	unsigned major, minor;
} default_devices[] = {
	{"/dev/null", 1, 3},   {"/dev/zero", 1, 5},    {"/dev/full", 1, 7},
	{"/dev/random", 1, 8}, {"/dev/urandom", 1, 9}, {"/dev/tty", 5, 0},
};

static const struct {
	const char *target, *path;
} links[] = {
	{"/proc/self/fd", "/dev/fd"},       {"/proc/self/fd/0", "/dev/stdin"},
	{"/proc/self/fd/1", "/dev/stdout"}, {"/proc/self/fd/2", "/dev/stderr"},
	{"pts/ptmx", "/dev/ptmx"},
};

/* The directory of `path` inside the root, made when missing; *name is its last part, lent. */
static int open_parent(int root_fd, const char *path, int *parent_fd, const char **name,
		       struct err *err)
{
	const char *slash = strrchr(path, '/');
	AUTO_FREE char *dir = NULL;

	if (!slash || !slash[1])
		return err_say(err, EINVAL, "device path '%s' is not absolute", path);
	dir = strndup(path, (size_t)(slash - path));
	if (!dir)
		return err_set(err, ENOMEM, "make device '%s'", path);
	*name = slash + 1;
	return path_mkdirs_in_root(root_fd, dir, 0755, parent_fd, err);
}

static int bind_guest_node(int root_fd, const char *path, struct err *err)
{
	AUTO_FD int source = open(path, O_PATH | O_CLOEXEC);
	AUTO_FD int tree = -1;
	AUTO_FD int at = -1;
	int ret;

	if (source < 0)
		return err_set(err, errno, "the guest has no device '%s'", path);
	ret = mount_clone(source, false, &tree, err);
	if (ret == 0)
		ret = path_make_in_root(root_fd, path, false, &at, err);
	return ret < 0 ? ret : mount_attach(tree, at, err);
}

static mode_t node_type(char type)
{
	return type == 'b' ? S_IFBLK : type == 'p' ? S_IFIFO : S_IFCHR;
}

static int make_node(int root_fd, const struct oci_device *device, struct err *err)
{
	dev_t dev = makedev((unsigned)device->major, (unsigned)device->minor);
	AUTO_FD int parent = -1;
	const char *name;
	int ret = open_parent(root_fd, device->path, &parent, &name, err);

	if (ret < 0)
		return ret;
	if (mknodat(parent, name, node_type(device->type) | (device->mode & 07777), dev) < 0) {
		if (errno == EEXIST)
			return 0;
		if (errno == EPERM)
			return bind_guest_node(root_fd, device->path, err);
		return err_set(err, errno, "make device '%s'", device->path);
	}
	if (fchownat(parent, name, device->uid, device->gid, AT_SYMLINK_NOFOLLOW) < 0)
		return err_set(err, errno, "chown device '%s'", device->path);
	return 0;
}

static int make_link(int root_fd, const char *target, const char *path, struct err *err)
{
	AUTO_FD int parent = -1;
	const char *name;
	int ret = open_parent(root_fd, path, &parent, &name, err);

	if (ret < 0)
		return ret;
	if (symlinkat(target, parent, name) < 0 && errno != EEXIST)
		return err_set(err, errno, "make link '%s'", path);
	return 0;
}

static int make_defaults(int root_fd, struct err *err)
{
	int ret = 0;

	for (size_t i = 0; i < ARRAY_SIZE(default_devices) && ret == 0; i++) {
		char path[32];
		struct oci_device device = {
			.path = path,
			.type = 'c',
			.major = default_devices[i].major,
			.minor = default_devices[i].minor,
			.mode = 0666,
		};

		(void)snprintf(path, sizeof(path), "%s", default_devices[i].path);
		ret = make_node(root_fd, &device, err);
	}
	for (size_t i = 0; i < ARRAY_SIZE(links) && ret == 0; i++)
		ret = make_link(root_fd, links[i].target, links[i].path, err);
	return ret;
}

/* Somebody else's /dev, bound in whole, is not ours to fill. */
static bool dev_is_bound(const struct oci_spec *spec)
{
	for (size_t i = 0; i < spec->nmounts; i++) {
		const struct oci_mount *m = &spec->mounts[i];

		if (strcmp(m->destination, "/dev") != 0)
			continue;
		if (strcmp(m->type, "bind") == 0)
			return true;
		for (size_t j = 0; j < m->options.n; j++) {
			if (strcmp(m->options.v[j], "bind") == 0 ||
			    strcmp(m->options.v[j], "rbind") == 0)
				return true;
		}
	}
	return false;
}

int devices_make(const struct oci_spec *spec, int root_fd, struct err *err)
{
	int ret;

	if (dev_is_bound(spec))
		return 0;
	ret = make_defaults(root_fd, err);
	for (size_t i = 0; i < spec->ndevices && ret == 0; i++)
		ret = make_node(root_fd, &spec->devices[i], err);
	return ret;
}
