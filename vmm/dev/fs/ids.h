/*
 * The numbers a guest gets instead of pointers: node ids and file handles. A number is a slot of
 * a table plus the slot's generation, so one that was given back, or made up, finds nothing. The
 * first object ever added gets number 1, which is FUSE_ROOT_ID; 0 is never given.
 *
 * Thread: the device's loop, as everything under vmm/dev/fs.
 */
#ifndef NACRE_VMM_DEV_FS_IDS_H
#define NACRE_VMM_DEV_FS_IDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

struct fs_id_slot {
	void *obj; /* NULL: free */
	uint32_t generation;
	uint32_t next_free; /* index + 1 of the next free slot, 0: none */
};

struct fs_ids {
	struct fs_id_slot *slots;
	uint32_t nslots;     /* allocated */
	uint32_t fresh;      /* slots from here on were never used */
	uint32_t first_free; /* index + 1, 0: none */
	uint32_t live;
	uint32_t max; /* most objects at once */
};

void fs_ids_init(struct fs_ids *ids, uint32_t max);
/* Frees the table; the objects are the caller's. */
void fs_ids_done(struct fs_ids *ids);

/* 0, -ENFILE at the maximum, -ENOMEM. Borrows obj, which is not NULL. */
int fs_ids_add(struct fs_ids *ids, void *obj, uint64_t *id) MUST_CHECK;
bool fs_ids_full(const struct fs_ids *ids);

/* NULL: no such number. */
void *fs_ids_get(const struct fs_ids *ids, uint64_t id);
/* As get, and the number is not valid any more. */
void *fs_ids_take(struct fs_ids *ids, uint64_t id);

/* For walking all: the object in slot i < ids->fresh, NULL when it is free. */
void *fs_ids_at(const struct fs_ids *ids, uint32_t i);

#endif
