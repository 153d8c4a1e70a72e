/* Starting another program: fork, an explicit list of descriptors, exec. Everything not listed is closed. */
#ifndef NACRE_BASE_SPAWN_H
#define NACRE_BASE_SPAWN_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/compiler.h"
#include "base/err.h"

#define SPAWN_MAX_FDS 64

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
};

/*
 * Starts the program with default signal dispositions and an empty signal mask. *pid is a direct child; *pidfd may be
 * NULL. An exec that fails is reported here (close-on-exec pipe), the child is then already reaped.
 */
int spawn_start(const struct spawn *s, pid_t *pid, int *pidfd, struct err *err) MUST_CHECK;

#endif
