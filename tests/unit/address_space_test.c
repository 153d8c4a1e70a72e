/*
 * vmm/address_space: what regions flatten to, what listeners hear of it and when, how failures are undone, and which device
 * an access meets. Views are written as "a:1000-1fff b:2000-20ff", regions are named by a letter.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "vmm/address_space.h"

#define MAX_REGIONS 6
#define TEXT_BYTES  512

/* Follows a view as KVM would: what is added overlaps nothing, what is removed is there. */
struct follower {
	struct address_listener listener;
	char id;
	struct flat_range ranges[2 * MAX_REGIONS];
	size_t n;
	int fail_at; /* the addition, counted from 1, that fails; 0: none */
	int adds;
	char *log; /* of all followers, "+1a:0-f -1a:0-f "; NULL: none */
};

struct fixture {
	struct address_space as;
	int holds, held_for_change;
	bool shut; /* the gate refuses */
	struct follower one, two;
	char log[TEXT_BYTES];
};

static void add_text(char *text, const char *sign, const struct flat_range *r)
{
	size_t len = strlen(text);

	(void)snprintf(text + len, TEXT_BYTES - len, "%s%s%s:%llx-%llx", len ? " " : "", sign,
		       r->region->name, (unsigned long long)r->first, (unsigned long long)r->last);
}

static int on_add(void *self, const struct flat_range *range, struct err *err)
{
	struct follower *f = self;
	char sign[] = {'+', f->id, '\0'};
	size_t i = f->n;

	if (++f->adds == f->fail_at)
		return err_say(err, ENOSPC, "full");
	if (f->log)
		add_text(f->log, sign, range);
	for (size_t k = 0; k < f->n; k++)
		assert_true(f->ranges[k].last < range->first || f->ranges[k].first > range->last);
	for (; i > 0 && f->ranges[i - 1].first > range->first; i--)
		f->ranges[i] = f->ranges[i - 1];
	f->ranges[i] = *range;
	f->n++;
	return 0;
}

static void on_remove(void *self, const struct flat_range *range)
{
	struct follower *f = self;
	char sign[] = {'-', f->id, '\0'};
	size_t i = 0;

	if (f->log)
		add_text(f->log, sign, range);
	while (i < f->n && memcmp(&f->ranges[i], range, sizeof(*range)) != 0)
		i++;
	assert_true(i < f->n);
	f->n--;
	memmove(&f->ranges[i], &f->ranges[i + 1], (f->n - i) * sizeof(f->ranges[0]));
}

static int gate_hold(void *arg, struct err *err)
{
	struct fixture *f = arg;

	if (f->shut)
		return err_say(err, ETIMEDOUT, "shut");
	f->holds++;
	f->held_for_change++;
	return 0;
}

static void gate_release(void *arg)
{
	struct fixture *f = arg;

	f->holds--;
}

static void start(struct fixture *f)
{
	const struct address_gate gate = {gate_hold, gate_release, f};

	*f = (struct fixture){0};
	f->one.listener = (struct address_listener){on_add, on_remove, &f->one};
	f->two.listener = (struct address_listener){on_add, on_remove, &f->two};
	f->one.id = '1';
	f->two.id = '2';
	address_space_init(&f->as, "test", &gate);
	assert_int_equal(address_space_listen(&f->as, &f->one.listener, NULL), 0);
}

static void done(struct fixture *f)
{
	assert_int_equal(f->holds, 0);
	address_space_done(&f->as);
}

static const char *view(const struct follower *f)
{
	static char text[TEXT_BYTES];

	text[0] = '\0';
	for (size_t i = 0; i < f->n; i++)
		add_text(text, "", &f->ranges[i]);
	return text;
}

static const struct region_ops no_ops;

#define R(letter, from, len, prio)                                                                 \
	{                                                                                          \
		.name = (letter), .base = (from), .len_bytes = (len), .priority = (prio),          \
		.ops = &no_ops                                                                     \
	}

