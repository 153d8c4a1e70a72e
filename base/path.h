/* Files by name: whole-file reads with a cap, atomic writes, directories, and lookups that stay inside a tree. */
#ifndef NACRE_BASE_PATH_H
#define NACRE_BASE_PATH_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/compiler.h"
#include "base/err.h"

/*
 * Reads the file whole, at most max_bytes (a larger file is -EFBIG). *out is NUL-terminated (the NUL not counted in
 * *len) and owned by the caller.
 */
int path_read(int dirfd, const char *path, size_t max_bytes, char **out, size_t *len,
	      struct err *err) MUST_CHECK;

/* Writes to a temporary sibling and renames over `path`, so that a reader sees the old or the new file whole. */
int path_write_atomic(int dirfd, const char *path, const void *data, size_t len, mode_t mode,
		      struct err *err) MUST_CHECK;

/* Writes into an existing file (cgroup, proc, sysfs) with one write(2). */
int path_poke(int dirfd, const char *path, const char *text, struct err *err) MUST_CHECK;

/* mkdir -p; existing directories are fine, their mode is left alone. */
int path_mkdirs(int dirfd, const char *path, mode_t mode, struct err *err) MUST_CHECK;

/* Removes a tree below dirfd without following links and without crossing into other mounts; absent is success. */
int path_remove_tree(int dirfd, const char *path, struct err *err) MUST_CHECK;

/* openat2 with RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS: `path` seen as from a chroot to rootfd. fd or -errno. */
int path_open_in_root(int rootfd, const char *path, int flags, mode_t mode) MUST_CHECK;

/* openat2 with RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS: no link, and nothing outside dirfd. fd or -errno. */
int path_open_without_links(int dirfd, const char *path, int flags) MUST_CHECK;

/*
 * The path with every link in it followed as from a chroot to rootfd, also where what a link names is not there yet: the place
 * that a path through a dangling link stands for, ready to be made. It begins with '/' and the caller frees it. -ELOOP past 40
 * links. Only good for making things: what lies at it may have changed since, so it is opened by path_open_in_root again.
 */
int path_resolve_in_root(int rootfd, const char *path, char **out, struct err *err) MUST_CHECK;

/* mkdir -p inside a root, dangling links followed, every component resolved in it; *fd_out (may be NULL) is O_PATH of the last one. */
int path_mkdirs_in_root(int rootfd, const char *path, mode_t mode, int *fd_out,
			struct err *err) MUST_CHECK;

/* What lies at `path` inside a root, made with its parents when missing: a directory (0755) or an empty file (0644), a place
 * to mount on. *fd_out (may be NULL) is O_PATH of it. */
int path_make_in_root(int rootfd, const char *path, bool directory, int *fd_out,
		      struct err *err) MUST_CHECK;

#endif
