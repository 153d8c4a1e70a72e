/*
 * The shared tree, made with the descriptor-based mount calls: a bind is cloned detached, given its attributes, and only then
 * put in place, so that it is never visible with more than it should have.
 */
#include "runtime/shared_tree.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "base/log.h"
#include "base/own.h"
#include "base/path.h"
#include "base/str.h"
#include "runtime/state_dir.h"

/* A skeleton of directories and empty files: what a guest's mounts could need, and no store. */
#define TMPFS_OPTIONS "mode=0755,size=4m,nr_inodes=65536"

int shared_tree_enter_namespace(struct err *err)
{
	if (unshare(CLONE_NEWNS))
		return err_set(err, errno,
			       "make a mount namespace (nacre needs CAP_SYS_ADMIN: run as root)");
	if (mount(NULL, "/", NULL, MS_SLAVE | MS_REC, NULL))
		return err_set(err, errno, "make the mounts of the namespace slaves");
	return 0;
}

/* STATE/name/rest; the caller frees, NULL when out of memory. */
static char *below(const char *state_dir, const char *name, const char *rest)
{
	return str_printf("%s/%s%s%s", state_dir, name, *rest ? "/" : "", rest);
}

static int make_dir(const char *path, struct err *err)
{
	if (mkdir(path, 0755) && errno != EEXIST)
		return err_set(err, errno, "make '%s'", path);
	return 0;
}

static int make_export(const char *shared, const char *export, struct err *err)
{
	if (mount(shared, export, NULL, MS_BIND, NULL) ||
	    mount(NULL, export, NULL, MS_SLAVE, NULL) ||
	    mount(NULL, export, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NODEV | MS_NOSUID,
		  NULL))
		return err_set(err, errno, "export the shared tree at '%s'", export);
	return 0;
}

int shared_tree_make(const char *state_dir, struct err *err)
{
	AUTO_FREE char *shared = below(state_dir, STATE_SHARED_DIR, "");
	AUTO_FREE char *export = below(state_dir, STATE_EXPORT_DIR, "");

	if (!shared || !export)
		return err_set(err, ENOMEM, "make the shared tree");
	int rc = make_dir(shared, err);
	if (!rc)
		rc = make_dir(export, err);
	if (rc)
		return rc;
	if (mount("nacre", shared, "tmpfs", MS_NODEV | MS_NOSUID, TMPFS_OPTIONS) ||
	    mount(NULL, shared, NULL, MS_SHARED, NULL))
		return err_set(err, errno, "mount the shared tree at '%s'", shared);
	return make_export(shared, export, err);
}

void shared_tree_unmake(const char *state_dir)
{
	static const char *const names[] = {STATE_EXPORT_DIR, STATE_SHARED_DIR};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		AUTO_FREE char *path = below(state_dir, names[i], "");

		if (path && umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) && errno != EINVAL &&
		    errno != ENOENT)
			log_warn("unmount '%s': %s", path, strerror(errno));
	}
}

/* A mount point of the source's kind: a directory for a directory, an empty file for the rest. */
static int make_target(const char *path, bool directory, struct err *err)
{
	AUTO_FREE char *copy = strdup(path);

	if (!copy)
		return err_set(err, ENOMEM, "make '%s'", path);
	int rc = path_mkdirs(AT_FDCWD, dirname(copy), 0755, err);
	if (rc)
		return rc;
	if (directory)
		return make_dir(path, err);
	AUTO_FD int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
	return fd < 0 ? err_set(err, errno, "make '%s'", path) : 0;
}

static int bind_into(const char *source, const char *target, bool recursive, bool readonly,
		     struct err *err)
{
	const unsigned int recurse = recursive ? AT_RECURSIVE : 0;
	struct mount_attr attr = {
		.attr_set =
			MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID | (readonly ? MOUNT_ATTR_RDONLY : 0),
		.propagation = MS_PRIVATE,
	};
	struct stat st;
	AUTO_FD int fd = open_tree(AT_FDCWD, source, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | recurse);

	if (fd < 0)
		return err_set(err, errno, "bind '%s'", source);
	if (fstat(fd, &st))
		return err_set(err, errno, "look at '%s'", source);
	if (mount_setattr(fd, "", AT_EMPTY_PATH | recurse, &attr, sizeof(attr)))
		return err_set(err, errno, "set the mount attributes of '%s'", source);
	int rc = make_target(target, S_ISDIR(st.st_mode), err);
	if (rc)
		return rc;
	if (move_mount(fd, "", AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH))
		return err_set(err, errno, "bind '%s' at '%s'", source, target);
	return 0;
}

static void unbind(const char *state_dir, const char *name)
{
	AUTO_FREE char *target = below(state_dir, STATE_SHARED_DIR, name);

	if (target && umount2(target, MNT_DETACH | UMOUNT_NOFOLLOW) && errno != EINVAL &&
	    errno != ENOENT)
		log_warn("unmount '%s': %s", target, strerror(errno));
}

void shared_tree_remove(const char *state_dir, const struct container_plan *plan)
{
	AUTO_FREE char *dir = below(state_dir, STATE_SHARED_DIR, plan->id);
	struct err err = ERR_INIT;

	for (size_t i = plan->nbinds; i > 0; i--)
		unbind(state_dir, plan->binds[i - 1].shared_name);
	unbind(state_dir, plan->rootfs_name);
	if (dir && path_remove_tree(AT_FDCWD, dir, &err))
		log_warn("remove the container's part of the shared tree: %s", err.text);
}

static int add_all(const char *state_dir, const struct container_plan *plan,
		   shared_tree_step_fn on_step, void *arg, struct err *err)
{
	AUTO_FREE char *rootfs = below(state_dir, STATE_SHARED_DIR, plan->rootfs_name);

	if (!rootfs)
		return err_set(err, ENOMEM, "share the rootfs");
	on_step(arg, plan->rootfs_host);
	int rc = bind_into(plan->rootfs_host, rootfs, true, plan->rootfs_readonly, err);
	for (size_t i = 0; !rc && i < plan->nbinds; i++) {
		const struct shared_bind *b = &plan->binds[i];
		AUTO_FREE char *target = below(state_dir, STATE_SHARED_DIR, b->shared_name);

		on_step(arg, b->host_path);
		rc = target ? bind_into(b->host_path, target, b->recursive, b->readonly, err)
			    : err_set(err, ENOMEM, "share '%s'", b->host_path);
	}
	return rc;
}

int shared_tree_add(const char *state_dir, const struct container_plan *plan,
		    shared_tree_step_fn on_step, void *arg, struct err *err)
{
	int rc = add_all(state_dir, plan, on_step, arg, err);

	if (rc)
		shared_tree_remove(state_dir, plan);
	return rc;
}
