/* Flattening, telling listeners of the difference between two views, and the search on each exit. */
#include "vmm/address_space.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"

struct flat_view {
	size_t n;
	struct flat_range ranges[]; /* by address */
};

static const struct flat_view empty_view;

void address_space_init(struct address_space *as, const char *name, const struct address_gate *gate)
{
	*as = (struct address_space){.name = name, .gate = *gate};
	atomic_init(&as->view, &empty_view);
}

static void free_view(const struct flat_view *view)
{
	if (view != &empty_view)
		free((void *)(uintptr_t)view);
}

void address_space_done(struct address_space *as)
{
	/* Never initialised, as in a machine that was half built: there is no view then. */
	free_view(atomic_load(&as->view));
	free(as->regions);
	*as = (struct address_space){.name = as->name};
}

static uint64_t last_of(const struct region *r)
{
	return r->base + (r->len_bytes - 1);
}

static void insert(struct flat_view *v, size_t i, uint64_t first, uint64_t last,
		   const struct region *r)
{
	memmove(&v->ranges[i + 1], &v->ranges[i], (v->n - i) * sizeof(v->ranges[0]));
	v->ranges[i] = (struct flat_range){.first = first, .last = last, .region = r};
	v->n++;
}

/* What of `r` is not hidden by the ranges that are there, all of higher priority or apart from it. */
static void flatten(struct flat_view *v, const struct region *r)
{
	uint64_t first = r->base;
	uint64_t last = last_of(r);
	size_t i = 0;

	while (i < v->n && v->ranges[i].last < first)
		i++;
	for (; i < v->n && v->ranges[i].first <= last; i++) {
		uint64_t hidden = v->ranges[i].first;

		if (hidden > first) {
			insert(v, i, first, hidden - 1, r);
			i++;
		}
		if (v->ranges[i].last >= last)
			return;
		first = v->ranges[i].last + 1;
	}
	insert(v, i, first, last, r);
}

/* n regions have 2n borders, hence at most 2n - 1 ranges between them. */
static const struct flat_view *make_view(const struct region *const *regions, size_t n)
{
	struct flat_view *v = malloc(sizeof(*v) + 2 * n * sizeof(v->ranges[0]));

	if (!v)
		return NULL;
	v->n = 0;
	for (size_t i = 0; i < n; i++)
		flatten(v, regions[i]);
	return v;
}

/* The range that holds `addr`, or NULL. */
static const struct flat_range *find(const struct flat_view *v, uint64_t addr)
{
	size_t low = 0;
	size_t high = v->n;

	/* Invariant: ranges before `low` end below addr, ranges from `high` on do not. */
	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (v->ranges[mid].last < addr)
			low = mid + 1;
		else
			high = mid;
	}
	return low < v->n && v->ranges[low].first <= addr ? &v->ranges[low] : NULL;
}

static bool has(const struct flat_view *v, const struct flat_range *range)
{
	const struct flat_range *r = find(v, range->first);

	return r && r->first == range->first && r->last == range->last &&
	       r->region == range->region;
}

/* By the first `n` listeners. */
static void tell_remove(struct address_space *as, const struct flat_range *range, size_t n)
{
	while (n-- > 0)
		as->listeners[n]->remove(as->listeners[n]->self, range);
}

static int tell_add(struct address_space *as, const struct flat_range *range, struct err *err)
{
	for (size_t i = 0; i < as->nlisteners; i++) {
		int rc = as->listeners[i]->add(as->listeners[i]->self, range, err);

		if (rc < 0) {
			tell_remove(as, range, i);
			return rc;
		}
	}
	return 0;
}

/* Of the first `n` ranges of `v` those that `other` does not have. */
static void remove_ranges(struct address_space *as, const struct flat_view *v, size_t n,
			  const struct flat_view *other)
{
	while (n-- > 0) {
		if (!has(other, &v->ranges[n]))
			tell_remove(as, &v->ranges[n], as->nlisteners);
	}
}

/* All or nothing. */
static int add_ranges(struct address_space *as, const struct flat_view *v,
		      const struct flat_view *other, struct err *err)
{
	for (size_t i = 0; i < v->n; i++) {
		int rc = has(other, &v->ranges[i]) ? 0 : tell_add(as, &v->ranges[i], err);

		if (rc < 0) {
			remove_ranges(as, v, i, other);
			return rc;
		}
	}
	return 0;
}

static int show_view(struct address_space *as, const struct flat_view *next, struct err *err)
{
	const struct flat_view *old = atomic_load(&as->view);
	struct err again = ERR_INIT;
	int rc;

	remove_ranges(as, old, old->n, next);
	rc = add_ranges(as, next, old, err);
	if (rc == 0) {
		atomic_store(&as->view, next);
		free_view(old);
		return 0;
	}
	/* What was there a moment ago should be possible again. */
	if (add_ranges(as, old, next, &again) < 0)
		log_error("%s: the guest lost part of its address space: %s", as->name, again.text);
	return rc;
}

