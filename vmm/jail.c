/* See jail.h. The kernel's side is in namespaces(7), user_namespaces(7), mount_namespaces(7) and pivot_root(2). */
#include "vmm/jail.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <linux/nsfs.h>
#include <linux/securebits.h>

#include "base/caps.h"
#include "base/log.h"
#include "base/own.h"
#include "vmm/landlock.h"

/* What the file server's thread does on behalf of the guest's users; other threads give these up too (jail_thread). */
#define JAIL_CAPS                                                                                  \
	(CAP_BIT(CAP_CHOWN) | CAP_BIT(CAP_DAC_OVERRIDE) | CAP_BIT(CAP_DAC_READ_SEARCH) |           \
	 CAP_BIT(CAP_FOWNER) | CAP_BIT(CAP_FSETID) | CAP_BIT(CAP_SETGID) | CAP_BIT(CAP_SETUID) |   \
	 CAP_BIT(CAP_SETFCAP))

/*
 * No program gets capabilities for being run by uid 0, for good. Threads inherit the bits, and know by them that they are in a
 * jail: nobody has to pass that on to each of them.
 */
#define JAIL_SECUREBITS                                                                            \
	(SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE |                      \
	 SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED)

/* What follows would be a misfortune in the host's mount namespace. */
static int check_namespaces(struct err *err)
{
	AUTO_FD int user = open("/proc/self/ns/user", O_RDONLY | O_CLOEXEC);
	AUTO_FD int mnt = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
	struct stat ours, owners;

	if (user < 0 || mnt < 0)
		return err_set(err, errno, "open our namespaces");
	AUTO_FD int owner = ioctl(mnt, NS_GET_USERNS);
	if (owner < 0 || fstat(user, &ours) || fstat(owner, &owners))
		return err_set(err, errno, "look at our namespaces");
	if (ours.st_ino != owners.st_ino || getpid() != 1)
		return err_say(
			err, EPERM,
			"-jail: the vmm must be the first process of a user, a mount and a pid "
			"namespace of its own (setpriv --clear-groups unshare --map-root-user "
			"--mount --pid --ipc --uts --fork)");
	return 0;
}

/* Mounts that were copied into this namespace are locked in place, a new bind of them is not (mount_namespaces(7)). */
static int open_root(const char *root, int *out, struct err *err)
{
	if (mount(root, root, NULL, MS_BIND | MS_REC, NULL))
		return err_set(err, errno, "-jail: bind '%s' over itself", root);
	int fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return err_set(err, errno, "-jail: open '%s'", root);
	*out = fd;
	return 0;
}

int jail_open(const char *root, struct jail *out, struct err *err)
{
	AUTO_FD int root_fd = -1;
	int rc = check_namespaces(err);

	if (rc == 0)
		rc = open_root(root, &root_fd, err);
	if (rc < 0)
		return rc;
	int proc = open_tree(AT_FDCWD, "/proc/self/fd", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	if (proc < 0)
		return err_set(err, errno, "-jail: bind '/proc/self/fd'");
	int task = open("/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	*out = (struct jail){.root_fd = TAKE_FD(&root_fd), .proc_fd = proc, .task_fd = task};
	if (task < 0)
		return err_set(err, errno, "-jail: open '/proc/self/task'");
	return 0;
}

void jail_done(struct jail *jail)
{
	own_close(&jail->root_fd);
	own_close(&jail->proc_fd);
	own_close(&jail->task_fd);
}

/* The old root is stacked below the new one and taken away: no directory for it is needed (pivot_root(2)). */
static int change_root(int root_fd, struct err *err)
{
	if (fchdir(root_fd) || syscall(SYS_pivot_root, ".", "."))
		return err_set(err, errno, "-jail: change the root");
	if (umount2(".", MNT_DETACH) || chdir("/"))
		return err_set(err, errno, "-jail: take the old root away");
	return 0;
}

/* Only down: raising a hard limit takes CAP_SYS_RESOURCE in the initial user namespace. */
static int lower_limits(struct err *err)
{
	static const struct {
		__rlimit_resource_t what;
		rlim_t most;
	} limits[] = {
		{RLIMIT_CORE, 0},     /* guest memory is not for disks */
		{RLIMIT_MSGQUEUE, 0}, /* none of these is used */
		{RLIMIT_NICE, 0},
		{RLIMIT_RTPRIO, 0},
	};

	for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
		struct rlimit r = {.rlim_cur = limits[i].most, .rlim_max = limits[i].most};

		if (setrlimit(limits[i].what, &r))
			return err_set(err, errno, "-jail: limit %d", (int)limits[i].what);
	}
	return 0;
}

int jail_enter(const struct jail *jail, bool threads, struct err *err)
{
	int rc = change_root(jail->root_fd, err);

	if (rc == 0 && getgroups(0, NULL) > 0 && setgroups(0, NULL))
		rc = err_set(err, errno, "-jail: leave all groups");
	if (rc == 0)
		rc = lower_limits(err);
	if (rc == 0)
		rc = caps_bound(JAIL_CAPS, err);
	if (rc == 0 && threads && prctl(PR_SET_SECUREBITS, JAIL_SECUREBITS, 0, 0, 0))
		rc = err_set(err, errno, "-jail: root is nobody special");
	if (rc == 0)
		rc = caps_set(JAIL_CAPS, err);
	if (rc == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		rc = err_set(err, errno, "-jail: no_new_privs");
	return rc;
}

static int confine(enum thread_kind kind, struct err *err)
{
	const bool files = kind == THREAD_FS;
	int rc = caps_set(files ? JAIL_CAPS : 0, err);

	if (rc == 0)
		rc = landlock_forbid(files ? LANDLOCK_FILE_SERVER : LANDLOCK_ALL_FILES, err);
	return rc < 0 ? rc : seccomp_enter(kind, err);
}

void jail_thread(enum thread_kind kind)
{
	struct err err = ERR_INIT;

	if (prctl(PR_GET_SECUREBITS, 0, 0, 0, 0) != JAIL_SECUREBITS || confine(kind, &err) == 0)
		return;
	log_error("thread %s: %s", thread_kind_name(kind), err.text);
	_exit(1);
}