/* Regions, added in this order; what they flatten to; and that without the last of them. */
static void test_flatten(void **state)
{
	static const struct {
		const char *name;
		struct region regions[MAX_REGIONS];
		const char *view, *without_last;
	} cases[] = {
		{"one", {R("a", 0, 0x10, 0)}, "a:0-f", ""},
		{"apart", {R("a", 0x20, 0x10, 0), R("b", 0, 0x10, 0)}, "b:0-f a:20-2f", "a:20-2f"},
		{"side by side",
		 {R("a", 0, 0x10, 0), R("b", 0x10, 1, 0)},
		 "a:0-f b:10-10",
		 "a:0-f"},
		{"a hole in the middle",
		 {R("a", 0, 0x30, 0), R("b", 0x10, 0x10, 1)},
		 "a:0-f b:10-1f a:20-2f",
		 "a:0-2f"},
		{"on the first bytes",
		 {R("a", 0, 0x30, 0), R("b", 0, 8, 1)},
		 "b:0-7 a:8-2f",
		 "a:0-2f"},
		{"on the last bytes",
		 {R("a", 0, 0x30, 0), R("b", 0x2f, 1, 1)},
		 "a:0-2e b:2f-2f",
		 "a:0-2f"},
		{"hidden whole", {R("a", 8, 8, 0), R("b", 0, 0x20, 1)}, "b:0-1f", "a:8-f"},
		{"hidden by its like", {R("a", 8, 8, 0), R("b", 8, 8, 1)}, "b:8-f", "a:8-f"},
		{"under what is there",
		 {R("b", 8, 8, 1), R("a", 0, 0x20, 0)},
		 "a:0-7 b:8-f a:10-1f",
		 "b:8-f"},
		{"across two and the gap between",
		 {R("a", 0, 0x10, 2), R("b", 0x20, 0x10, 2), R("c", 8, 0x20, 1)},
		 "a:0-f c:10-1f b:20-2f",
		 "a:0-f b:20-2f"},
		{"around two",
		 {R("a", 0x10, 0x10, 2), R("b", 0x30, 0x10, 1), R("c", 0, 0x50, 0)},
		 "c:0-f a:10-1f c:20-2f b:30-3f c:40-4f",
		 "a:10-1f b:30-3f"},
		{"over two, hiding both ends",
		 {R("a", 0, 0x10, 0), R("b", 0x10, 0x10, 0), R("c", 8, 0x10, 1)},
		 "a:0-7 c:8-17 b:18-1f",
		 "a:0-f b:10-1f"},
		{"stairs",
		 {R("a", 0, 0x40, -1), R("b", 0x10, 0x30, 0), R("c", 0x20, 0x20, 5)},
		 "a:0-f b:10-1f c:20-3f",
		 "a:0-f b:10-3f"},
		{"the middle of three is seen nowhere",
		 {R("a", 0, 0x40, 0), R("b", 0x10, 8, 1), R("c", 0x10, 0x10, 2)},
		 "a:0-f c:10-1f a:20-3f",
		 "a:0-f b:10-17 a:18-3f"},
		{"up to the last byte",
		 {R("a", 0, UINT64_MAX, 0), R("b", UINT64_MAX, 1, 0), R("c", UINT64_MAX - 1, 2, 1)},
		 "a:0-fffffffffffffffd c:fffffffffffffffe-ffffffffffffffff",
		 "a:0-fffffffffffffffe b:ffffffffffffffff-ffffffffffffffff"},
		{"under the last byte",
		 {R("a", UINT64_MAX, 1, 1), R("b", UINT64_MAX - 3, 4, 0)},
		 "b:fffffffffffffffc-fffffffffffffffe a:ffffffffffffffff-ffffffffffffffff",
		 "a:ffffffffffffffff-ffffffffffffffff"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct region *r = cases[i].regions;
		struct fixture f;
		size_t n = 0;

		print_message("%s\n", cases[i].name);
		start(&f);
		for (; n < MAX_REGIONS && r[n].name; n++)
			assert_int_equal(address_space_add(&f.as, &r[n], NULL), 0);
		assert_string_equal(view(&f.one), cases[i].view);
		assert_int_equal(address_space_remove(&f.as, &r[n - 1], NULL), 0);
		assert_string_equal(view(&f.one), cases[i].without_last);
		/* In any order they end in nothing. */
		for (size_t k = 0; k < n - 1; k++)
			assert_int_equal(address_space_remove(&f.as, &r[k], NULL), 0);
		assert_string_equal(view(&f.one), "");
		assert_int_equal(f.held_for_change, 2 * (int)n);
		done(&f);
	}
}

static void test_refused(void **state)
{
	static const struct {
		const char *name;
		struct region region;
		int ret;
	} cases[] = {
		{"before", R("b", 0x0f00, 0x100, 0), 0},
		{"after", R("b", 0x2000, 0x100, 0), 0},
		{"reaches in from below", R("b", 0x0fff, 2, 0), -EEXIST},
		{"starts at the last byte", R("b", 0x1fff, 2, 0), -EEXIST},
		{"inside", R("b", 0x1800, 1, 0), -EEXIST},
		{"around", R("b", 0x0800, 0x2000, 0), -EEXIST},
		{"the same place", R("b", 0x1000, 0x1000, 0), -EEXIST},
		{"the same place, higher", R("b", 0x1000, 0x1000, 1), 0},
		{"empty", R("b", 0x3000, 0, 0), -EINVAL},
		{"wraps by one", R("b", UINT64_MAX, 2, 0), -EINVAL},
		{"wraps by all", R("b", 1, UINT64_MAX, -1), 0},
		{"wraps by all and one", R("b", 2, UINT64_MAX, -1), -EINVAL},
		{"the last byte there is", R("b", UINT64_MAX, 1, 0), 0},
	};
	static const struct region a = R("a", 0x1000, 0x1000, 0);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct fixture f;

		print_message("%s\n", cases[i].name);
		start(&f);
		assert_int_equal(address_space_add(&f.as, &a, NULL), 0);
		assert_int_equal(address_space_add(&f.as, &cases[i].region, NULL), cases[i].ret);
		if (cases[i].ret < 0)
			assert_string_equal(view(&f.one), "a:1000-1fff");
		done(&f);
	}
}

