/* The core: negotiation in and out of order, kicks, budgets, broken drivers, resets, configuration space. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <linux/virtio_config.h>
#include <string.h>

#include "tests/unit/fake_driver.h"
#include "vmm/virtio/virtio.h"

#define ACK         VIRTIO_CONFIG_S_ACKNOWLEDGE
#define DRIVER      VIRTIO_CONFIG_S_DRIVER
#define FEATURES_OK VIRTIO_CONFIG_S_FEATURES_OK
#define DRIVER_OK   VIRTIO_CONFIG_S_DRIVER_OK
#define NEEDS_RESET VIRTIO_CONFIG_S_NEEDS_RESET
#define FAILED      VIRTIO_CONFIG_S_FAILED
#define READY       (ACK | DRIVER | FEATURES_OK)
#define OWN_FEATURE (1ULL << 3)
#define QUEUE_SIZE  256
#define BUF         (FAKE_RAM_AT + (1ULL << 20))

/* A device that answers everything at once and counts what is asked of it. */
struct echo {
	struct virtio_dev *dev;
	unsigned starts, resets, kicks, chains, destroys;
	unsigned *destroyed;
	uint64_t features;
	uint8_t config[8];
	struct vq_chain chain;
};

static void echo_config_read(void *self, uint32_t off, void *out, uint32_t len)
{
	struct echo *e = self;

	assert_true(off + len <= sizeof(e->config));
	memcpy(out, e->config + off, len);
}

static void echo_config_write(void *self, uint32_t off, const void *in, uint32_t len)
{
	struct echo *e = self;

	assert_true(off + len <= sizeof(e->config));
	memcpy(e->config + off, in, len);
}

static void echo_start(void *self, uint64_t features)
{
	struct echo *e = self;

	e->starts++;
	e->features = features;
}

static void echo_kick(void *self, uint16_t queue)
{
	struct echo *e = self;
	struct vq *q = virtio_queue(e->dev, queue);

	e->kicks++;
	while (vq_pop(q, &e->chain)) {
		e->chains++;
		vq_push(&e->chain);
	}
	virtio_interrupt(e->dev, q);
}

static void echo_reset(void *self)
{
	struct echo *e = self;

	e->resets++;
}

static void echo_destroy(void *self)
{
	struct echo *e = self;

	(*e->destroyed)++;
}

static const struct virtio_ops echo_ops = {
	.name = "echo",
	.id = 42,
	.config_read = echo_config_read,
	.config_write = echo_config_write,
	.start = echo_start,
	.kick = echo_kick,
	.reset = echo_reset,
	.destroy = echo_destroy,
};

struct fixture {
	struct fake_driver d;
	struct echo e;
	unsigned destroyed;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct virtio_dev_params params = {
		.ops = &echo_ops,
		.self = &f->e,
		.features = OWN_FEATURE,
		.nqueues = 2,
		.queue_size = QUEUE_SIZE,
		.config_len = sizeof(f->e.config),
	};

