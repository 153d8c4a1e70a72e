/*
 * What happens to block requests under way, over an engine that does as it is told: what is merged, what a failure takes
 * with it, short transfers, memory the disk cannot reach, resets and removals in the middle.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/own.h"
#include "tests/unit/fake_driver.h"
#include "vmm/dev/blk.h"
#include "vmm/virtio/mmio.h"

#define SECTOR    512U
#define SECTORS   2048U
#define MAX_OPS   512
#define NO_ANSWER 0xeeU

struct script {
	struct block_engine engine;
	bool hold;             /* nothing is finished */
	bool no_memory;        /* nothing is taken */
	uint64_t most_bytes;   /* of one transfer; 0: all */
	uint64_t bad_at_bytes; /* a transfer over this byte fails; UINT64_MAX: none */
	unsigned fail_nth;     /* operation, from 1; 0: none */
	unsigned unsupported;  /* operations, 1 << each */
	struct block_io *waiting[MAX_OPS];
	size_t first, n;
	struct op {
		enum block_op op;
		uint64_t off_bytes, len_bytes;
		bool dsync;
	} ops[MAX_OPS];
};

struct fixture {
	struct fake_driver d;
	struct virtio_dev *dev;
	struct blk *blk;
	struct block_engine *real;
	struct script script;
	int fd;
};

static uint64_t io_bytes(const struct block_io *io)
{
	uint64_t len = 0;

	for (uint32_t i = 0; i < io->niov; i++)
		len += io->iov[i].iov_len;
	return len;
}

static void script_submit(struct block_engine *e, struct block_io *io)
{
	struct script *s = container_of(e, struct script, engine);
	bool transfer = io->op == BLOCK_READ || io->op == BLOCK_WRITE;

	assert_true(s->n < MAX_OPS);
	s->ops[s->n] = (struct op){.op = io->op,
				   .off_bytes = io->off_bytes,
				   .len_bytes = transfer ? io_bytes(io) : io->len_bytes,
				   .dsync = io->dsync};
	s->waiting[s->n++] = io;
}

static bool script_commit(struct block_engine *e)
{
	return !container_of(e, struct script, engine)->no_memory;
}

static int64_t script_result(const struct script *s, size_t i)
{
	const struct block_io *io = s->waiting[i];
	const struct op *op = &s->ops[i];
	struct iovec iov[VQ_MAX_SIZE];
	uint64_t left = s->most_bytes ? s->most_bytes : UINT64_MAX;
	int n = 0;

	if (i + 1 == s->fail_nth)
		return -EIO;
	if (s->unsupported & 1U << io->op)
		return -EOPNOTSUPP;
	if (io->op != BLOCK_READ && io->op != BLOCK_WRITE)
		return 0;
	if (s->bad_at_bytes >= op->off_bytes && s->bad_at_bytes - op->off_bytes < op->len_bytes)
		return -EIO;
	for (; (uint32_t)n < io->niov && left > 0; n++) {
		iov[n] = io->iov[n];
		iov[n].iov_len = iov[n].iov_len < left ? iov[n].iov_len : left;
		left -= iov[n].iov_len;
	}
	return io->op == BLOCK_READ ? preadv(io->fd, iov, n, (off_t)io->off_bytes)
				    : pwritev(io->fd, iov, n, (off_t)io->off_bytes);
}

static void script_reap(struct block_engine *e)
{
	struct script *s = container_of(e, struct script, engine);

	while (!s->hold && !s->no_memory && s->first < s->n) {
		size_t i = s->first++;

		s->waiting[i]->done(s->waiting[i], script_result(s, i));
	}
}

static const struct block_engine_ops script_ops = {
	.name = "script",
	.submit = script_submit,
	.commit = script_commit,
	.reap = script_reap,
};

static int disk_make(void)
{
	int fd = memfd_create("disk", MFD_CLOEXEC);

	assert_true(fd >= 0);
	for (uint32_t i = 0; i < SECTORS; i++) {
		uint8_t bytes[SECTOR];

		memset(bytes, (int)(i % 251) + 1, sizeof(bytes));
		assert_int_equal(pwrite(fd, bytes, SECTOR, (off_t)i * SECTOR), SECTOR);
	}
	return fd;
}