/* Takes `regions` over on success. */
static int set_regions(struct address_space *as, const struct region **regions, size_t n,
		       struct err *err)
{
	const struct flat_view *next;
	int rc = as->gate.hold(as->gate.arg, err);

	if (rc < 0)
		return rc;
	next = make_view(regions, n);
	rc = next ? show_view(as, next, err) : err_set(err, ENOMEM, "view of %s", as->name);
	if (rc == 0) {
		free(as->regions);
		as->regions = regions;
		as->nregions = n;
	} else if (next) {
		free_view(next);
	}
	as->gate.release(as->gate.arg);
	return rc;
}

static int check_region(const struct address_space *as, const struct region *r, struct err *err)
{
	uint64_t last;

	if (r->len_bytes == 0 || __builtin_add_overflow(r->base, r->len_bytes - 1, &last))
		return err_say(err, EINVAL, "%s: %s has no valid extent", as->name, r->name);
	for (size_t i = 0; i < as->nregions; i++) {
		const struct region *other = as->regions[i];

		if (other->priority == r->priority && other->base <= last &&
		    r->base <= last_of(other))
			return err_say(err, EEXIST, "%s: %s overlaps %s", as->name, r->name,
				       other->name);
	}
	return 0;
}

int address_space_add(struct address_space *as, const struct region *region, struct err *err)
{
	AUTO_FREE const struct region **regions = NULL;
	size_t n = 0;
	int rc = check_region(as, region, err);

	if (rc < 0)
		return rc;
	regions = calloc(as->nregions + 1, sizeof(regions[0]));
	if (!regions)
		return err_set(err, ENOMEM, "%s: %s", as->name, region->name);
	while (n < as->nregions && as->regions[n]->priority >= region->priority) {
		regions[n] = as->regions[n];
		n++;
	}
	regions[n] = region;
	for (; n < as->nregions; n++)
		regions[n + 1] = as->regions[n];
	rc = set_regions(as, regions, n + 1, err);
	if (rc == 0)
		(void)TAKE_PTR(&regions);
	return rc;
}

int address_space_remove(struct address_space *as, const struct region *region, struct err *err)
{
	AUTO_FREE const struct region **regions = calloc(as->nregions, sizeof(regions[0]));
	size_t n = 0;
	int rc;

	if (!regions)
		return err_set(err, ENOMEM, "%s: %s", as->name, region->name);
	for (size_t i = 0; i < as->nregions; i++) {
		if (as->regions[i] != region)
			regions[n++] = as->regions[i];
	}
	BUG_ON(n + 1 != as->nregions);
	rc = set_regions(as, regions, n, err);
	if (rc == 0)
		(void)TAKE_PTR(&regions);
	return rc;
}

int address_space_listen(struct address_space *as, const struct address_listener *listener,
			 struct err *err)
{
	const struct flat_view *view = atomic_load(&as->view);

	BUG_ON(as->nlisteners == ADDRESS_SPACE_MAX_LISTENERS);
	for (size_t i = 0; i < view->n; i++) {
		int rc = listener->add(listener->self, &view->ranges[i], err);

		if (rc < 0) {
			while (i-- > 0)
				listener->remove(listener->self, &view->ranges[i]);
			return rc;
		}
	}
	as->listeners[as->nlisteners++] = listener;
	return 0;
}

void address_space_forget(struct address_space *as, const struct address_listener *listener)
{
	size_t at = 0;

	while (at < as->nlisteners && as->listeners[at] != listener)
		at++;
	if (at == as->nlisteners)
		return;
	as->nlisteners--;
	memmove(&as->listeners[at], &as->listeners[at + 1],
		(as->nlisteners - at) * sizeof(as->listeners[0]));
}

/* The device all of [addr, addr + len) belongs to, or NULL. */
static const struct region *device_at(struct address_space *as, uint64_t addr, uint32_t len)
{
	const struct flat_view *view = atomic_load_explicit(&as->view, memory_order_acquire);
	const struct flat_range *range = find(view, addr);

	/* RAM comes here only by an access that reaches over its end. */
	if (!range || len - 1 > range->last - addr || !range->region->ops)
		return NULL;
	return range->region;
}

void address_space_read(struct address_space *as, uint64_t addr, void *data, uint32_t len)
{
	const struct region *r = device_at(as, addr, len);
	uint64_t value = UINT64_MAX;

	BUG_ON(len == 0 || len > sizeof(value));
	if (r)
		value = r->ops->read(r->self, addr - r->base, len);
	else
		log_guest(&as->unassigned, "guest reads %u bytes of nothing at %s 0x%llx", len,
			  as->name, (unsigned long long)addr);
	memcpy(data, &value, len);
}

void address_space_write(struct address_space *as, uint64_t addr, const void *data, uint32_t len)
{
	const struct region *r = device_at(as, addr, len);
	uint64_t value = 0;

	BUG_ON(len == 0 || len > sizeof(value));
	memcpy(&value, data, len);
	if (r)
		r->ops->write(r->self, addr - r->base, len, value);
	else
		log_guest(&as->unassigned, "guest writes %u bytes to nothing at %s 0x%llx", len,
			  as->name, (unsigned long long)addr);
}