	fake_init(&f->d);
	params.mem = f->d.mem;
	params.loop = f->d.loop;
	f->e.destroyed = &f->destroyed;
	memcpy(f->e.config, "01234567", 8);
	assert_int_equal(virtio_dev_create(&params, &f->e.dev, NULL), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	virtio_dev_destroy(f->e.dev);
	assert_int_equal(f->destroyed, 1);
	fake_done(&f->d);
	free(f);
	return 0;
}

/* --- negotiation -------------------------------------------------------------------------------------------------- */

static void test_status(void **state)
{
	static const struct {
		const char *name;
		uint64_t features;
		uint32_t writes[6]; /* up to a 0 */
		uint32_t status;
		unsigned starts;
	} cases[] = {
		{"in order",
		 VIRTIO_F_VERSION_1_BIT,
		 {ACK, ACK | DRIVER, READY, READY | DRIVER_OK},
		 READY | DRIVER_OK,
		 1},
		{"all at once", VIRTIO_F_VERSION_1_BIT, {READY | DRIVER_OK}, READY | DRIVER_OK, 1},
		{"DRIVER_OK twice starts once",
		 VIRTIO_F_VERSION_1_BIT,
		 {READY | DRIVER_OK, READY | DRIVER_OK},
		 READY | DRIVER_OK,
		 1},
		{"DRIVER without ACKNOWLEDGE", VIRTIO_F_VERSION_1_BIT, {DRIVER}, 0, 0},
		{"FEATURES_OK without DRIVER", VIRTIO_F_VERSION_1_BIT, {ACK | FEATURES_OK}, ACK, 0},
		{"DRIVER_OK without FEATURES_OK",
		 VIRTIO_F_VERSION_1_BIT,
		 {ACK | DRIVER | DRIVER_OK},
		 ACK | DRIVER,
		 0},
		{"no VERSION_1", OWN_FEATURE, {READY}, ACK | DRIVER, 0},
		{"a feature not offered",
		 VIRTIO_F_VERSION_1_BIT | 1ULL << 5,
		 {READY},
		 ACK | DRIVER,
		 0},
		{"a high feature not offered",
		 VIRTIO_F_VERSION_1_BIT | 1ULL << 63,
		 {READY},
		 ACK | DRIVER,
		 0},
		{"bits taken back",
		 VIRTIO_F_VERSION_1_BIT,
		 {READY | DRIVER_OK, ACK},
		 READY | DRIVER_OK,
		 1},
		{"no start after FAILED",
		 VIRTIO_F_VERSION_1_BIT,
		 {READY | FAILED, READY | FAILED | DRIVER_OK},
		 READY | FAILED,
		 0},
		{"NEEDS_RESET and unknown bits are not the driver's",
		 VIRTIO_F_VERSION_1_BIT,
		 {ACK | NEEDS_RESET | 0xffffff00U},
		 ACK,
		 0},
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		print_message("  %s\n", cases[i].name);
		f->e.starts = 0;
		virtio_set_status(f->e.dev, 0);
		virtio_features_accept(f->e.dev, 0, (uint32_t)cases[i].features);
		virtio_features_accept(f->e.dev, 1, (uint32_t)(cases[i].features >> 32));
		for (size_t w = 0; cases[i].writes[w]; w++)
			virtio_set_status(f->e.dev, cases[i].writes[w]);
		assert_int_equal(virtio_status(f->e.dev), cases[i].status);
		assert_int_equal(f->e.starts, cases[i].starts);
	}
}

static void test_features(void **state)
{
	struct fixture *f = *state;

	assert_true(virtio_features_offered(f->e.dev) ==
		    (OWN_FEATURE | VIRTIO_F_INDIRECT_DESC_BIT | VIRTIO_F_EVENT_IDX_BIT |
		     VIRTIO_F_VERSION_1_BIT));
	fake_probe(&f->d, f->e.dev, OWN_FEATURE);
	assert_true(f->e.features == (OWN_FEATURE | VIRTIO_F_VERSION_1_BIT));
}

static void test_features_late(void **state)
{
	struct fixture *f = *state;

	virtio_features_accept(f->e.dev, 1, 1);
	/* There are two words; a third is not the first again. */
	virtio_features_accept(f->e.dev, 2, 1);
	virtio_features_accept(f->e.dev, UINT32_MAX, 1);
	virtio_set_status(f->e.dev, READY);
	assert_int_equal(virtio_status(f->e.dev), READY);
	virtio_features_accept(f->e.dev, 0, OWN_FEATURE);
	virtio_set_status(f->e.dev, READY | DRIVER_OK);
	assert_true(f->e.features == VIRTIO_F_VERSION_1_BIT);
}

/* --- queues ------------------------------------------------------------------------------------------------------- */

static void set_address(struct virtio_dev *dev, enum virtio_queue_reg reg, uint64_t at)
{
	virtio_queue_set(dev, 0, reg, false, (uint32_t)at);
	virtio_queue_set(dev, 0, reg, true, (uint32_t)(at >> 32));
}

/* Sets queue 0 up and says whether it took. */
static bool queue_up(struct virtio_dev *dev, uint32_t size, uint64_t desc)
{
	virtio_queue_set(dev, 0, VIRTIO_Q_SIZE, false, size);
	set_address(dev, VIRTIO_Q_DESC, desc);
	set_address(dev, VIRTIO_Q_AVAIL, BUF + 8192);
	set_address(dev, VIRTIO_Q_USED, BUF + 16384);
	virtio_queue_set(dev, 0, VIRTIO_Q_READY, false, 1);
	return virtio_queue_get(dev, 0, VIRTIO_Q_READY);
}

static void negotiate(struct virtio_dev *dev)
{
	virtio_set_status(dev, 0);
	virtio_features_accept(dev, 1, 1);
	virtio_set_status(dev, READY);
	assert_int_equal(virtio_status(dev), READY);
}

static void test_queue_registers(void **state)
{
	static const struct {
		const char *name;
		uint32_t size;
		uint64_t desc;
		bool ready;
	} cases[] = {
		{"good", QUEUE_SIZE, BUF, true},
		{"smaller", 4, BUF, true},
		{"size past 16 bits", 0x10000 + 4, BUF, false},
		{"too big", QUEUE_SIZE * 2, BUF, false},
		{"address past 32 bits", 4, BUF + (1ULL << 32), false},
	};
	struct virtio_dev *dev = ((struct fixture *)*state)->e.dev;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		print_message("  %s\n", cases[i].name);
		negotiate(dev);
		assert_int_equal(queue_up(dev, cases[i].size, cases[i].desc), cases[i].ready);
		assert_int_equal(!(virtio_status(dev) & NEEDS_RESET), cases[i].ready);
	}
}

