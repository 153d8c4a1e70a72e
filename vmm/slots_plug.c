/* Plugging: spare slots are found by name or number, filled and emptied while the guest runs (vmm/slots.h). */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "vmm/dev/dev.h"
#include "vmm/slots_internal.h"

static struct slot *find_id(struct slots *s, const char *id)
{
	for (size_t i = 0; i < s->n; i++) {
		if (!strcmp(s->slot[i].id, id))
			return &s->slot[i];
	}
	return NULL;
}

/* A slot that cannot be had: why? */
static int refuse_slot(int addr, int nslots, int nspare, struct err *err)
{
	if (nspare == 0)
		return err_say(err, ENOTSUP, "this machine has no spare slots of that kind");
	if (addr >= 0)
		return err_say(err, EINVAL, "there is no slot %d: slots are 0 to %d", addr,
			       nslots - 1);
	return err_say(err, ENOSPC, "all %d spare slots of that kind are taken", nspare);
}

/* The slot of `kind` that `addr` names, or the first free one. */
static int pick_spare(struct slots *s, enum machine_device_kind kind, int addr, struct slot **out,
		      struct err *err)
{
	int nslots = 0, nspare = 0;

	for (size_t i = 0; i < s->n; i++) {
		struct slot *slot = &s->slot[i];
		bool is_free = slot->spare && !slot->id[0];

		if (slot->kind != kind)
			continue;
		nspare += slot->spare;
		if (addr < 0 ? !is_free : nslots++ != addr)
			continue;
		if (!is_free)
			return err_say(err, EBUSY, "slot %d is taken by '%s'", addr, slot->id);
		*out = slot;
		return 0;
	}
	return refuse_slot(addr, nslots, nspare, err);
}

static int fill(struct slot *slot, struct machine_device *d, struct err *err)
{
	bool is_net = slot->kind == DEVICE_NET;
	int rc = is_net ? dev_net_fill(slot->dev, &d->net, err)
			: dev_blk_fill(slot->dev, &d->blk, err);

	if (rc < 0)
		return rc;
	if (is_net)
		d->net.ntaps = 0;
	else
		d->blk.fd = -1;
	return 0;
}

int slots_fill(struct slots *s, struct machine_device *d, int addr, struct err *err)
{
	const char *id = d->id ? d->id : "";
	struct slot *slot;
	int rc;

	if (id[0] == '\0' || strlen(id) >= MACHINE_ID_BYTES)
		return err_say(err, EINVAL, "the id '%s' must have 1 to %d bytes", id,
			       MACHINE_ID_BYTES - 1);
	if (find_id(s, id))
		return err_say(err, EEXIST, "the id '%s' is taken", id);
	rc = pick_spare(s, d->kind, addr, &slot, err);
	if (rc < 0)
		return rc;
	rc = fill(slot, d, err);
	if (rc < 0)
		return rc;
	slot_name(slot, d);
	return 0;
}

int slots_empty(struct slots *s, const char *id, struct err *err)
{
	struct slot *slot = id[0] ? find_id(s, id) : NULL;

	if (!slot || !slot->spare)
		return err_say(err, ENODEV, "no plugged device has the id '%s'", id);
	if (slot->kind == DEVICE_NET)
		dev_net_empty(slot->dev);
	else
		dev_blk_empty(slot->dev);
	slot_name(slot, &(struct machine_device){.kind = slot->kind});
	return 0;
}
