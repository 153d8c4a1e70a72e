/*
 * Commits every misdeed of one table against every device it can find, and after each one brings the device up again and
 * gets an honest request through. One line a misdeed; tests/guests/run judges, and watches the vmm meanwhile.
 *
 * `misdeeds=ring|register|request` on the command line chooses the table, so that each runs in a vmm of its own.
 */
#include "misdeeds.h"

void guest_main(const uint32_t *start_info);

static const struct {
	const char *word;
	const struct misdeed *table;
} tables[] = {
	{"misdeeds=ring", ring_misdeeds},
	{"misdeeds=register", register_misdeeds},
	{"misdeeds=request", request_misdeeds},
};

static _Bool contains(const char *text, const char *word)
{
	for (; *text; text++) {
		size_t i = 0;

		while (word[i] && text[i] == word[i])
			i++;
		if (!word[i])
			return 1;
	}
	return 0;
}

static void try_one(const struct misdeed *misdeed, struct device *d)
{
	device_start(d, FEATURE_INDIRECT | FEATURE_EVENT_IDX);
	misdeed->commit(d);
	device_start(d, 0);
	say(device_works(d) ? "ok " : "not ok ");
	say(d->name);
	say(": ");
	say(misdeed->name);
	say("\n");
}

static void try_all(const struct misdeed *misdeed)
{
	struct device d;

	for (uint32_t slot = 0; slot < MMIO_SLOTS; slot++) {
		if (device_find(slot, &d) && (!misdeed->device || misdeed->device == d.id))
			try_one(misdeed, &d);
	}
}

/* hvm_start_info: the command line's address is its seventh word (Xen's start_info.h, PVH boot ABI). */
void guest_main(const uint32_t *start_info)
{
	const char *cmdline = (const char *)start_info[6];

	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
		if (!contains(cmdline, tables[i].word))
			continue;
		for (const struct misdeed *m = tables[i].table; m->name; m++)
			try_all(m);
	}
	say("survived\n");
}
