/*
 * The root filesystem containerd describes by a list of mounts (Task.Create, field 3): applied in order at the bundle's rootfs,
 * inside the mount namespace of monitor and broker.
 */
#ifndef NACRE_RUNTIME_ROOTFS_MOUNT_H
#define NACRE_RUNTIME_ROOTFS_MOUNT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/compiler.h"
#include "base/err.h"

struct rootfs_mount {
	const char *type, *source, *target; /* target: below the rootfs, "" for itself */
	const char *const *options;
	size_t noptions;
};

/* Options split into what mount(2) wants. */
struct mount_words {
	unsigned long flags;
	unsigned long propagation; /* MS_PRIVATE ...; 0: none named */
	char *data;                /* comma-joined rest, "" when none; owned */
};

int mount_words_parse(const char *const *options, size_t n, struct mount_words *out,
		      struct err *err) MUST_CHECK;

/* Whether a word stands for flags of mount(2), and for which; else the file system is told it. */
bool mount_word_is_flag(const char *word, unsigned long *set, unsigned long *clear) MUST_CHECK;
/* Whether the flags of a bind go with a type; with others a mount is refused. */
bool mount_type_may_bind(const char *type) MUST_CHECK;

/* On failure what was mounted is unmounted again. */
int rootfs_mount_all(const struct rootfs_mount *mounts, size_t n, const char *rootfs,
		     struct err *err) MUST_CHECK;
void rootfs_unmount(const char *rootfs, size_t n);

#endif