static void start(struct fixture *f, bool spare, uint64_t features)
{
	struct dev_blk_params params = {.fd = disk_make(), .aio = BLOCK_AIO_THREADS};
	struct dev_blk_params none = {.fd = -1, .aio = BLOCK_AIO_THREADS};

	*f = (struct fixture){.fd = params.fd};
	fake_init(&f->d);
	assert_int_equal(
		dev_blk_create(spare ? &none : &params, f->d.mem, f->d.loop, &f->dev, NULL), 0);
	if (spare)
		assert_int_equal(dev_blk_fill(f->dev, &params, NULL), 0);
	f->blk = virtio_self(f->dev);
	f->blk->reset_wait_ms = f->blk->empty_wait_ms = 0;
	f->script.engine =
		(struct block_engine){.ops = &script_ops, .event_fd = eventfd(0, EFD_CLOEXEC)};
	f->script.bad_at_bytes = UINT64_MAX;
	f->real = f->blk->engine;
	f->blk->engine = &f->script.engine;
	fake_probe(&f->d, f->dev, features);
}

static void stop(struct fixture *f)
{
	f->blk->engine = f->real;
	(void)close(f->script.engine.event_fd);
	virtio_dev_destroy(f->dev);
	fake_done(&f->d);
}

static void reap(struct fixture *f)
{
	virtio_lock(f->dev);
	(void)blk_io_reap(f->blk);
	virtio_unlock(f->dev);
	fake_run(&f->d, 0);
}

struct sent {
	uint16_t head;
	struct gpa data, status;
	uint32_t len;
};

/* `skew`: how far the data is from an aligned address. */
static struct sent send(struct fixture *f, uint32_t type, uint64_t sector, uint32_t len,
			unsigned skew)
{
	struct virtio_blk_outhdr hdr = {.type = type, .sector = sector};
	struct sent s = {.len = len};
	uint8_t none = NO_ANSWER;
	struct fake_seg segs[3];
	size_t n = 0;
	bool in = type == VIRTIO_BLK_T_IN;

	segs[n++] = (struct fake_seg){fake_put(&f->d, &hdr, sizeof(hdr)), sizeof(hdr), false};
	(void)fake_alloc(&f->d, (SECTOR - f->d.alloc_next % SECTOR) % SECTOR);
	s.data = fake_alloc(&f->d, len + skew);
	s.data.v += skew;
	if (len > 0)
		segs[n++] = (struct fake_seg){s.data, len, in};
	s.status = fake_put(&f->d, &none, 1);
	segs[n++] = (struct fake_seg){s.status, 1, true};
	s.head = fake_add_indirect(&f->d, 0, segs, n);
	return s;
}

static struct sent send_range(struct fixture *f, uint32_t type,
			      const struct virtio_blk_discard_write_zeroes *range)
{
	struct sent s = send(f, type, 0, sizeof(*range), 0);

	assert_true(gmem_write(f->d.mem, s.data, range, sizeof(*range)));
	return s;
}

static uint8_t status_of(struct fixture *f, const struct sent *s)
{
	uint8_t status;

	fake_get(&f->d, s->status, &status, 1);
	return status;
}

static unsigned count_used(struct fixture *f)
{
	unsigned n = 0;
	uint16_t head;
	uint32_t len;

	while (fake_used(&f->d, 0, &head, &len))
		n++;
	return n;
}

/* Each of those under way together counts its own time; what failed counts none. */
static void test_times(void **state)
{
	static const uint64_t held_ns = 2000000;
	uint64_t before_ns = clock_now_ns(), most_ns;
	struct dev_blk_stats stats;
	struct fixture f;

	(void)state;
	start(&f, false, UINT64_MAX);
	f.script.hold = true;
	f.script.fail_nth = 3;
	(void)send(&f, VIRTIO_BLK_T_IN, 0, SECTOR, 0);
	(void)send(&f, VIRTIO_BLK_T_IN, 8, SECTOR, 0);
	(void)send(&f, VIRTIO_BLK_T_OUT, 16, SECTOR, 0);
	fake_kick(&f.d, 0);
	(void)nanosleep(&(struct timespec){.tv_nsec = (long)held_ns}, NULL);
	f.script.hold = false;
	reap(&f);
	most_ns = clock_now_ns() - before_ns;
	dev_blk_stats(f.dev, &stats);
	assert_int_equal(stats.read.operations, 2);
	assert_in_range(stats.read.time_ns, 2 * held_ns, 2 * most_ns);
	assert_int_equal(stats.write.failed, 1);
	assert_int_equal(stats.write.time_ns, 0);
	stop(&f);
}

