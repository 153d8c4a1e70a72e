/* Entropy: what is asked for arrives, in any framing; what cannot be answered breaks the device and nothing else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <linux/virtio_config.h>
#include <string.h>

#include "tests/unit/fake_driver.h"
#include "vmm/dev/dev.h"

struct fixture {
	struct fake_driver d;
	struct virtio_dev *dev;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	fake_init(&f->d);
	assert_int_equal(dev_rng_create(f->d.mem, f->d.loop, &f->dev, NULL), 0);
	fake_probe(&f->d, f->dev, UINT64_MAX);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	virtio_dev_destroy(f->dev);
	fake_done(&f->d);
	free(f);
	return 0;
}

static void test_lengths(void **state)
{
	static const struct {
		uint32_t first, second; /* bytes of two descriptors */
		uint32_t used;
	} cases[] = {
		{1, 0, 1},
		{64, 0, 64},
		{100, 300, 400},
		{4096, 0, 4096},
		{1U << 20, 1U << 20, 4096},
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct fake_seg segs[2] = {
			{.at = fake_alloc(&f->d, cases[i].first),
			 .len = cases[i].first,
			 .writable = true},
			{.at = fake_alloc(&f->d, cases[i].second),
			 .len = cases[i].second,
			 .writable = true},
		};
		uint16_t head;
		uint32_t len = 0;

		fake_add(&f->d, 0, segs, cases[i].second ? 2 : 1);
		fake_kick(&f->d, 0);
		assert_true(fake_used(&f->d, 0, &head, &len));
		assert_int_equal(len, cases[i].used);
		assert_int_equal(f->d.used_interrupts, i + 1);
	}
}

static void test_bytes_differ(void **state)
{
	static const uint8_t zeros[32];
	struct fixture *f = *state;
	struct gpa at = fake_alloc(&f->d, 64);
	uint8_t got[64];

	fake_add(&f->d, 0, &(struct fake_seg){.at = at, .len = 64, .writable = true}, 1);
	fake_kick(&f->d, 0);
	fake_get(&f->d, at, got, sizeof(got));
	assert_memory_not_equal(got, zeros, 32);
	assert_memory_not_equal(got, got + 32, 32);
}

static void test_readable_only(void **state)
{
	struct fixture *f = *state;
	uint16_t head;
	uint32_t len;

	fake_add(&f->d, 0, &(struct fake_seg){.at = fake_alloc(&f->d, 64), .len = 64}, 1);
	fake_kick(&f->d, 0);
	assert_true(virtio_status(f->dev) & VIRTIO_CONFIG_S_NEEDS_RESET);
	assert_false(fake_used(&f->d, 0, &head, &len));
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_lengths),
		CASE(test_bytes_differ),
		CASE(test_readable_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
