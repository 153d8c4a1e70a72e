/* vmm/gmem: what is RAM, what is not, and where an access ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "vmm/gmem.h"

#define LOW  0x10000ULL /* bytes of RAM at 0 */
#define HIGH 0x100000000ULL

static int make(void **state)
{
	const struct gmem_range ranges[] = {
		{GPA(0), LOW},
		{GPA(LOW), 0x1000}, /* adjacent, yet a region of its own */
		{GPA(HIGH), 0x2000},
	};
	struct gmem *mem = NULL;

	if (gmem_create(ranges, ARRAY_SIZE(ranges), &mem, NULL) < 0)
		return -1;
	*state = mem;
	return 0;
}

static int drop(void **state)
{
	gmem_destroy(*state);
	return 0;
}

static void test_bounds(void **state)
{
	static const struct {
		const char *name;
		uint64_t at;
		size_t len;
		bool ok;
	} cases[] = {
		{"first byte", 0, 1, true},
		{"whole region", 0, LOW, true},
		{"nothing at the start", 0, 0, true},
		{"one too many", 0, LOW + 1, false},
		{"last byte", LOW - 1, 1, true},
		{"across two regions", LOW - 1, 2, false},
		{"second region", LOW, 0x1000, true},
		{"hole", LOW + 0x1000, 1, false},
		{"nothing in the hole", LOW + 0x1000, 0, false},
		{"before high", HIGH - 1, 1, false},
		{"high", HIGH, 0x2000, true},
		{"past high", HIGH + 0x1fff, 2, false},
		{"end wraps", HIGH + 0x1000, SIZE_MAX - 0xfff, false},
		{"start at the top", UINT64_MAX, 1, false},
		{"all of the address space", 0, SIZE_MAX, false},
	};
	struct gmem *mem = *state;
	static uint8_t buf[LOW + 0x2000];

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct gpa at = GPA(cases[i].at);
		size_t len = cases[i].len;

		print_message("%s\n", cases[i].name);
		assert_int_equal(gmem_span(mem, at, len) != NULL, cases[i].ok);
		/* A length that is refused is never used; the others fit into buf. */
		assert_int_equal(gmem_read(mem, at, buf, len), cases[i].ok);
		assert_int_equal(gmem_write(mem, at, buf, len), cases[i].ok);
	}
}

static void test_bytes_come_back(void **state)
{
	struct gmem *mem = *state;
	uint32_t out = 0x55555555;

	assert_true(gmem_read(mem, GPA(HIGH + 4), &out, sizeof(out)));
	assert_int_equal(out, 0); /* fresh memory */
	assert_true(gmem_write(mem, GPA(HIGH + 4), "abcd", 4));
	assert_true(gmem_read(mem, GPA(HIGH + 4), &out, sizeof(out)));
	assert_memory_equal(&out, "abcd", 4);
	assert_true(gmem_write(mem, GPA(HIGH + 5), "\0", 2));
	assert_true(gmem_read(mem, GPA(HIGH + 4), &out, sizeof(out)));
	assert_memory_equal(&out, "a\0\0d", 4);
	assert_false(gmem_read(mem, GPA(LOW + 0x1000), &out, sizeof(out)));
	assert_memory_equal(&out, "a\0\0d", 4); /* untouched */
}

static void test_regions(void **state)
{
	struct gmem *mem = *state;
	void *host;
	struct gmem_range r;

	assert_int_equal(gmem_region_count(mem), 3);
	r = gmem_region(mem, 2, &host);
	assert_int_equal(r.at.v, HIGH);
	assert_int_equal(r.len_bytes, 0x2000);
	assert_ptr_equal(host, gmem_span(mem, GPA(HIGH), 1));
	/* What KVM needs to map huge pages: both sides aligned alike. */
	assert_int_equal((uintptr_t)host % 0x200000, HIGH % 0x200000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_bounds, make, drop),
		cmocka_unit_test_setup_teardown(test_bytes_come_back, make, drop),
		cmocka_unit_test_setup_teardown(test_regions, make, drop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
