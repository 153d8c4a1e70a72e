/* The device side of the guest's address spaces: a binary search over frozen, sorted regions. */
#include "vmm/bus.h"

#include <errno.h>
#include <string.h>

void bus_init(struct bus *bus, const char *name)
{
	*bus = (struct bus){.name = name};
}

int bus_add(struct bus *bus, const struct bus_region *region, struct err *err)
{
	uint64_t end;
	size_t i = bus->n;

	BUG_ON(bus->frozen);
	if (region->len_bytes == 0 ||
	    __builtin_add_overflow(region->base, region->len_bytes - 1, &end))
		return err_say(err, EINVAL, "%s: %s has no valid extent", bus->name, region->name);
	if (bus->n == BUS_MAX_REGIONS)
		return err_say(err, ENOSPC, "%s: no room for %s", bus->name, region->name);
	while (i > 0 && bus->regions[i - 1].base > region->base)
		i--;
	if ((i > 0 && region->base - bus->regions[i - 1].base < bus->regions[i - 1].len_bytes) ||
	    (i < bus->n && bus->regions[i].base <= end))
		return err_say(err, EEXIST, "%s: %s overlaps another device", bus->name,
			       region->name);
	memmove(&bus->regions[i + 1], &bus->regions[i], (bus->n - i) * sizeof(bus->regions[0]));
	bus->regions[i] = *region;
	bus->n++;
	return 0;
}

void bus_freeze(struct bus *bus)
{
	bus->frozen = true;
}

/* The region that holds all of [addr, addr + len), or NULL. */
static const struct bus_region *find(const struct bus *bus, uint64_t addr, uint32_t len)
{
	size_t low = 0;
	size_t high = bus->n;
	const struct bus_region *r;

	/* Invariant: regions before `low` start at or below addr, regions from `high` on above it. */
	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (bus->regions[mid].base <= addr)
			low = mid + 1;
		else
			high = mid;
	}
	if (low == 0)
		return NULL;
	r = &bus->regions[low - 1];
	if (addr - r->base >= r->len_bytes || len > r->len_bytes - (addr - r->base))
		return NULL;
	return r;
}

void bus_read(struct bus *bus, uint64_t addr, void *data, uint32_t len)
{
	const struct bus_region *r = find(bus, addr, len);
	uint64_t value = UINT64_MAX;

	BUG_ON(len == 0 || len > sizeof(value));
	if (r)
		value = r->ops->read(r->self, addr - r->base, len);
	else
		log_guest(&bus->unassigned, "guest reads %u bytes of nothing at %s 0x%llx", len,
			  bus->name, (unsigned long long)addr);
	memcpy(data, &value, len);
}

void bus_write(struct bus *bus, uint64_t addr, const void *data, uint32_t len)
{
	const struct bus_region *r = find(bus, addr, len);
	uint64_t value = 0;

	BUG_ON(len == 0 || len > sizeof(value));
	memcpy(&value, data, len);
	if (r)
		r->ops->write(r->self, addr - r->base, len, value);
	else
		log_guest(&bus->unassigned, "guest writes %u bytes to nothing at %s 0x%llx", len,
			  bus->name, (unsigned long long)addr);
}
