/*
 * Sets of open descriptors, as QEMU has them: a file name of the form /dev/fdset/N opens the one of set N whose access mode
 * fits. So whoever may open a file gives it to an engine in a jail, which may not.
 *
 * Threads: the main one.
 */
#ifndef NACRE_VMM_FDSET_H
#define NACRE_VMM_FDSET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"

#define FDSET_MAX_FDS      64 /* in all sets together */
#define FDSET_OPAQUE_BYTES 128

struct fdset_fd {
	int64_t set;
	int fd;
	char opaque[FDSET_OPAQUE_BYTES]; /* the giver's note; "": none */
};

/* All zeros is empty. Entries of one set are in the order of their coming. */
struct fdsets {
	bool sealed; /* the engine is in its jail: no other names open anything (open.h) */
	struct fdset_fd fds[FDSET_MAX_FDS];
	size_t n;
};

void fdsets_done(struct fdsets *sets);

/* Takes `fd`, also on failure. `set` -1: a new set. `opaque` NULL: none. The entry is lent until the next change. */
int fdsets_add(struct fdsets *sets, int64_t set, int fd, const char *opaque,
	       const struct fdset_fd **out, struct err *err) MUST_CHECK;
/* Closes the descriptor, or with -1 all of the set; what was opened by their name stays open. */
int fdsets_remove(struct fdsets *sets, int64_t set, int64_t fd, struct err *err) MUST_CHECK;

/* Is it a name of a set? Such names never reach the file system. */
bool fdset_is_name(const char *path);
/* A duplicate of the set's descriptor that was opened for what `flags` (O_RDONLY, O_WRONLY, O_RDWR) asks. */
int fdsets_open(const struct fdsets *sets, const char *path, int flags, int *out,
		struct err *err) MUST_CHECK;

#endif
