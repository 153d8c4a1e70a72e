/*
 * Who a new file belongs to. Files are made with the caller's ids as the thread's fsuid and fsgid
 * and the caller's umask, so that the host's kernel does in one step what would otherwise be ours
 * to imitate: owner, setgid directories, default ACLs (which replace the umask), quota. The other
 * way, to make the file and then chown it, shows for a moment a file of the server's owner with
 * the guest's mode, perhaps setuid, and loses that bit at the chown.
 *
 * Permissions are not checked a second time: the guest's kernel did that (FUSE's
 * default_permissions), and it alone knows the caller's supplementary groups. So the capabilities
 * that the kernel takes away with a foreign fsuid are put back.
 *
 * The ids are the thread's. The umask would be the process's, and each file system device has its
 * thread: fs_cred_init gives the calling one a umask of its own.
 */
#ifndef NACRE_VMM_DEV_FS_CRED_H
#define NACRE_VMM_DEV_FS_CRED_H

#include <linux/capability.h>
#include <stdbool.h>
#include <sys/types.h>

#include "base/compiler.h"

struct fs_cred {
	uid_t own_uid;
	gid_t own_gid;
	bool can_switch; /* else every new file is the server's own (rootless) */
	struct __user_cap_data_struct caps[_LINUX_CAPABILITY_U32S_3];
	bool switched;
	mode_t own_umask;
};

/* Looks at the calling thread. 0 or -errno. */
int fs_cred_init(struct fs_cred *c) MUST_CHECK;

/*
 * 0, or -EPERM when the host has no such id for us; then nothing has changed. Every success is
 * followed by one leave.
 */
int fs_cred_enter(struct fs_cred *c, uid_t uid, gid_t gid, mode_t mask) MUST_CHECK;
/* Keeps errno. */
void fs_cred_leave(struct fs_cred *c);

#endif
