/*
 * The jail around a vmm (docs/threat-model.md). Its namespaces (user, mount, pid, ipc, uts) are made by whoever starts it, since
 * only from outside can ids be mapped; what is left is done here, in three steps by the main thread and one by each thread:
 *
 *	jail_open    before anything is opened: the tree that becomes the root, and /proc/self/fd
 *	jail_enter   when everything is open: the root, capabilities, no_new_privs, limits
 *	jail_thread  first thing in a thread: capabilities, Landlock, and system calls of its kind
 *
 * Afterwards the process sees the shared tree and nothing else, and can open nothing outside it.
 */
#ifndef NACRE_VMM_JAIL_H
#define NACRE_VMM_JAIL_H

#include <stdbool.h>

#include "base/compiler.h"
#include "base/err.h"
#include "vmm/seccomp.h"

struct jail {
	int root_fd; /* O_PATH; owned, as proc_fd */
	int proc_fd; /* /proc/self/fd as a mount of its own: ".." leads nowhere */
	int task_fd; /* /proc/self/task, for vmm/tasks.h; ".." leads out: closed before the main thread is confined */
};

/*
 * `root` is a directory, best a mount that is nodev, nosuid and a slave of where later mounts are made: they arrive here too. -EPERM
 * outside of a mount namespace of our own user namespace: the jail is not for the host's.
 */
int jail_open(const char *root, struct jail *out, struct err *err) MUST_CHECK;
/* Threads: jail_thread does something from now on, unless they are not to be confined any further. */
int jail_enter(const struct jail *jail, bool threads, struct err *err) MUST_CHECK;

/*
 * Confines the calling thread, the main one when all others have started; nothing where there is no jail. Ends the process when
 * that fails: a thread must not run without, and the guest has not done anything yet.
 */
void jail_thread(enum thread_kind kind);
void jail_done(struct jail *jail);

#endif
