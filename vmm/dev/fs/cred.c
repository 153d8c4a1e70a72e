/*
 * Making files as the guest's user (cred.h). Raw system calls: the C library's may act on all
 * threads.
 */
#include "vmm/dev/fs/cred.h"

#include <errno.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static bool has_cap(const struct fs_cred *c, unsigned int cap)
{
	return c->caps[cap / 32].effective >> cap % 32 & 1;
}

int fs_cred_init(struct fs_cred *c)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};

	*c = (struct fs_cred){.own_uid = geteuid(), .own_gid = getegid()};
	if (syscall(SYS_capget, &head, c->caps) < 0)
		return -errno;
	c->can_switch = has_cap(c, CAP_SETUID) && has_cap(c, CAP_SETGID);
	/* Where a filter of system calls refuses it, a machine with one file system does without. */
	(void)unshare(CLONE_FS);
	return 0;
}

/*
 * Neither call reports failure; asking for the impossible id -1 changes nothing and returns the
 * present one.
 */
static bool set_ids(uid_t uid, gid_t gid)
{
	(void)syscall(SYS_setfsgid, gid);
	(void)syscall(SYS_setfsuid, uid);
	return (gid_t)syscall(SYS_setfsgid, -1) == gid && (uid_t)syscall(SYS_setfsuid, -1) == uid;
}

static int put_caps_back(struct fs_cred *c)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};

	return syscall(SYS_capset, &head, c->caps) < 0 ? -errno : 0;
}

static void back_to_own(struct fs_cred *c)
{
	(void)set_ids(c->own_uid, c->own_gid);
	(void)put_caps_back(c);
}

int fs_cred_enter(struct fs_cred *c, uid_t uid, gid_t gid, mode_t mask)
{
	c->switched = c->can_switch && (uid != c->own_uid || gid != c->own_gid);
	if (c->switched && (!set_ids(uid, gid) || put_caps_back(c) < 0)) {
		back_to_own(c);
		return -EPERM;
	}
	c->own_umask = umask(mask & 0777);
	return 0;
}

void fs_cred_leave(struct fs_cred *c)
{
	int saved = errno;

	(void)umask(c->own_umask);
	if (c->switched)
		back_to_own(c);
	errno = saved;
}
