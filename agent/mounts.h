/*
 * Mounts inside a container's root by the descriptor-based mount calls (fsopen, open_tree, move_mount, mount_setattr):
 * a place is resolved once, inside the root, and what is attached to it is never named by a path that an image or a
 * volume could bend. All of it runs in the child, in the container's mount namespace, before the root is entered.
 */
#ifndef NACRE_AGENT_MOUNTS_H
#define NACRE_AGENT_MOUNTS_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/compiler.h"
#include "base/err.h"
#include "config/oci.h"

/* A detached copy of the tree at `fd` (O_PATH); *out is the caller's. */
int mount_clone(int fd, bool recursive, int *out, struct err *err) MUST_CHECK;

/* A detached new filesystem without options. */
int mount_new(const char *type, int *out, struct err *err) MUST_CHECK;

/* Attaches a detached tree on the place `at` (O_PATH). */
int mount_attach(int tree_fd, int at_fd, struct err *err) MUST_CHECK;

/* Makes a mount (not what is below it, unless `recursive`) read-only. */
int mount_make_readonly(int fd, bool recursive, struct err *err) MUST_CHECK;

/* One mount of the spec; bind sources are looked up below shared_fd. */
int mount_from_spec(const struct oci_mount *mount, int shared_fd, int root_fd,
		    struct err *err) MUST_CHECK;

#endif