static void test_queue_order(void **state)
{
	struct virtio_dev *dev = ((struct fixture *)*state)->e.dev;

	/* Before FEATURES_OK it is not known how the rings look. */
	assert_false(queue_up(dev, 4, BUF));
	negotiate(dev);
	assert_true(queue_up(dev, 4, BUF));
	virtio_queue_set(dev, 0, VIRTIO_Q_SIZE, false, 8);
	assert_int_equal(virtio_queue_get(dev, 0, VIRTIO_Q_SIZE), 4);
	virtio_set_status(dev, READY | DRIVER_OK);
	/* A stopped queue stays stopped: its device may still hold chains of it. */
	virtio_queue_set(dev, 0, VIRTIO_Q_READY, false, 0);
	assert_int_equal(virtio_queue_get(dev, 0, VIRTIO_Q_READY), 0);
	assert_false(queue_up(dev, 8, BUF));
	assert_int_equal(virtio_queue_get(dev, 0, VIRTIO_Q_SIZE), 4);
	virtio_set_status(dev, 0);
	assert_int_equal(virtio_queue_get(dev, 0, VIRTIO_Q_SIZE), QUEUE_SIZE);
}

static void test_queue_none(void **state)
{
	struct fixture *f = *state;
	struct virtio_dev *dev = f->e.dev;

	assert_int_equal(virtio_queue_size_max(dev, 1), QUEUE_SIZE);
	assert_int_equal(virtio_queue_size_max(dev, 2), 0);
	assert_int_equal(virtio_queue_size_max(dev, UINT32_MAX), 0);
	assert_int_equal(virtio_queue_get(dev, 2, VIRTIO_Q_READY), 0);
	virtio_queue_set(dev, 2, VIRTIO_Q_READY, false, 1);
	virtio_notify(dev, 2);
	virtio_notify(dev, UINT32_MAX);
}

/* --- kicks -------------------------------------------------------------------------------------------------------- */

static void add(struct fake_driver *d, uint16_t queue, int n)
{
	struct fake_seg seg = {.at = GPA(BUF), .len = 16, .writable = true};

	for (int i = 0; i < n; i++)
		fake_add(d, queue, &seg, 1);
}

static void test_kick(void **state)
{
	struct fixture *f = *state;
	uint16_t head;
	uint32_t len;

	fake_probe(&f->d, f->e.dev, UINT64_MAX);
	fake_run(&f->d, 0);
	add(&f->d, 1, 2);
	fake_kick(&f->d, 0);
	assert_int_equal(f->e.chains, 0);
	fake_kick(&f->d, 1);
	assert_int_equal(f->e.chains, 2);
	assert_int_equal(f->d.used_interrupts, 1);
	assert_true(fake_used(&f->d, 1, &head, &len));
	/* Not before DRIVER_OK, and not on a queue that is stopped. */
	virtio_queue_set(f->e.dev, 1, VIRTIO_Q_READY, false, 0);
	f->e.kicks = 0;
	fake_kick(&f->d, 1);
	virtio_set_status(f->e.dev, 0);
	fake_kick(&f->d, 1);
	assert_int_equal(f->e.kicks, 0);
}

/* virtio 1.2, 3.1.1, step 7: queues may be filled before DRIVER_OK. */
static void test_filled_before_start(void **state)
{
	struct fixture *f = *state;

	fake_probe(&f->d, f->e.dev, UINT64_MAX);
	add(&f->d, 0, 1);
	fake_run(&f->d, 0);
	assert_int_equal(f->e.chains, 1);
}

/* A long queue is worked off in portions, other descriptors of the loop between them. */
static void test_budget(void **state)
{
	struct fixture *f = *state;
	int rc;

	fake_probe(&f->d, f->e.dev, UINT64_MAX);
	fake_run(&f->d, 0);
	f->e.kicks = 0;
	add(&f->d, 0, QUEUE_SIZE - 1);
	virtio_notify(f->e.dev, 0);
	rc = loop_step(f->d.loop, 0, NULL);
	assert_int_equal(rc, 0);
	assert_int_equal(f->e.kicks, 1);
	assert_in_range(f->e.chains, 1, QUEUE_SIZE - 2);
	fake_run(&f->d, 0);
	assert_int_equal(f->e.chains, QUEUE_SIZE - 1);
	assert_in_range(f->e.kicks, 2, 8);
}

