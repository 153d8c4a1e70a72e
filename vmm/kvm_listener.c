/* From ranges of the view to memory slots and ioeventfds. */
#include "vmm/kvm_listener.h"

#include <errno.h>

#define PAGE_BYTES 4096ULL

static int add_ram(struct kvm_listener *l, const struct flat_range *range, struct err *err)
{
	const struct region *r = range->region;
	struct gmem_range where = {.at = GPA(range->first),
				   .len_bytes = range->last - range->first + 1};
	uint8_t *host = (uint8_t *)r->host + (range->first - r->base);
	uint32_t slot = 0;
	int rc;

	if (where.at.v % PAGE_BYTES != 0 || where.len_bytes % PAGE_BYTES != 0)
		return err_say(err, EINVAL, "%s: a device hides a part of a page of it", r->name);
	while (slot < KVM_LISTENER_SLOTS && l->slots[slot].used)
		slot++;
	if (slot == KVM_LISTENER_SLOTS)
		return err_say(err, ENOSPC, "%s: more than %d pieces of memory", r->name,
			       KVM_LISTENER_SLOTS);
	rc = kvm_set_memory(l->kvm, slot, where, host, err);
	if (rc < 0)
		return rc;
	l->slots[slot].used = true;
	l->slots[slot].first = range->first;
	return 0;
}

static void remove_ram(struct kvm_listener *l, const struct flat_range *range)
{
	uint32_t slot = 0;

	while (slot < KVM_LISTENER_SLOTS &&
	       !(l->slots[slot].used && l->slots[slot].first == range->first))
		slot++;
	BUG_ON(slot == KVM_LISTENER_SLOTS);
	kvm_unset_memory(l->kvm, slot);
	l->slots[slot].used = false;
}

/* NULL when the eventfd's address is not in this range of its region. */
static const struct region_eventfd *seen(const struct flat_range *range, size_t i)
{
	const struct region_eventfd *e = &range->region->eventfds[i];
	uint64_t at = range->region->base + e->off;

	if (at < range->first || at > range->last || range->last - at < sizeof(e->value) - 1)
		return NULL;
	return e;
}

static void remove_eventfds(struct kvm_listener *l, const struct flat_range *range, size_t n)
{
	while (n-- > 0) {
		const struct region_eventfd *e = seen(range, n);

		if (e)
			kvm_remove_ioeventfd(l->kvm, GPA(range->region->base + e->off), e->value,
					     e->fd);
	}
}

static int add_eventfds(struct kvm_listener *l, const struct flat_range *range, struct err *err)
{
	for (size_t i = 0; i < range->region->neventfds; i++) {
		const struct region_eventfd *e = seen(range, i);
		int rc = 0;

		if (e)
			rc = kvm_add_ioeventfd(l->kvm, GPA(range->region->base + e->off), e->value,
					       e->fd, err);
		if (rc < 0) {
			remove_eventfds(l, range, i);
			return err_wrap(err, "%s", range->region->name);
		}
	}
	return 0;
}

static int on_add(void *self, const struct flat_range *range, struct err *err)
{
	if (range->region->ops)
		return add_eventfds(self, range, err);
	return add_ram(self, range, err);
}

static void on_remove(void *self, const struct flat_range *range)
{
	if (range->region->ops)
		remove_eventfds(self, range, range->region->neventfds);
	else
		remove_ram(self, range);
}

void kvm_listener_init(struct kvm_listener *l, struct kvm *kvm)
{
	*l = (struct kvm_listener){.kvm = kvm};
	l->listener = (struct address_listener){.add = on_add, .remove = on_remove, .self = l};
}