/* Removals first; upwards and 1 before 2 for additions, the other way round for removals; what stays is not mentioned. */
static void test_listener_order(void **state)
{
	static const struct region a = R("a", 0, 0x10, 0), b = R("b", 0x20, 0x20, 0),
				   c = R("c", 0x28, 8, 1);
	struct fixture f;

	(void)state;
	start(&f);
	assert_int_equal(address_space_listen(&f.as, &f.two.listener, NULL), 0);
	f.one.log = f.two.log = f.log;
	assert_int_equal(address_space_add(&f.as, &a, NULL), 0);
	assert_int_equal(address_space_add(&f.as, &b, NULL), 0);
	assert_string_equal(f.log, "+1a:0-f +2a:0-f +1b:20-3f +2b:20-3f");
	f.log[0] = '\0';
	assert_int_equal(address_space_add(&f.as, &c, NULL), 0);
	assert_string_equal(f.log, "-2b:20-3f -1b:20-3f +1b:20-27 +2b:20-27 +1c:28-2f +2c:28-2f "
				   "+1b:30-3f +2b:30-3f");
	f.log[0] = '\0';
	assert_int_equal(address_space_remove(&f.as, &c, NULL), 0);
	assert_string_equal(f.log, "-2b:30-3f -1b:30-3f -2c:28-2f -1c:28-2f -2b:20-27 -1b:20-27 "
				   "+1b:20-3f +2b:20-3f");
	f.log[0] = '\0';
	/* Who goes with all that it has is not told to take it apart, and may be gone already. */
	address_space_forget(&f.as, &f.one.listener);
	address_space_forget(&f.as, &f.one.listener);
	assert_string_equal(f.log, "");
	f.one.n = 0;
	assert_int_equal(address_space_listen(&f.as, &f.one.listener, NULL), 0);
	assert_string_equal(f.log, "+1a:0-f +1b:20-3f");
	f.log[0] = '\0';
	assert_int_equal(address_space_remove(&f.as, &a, NULL), 0);
	assert_string_equal(f.log, "-1a:0-f -2a:0-f"); /* it listens last now */
	done(&f);
}