static void test_broken_driver(void **state)
{
	struct fixture *f = *state;

	fake_probe(&f->d, f->e.dev, UINT64_MAX);
	fake_run(&f->d, 0);
	fake_avail(&f->d, 0, QUEUE_SIZE);
	fake_kick(&f->d, 0);
	assert_int_equal(virtio_status(f->e.dev), READY | DRIVER_OK | NEEDS_RESET);
	assert_int_equal(f->d.config_interrupts, 1);
	assert_int_equal(f->d.used_interrupts, 0);
	/* It does nothing until it is reset, also on its other queue, and cannot be started. */
	f->e.kicks = f->e.starts = 0;
	add(&f->d, 1, 1);
	fake_kick(&f->d, 1);
	virtio_set_status(f->e.dev, READY | DRIVER_OK);
	assert_int_equal(f->e.kicks + f->e.starts, 0);
	virtio_break(f->e.dev, "once more");
	assert_int_equal(f->d.config_interrupts, 1);
	f->d.alloc_next = FAKE_RAM_AT;
	fake_probe(&f->d, f->e.dev, UINT64_MAX);
	assert_int_equal(virtio_status(f->e.dev), READY | DRIVER_OK);
	assert_int_equal(f->e.starts, 1);
}

static void test_broken_before_start(void **state)
{
	struct fixture *f = *state;

	fake_probe(&f->d, f->e.dev, UINT64_MAX);
	f->e.starts = 0;
	negotiate(f->e.dev);
	assert_false(queue_up(f->e.dev, 3, BUF));
	assert_int_equal(f->d.config_interrupts, 0);
	virtio_set_status(f->e.dev, READY | DRIVER_OK);
	assert_int_equal(virtio_status(f->e.dev), READY | NEEDS_RESET);
	assert_int_equal(f->e.starts, 0);
}

static void test_reset(void **state)
{
	struct fixture *f = *state;

	fake_probe(&f->d, f->e.dev, UINT64_MAX);
	f->e.resets = 0;
	virtio_set_status(f->e.dev, 0);
	assert_int_equal(f->e.resets, 1);
	assert_int_equal(virtio_status(f->e.dev), 0);
	assert_int_equal(virtio_queue_get(f->e.dev, 0, VIRTIO_Q_READY), 0);
	assert_int_equal(virtio_queue(f->e.dev, 0)->desc.v, 0);
	/* The features of before are forgotten with it. */
	virtio_set_status(f->e.dev, READY);
	assert_int_equal(virtio_status(f->e.dev), ACK | DRIVER);
}

/* --- configuration ------------------------------------------------------------------------------------------------ */

static void test_config_bounds(void **state)
{
	static const struct {
		uint64_t off;
		uint32_t len;
		const char *want; /* zeros when outside */
	} cases[] = {
		{0, 1, "0"},         {4, 4, "4567"},      {7, 1, "7"},
		{0, 8, "01234567"},  {8, 1, ""},          {5, 4, ""},
		{UINT64_MAX, 4, ""}, {1ULL << 32, 4, ""}, {UINT32_MAX - 1, 4, ""},
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char got[9] = "xxxxxxxx", want[9] = "";

		memcpy(want, cases[i].want, strlen(cases[i].want));
		virtio_config_read(f->e.dev, cases[i].off, got, cases[i].len);
		assert_memory_equal(got, want, cases[i].len);
		virtio_config_write(f->e.dev, cases[i].off, "........", cases[i].len);
		if (!want[0])
			assert_memory_equal(f->e.config, "01234567", 8);
		memcpy(f->e.config, "01234567", 8);
	}
}

static void test_config_changed(void **state)
{
	struct fixture *f = *state;
	uint32_t before = virtio_config_generation(f->e.dev);

	virtio_config_changed(f->e.dev);
	assert_int_equal(virtio_config_generation(f->e.dev), before + 1);
	fake_probe(&f->d, f->e.dev, UINT64_MAX);
	assert_int_equal(f->d.config_interrupts, 0);
	virtio_config_changed(f->e.dev);
	assert_int_equal(f->d.config_interrupts, 1);
	/* No driver, nobody to tell. */
	virtio_set_status(f->e.dev, 0);
	virtio_config_changed(f->e.dev);
	assert_int_equal(f->d.config_interrupts, 1);
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_status),
		CASE(test_features),
		CASE(test_features_late),
		CASE(test_queue_registers),
		CASE(test_queue_order),
		CASE(test_queue_none),
		CASE(test_kick),
		CASE(test_filled_before_start),
		CASE(test_budget),
		CASE(test_broken_driver),
		CASE(test_broken_before_start),
		CASE(test_reset),
		CASE(test_config_bounds),
		CASE(test_config_changed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
