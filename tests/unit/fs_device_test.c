/* The virtio-fs device around the server: how many requests it serves before its loop may look at something else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <stdlib.h>

#include "base/own.h"
#include "tests/unit/fake_driver.h"
#include "vmm/dev/dev.h"

#define REQUESTS_QUEUE 1

static void add_request(struct fake_driver *d)
{
	/* Before INIT, an operation that there is not. */
	const struct fuse_in_header in = {.len = sizeof(in), .opcode = 4095, .unique = 7};
	const struct fake_seg segs[] = {
		{.at = fake_put(d, &in, sizeof(in)), .len = sizeof(in)},
		{.at = fake_alloc(d, sizeof(struct fuse_out_header)),
		 .len = sizeof(struct fuse_out_header),
		 .writable = true},
	};

	(void)fake_add(d, REQUESTS_QUEUE, segs, ARRAY_SIZE(segs));
}

static size_t count_answers(struct fake_driver *d)
{
	size_t n = 0;
	uint16_t head;
	uint32_t len;

	for (; fake_used(d, REQUESTS_QUEUE, &head, &len); n++)
		assert_int_equal(len, sizeof(struct fuse_out_header));
	return n;
}

static void test_turns(void **state)
{
	struct dev_fs_params params = {
		.tag = "t", .root_fd = open("/", O_PATH | O_CLOEXEC), .proc_fd = -1};
	struct virtio_dev *dev = NULL;
	struct fake_driver d;
	size_t answers = 0;

	(void)state;
	fake_init(&d);
	assert_int_equal(dev_fs_create(&params, d.mem, d.loop, &dev, NULL), 0);
	fake_probe(&d, dev, UINT64_MAX);
	for (int i = 0; i < 20; i++)
		add_request(&d);
	virtio_notify(dev, REQUESTS_QUEUE);
	for (int turn = 0; turn < 3; turn++) {
		size_t n;

		assert_int_equal(loop_step(d.loop, 0, NULL), 0);
		n = count_answers(&d);
		assert_in_range(n, 1, 8);
		answers += n;
	}
	assert_int_equal(answers, 20);
	/* As many as a turn has: nobody is left waiting after it. */
	for (int i = 0; i < 8; i++)
		add_request(&d);
	fake_kick(&d, REQUESTS_QUEUE);
	assert_int_equal(count_answers(&d), 8);
	add_request(&d);
	fake_kick(&d, REQUESTS_QUEUE);
	assert_int_equal(count_answers(&d), 1);
	virtio_dev_destroy(dev);
	fake_done(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_turns)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
