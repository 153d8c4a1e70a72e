/* Numbers with generations (ids.h): a growing array of slots and a list of the free ones. */
#include "vmm/dev/fs/ids.h"

#include <errno.h>
#include <stdlib.h>

#include "base/own.h"

#define FIRST_SLOTS 64

void fs_ids_init(struct fs_ids *ids, uint32_t max)
{
	*ids = (struct fs_ids){.max = max};
}

void fs_ids_done(struct fs_ids *ids)
{
	free(ids->slots);
	*ids = (struct fs_ids){0};
}

bool fs_ids_full(const struct fs_ids *ids)
{
	return ids->live >= ids->max;
}

static int grow(struct fs_ids *ids)
{
	uint32_t want = ids->nslots ? ids->nslots * 2 : FIRST_SLOTS;
	if (want < ids->nslots || want > ids->max)
		want = ids->max;

	struct fs_id_slot *slots = reallocarray(ids->slots, want, sizeof(*slots));
	if (!slots)
		return -ENOMEM;

	ids->slots = slots;
	ids->nslots = want;
	return 0;
}

int fs_ids_add(struct fs_ids *ids, void *obj, uint64_t *id)
{
	if (fs_ids_full(ids))
		return -ENFILE;

	uint32_t i = 0;
	if (ids->first_free) {
		i = ids->first_free - 1;
		ids->first_free = ids->slots[i].next_free;
	} else {
		if (ids->fresh == ids->nslots && grow(ids) < 0)
			return -ENOMEM;
		i = ids->fresh++;
		ids->slots[i].generation = 0;
	}

	ids->slots[i].obj = obj;
	ids->live++;
	*id = (uint64_t)ids->slots[i].generation << 32 | (uint64_t)(i + 1);
	return 0;
}

static struct fs_id_slot *slot_of(const struct fs_ids *ids, uint64_t id)
{
	uint32_t low = (uint32_t)id;
	if (low == 0 || low > ids->fresh)
		return NULL;

	struct fs_id_slot *slot = &ids->slots[low - 1];
	return slot->generation == id >> 32 ? slot : NULL;
}

void *fs_ids_get(const struct fs_ids *ids, uint64_t id)
{
	const struct fs_id_slot *slot = slot_of(ids, id);

	return slot ? slot->obj : NULL;
}

void *fs_ids_take(struct fs_ids *ids, uint64_t id)
{
	struct fs_id_slot *slot = slot_of(ids, id);
	if (!slot || !slot->obj)
		return NULL;

	void *obj = TAKE_PTR(&slot->obj);
	slot->generation++;
	slot->next_free = ids->first_free;
	ids->first_free = (uint32_t)id;
	ids->live--;
	return obj;
}

void *fs_ids_at(const struct fs_ids *ids, uint32_t i)
{
	return ids->slots[i].obj;
}
