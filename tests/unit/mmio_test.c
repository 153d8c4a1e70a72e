/* The register window as a guest kernel uses it, and as it must not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_mmio.h>
#include <string.h>
#include <sys/eventfd.h>

#include "base/own.h"
#include "tests/unit/fake_driver.h"
#include "vmm/dev/dev.h"
#include "vmm/virtio/mmio.h"

#define READY (VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER | VIRTIO_CONFIG_S_FEATURES_OK)

#define ANSWER_MS 10000 /* a flush goes to the disk */

struct fixture {
	struct fake_driver d;
	struct virtio_dev *dev;
	struct virtio_mmio *m;
	int irq_fd;
	int disk_fd;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct dev_blk_params params = {.serial = "mmio"};
	char path[] = "/tmp/nacre-mmio-test-XXXXXX";

	fake_init(&f->d);
	params.fd = mkstemp(path);
	assert_true(params.fd >= 0 && unlink(path) == 0 && ftruncate(params.fd, 1 << 20) == 0);
	assert_int_equal(dev_blk_create(&params, f->d.mem, f->d.loop, &f->dev, NULL), 0);
	f->irq_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	assert_int_equal(virtio_mmio_create(f->dev, f->irq_fd, &f->m, NULL), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	virtio_mmio_destroy(f->m);
	virtio_dev_destroy(f->dev);
	close(f->irq_fd);
	fake_done(&f->d);
	free(f);
	return 0;
}

static uint32_t rd(struct fixture *f, uint64_t off)
{
	return (uint32_t)virtio_mmio_read(f->m, off, 4);
}

static void wr(struct fixture *f, uint64_t off, uint32_t value)
{
	virtio_mmio_write(f->m, off, 4, value);
}

static void test_reads(void **state)
{
	static const struct {
		const char *name;
		uint64_t off;
		uint32_t len;
		uint64_t value;
	} cases[] = {
		{"magic", VIRTIO_MMIO_MAGIC_VALUE, 4, 0x74726976},
		{"version", VIRTIO_MMIO_VERSION, 4, 2},
		{"device", VIRTIO_MMIO_DEVICE_ID, 4, VIRTIO_ID_BLOCK},
		{"vendor", VIRTIO_MMIO_VENDOR_ID, 4, 0x5243414e},
		{"queue size", VIRTIO_MMIO_QUEUE_NUM_MAX, 4, 256},
		{"queue not ready", VIRTIO_MMIO_QUEUE_READY, 4, 0},
		{"status", VIRTIO_MMIO_STATUS, 4, 0},
		{"no shared memory: length low", VIRTIO_MMIO_SHM_LEN_LOW, 4, UINT32_MAX},
		{"no shared memory: length high", VIRTIO_MMIO_SHM_LEN_HIGH, 4, UINT32_MAX},
		{"no shared memory: base low", VIRTIO_MMIO_SHM_BASE_LOW, 4, UINT32_MAX},
		{"no shared memory: base high", VIRTIO_MMIO_SHM_BASE_HIGH, 4, UINT32_MAX},
		{"write-only register", VIRTIO_MMIO_QUEUE_NUM, 4, 0},
		{"legacy register", VIRTIO_MMIO_QUEUE_PFN, 4, 0},
		{"no register", 0xf8, 4, 0},
		{"register by byte", VIRTIO_MMIO_MAGIC_VALUE, 1, 0},
		{"register by two bytes", VIRTIO_MMIO_MAGIC_VALUE, 2, 0},
		{"register by eight bytes", VIRTIO_MMIO_MAGIC_VALUE, 8, 0},
		{"register not aligned", VIRTIO_MMIO_MAGIC_VALUE + 2, 4, 0},
		{"capacity", VIRTIO_MMIO_CONFIG, 8, 2048},
		{"capacity low", VIRTIO_MMIO_CONFIG, 4, 2048},
		{"capacity by byte", VIRTIO_MMIO_CONFIG + 1, 1, 8},
		{"capacity by two bytes, not aligned", VIRTIO_MMIO_CONFIG + 1, 2, 8},
		{"configuration of a wrong width", VIRTIO_MMIO_CONFIG, 3, 0},
		{"configuration past its end", VIRTIO_MMIO_CONFIG + 0xf0, 4, 0},
		{"past a small window", 0x200, 4, 0},
		{"far away", UINT64_MAX - 3, 4, 0},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct fixture *f = *state;

		print_message("  %s\n", cases[i].name);
		assert_true(virtio_mmio_read(f->m, cases[i].off, cases[i].len) == cases[i].value);
	}
}

static void test_features(void **state)
{
	struct fixture *f = *state;

	wr(f, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 1);
	assert_int_equal(rd(f, VIRTIO_MMIO_DEVICE_FEATURES), 1); /* VERSION_1 */
	wr(f, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 0);
	assert_int_equal(rd(f, VIRTIO_MMIO_DEVICE_FEATURES),
			 (uint32_t)virtio_features_offered(f->dev));
	wr(f, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 2);
	assert_int_equal(rd(f, VIRTIO_MMIO_DEVICE_FEATURES), 0);
	wr(f, VIRTIO_MMIO_DEVICE_FEATURES_SEL, UINT32_MAX);
	assert_int_equal(rd(f, VIRTIO_MMIO_DEVICE_FEATURES), 0);
}

static void wr64(struct fixture *f, uint64_t off, struct gpa at)
{
	wr(f, off, (uint32_t)at.v);
	wr(f, off + 4, (uint32_t)(at.v >> 32));
}

/* virtio 1.2, 3.1.1 and 4.2.3.2, register by register. */
static void probe(struct fixture *f)
{
	struct fake_queue *ring = &f->d.queues[0];

	f->d.dev = f->dev;
	wr(f, VIRTIO_MMIO_STATUS, 0);
	wr(f, VIRTIO_MMIO_STATUS, VIRTIO_CONFIG_S_ACKNOWLEDGE);
	wr(f, VIRTIO_MMIO_STATUS, VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER);
	wr(f, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
	wr(f, VIRTIO_MMIO_DRIVER_FEATURES, 1);
	wr(f, VIRTIO_MMIO_STATUS, READY);
	assert_int_equal(rd(f, VIRTIO_MMIO_STATUS), READY);
	wr(f, VIRTIO_MMIO_QUEUE_SEL, 0);
	fake_ring_init(&f->d, 0, 16, false);
	wr(f, VIRTIO_MMIO_QUEUE_NUM, 16);
	wr64(f, VIRTIO_MMIO_QUEUE_DESC_LOW, ring->desc);
	wr64(f, VIRTIO_MMIO_QUEUE_AVAIL_LOW, ring->avail);
	wr64(f, VIRTIO_MMIO_QUEUE_USED_LOW, ring->used);
	wr(f, VIRTIO_MMIO_QUEUE_READY, 1);
	assert_int_equal(rd(f, VIRTIO_MMIO_QUEUE_READY), 1);
	wr(f, VIRTIO_MMIO_STATUS, READY | VIRTIO_CONFIG_S_DRIVER_OK);
	assert_int_equal(rd(f, VIRTIO_MMIO_STATUS), READY | VIRTIO_CONFIG_S_DRIVER_OK);
}

static uint64_t irq_count(struct fixture *f)
{
	uint64_t n = 0;

	return read(f->irq_fd, &n, sizeof(n)) < 0 ? 0 : n;
}

static void test_request(void **state)
{
	struct fixture *f = *state;
	static const uint8_t flush[16] = {4};
	struct fake_seg segs[2];
	uint16_t head;
	uint32_t len;

	probe(f);
	segs[0] = (struct fake_seg){.at = fake_put(&f->d, flush, 16), .len = 16};
	segs[1] = (struct fake_seg){.at = fake_alloc(&f->d, 1), .len = 1, .writable = true};
	fake_add(&f->d, 0, segs, 2);
	wr(f, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
	assert_true(fake_used_wait(&f->d, 0, &head, &len, ANSWER_MS));
	assert_int_equal(len, 1);
	assert_int_equal(irq_count(f), 1);
	assert_int_equal(rd(f, VIRTIO_MMIO_INTERRUPT_STATUS), 1);
	wr(f, VIRTIO_MMIO_INTERRUPT_ACK, 2);
	assert_int_equal(rd(f, VIRTIO_MMIO_INTERRUPT_STATUS), 1);
	wr(f, VIRTIO_MMIO_INTERRUPT_ACK, 1);
	assert_int_equal(rd(f, VIRTIO_MMIO_INTERRUPT_STATUS), 0);
}

static void test_config_interrupt(void **state)
{
	struct fixture *f = *state;
	uint32_t generation = rd(f, VIRTIO_MMIO_CONFIG_GENERATION);

	probe(f);
	virtio_lock(f->dev);
	virtio_config_changed(f->dev);
	virtio_unlock(f->dev);
	assert_int_equal(irq_count(f), 1);
	assert_int_equal(rd(f, VIRTIO_MMIO_INTERRUPT_STATUS), 2);
	assert_int_equal(rd(f, VIRTIO_MMIO_CONFIG_GENERATION), generation + 1);
	/* virtio 1.2, 4.2.2.1: a reset clears what is pending. */
	wr(f, VIRTIO_MMIO_STATUS, 0);
	assert_int_equal(rd(f, VIRTIO_MMIO_INTERRUPT_STATUS), 0);
	assert_int_equal(rd(f, VIRTIO_MMIO_QUEUE_READY), 0);
}

static void test_writes_of_wrong_width(void **state)
{
	static const struct {
		uint64_t off;
		uint32_t len;
	} cases[] = {
		{VIRTIO_MMIO_STATUS, 1},
		{VIRTIO_MMIO_STATUS, 2},
		{VIRTIO_MMIO_STATUS, 8},
		{VIRTIO_MMIO_STATUS + 1, 4},
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		virtio_mmio_write(f->m, cases[i].off, cases[i].len, VIRTIO_CONFIG_S_ACKNOWLEDGE);
		assert_int_equal(rd(f, VIRTIO_MMIO_STATUS), 0);
	}
}

static void test_no_such_queue(void **state)
{
	struct fixture *f = *state;

	probe(f);
	wr(f, VIRTIO_MMIO_QUEUE_SEL, 1);
	assert_int_equal(rd(f, VIRTIO_MMIO_QUEUE_NUM_MAX), 0);
	assert_int_equal(rd(f, VIRTIO_MMIO_QUEUE_READY), 0);
	wr(f, VIRTIO_MMIO_QUEUE_READY, 1);
	assert_int_equal(rd(f, VIRTIO_MMIO_QUEUE_READY), 0);
	wr(f, VIRTIO_MMIO_QUEUE_SEL, UINT32_MAX);
	assert_int_equal(rd(f, VIRTIO_MMIO_QUEUE_NUM_MAX), 0);
	wr(f, VIRTIO_MMIO_QUEUE_NOTIFY, UINT32_MAX);
	fake_run(&f->d, 0);
	assert_int_equal(rd(f, VIRTIO_MMIO_STATUS), READY | VIRTIO_CONFIG_S_DRIVER_OK);
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_reads),
		CASE(test_features),
		CASE(test_request),
		CASE(test_config_interrupt),
		CASE(test_writes_of_wrong_width),
		CASE(test_no_such_queue),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