/* Whichever addition of whichever listener fails, both see what they saw before. */
static void test_undone(void **state)
{
	static const struct region a = R("a", 0, 0x10, 0), b = R("b", 0x20, 0x20, 0),
				   c = R("c", 0x28, 8, 1);
	struct err err = ERR_INIT;

	(void)state;
	for (int fail_at = 1; fail_at <= 3; fail_at++) {
		for (int who = 1; who <= 2; who++) {
			struct fixture f;
			struct follower *failing = who == 1 ? &f.one : &f.two;

			start(&f);
			assert_int_equal(address_space_listen(&f.as, &f.two.listener, NULL), 0);
			assert_int_equal(address_space_add(&f.as, &a, NULL), 0);
			assert_int_equal(address_space_add(&f.as, &b, NULL), 0);
			failing->fail_at = failing->adds + fail_at;
			assert_int_equal(address_space_add(&f.as, &c, &err), -ENOSPC);
			assert_string_equal(view(&f.one), "a:0-f b:20-3f");
			assert_string_equal(view(&f.two), "a:0-f b:20-3f");
			failing->fail_at = 0;
			assert_int_equal(address_space_add(&f.as, &c, NULL), 0);
			/* Taking it away shows b whole again: one addition, which may fail as well. */
			failing->fail_at = failing->adds + 1;
			assert_int_equal(address_space_remove(&f.as, &c, &err), -ENOSPC);
			assert_string_equal(view(&f.one), "a:0-f b:20-27 c:28-2f b:30-3f");
			assert_string_equal(view(&f.two), "a:0-f b:20-27 c:28-2f b:30-3f");
			done(&f);
		}
	}
}

static void test_late_listener_fails(void **state)
{
	static const struct region a = R("a", 0, 0x10, 0), b = R("b", 0x20, 0x20, 0);
	struct fixture f;

	(void)state;
	start(&f);
	assert_int_equal(address_space_add(&f.as, &a, NULL), 0);
	assert_int_equal(address_space_add(&f.as, &b, NULL), 0);
	f.two.fail_at = 2;
	assert_int_equal(address_space_listen(&f.as, &f.two.listener, NULL), -ENOSPC);
	assert_string_equal(view(&f.two), "");
	assert_int_equal(address_space_remove(&f.as, &a, NULL), 0);
	assert_int_equal(f.two.adds, 2); /* it hears nothing any more */
	done(&f);
}

/* vCPUs that cannot be held: nothing happens. */
static void test_gate(void **state)
{
	static const struct region a = R("a", 0, 0x10, 0), b = R("b", 0x20, 0x20, 0);
	struct err err = ERR_INIT;
	struct fixture f;

	(void)state;
	start(&f);
	assert_int_equal(address_space_add(&f.as, &a, NULL), 0);
	f.shut = true;
	assert_int_equal(address_space_add(&f.as, &b, &err), -ETIMEDOUT);
	assert_int_equal(address_space_remove(&f.as, &a, &err), -ETIMEDOUT);
	assert_string_equal(view(&f.one), "a:0-f");
	f.shut = false;
	assert_int_equal(address_space_remove(&f.as, &a, NULL), 0);
	done(&f);
}

struct seen {
	uint64_t off;
	uint32_t len;
	uint64_t value;
	int reads, writes;
};

static uint64_t seen_read(void *self, uint64_t off, uint32_t len)
{
	struct seen *s = self;

	s->off = off;
	s->len = len;
	s->reads++;
	return 0x1122334455667788ULL;
}

