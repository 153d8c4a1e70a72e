/* Starting another program: fork, an explicit list of descriptors, exec. Everything not listed is closed. */
#ifndef NACRE_BASE_SPAWN_H
#define NACRE_BASE_SPAWN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/compiler.h"
#include "base/err.h"

#define SPAWN_MAX_FDS 64

/*
 * Being born in namespaces or a cgroup takes clone3(2), and CAP_SYS_ADMIN, CAP_SETUID, CAP_SETGID and CAP_SETFCAP here (ids that
 * are not only our own). net_ns_fd moves the calling thread for the moment of the clone: a child in a new user namespace could not
 * enter it any more.
 */

struct spawn_fd {
	int from; /* descriptor here */
	int to;   /* its number there */
};

struct spawn {
	const char *path;           /* executable; argv[0] is argv's own */
	char *const *argv;          /* NULL-terminated */
	char *const *envp;          /* NULL: an empty environment */
	const struct spawn_fd *fds; /* 0, 1, 2 not listed: /dev/null */
	size_t nfds;
	bool new_session;         /* setsid */
	int kill_on_parent_death; /* signal number, 0: none */
	int mount_ns_fd;          /* a mount namespace to enter, 0: ours */
	const char *cwd;          /* NULL: unchanged; looked up in that namespace */
	uint64_t
		new_namespaces; /* CLONE_NEW...: born in them; in a user namespace with our ids, one to one */
	int net_ns_fd; /* a network namespace to be born in, 0: ours */
	int cgroup_fd; /* a directory of cgroup v2 to be born in, 0: ours */
	/* Here, with the child there and held before its exec. Should it fail, or we die in it, the program is never run. */
	int (*before_exec)(void *arg, pid_t child, struct err *err);
	void *arg;
};

/*
 * Starts the program with default signal dispositions and an empty signal mask. *pid is a direct child; *pidfd may be
 * NULL. An exec that fails is reported here (close-on-exec pipe), the child is then already reaped.
 */
int spawn_start(const struct spawn *s, pid_t *pid, int *pidfd, struct err *err) MUST_CHECK;

#endif