enum { R = VIRTIO_BLK_T_IN, W = VIRTIO_BLK_T_OUT, F = VIRTIO_BLK_T_FLUSH };

static void test_merge(void **state)
{
	static const struct {
		const char *name;
		struct {
			uint32_t type, sector, sectors;
		} requests[4];
		struct op ops[4];
		size_t nops;
	} cases[] = {
		{"neighbours", {{R, 8, 2}, {R, 10, 1}}, {{BLOCK_READ, 8 * 512, 3 * 512, false}}, 1},
		{"writes",
		 {{W, 0, 1}, {W, 1, 1}, {W, 2, 1}},
		 {{BLOCK_WRITE, 0, 3 * 512, false}},
		 1},
		{"a gap",
		 {{R, 8, 2}, {R, 11, 1}},
		 {{BLOCK_READ, 8 * 512, 2 * 512, false}, {BLOCK_READ, 11 * 512, 512, false}},
		 2},
		{"an overlap",
		 {{R, 8, 2}, {R, 9, 1}},
		 {{BLOCK_READ, 8 * 512, 2 * 512, false}, {BLOCK_READ, 9 * 512, 512, false}},
		 2},
		{"backwards",
		 {{R, 9, 1}, {R, 8, 1}},
		 {{BLOCK_READ, 9 * 512, 512, false}, {BLOCK_READ, 8 * 512, 512, false}},
		 2},
		{"both ways",
		 {{R, 8, 1}, {W, 9, 1}},
		 {{BLOCK_READ, 8 * 512, 512, false}, {BLOCK_WRITE, 9 * 512, 512, false}},
		 2},
		{"a flush between",
		 {{W, 8, 1}, {F, 0, 0}, {W, 9, 1}},
		 {{BLOCK_WRITE, 8 * 512, 512, false},
		  {BLOCK_FLUSH, 0, 0, false},
		  {BLOCK_WRITE, 9 * 512, 512, false}},
		 3},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct dev_blk_stats stats;
		struct sent sent[4];
		struct fixture f;
		size_t n = 0;

		print_message("  %s\n", cases[i].name);
		start(&f, false, UINT64_MAX);
		for (; n < 4 && (cases[i].requests[n].sectors || cases[i].requests[n].type); n++)
			sent[n] = send(&f, cases[i].requests[n].type, cases[i].requests[n].sector,
				       cases[i].requests[n].sectors * SECTOR, 0);
		fake_kick(&f.d, 0);
		assert_int_equal(f.script.n, cases[i].nops);
		assert_memory_equal(f.script.ops, cases[i].ops,
				    cases[i].nops * sizeof(cases[i].ops[0]));
		reap(&f);
		assert_int_equal(count_used(&f), n);
		for (size_t k = 0; k < n; k++)
			assert_int_equal(status_of(&f, &sent[k]), VIRTIO_BLK_S_OK);
		dev_blk_stats(f.dev, &stats);
		assert_int_equal(stats.read.merged + stats.write.merged, n - cases[i].nops);
		stop(&f);
	}
}

static void test_merge_bound(void **state)
{
	struct fixture f;

	(void)state;
	start(&f, false, UINT64_MAX);
	for (unsigned i = 0; i < BLK_MERGE_MAX + 1; i++)
		(void)send(&f, R, i, SECTOR, 0);
	fake_kick(&f.d, 0);
	assert_int_equal(f.script.n, 2);
	assert_int_equal(f.script.ops[0].len_bytes, BLK_MERGE_MAX * SECTOR);
	reap(&f);
	assert_int_equal(count_used(&f), BLK_MERGE_MAX + 1);
	stop(&f);
}

