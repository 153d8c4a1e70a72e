/*
 * What devices are the front of, by name: drives, network back ends, character devices. They come from the command line or
 * by QMP, hold their descriptors until they are removed, and know which device uses them: one at most.
 *
 * Threads: the main one.
 */
#ifndef NACRE_VMM_BACKENDS_H
#define NACRE_VMM_BACKENDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"
#include "vmm/dev/dev.h"
#include "vmm/fdset.h"

#define BACKENDS_MAX     160
#define BACKEND_ID_BYTES 128

enum backend_kind { BACKEND_DRIVE, BACKEND_NETDEV, BACKEND_CHARDEV };

struct backend {
	enum backend_kind kind;
	char id[BACKEND_ID_BYTES];
	char user[BACKEND_ID_BYTES]; /* the device in front of it; "": none */
	struct backend *above;       /* drive: the one that was made of it; NULL: none */
	char *file;                  /* what it was opened by, for messages and queries */
	int fd;                      /* drive, chardev (-1: it drops everything) */
	int in_fd;                   /* chardev: what can be read; -1: nothing, or it is a socket */
	bool readonly;               /* drive */
	bool direct;                 /* drive */
	bool from_start;             /* drive: by -drive */
	enum block_aio aio;          /* drive */
	char serial[21];             /* drive */
	const char *
		type; /* drive: "file", "host_device"; netdev: "tap"; chardev: "null", "file", "socket", "stdio" */
	int tap_fds[DEV_NET_MAX_PAIRS];
	unsigned int ntaps;
};

/* All zeros is empty. */
struct backends {
	struct fdsets fdsets;
	struct backend *list[BACKENDS_MAX]; /* in the order of their coming */
	size_t n;
};

void backends_done(struct backends *b);

/* NULL when there is none. */
struct backend *backends_find(const struct backends *b, enum backend_kind kind, const char *id);
/* An empty one under a name that is free. `file` is copied. */
int backends_add(struct backends *b, enum backend_kind kind, const char *id, const char *file,
		 struct backend **out, struct err *err) MUST_CHECK;
/* Closes it. */
void backends_drop(struct backends *b, struct backend *backend);
/* The same; -EBUSY when it is used. */
int backends_remove(struct backends *b, struct backend *backend, struct err *err) MUST_CHECK;

/* -EBUSY, and by whom, when a device or another drive uses it. */
int backends_check_free(const struct backend *backend, struct err *err) MUST_CHECK;

/* -ENOENT; -EBUSY when it has a user already. */
int backends_claim(struct backends *b, enum backend_kind kind, const char *id, const char *user,
		   struct backend **out, struct err *err) MUST_CHECK;
/* What `user` has claimed is free again. */
void backends_release(struct backends *b, const char *user);

#endif
