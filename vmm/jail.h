/*
 * The jail around a vmm (docs/threat-model.md). Its namespaces (user, mount, pid, ipc, uts) are made by whoever starts it, since
 * only from outside can ids be mapped; what is left is done here, in three steps by the main thread and one by each thread:
 *
 *	jail_open    before anything is opened: the tree that becomes the root, and /proc/self/fd
 *	jail_enter   when everything is open: the root, capabilities, no_new_privs, limits
 *	jail_thread  first thing in a thread: capabilities and system calls of its kind
 *
 * Afterwards the process sees the shared tree and nothing else, and can open nothing outside it.
 */
#ifndef NACRE_VMM_JAIL_H
#define NACRE_VMM_JAIL_H

#include "base/compiler.h"
#include "base/err.h"

struct jail {
	int root_fd; /* O_PATH; owned, as proc_fd */
	int proc_fd; /* /proc/self/fd as a mount of its own: ".." leads nowhere */
};

/*
 * `root` is a directory, best a mount that is nodev, nosuid and a slave of where later mounts are made: they arrive here too. -EPERM
 * outside of a mount namespace of our own user namespace: the jail is not for the host's.
 */
int jail_open(const char *root, struct jail *out, struct err *err) MUST_CHECK;
int jail_enter(const struct jail *jail, struct err *err) MUST_CHECK;
void jail_done(struct jail *jail);
#define AUTO_JAIL CLEANUP(jail_done)

#endif