static void seen_write(void *self, uint64_t off, uint32_t len, uint64_t value)
{
	struct seen *s = self;

	s->off = off;
	s->len = len;
	s->value = value;
	s->writes++;
}

static const struct region_ops seen_ops = {.read = seen_read, .write = seen_write};

#define DEVICE(letter, from, length, prio, seen)                                                   \
	{                                                                                          \
		.name = (letter), .base = (from), .len_bytes = (length), .priority = (prio),       \
		.ops = &seen_ops, .self = (seen)                                                   \
	}

static void test_access(void **state)
{
	static const struct {
		const char *name;
		uint64_t addr;
		uint32_t len;
		int device; /* -1: none */
		uint64_t off;
	} cases[] = {
		{"first byte of a", 0x1000, 1, 0, 0},
		{"last bytes of a", 0x1ffc, 4, 0, 0xffc},
		{"across a's end", 0x1ffe, 4, -1, 0},
		{"first byte of b", 0x2000, 8, 1, 0},
		{"before all", 0xfff, 1, -1, 0},
		{"from before into a", 0xfff, 2, -1, 0},
		{"between", 0x2100, 1, -1, 0},
		{"c, added first, last in order", 0x9000, 2, 2, 0},
		{"after all", 0x9002, 1, -1, 0},
		{"d, which hides a part of a", 0x1800, 4, 3, 0},
		{"a before d", 0x17fc, 4, 0, 0x7fc},
		{"a behind d, its offset as ever", 0x1810, 4, 0, 0x810},
		{"from a into d", 0x17fe, 4, -1, 0},
		{"RAM", 0x10000, 4, -1, 0},
		{"over the end of RAM", 0x1ffff, 2, -1, 0},
		{"top", UINT64_MAX, 1, 4, 1},
		{"over the top", UINT64_MAX - 1, 8, -1, 0},
		{"the last bytes", UINT64_MAX - 1, 2, 4, 0},
	};
	static uint8_t ram[0x10000];
	struct seen dev[5] = {0};
	const struct region regions[] = {
		DEVICE("c", 0x9000, 2, 0, &dev[2]),
		DEVICE("a", 0x1000, 0x1000, 0, &dev[0]),
		DEVICE("b", 0x2000, 0x100, 0, &dev[1]),
		DEVICE("d", 0x1800, 0x10, 1, &dev[3]),
		DEVICE("top", UINT64_MAX - 1, 2, 0, &dev[4]),
		{.name = "ram", .base = 0x10000, .len_bytes = sizeof(ram), .host = ram},
	};
	struct fixture f;

	(void)state;
	start(&f);
	for (size_t i = 0; i < ARRAY_SIZE(regions); i++)
		assert_int_equal(address_space_add(&f.as, &regions[i], NULL), 0);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int device = cases[i].device;
		uint64_t value = 0;
		uint64_t ones = 0;

		print_message("%s\n", cases[i].name);
		memset(dev, 0, sizeof(dev));
		memset(&ones, 0xff, cases[i].len);
		address_space_write(&f.as, cases[i].addr, "\x01\x02\x03\x04\x05\x06\x07\x08",
				    cases[i].len);
		address_space_read(&f.as, cases[i].addr, &value, cases[i].len);
		for (int d = 0; d < 5; d++) {
			assert_int_equal(dev[d].reads, d == device);
			assert_int_equal(dev[d].writes, d == device);
		}
		assert_true(value == (device < 0 ? ones : 0x1122334455667788ULL & ones));
		if (device < 0)
			continue;
		assert_int_equal(dev[device].off, cases[i].off);
		assert_int_equal(dev[device].len, cases[i].len);
		assert_true(dev[device].value == (0x0807060504030201ULL & ones));
	}
	done(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_flatten),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_listener_order),
		cmocka_unit_test(test_undone),
		cmocka_unit_test(test_late_listener_fails),
		cmocka_unit_test(test_gate),
		cmocka_unit_test(test_access),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