/* One bad sector fails the request that asks for it, not its neighbours. */
static void test_bad_sector(void **state)
{
	struct sent sent[4];
	struct fixture f;
	uint8_t got[SECTOR];

	(void)state;
	start(&f, false, UINT64_MAX);
	f.script.bad_at_bytes = 6 * SECTOR;
	for (unsigned i = 0; i < 4; i++)
		sent[i] = send(&f, R, 4 + i, SECTOR, 0);
	fake_kick(&f.d, 0);
	reap(&f);
	assert_int_equal(f.script.n, 5);
	assert_int_equal(count_used(&f), 4);
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(status_of(&f, &sent[i]),
				 i == 2 ? VIRTIO_BLK_S_IOERR : VIRTIO_BLK_S_OK);
		fake_get(&f.d, sent[i].data, got, sizeof(got));
		assert_int_equal(got[0], i == 2 ? 0 : 4 + i + 1);
	}
	stop(&f);
}

/* Whichever operation fails: each request is answered once, and everything is given back. */
static void test_nth_failure(void **state)
{
	static const uint32_t types[] = {
		R, R, W, W, F, VIRTIO_BLK_T_DISCARD, VIRTIO_BLK_T_WRITE_ZEROES, R};
	unsigned ops = 1;

	(void)state;
	for (unsigned nth = 1; nth <= ops + 1; nth++) {
		struct sent sent[ARRAY_SIZE(types)];
		struct fixture f;
		unsigned failed = 0;

		/* No FLUSH: a zeroed range is synced, one more operation. */
		start(&f, false, ~(1ULL << VIRTIO_BLK_F_FLUSH));
		f.script.fail_nth = nth;
		f.script.unsupported = 1U << BLOCK_ZERO;
		f.script.most_bytes = 1000;
		for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
			bool erase = types[i] == VIRTIO_BLK_T_DISCARD ||
				     types[i] == VIRTIO_BLK_T_WRITE_ZEROES;
			struct virtio_blk_discard_write_zeroes range = {.num_sectors = 1};

			sent[i] = erase ? send_range(&f, types[i], &range)
					: send(&f, types[i], i * 4, types[i] == F ? 0 : 4 * SECTOR,
					       0);
		}
		fake_kick(&f.d, 0);
		reap(&f);
		assert_int_equal(count_used(&f), ARRAY_SIZE(types));
		for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
			uint8_t status = status_of(&f, &sent[i]);

			assert_true(status == VIRTIO_BLK_S_OK || status == VIRTIO_BLK_S_IOERR);
			failed += status != VIRTIO_BLK_S_OK;
		}
		/* A merged transfer is tried again, and ZERO has its hole to fall back on. */
		assert_true(failed <= 1);
		assert_int_equal(f.blk->in_flight, 0);
		assert_int_equal(f.blk->nfree_long, f.blk->nused_long);
		ops = (unsigned)f.script.n > ops ? (unsigned)f.script.n : ops;
		stop(&f);
	}
	assert_true(ops > ARRAY_SIZE(types));
}

