/* vmm/bus: which device an access reaches, and what an access to none reads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "vmm/bus.h"

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

static const struct bus_ops ops = {.read = seen_read, .write = seen_write};

static int add(struct bus *bus, uint64_t base, uint64_t len, struct seen *self)
{
	struct bus_region r = {.name = "x", .base = base, .len_bytes = len, .ops = &ops};

	r.self = self;
	return bus_add(bus, &r, NULL);
}

static void test_overlap(void **state)
{
	static const struct {
		const char *name;
		uint64_t base, len;
		int ret;
	} cases[] = {
		{"before", 0x0f00, 0x100, 0},
		{"after", 0x2000, 0x100, 0},
		{"reaches in from below", 0x0fff, 2, -EEXIST},
		{"starts at the last byte", 0x1fff, 2, -EEXIST},
		{"inside", 0x1800, 1, -EEXIST},
		{"around", 0x0800, 0x2000, -EEXIST},
		{"the same", 0x1000, 0x1000, -EEXIST},
		{"empty", 0x3000, 0, -EINVAL},
		{"wraps", UINT64_MAX, 2, -EINVAL},
		{"the last byte there is", UINT64_MAX, 1, 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		static struct bus bus;

		print_message("%s\n", cases[i].name);
		bus_init(&bus, "test");
		assert_int_equal(add(&bus, 0x1000, 0x1000, NULL), 0);
		assert_int_equal(add(&bus, cases[i].base, cases[i].len, NULL), cases[i].ret);
	}
}

static void test_full(void **state)
{
	static struct bus bus;

	(void)state;
	bus_init(&bus, "test");
	for (uint64_t i = 0; i < BUS_MAX_REGIONS; i++)
		assert_int_equal(add(&bus, i, 1, NULL), 0);
	assert_int_equal(add(&bus, BUS_MAX_REGIONS, 1, NULL), -ENOSPC);
}

static void test_dispatch(void **state)
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
		{"between", 0x2100, 1, -1, 0},
		{"c, added first, last in order", 0x9000, 2, 2, 0},
		{"after all", 0x9002, 1, -1, 0},
		{"top", UINT64_MAX, 1, -1, 0},
	};
	static struct bus bus;
	struct seen dev[3] = {0};

	(void)state;
	bus_init(&bus, "test");
	assert_int_equal(add(&bus, 0x9000, 2, &dev[2]), 0);
	assert_int_equal(add(&bus, 0x1000, 0x1000, &dev[0]), 0);
	assert_int_equal(add(&bus, 0x2000, 0x100, &dev[1]), 0);
	bus_freeze(&bus);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint64_t value = 0;
		uint64_t ones = 0;

		print_message("%s\n", cases[i].name);
		memset(dev, 0, sizeof(dev));
		memset(&ones, 0xff, cases[i].len);
		bus_write(&bus, cases[i].addr, "\x01\x02\x03\x04\x05\x06\x07\x08", cases[i].len);
		bus_read(&bus, cases[i].addr, &value, cases[i].len);
		for (int d = 0; d < 3; d++) {
			assert_int_equal(dev[d].reads, d == cases[i].device);
			assert_int_equal(dev[d].writes, d == cases[i].device);
		}
		assert_true(value == (cases[i].device < 0 ? ones : 0x1122334455667788ULL & ones));
		if (cases[i].device >= 0) {
			assert_int_equal(dev[cases[i].device].off, cases[i].off);
			assert_int_equal(dev[cases[i].device].len, cases[i].len);
			assert_true(dev[cases[i].device].value == (0x0807060504030201ULL & ones));
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_overlap),
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_dispatch),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
