/*
 * What the guest has open: one host descriptor a handle. A handle belongs to the inode it was
 * opened by and does not keep that inode alive; its descriptor is of a regular file or a
 * directory, never of anything else.
 */
#ifndef NACRE_VMM_DEV_FS_HANDLE_H
#define NACRE_VMM_DEV_FS_HANDLE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "vmm/dev/fs/ids.h"

struct fs_handle {
	uint64_t nodeid;
	uint64_t fh;
	int fd; /* owned */
	bool is_dir;
};

struct fs_handles {
	struct fs_ids ids;
};

void fs_handles_init(struct fs_handles *t, uint32_t max);
void fs_handles_done(struct fs_handles *t);
void fs_handles_close_all(struct fs_handles *t);

/* Takes *fd on success. 0, -ENFILE, -ENOMEM. */
int fs_handle_add(struct fs_handles *t, uint64_t nodeid, bool is_dir, int *fd,
		  uint64_t *fh) MUST_CHECK;

/* Lent; NULL when fh is not an open file (or directory) of nodeid. */
struct fs_handle *fs_handle_file(const struct fs_handles *t, uint64_t nodeid, uint64_t fh);
struct fs_handle *fs_handle_dir(const struct fs_handles *t, uint64_t nodeid, uint64_t fh);

void fs_handle_close(struct fs_handles *t, struct fs_handle *h);

#endif