/* Which operation erases, and which one stands in where the disk cannot do it. */
static void test_erase(void **state)
{
	enum { DISCARD = VIRTIO_BLK_T_DISCARD, ZERO = VIRTIO_BLK_T_WRITE_ZEROES };
	static const struct {
		const char *name;
		uint32_t type, flags, sectors;
		bool of_device;
		unsigned unsupported;
		uint8_t status;
		enum block_op ops[2];
		size_t nops;
	} cases[] = {
		{"discard, a file", DISCARD, 0, 8, false, 0, 0, {BLOCK_PUNCH}, 1},
		{"discard, a device", DISCARD, 0, 8, true, 0, 0, {BLOCK_DISCARD}, 1},
		{"discard, a device that cannot",
		 DISCARD,
		 0,
		 8,
		 true,
		 1U << BLOCK_DISCARD,
		 2,
		 {BLOCK_DISCARD},
		 1},
		{"zero, a file", ZERO, 0, 8, false, 0, 0, {BLOCK_ZERO}, 1},
		{"zero, a device", ZERO, 0, 8, true, 0, 0, {BLOCK_ZERO}, 1},
		{"zero and unmap", ZERO, 1, 8, true, 0, 0, {BLOCK_PUNCH}, 1},
		{"zero, only holes",
		 ZERO,
		 0,
		 8,
		 false,
		 1U << BLOCK_ZERO,
		 0,
		 {BLOCK_ZERO, BLOCK_PUNCH},
		 2},
		{"zero and unmap, no holes",
		 ZERO,
		 1,
		 8,
		 true,
		 1U << BLOCK_PUNCH,
		 0,
		 {BLOCK_PUNCH, BLOCK_ZERO},
		 2},
		{"zero, neither",
		 ZERO,
		 0,
		 8,
		 false,
		 1U << BLOCK_ZERO | 1U << BLOCK_PUNCH,
		 2,
		 {BLOCK_ZERO, BLOCK_PUNCH},
		 2},
		{"discard of half a block", DISCARD, 0, 4, true, 0, 2, {0}, 0},
		{"zero half a block", ZERO, 0, 4, true, 0, 2, {0}, 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct virtio_blk_discard_write_zeroes range = {.num_sectors = cases[i].sectors,
								.flags = cases[i].flags};
		struct fixture f;
		struct sent s;

		print_message("  %s\n", cases[i].name);
		start(&f, true, UINT64_MAX);
		f.blk->node.is_device = cases[i].of_device;
		f.blk->node.erase_bytes = 8 * SECTOR;
		f.script.unsupported = cases[i].unsupported;
		s = send_range(&f, cases[i].type, &range);
		fake_kick(&f.d, 0);
		reap(&f);
		assert_int_equal(status_of(&f, &s), cases[i].status);
		assert_int_equal(f.script.n, cases[i].nops);
		for (size_t k = 0; k < cases[i].nops; k++)
			assert_int_equal(f.script.ops[k].op, cases[i].ops[k]);
		stop(&f);
	}
}

/* Memory that is not where the disk wants it goes through the buffer, in pieces, also when these come back short. */
static void test_bounce(void **state)
{
	static const struct {
		const char *name;
		uint32_t type, len;
		unsigned skew;
		uint64_t most_bytes;
		size_t nops;
	} cases[] = {
		{"an aligned read", R, 4 * SECTOR, 0, 0, 1},
		{"a read", R, 4 * SECTOR, 4, 0, 1},
		{"a write", W, 4 * SECTOR, 4, 0, 1},
		{"a read in two pieces", R, BLK_BOUNCE_BYTES + SECTOR, 8, 0, 2},
		{"a write in two pieces", W, BLK_BOUNCE_BYTES + SECTOR, 8, 0, 2},
		{"a short read", R, 4 * SECTOR, 4, 2 * SECTOR, 2},
		{"a short write", W, 4 * SECTOR, 4, 2 * SECTOR, 2},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		AUTO_FREE uint8_t *want = malloc(cases[i].len);
		AUTO_FREE uint8_t *got = malloc(cases[i].len);
		struct sent s, second;
		struct fixture f;

		print_message("  %s\n", cases[i].name);
		start(&f, false, UINT64_MAX);
		f.blk->node.align_bytes = SECTOR;
		f.blk->bounce = calloc(1, sizeof(*f.blk->bounce));
		assert_int_equal(posix_memalign((void **)&f.blk->bounce->buf, BLK_BOUNCE_ALIGN,
						BLK_BOUNCE_BYTES),
				 0);
		f.script.most_bytes = cases[i].most_bytes;
		for (uint32_t k = 0; k < cases[i].len; k++)
			want[k] = (uint8_t)(k * 7);
		s = send(&f, cases[i].type, 16, cases[i].len, cases[i].skew);
		if (cases[i].type == W)
			assert_true(gmem_write(f.d.mem, s.data, want, cases[i].len));
		else
			assert_int_equal(pread(f.fd, want, cases[i].len, 16 * SECTOR),
					 cases[i].len);
		fake_kick(&f.d, 0);
		reap(&f);
		assert_int_equal(f.script.n, cases[i].nops);
		assert_int_equal(status_of(&f, &s), VIRTIO_BLK_S_OK);
		if (cases[i].type == W)
			assert_int_equal(pread(f.fd, got, cases[i].len, 16 * SECTOR), cases[i].len);
		else
			fake_get(&f.d, s.data, got, cases[i].len);
		assert_memory_equal(got, want, cases[i].len);
		/* There is one buffer: a second request waits for it and is then served. */
		s = send(&f, R, 0, SECTOR, 4);
		second = send(&f, R, 1, SECTOR, 4);
		fake_kick(&f.d, 0);
		assert_int_equal(f.blk->in_flight, 1);
		for (int k = 0; k < 2; k++)
			reap(&f);
		assert_int_equal(status_of(&f, &s), VIRTIO_BLK_S_OK);
		assert_int_equal(status_of(&f, &second), VIRTIO_BLK_S_OK);
		stop(&f);
	}
}

/* A full device leaves requests in their ring, and comes back for them. */
static void test_stall(void **state)
{
	struct fixture f;

	(void)state;
	start(&f, false, UINT64_MAX);
	f.script.hold = true;
	for (unsigned i = 0; i < 200; i++)
		(void)send(&f, R, 2 * i, SECTOR, 0);
	fake_kick(&f.d, 0);
	fake_kick(&f.d, 0);
	assert_int_equal(f.script.n, BLOCK_DEPTH);
	assert_int_equal(count_used(&f), 0);
	f.script.hold = false;
	for (int i = 0; i < 2; i++)
		reap(&f);
	assert_int_equal(count_used(&f), 200);
	assert_int_equal(f.blk->in_flight, 0);
	stop(&f);
}

/* What the disk gives back after a reset is nobody's; until it has, nothing new is begun. */
static void test_reset(void **state)
{
	struct sent old, new;
	struct fixture f;

	(void)state;
	start(&f, false, UINT64_MAX);
	f.script.hold = true;
	old = send(&f, R, 0, SECTOR, 0);
	fake_kick(&f.d, 0);
	fake_probe(&f.d, f.dev, UINT64_MAX);
	new = send(&f, R, 1, SECTOR, 0);
	fake_kick(&f.d, 0);
	assert_int_equal(f.script.n, 1);
	f.script.hold = false;
	for (int i = 0; i < 2; i++)
		reap(&f);
	assert_int_equal(count_used(&f), 1);
	assert_int_equal(status_of(&f, &old), NO_ANSWER);
	assert_int_equal(status_of(&f, &new), VIRTIO_BLK_S_OK);
	/* One that comes back in time is waited for. */
	old = send(&f, R, 0, SECTOR, 0);
	fake_kick(&f.d, 0);
	virtio_set_status(f.dev, 0);
	assert_int_equal(f.blk->in_flight, 0);
	assert_int_equal(status_of(&f, &old), NO_ANSWER);
	stop(&f);
}

/* A vCPU that writes 0 to the device's status. */
static void *reset_by_vcpu(void *arg)
{
	virtio_mmio_write(arg, VIRTIO_MMIO_STATUS, 4, 0);
	return NULL;
}

/*
 * While a reset waits for the disk, other threads read registers, and can neither start the device nor reset it again; it is
 * through with the last request, whoever has seen that come back.
 */
static void test_reset_waits_unlocked(void **state)
{
	static const uint32_t running = VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER |
					VIRTIO_CONFIG_S_FEATURES_OK | VIRTIO_CONFIG_S_DRIVER_OK;

	(void)state;
	for (int by_device = 0; by_device < 2; by_device++) {
		AUTO_FD int irq_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		struct virtio_mmio *m = NULL;
		struct dev_blk_stats stats;
		struct fixture f;
		struct sent old;
		pthread_t vcpu;

		print_message("  the last one is seen by %s\n",
			      by_device ? "the device's thread" : "the one who waits");
		start(&f, false, UINT64_MAX);
		f.blk->reset_wait_ms = 30000;
		f.script.hold = true;
		old = send(&f, R, 0, SECTOR, 0);
		fake_kick(&f.d, 0);
		assert_int_equal(virtio_mmio_create(f.dev, irq_fd, &m, NULL), 0);
		assert_int_equal(pthread_create(&vcpu, NULL, reset_by_vcpu, m), 0);
		while (virtio_mmio_read(m, VIRTIO_MMIO_STATUS, 4) == running)
			sched_yield();
		for (uint32_t status = 0; status <= running; status += running)
			virtio_mmio_write(m, VIRTIO_MMIO_STATUS, 4, status);
		virtio_mmio_write(m, VIRTIO_MMIO_QUEUE_NUM, 4, 8);
		virtio_mmio_write(m, VIRTIO_MMIO_QUEUE_READY, 4, 1);
		dev_blk_stats(f.dev, &stats);
		assert_int_equal(virtio_mmio_read(m, VIRTIO_MMIO_STATUS, 4),
				 VIRTIO_CONFIG_S_NEEDS_RESET);
		virtio_lock(f.dev);
		assert_int_equal(f.blk->in_flight, 1);
		f.script.hold = false;
		if (by_device)
			(void)blk_io_reap(f.blk);
		else
			(void)eventfd_write(f.script.engine.event_fd, 1);
		assert_int_equal(
			poll(&(struct pollfd){.fd = f.blk->idle_fd, .events = POLLIN}, 1, 0),
			by_device);
		virtio_unlock(f.dev);
		assert_int_equal(pthread_join(vcpu, NULL), 0);
		assert_int_equal(virtio_mmio_read(m, VIRTIO_MMIO_STATUS, 4), 0);
		assert_int_equal(virtio_queue_get(f.dev, 0, VIRTIO_Q_SIZE), BLK_QUEUE_SIZE);
		assert_int_equal(f.blk->in_flight, 0);
		assert_false(f.blk->draining);
		assert_int_equal(status_of(&f, &old), NO_ANSWER);
		virtio_mmio_destroy(m);
		stop(&f);
	}
}

/* The image stays open, and the slot taken, until the disk has given back what was under way. */
static void test_empty(void **state)
{
	struct dev_blk_params next = {.fd = disk_make(), .aio = BLOCK_AIO_THREADS};
	struct sent under_way, late;
	struct fixture f;

	(void)state;
	start(&f, true, UINT64_MAX);
	f.script.hold = true;
	under_way = send(&f, R, 0, SECTOR, 0);
	fake_kick(&f.d, 0);
	dev_blk_empty(f.dev);
	late = send(&f, R, 0, SECTOR, 0);
	fake_kick(&f.d, 0);
	assert_int_equal(status_of(&f, &late), VIRTIO_BLK_S_IOERR);
	assert_true(fcntl(f.fd, F_GETFD) >= 0);
	next.aio = BLOCK_AIO_AUTO;
	assert_int_equal(dev_blk_fill(f.dev, &next, NULL), -EBUSY);
	f.script.hold = false;
	reap(&f);
	assert_int_equal(status_of(&f, &under_way), VIRTIO_BLK_S_OK);
	assert_true(fcntl(f.fd, F_GETFD) < 0);
	assert_int_equal(dev_blk_fill(f.dev, &next, NULL), 0);
	/* The slot's engine is what it is. */
	dev_blk_empty(f.dev);
	next.fd = disk_make();
	next.aio = BLOCK_AIO_IO_URING;
	assert_int_equal(dev_blk_fill(f.dev, &next, NULL), -ENOTSUP);
	(void)close(next.fd);
	stop(&f);
}

/* What the kernel has no memory for is offered again, without a notification. */
static void test_no_memory(void **state)
{
	struct fixture f;
	struct sent s;
	uint16_t head;
	uint32_t len;

	(void)state;
	start(&f, false, UINT64_MAX);
	f.script.no_memory = true;
	s = send(&f, R, 0, SECTOR, 0);
	fake_kick(&f.d, 0);
	f.script.no_memory = false;
	assert_true(fake_used_wait(&f.d, 0, &head, &len, 10000));
	assert_int_equal(head, s.head);
	stop(&f);
}

static void test_write_through(void **state)
{
	(void)state;
	for (int flush = 0; flush < 2; flush++) {
		struct fixture f;

		start(&f, false, flush ? UINT64_MAX : ~(1ULL << VIRTIO_BLK_F_FLUSH));
		(void)send(&f, W, 0, SECTOR, 0);
		fake_kick(&f.d, 0);
		assert_int_equal(f.script.ops[0].dsync, !flush);
		reap(&f);
		stop(&f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_merge),
		cmocka_unit_test(test_merge_bound),
		cmocka_unit_test(test_bad_sector),
		cmocka_unit_test(test_nth_failure),
		cmocka_unit_test(test_erase),
		cmocka_unit_test(test_bounce),
		cmocka_unit_test(test_stall),
		cmocka_unit_test(test_reset),
		cmocka_unit_test(test_reset_waits_unlocked),
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_no_memory),
		cmocka_unit_test(test_times),
		cmocka_unit_test(test_write_through),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
