/* Block requests: a table of what each answers, data both ways in odd framings, and disks that cannot be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <limits.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/own.h"
#include "tests/unit/fake_driver.h"
#include "vmm/dev/dev.h"

#define SECTOR     512U
#define SECTORS    64U
#define DISK_BYTES (SECTORS * SECTOR)
#define NO_STATUS  0xeeU
#define ANSWER_MS  10000

struct fixture {
	struct fake_driver d;
	struct virtio_dev *dev;
	int fd; /* the device's own, lent for peeks */
};

/* Every sector filled with its number plus one. */
static int disk_make(void)
{
	int fd = memfd_create("disk", MFD_CLOEXEC);

	assert_true(fd >= 0);
	for (uint32_t i = 0; i < SECTORS; i++) {
		uint8_t bytes[SECTOR];

		memset(bytes, (int)i + 1, sizeof(bytes));
		assert_int_equal(pwrite(fd, bytes, SECTOR, (off_t)i * SECTOR), SECTOR);
	}
	return fd;
}

/* Each test runs with each engine. */
static enum block_aio aio_of(void **state)
{
	return *(const enum block_aio *)*state;
}

static void start(struct fixture *f, void **state, bool readonly, uint64_t features)
{
	struct dev_blk_params params = {
		.fd = disk_make(),
		.readonly = readonly,
		.aio = aio_of(state),
		.serial = "0123456789abcdefghij",
	};

	fake_init(&f->d);
	f->fd = params.fd;
	assert_int_equal(dev_blk_create(&params, f->d.mem, f->d.loop, &f->dev, NULL), 0);
	assert_int_equal(virtio_dev_run(f->dev, NULL), 0);
	fake_probe(&f->d, f->dev, features);
}

static void stop(struct fixture *f)
{
	virtio_dev_destroy(f->dev);
	fake_done(&f->d);
}

struct request {
	uint32_t type;
	uint64_t sector;
	const void *out; /* readable bytes behind the header */
	uint32_t out_len;
	struct gpa in; /* writable bytes before the status */
	uint32_t in_len;
	uint32_t moved; /* of these, when the answer is an error */
};

static struct gpa put_header(struct fixture *f, uint32_t type, uint64_t sector)
{
	struct virtio_blk_outhdr hdr = {.type = type, .sector = sector};

	return fake_put(&f->d, &hdr, sizeof(hdr));
}

/* Sends one request; its status, NO_STATUS when none came. */
static uint8_t ask(struct fixture *f, const struct request *r)
{
	uint8_t status = NO_STATUS;
	struct gpa status_at = fake_put(&f->d, &status, 1);
	struct fake_seg segs[4];
	size_t n = 0;
	uint16_t head;
	uint32_t len;

	segs[n++] = (struct fake_seg){.at = put_header(f, r->type, r->sector), .len = 16};
	if (r->out_len)
		segs[n++] = (struct fake_seg){.at = fake_put(&f->d, r->out, r->out_len),
					      .len = r->out_len};
	if (r->in_len)
		segs[n++] = (struct fake_seg){.at = r->in, .len = r->in_len, .writable = true};
	segs[n++] = (struct fake_seg){.at = status_at, .len = 1, .writable = true};
	if (f->d.features & VIRTIO_F_INDIRECT_DESC_BIT)
		fake_add_indirect(&f->d, 0, segs, n);
	else
		fake_add(&f->d, 0, segs, n);
	fake_kick(&f->d, 0);
	if (fake_used_wait(&f->d, 0, &head, &len, ANSWER_MS)) {
		fake_get(&f->d, status_at, &status, 1);
		assert_int_equal(len, status == 0 || r->in_len == 0 ? r->in_len + 1 : r->moved);
	}
	return status;
}

static void test_answers(void **state)
{
	static const uint8_t zeros[2 * SECTOR];
	static const struct {
		const char *name;
		uint32_t type;
		uint64_t sector;
		uint32_t out_len, in_len;
		uint8_t status, readonly_status; /* 0 OK, 1 IOERR, 2 UNSUPP */
	} cases[] = {
		{"read the first", VIRTIO_BLK_T_IN, 0, 0, SECTOR, 0, 0},
		{"read the last", VIRTIO_BLK_T_IN, SECTORS - 1, 0, SECTOR, 0, 0},
		{"read past the end", VIRTIO_BLK_T_IN, SECTORS, 0, SECTOR, 1, 1},
		{"read over the end", VIRTIO_BLK_T_IN, SECTORS - 1, 0, 2 * SECTOR, 1, 1},
		{"read far away", VIRTIO_BLK_T_IN, UINT64_MAX, 0, SECTOR, 1, 1},
		{"read where bytes wrap", VIRTIO_BLK_T_IN, 1ULL << 55, 0, SECTOR, 1, 1},
		{"read half a sector", VIRTIO_BLK_T_IN, 0, 0, SECTOR / 2, 1, 1},
		{"read nothing", VIRTIO_BLK_T_IN, 0, 0, 0, 0, 0},
		{"write", VIRTIO_BLK_T_OUT, 1, SECTOR, 0, 0, 1},
		{"write past the end", VIRTIO_BLK_T_OUT, SECTORS, SECTOR, 0, 1, 1},
		{"write over the end", VIRTIO_BLK_T_OUT, SECTORS - 1, 2 * SECTOR, 0, 1, 1},
		{"write half a sector", VIRTIO_BLK_T_OUT, 0, SECTOR / 2, 0, 1, 1},
		{"flush", VIRTIO_BLK_T_FLUSH, 0, 0, 0, 0, 0},
		{"serial", VIRTIO_BLK_T_GET_ID, 0, 0, 20, 0, 0},
		{"unknown type", VIRTIO_BLK_T_SCSI_CMD, 0, 0, SECTOR, 2, 2},
		{"no type", UINT32_MAX, 0, 0, SECTOR, 2, 2},
		{"discard of no ranges", VIRTIO_BLK_T_DISCARD, 0, 0, 0, 1, 1},
		{"discard of half a range", VIRTIO_BLK_T_DISCARD, 0, 8, 0, 1, 1},
		{"discard of no sectors", VIRTIO_BLK_T_DISCARD, 0, 16, 0, 0, 1},
		{"discard of two ranges", VIRTIO_BLK_T_DISCARD, 0, 2 * 16, 0, 1, 1},
	};

	for (int readonly = 0; readonly < 2; readonly++) {
		struct fixture f;

		start(&f, state, readonly, UINT64_MAX);
		for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
			struct request r = {
				.type = cases[i].type,
				.sector = cases[i].sector,
				.out = zeros,
				.out_len = cases[i].out_len,
				.in_len = cases[i].in_len,
			};

			print_message("  %s%s\n", cases[i].name, readonly ? ", read-only" : "");
			r.in = fake_alloc(&f.d, r.in_len);
			assert_int_equal(ask(&f, &r),
					 readonly ? cases[i].readonly_status : cases[i].status);
			assert_false(virtio_status(f.dev) & VIRTIO_CONFIG_S_NEEDS_RESET);
		}
		stop(&f);
	}
}

static void test_ranges(void **state)
{
	static const struct {
		const char *name;
		uint32_t type;
		struct virtio_blk_discard_write_zeroes range;
		uint8_t status;
		bool zeroed; /* sectors 8 and 9 */
	} cases[] = {
		{"discard", VIRTIO_BLK_T_DISCARD, {8, 2, 0}, 0, true},
		{"discard with unmap", VIRTIO_BLK_T_DISCARD, {8, 2, 1}, 2, false},
		{"discard with a flag unknown", VIRTIO_BLK_T_DISCARD, {8, 2, 2}, 2, false},
		{"zero", VIRTIO_BLK_T_WRITE_ZEROES, {8, 2, 0}, 0, true},
		{"zero with unmap", VIRTIO_BLK_T_WRITE_ZEROES, {8, 2, 1}, 0, true},
		{"zero with a flag unknown", VIRTIO_BLK_T_WRITE_ZEROES, {8, 2, 3}, 2, false},
		{"past the end", VIRTIO_BLK_T_DISCARD, {SECTORS, 1, 0}, 1, false},
		{"over the end", VIRTIO_BLK_T_WRITE_ZEROES, {8, SECTORS - 7, 0}, 1, false},
		{"sector wraps", VIRTIO_BLK_T_DISCARD, {UINT64_MAX, 2, 0}, 1, false},
		{"too many sectors", VIRTIO_BLK_T_DISCARD, {8, UINT32_MAX, 0}, 1, false},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct request r = {.type = cases[i].type, .out = &cases[i].range, .out_len = 16};
		uint8_t got[4 * SECTOR], want[4 * SECTOR];
		struct fixture f;

		print_message("  %s\n", cases[i].name);
		start(&f, state, false, UINT64_MAX);
		assert_int_equal(pread(f.fd, want, sizeof(want), 7 * SECTOR), sizeof(want));
		if (cases[i].zeroed)
			memset(want + SECTOR, 0, 2 * SECTOR);
		assert_int_equal(ask(&f, &r), cases[i].status);
		assert_int_equal(pread(f.fd, got, sizeof(got), 7 * SECTOR), sizeof(got));
		assert_memory_equal(got, want, sizeof(got));
		stop(&f);
	}
}

/* Header, data and status share descriptors: the device must not care (virtio 1.2, 2.6.4.1). */
static void test_framing(void **state)
{
	struct fixture f;
	uint8_t out[16 + SECTOR], in[SECTOR + 1], sector[SECTOR];
	struct gpa out_at, in_at;
	uint16_t head;
	uint32_t len;

	start(&f, state, false, UINT64_MAX);
	memset(out, 0x5a, sizeof(out));
	memcpy(out, &(struct virtio_blk_outhdr){.type = VIRTIO_BLK_T_OUT, .sector = 3}, 16);
	out_at = fake_put(&f.d, out, sizeof(out));
	in_at = fake_alloc(&f.d, sizeof(in));
	/* 9 bytes, the rest of the header with the data; then a status of its own. */
	fake_add(&f.d, 0,
		 (struct fake_seg[]){{out_at, 9, false},
				     {GPA(out_at.v + 9), sizeof(out) - 9, false},
				     {in_at, 1, true}},
		 3);
	fake_kick(&f.d, 0);
	assert_true(fake_used_wait(&f.d, 0, &head, &len, ANSWER_MS));
	assert_int_equal(pread(f.fd, sector, SECTOR, 3 * SECTOR), SECTOR);
	assert_memory_equal(sector, out + 16, SECTOR);
	/* Data and status in one descriptor. */
	fake_add(&f.d, 0,
		 (struct fake_seg[]){{put_header(&f, VIRTIO_BLK_T_IN, 3), 16, false},
				     {in_at, 100, true},
				     {GPA(in_at.v + 100), sizeof(in) - 100, true}},
		 3);
	fake_kick(&f.d, 0);
	assert_true(fake_used_wait(&f.d, 0, &head, &len, ANSWER_MS));
	assert_int_equal(len, sizeof(in));
	fake_get(&f.d, in_at, in, sizeof(in));
	assert_memory_equal(in, sector, SECTOR);
	assert_int_equal(in[SECTOR], VIRTIO_BLK_S_OK);
	stop(&f);
}

static void test_serial(void **state)
{
	struct fixture f;
	struct gpa at;
	char got[20];

	start(&f, state, true, UINT64_MAX);
	at = fake_alloc(&f.d, sizeof(got));
	assert_int_equal(
		ask(&f, &(struct request){.type = VIRTIO_BLK_T_GET_ID, .in = at, .in_len = 20}), 0);
	fake_get(&f.d, at, got, sizeof(got));
	assert_memory_equal(got, "0123456789abcdefghij", 20);
	stop(&f);
}

/* Neither can be answered, so the device breaks; the file stays as it was. */
static void test_no_header_or_status(void **state)
{
	for (int no_status = 0; no_status < 2; no_status++) {
		struct fixture f;
		struct fake_seg segs[2];
		uint8_t sector[SECTOR];
		uint16_t head;
		uint32_t len;

		start(&f, state, false, UINT64_MAX);
		segs[0] = (struct fake_seg){put_header(&f, VIRTIO_BLK_T_OUT, 0),
					    no_status ? 16 : 15, false};
		segs[1] = (struct fake_seg){fake_alloc(&f.d, SECTOR), SECTOR, !no_status};
		fake_add(&f.d, 0, segs, 2);
		fake_kick(&f.d, 0);
		assert_true(virtio_status(f.dev) & VIRTIO_CONFIG_S_NEEDS_RESET);
		assert_false(fake_used(&f.d, 0, &head, &len));
		assert_int_equal(pread(f.fd, sector, SECTOR, 0), SECTOR);
		assert_int_equal(sector[0], 1);
		stop(&f);
	}
}

/* One range has a limit of its own, so that no request keeps the loop for long; here inside a sparse disk of 4 GiB. */
static void test_long_range(void **state)
{
	struct virtio_blk_discard_write_zeroes range = {.num_sectors = 1U << 21};
	struct request r = {.type = VIRTIO_BLK_T_DISCARD, .out = &range, .out_len = 16};
	struct dev_blk_params params = {.fd = memfd_create("disk", MFD_CLOEXEC),
					.aio = aio_of(state)};
	struct fixture f;

	fake_init(&f.d);
	assert_int_equal(ftruncate(params.fd, 4LL << 30), 0);
	assert_int_equal(dev_blk_create(&params, f.d.mem, f.d.loop, &f.dev, NULL), 0);
	assert_int_equal(virtio_dev_run(f.dev, NULL), 0);
	fake_probe(&f.d, f.dev, UINT64_MAX);
	assert_int_equal(ask(&f, &r), VIRTIO_BLK_S_OK);
	range.num_sectors++;
	assert_int_equal(ask(&f, &r), VIRTIO_BLK_S_IOERR);
	stop(&f);
}

/* A file that was cut behind our back answers with an error, not with a loop. */
static void test_cut_file(void **state)
{
	struct fixture f;
	struct request r = {.type = VIRTIO_BLK_T_IN, .in_len = 2 * SECTOR, .moved = SECTOR};

	start(&f, state, true, UINT64_MAX);
	assert_int_equal(ftruncate(f.fd, SECTOR), 0);
	r.in = fake_alloc(&f.d, r.in_len);
	assert_int_equal(ask(&f, &r), VIRTIO_BLK_S_IOERR);
	stop(&f);
}

static void test_features(void **state)
{
	static const uint64_t writable =
		1ULL << VIRTIO_BLK_F_DISCARD | 1ULL << VIRTIO_BLK_F_WRITE_ZEROES;
	static const uint64_t always = 1ULL << VIRTIO_BLK_F_SEG_MAX |
				       1ULL << VIRTIO_BLK_F_BLK_SIZE | 1ULL << VIRTIO_BLK_F_FLUSH |
				       1ULL << VIRTIO_BLK_F_TOPOLOGY |
				       1ULL << VIRTIO_BLK_F_CONFIG_WCE;
	uint64_t own =
		~(VIRTIO_F_INDIRECT_DESC_BIT | VIRTIO_F_EVENT_IDX_BIT | VIRTIO_F_VERSION_1_BIT);
	struct virtio_blk_config config;
	struct fixture f;

	start(&f, state, false, UINT64_MAX);
	assert_true((virtio_features_offered(f.dev) & own) == (always | writable));
	virtio_config_read(f.dev, 0, &config, sizeof(config));
	assert_int_equal(config.capacity, SECTORS);
	assert_int_equal(config.seg_max, 254);
	assert_int_equal(config.blk_size, SECTOR);
	assert_int_equal(config.max_discard_seg, 1);
	assert_int_equal(config.wce, 1);
	stop(&f);
	start(&f, state, true, UINT64_MAX);
	assert_true((virtio_features_offered(f.dev) & own) == (always | 1ULL << VIRTIO_BLK_F_RO));
	stop(&f);
}

/* Without FLUSH each write goes through to the disk (virtio 1.2, 5.2.6.2); here it is seen to be taken at all. */
static void test_without_features(void **state)
{
	uint8_t out[SECTOR], got[SECTOR];
	struct request r = {.type = VIRTIO_BLK_T_OUT, .sector = 5, .out = out, .out_len = SECTOR};
	struct fixture f;

	memset(out, 0xa5, sizeof(out));
	start(&f, state, false, 0);
	assert_int_equal(ask(&f, &r), VIRTIO_BLK_S_OK);
	assert_int_equal(pread(f.fd, got, SECTOR, 5 * SECTOR), SECTOR);
	assert_memory_equal(got, out, SECTOR);
	stop(&f);
}

static void test_disks_that_cannot_be(void **state)
{
	static const char *const words[] = {
		"no multiple of 512",
		"neither a regular file nor a block device",
		"not open for reading and writing",
		"Bad file descriptor",
	};
	AUTO_FD int odd = disk_make();
	AUTO_FD int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	AUTO_FD int zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	int fds[] = {odd, null, zero, INT_MAX};
	struct fake_driver d;

	(void)state;
	fake_init(&d);
	assert_int_equal(ftruncate(odd, DISK_BYTES + 1), 0);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		struct dev_blk_params params = {.fd = fds[i]};
		struct virtio_dev *dev = NULL;
		struct err err = ERR_INIT;

		assert_true(dev_blk_create(&params, d.mem, d.loop, &dev, &err) < 0);
		assert_non_null(strstr(err.text, words[i]));
		assert_null(dev);
		/* Still the caller's. */
		assert_true(fds[i] == INT_MAX || fcntl(fds[i], F_GETFD) >= 0);
	}
	fake_done(&d);
}

static uint64_t capacity(struct fixture *f)
{
	struct virtio_blk_config config;

	virtio_config_read(f->dev, 0, &config, sizeof(config));
	return config.capacity;
}

/* What was taken from the queue is answered when the device is said to be quiet, with nobody running its loop. */
static void test_quiesce(void **state)
{
	struct fixture f;
	uint16_t head;
	uint32_t len;

	start(&f, state, false, UINT64_MAX);
	for (uint32_t i = 0; i < 20; i++) {
		const struct fake_seg segs[] = {
			{.at = put_header(&f, VIRTIO_BLK_T_IN, i), .len = 16},
			{.at = fake_alloc(&f.d, SECTOR), .len = SECTOR, .writable = true},
			{.at = fake_alloc(&f.d, 1), .len = 1, .writable = true},
		};

		fake_add(&f.d, 0, segs, ARRAY_SIZE(segs));
	}
	virtio_notify(f.dev, 0);
	assert_int_equal(loop_step(f.d.loop, 0, NULL), 0);
	assert_true(virtio_dev_quiesce(f.dev, ANSWER_MS));
	for (uint32_t i = 0; i < 20; i++)
		assert_true(fake_used(&f.d, 0, &head, &len));
	stop(&f);
}

/* A spare slot: no sectors, then a disk's, then none again; each change is told by an interrupt. */
static void test_spare(void **state)
{
	const struct dev_blk_params none = {.fd = -1, .aio = aio_of(state)};
	struct fixture f = {.fd = -1};
	struct request read_first = {.type = VIRTIO_BLK_T_IN, .in_len = SECTOR};
	struct request flush = {.type = VIRTIO_BLK_T_FLUSH};
	uint8_t out[SECTOR] = {0};
	struct request write_first = {.type = VIRTIO_BLK_T_OUT, .out = out, .out_len = SECTOR};
	struct dev_blk_stats stats;
	struct err err = ERR_INIT;

	fake_init(&f.d);
	assert_int_equal(dev_blk_create(&none, f.d.mem, f.d.loop, &f.dev, NULL), 0);
	assert_int_equal(virtio_dev_run(f.dev, NULL), 0);
	fake_probe(&f.d, f.dev, UINT64_MAX);
	read_first.in = fake_alloc(&f.d, SECTOR);
	for (unsigned round = 1; round <= 2; round++) {
		struct dev_blk_params disk = {.fd = disk_make(), .serial = "s1"};
		struct dev_blk_params other = {.fd = disk_make()};
		uint32_t generation = virtio_config_generation(f.dev);

		assert_int_equal(capacity(&f), 0);
		assert_int_equal(ask(&f, &read_first), VIRTIO_BLK_S_IOERR);
		assert_int_equal(ask(&f, &flush), VIRTIO_BLK_S_IOERR);
		assert_int_equal(dev_blk_fill(f.dev, &disk, NULL), 0);
		assert_int_equal(capacity(&f), SECTORS);
		assert_int_equal(f.d.config_interrupts, 2 * round - 1);
		assert_int_equal(virtio_config_generation(f.dev), generation + 1);
		assert_int_equal(ask(&f, &read_first), VIRTIO_BLK_S_OK);
		dev_blk_stats(f.dev, &stats);
		assert_int_equal(stats.written_end_bytes, 0); /* of this disk, not of the last */
		assert_int_equal(ask(&f, &write_first), VIRTIO_BLK_S_OK);
		dev_blk_stats(f.dev, &stats);
		assert_int_equal(stats.written_end_bytes, SECTOR);
		assert_int_equal(stats.flush.invalid, round);
		assert_int_equal(dev_blk_fill(f.dev, &other, &err), -EBUSY);
		assert_true(fcntl(other.fd, F_GETFD) >= 0); /* still the caller's */
		dev_blk_empty(f.dev);
		assert_true(fcntl(disk.fd, F_GETFD) < 0); /* the device's, closed */
		dev_blk_empty(f.dev);
		assert_int_equal(f.d.config_interrupts, 2 * round);
		(void)close(other.fd);
	}
	assert_int_equal(dev_blk_fill(f.dev, &none, &err), -EBADF);
	assert_int_equal(f.d.config_interrupts, 4);
	stop(&f);
}

/* An image that someone writes is nobody else's; readers share. The error says which image, and what to do. */
static void test_locks(void **state)
{
	static const struct {
		const char *name;
		bool readonly[2], no_lock;
		int rc;
	} cases[] = {
		{"two writers", {false, false}, false, -EAGAIN},
		{"a reader of a written one", {false, true}, false, -EAGAIN},
		{"a writer of a read one", {true, false}, false, -EAGAIN},
		{"two readers", {true, true}, false, 0},
		{"a second writer who was told to", {false, false}, true, 0},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct fixture f;
		struct virtio_dev *second = NULL;
		struct dev_blk_params params = {.readonly = cases[i].readonly[1],
						.no_lock = cases[i].no_lock,
						.aio = aio_of(state),
						.name = "root.img"};
		struct err err = ERR_INIT;
		char path[32];

		print_message("  %s\n", cases[i].name);
		start(&f, state, cases[i].readonly[0], UINT64_MAX);
		(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", f.fd);
		params.fd = open(path, (params.readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC);
		assert_true(params.fd >= 0);
		assert_int_equal(dev_blk_create(&params, f.d.mem, f.d.loop, &second, &err),
				 cases[i].rc);
		if (cases[i].rc < 0) {
			assert_non_null(strstr(err.text, "'root.img' is in use"));
			/* The first one gone, the second has it. */
			virtio_dev_destroy(f.dev);
			assert_int_equal(dev_blk_create(&params, f.d.mem, f.d.loop, &f.dev, NULL),
					 0);
		}
		virtio_dev_destroy(second);
		stop(&f);
	}
}

/* Taken out, the image is free at once, though whoever handed the descriptor over still has one. */
static void test_lock_of_spare(void **state)
{
	const struct dev_blk_params none = {.fd = -1, .aio = aio_of(state)};
	struct dev_blk_params disk = {.fd = disk_make()};
	struct fixture f = {.fd = -1};
	char path[32];
	AUTO_FD int kept = fcntl(disk.fd, F_DUPFD_CLOEXEC, 0);
	AUTO_FD int other = -1;
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", disk.fd);
	other = open(path, O_RDWR | O_CLOEXEC);
	assert_true(kept >= 0);
	fake_init(&f.d);
	assert_int_equal(dev_blk_create(&none, f.d.mem, f.d.loop, &f.dev, NULL), 0);
	assert_int_equal(dev_blk_fill(f.dev, &disk, NULL), 0);
	assert_int_equal(fcntl(other, F_OFD_SETLK, &lock), -1);
	dev_blk_empty(f.dev);
	assert_int_equal(fcntl(other, F_OFD_SETLK, &lock), 0);
	stop(&f);
}

/* virtio 1.2, 5.2.5: `writeback` is written by a driver that took CONFIG_WCE, and by no other. */
static void test_write_cache(void **state)
{
	static const struct {
		const char *name;
		uint64_t without;
		uint8_t written, then;
	} cases[] = {
		{"off", 0, 0, 0},
		{"on", 0, 1, 1},
		{"not negotiated", 1ULL << VIRTIO_BLK_F_CONFIG_WCE, 0, 1},
		{"no flush", 1ULL << VIRTIO_BLK_F_FLUSH | 1ULL << VIRTIO_BLK_F_CONFIG_WCE, 1, 0},
	};
	const uint64_t at = offsetof(struct virtio_blk_config, wce);

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint8_t out[SECTOR] = {0}, wce;
		struct request write = {
			.type = VIRTIO_BLK_T_OUT, .out = out, .out_len = sizeof(out)};
		struct fixture f;

		print_message("  %s\n", cases[i].name);
		start(&f, state, false, ~cases[i].without);
		virtio_config_write(f.dev, at, &cases[i].written, 1);
		virtio_config_read(f.dev, at, &wce, 1);
		assert_int_equal(wce, cases[i].then);
		assert_int_equal(ask(&f, &write), VIRTIO_BLK_S_OK);
		virtio_set_status(f.dev, 0);
		virtio_config_read(f.dev, at, &wce, 1);
		assert_int_equal(wce, 1);
		stop(&f);
	}
}

static void test_queues(void **state)
{
	struct dev_blk_params params = {
		.fd = disk_make(), .queues = 4, .aio = aio_of(state), .serial = "many"};
	struct fixture f = {.fd = params.fd};
	struct virtio_blk_config config;

	fake_init(&f.d);
	assert_int_equal(dev_blk_create(&params, f.d.mem, f.d.loop, &f.dev, NULL), 0);
	assert_int_equal(virtio_dev_run(f.dev, NULL), 0);
	fake_probe(&f.d, f.dev, UINT64_MAX);
	assert_int_equal(virtio_nqueues(f.dev), 4);
	assert_true(f.d.features & 1ULL << VIRTIO_BLK_F_MQ);
	virtio_config_read(f.dev, 0, &config, sizeof(config));
	assert_int_equal(config.num_queues, 4);
	for (uint16_t q = 0; q < 4; q++) {
		struct gpa in = fake_alloc(&f.d, SECTOR + 1);
		uint8_t got[SECTOR + 1];
		uint16_t head;
		uint32_t len;

		fake_add(&f.d, q,
			 (struct fake_seg[]){{put_header(&f, VIRTIO_BLK_T_IN, q), 16, false},
					     {in, SECTOR + 1, true}},
			 2);
		fake_kick(&f.d, q);
		assert_true(fake_used_wait(&f.d, q, &head, &len, ANSWER_MS));
		fake_get(&f.d, in, got, sizeof(got));
		assert_int_equal(got[0], q + 1);
		assert_int_equal(got[SECTOR], VIRTIO_BLK_S_OK);
	}
	stop(&f);
	params = (struct dev_blk_params){.fd = disk_make(), .queues = 65};
	fake_init(&f.d);
	assert_int_equal(dev_blk_create(&params, f.d.mem, f.d.loop, &f.dev, NULL), -EINVAL);
	(void)close(params.fd);
	fake_done(&f.d);
}

static void test_statistics(void **state)
{
	uint8_t out[2 * SECTOR] = {0};
	struct virtio_blk_discard_write_zeroes range = {.num_sectors = 4};
	struct request requests[] = {
		{.type = VIRTIO_BLK_T_IN, .in_len = SECTOR},
		{.type = VIRTIO_BLK_T_OUT, .out = out, .out_len = sizeof(out)},
		{.type = VIRTIO_BLK_T_FLUSH},
		{.type = VIRTIO_BLK_T_DISCARD, .out = &range, .out_len = sizeof(range)},
	};
	struct dev_blk_stats stats;
	struct fixture f;

	start(&f, state, false, UINT64_MAX);
	requests[0].in = fake_alloc(&f.d, SECTOR);
	for (size_t i = 0; i < ARRAY_SIZE(requests); i++)
		assert_int_equal(ask(&f, &requests[i]), VIRTIO_BLK_S_OK);
	dev_blk_stats(f.dev, &stats);
	assert_int_equal(stats.read.operations, 1);
	assert_int_equal(stats.read.bytes, SECTOR);
	assert_int_equal(stats.write.operations, 1);
	assert_int_equal(stats.write.bytes, 2 * SECTOR);
	assert_int_equal(stats.flush.operations, 1);
	assert_int_equal(stats.unmap.operations, 1);
	assert_int_equal(stats.unmap.bytes, 4 * SECTOR);
	assert_int_equal(stats.written_end_bytes, 2 * SECTOR);
	stop(&f);
}

/* What is refused at sight counts as that, and as nothing else. */
static void test_statistics_of_the_invalid(void **state)
{
	uint8_t out[SECTOR] = {0};
	struct virtio_blk_discard_write_zeroes range = {.sector = SECTORS, .num_sectors = 1};
	struct virtio_blk_discard_write_zeroes flags = {.num_sectors = 1, .flags = 8};
	struct request requests[] = {
		{.type = VIRTIO_BLK_T_IN, .sector = SECTORS, .in_len = SECTOR},
		{.type = VIRTIO_BLK_T_OUT, .sector = SECTORS, .out = out, .out_len = SECTOR},
		{.type = VIRTIO_BLK_T_DISCARD, .out = &range, .out_len = sizeof(range)},
		{.type = VIRTIO_BLK_T_WRITE_ZEROES, .out = &flags, .out_len = sizeof(flags)},
		{.type = VIRTIO_BLK_T_OUT, .sector = SECTORS - 1, .out = out, .out_len = SECTOR},
		{.type = VIRTIO_BLK_T_OUT, .out = out, .out_len = SECTOR},
		{.type = VIRTIO_BLK_T_OUT, .sector = 3, .out = NULL, .out_len = 0},
		{.type = 77},
	};
	struct dev_blk_stats stats;
	struct fixture f;

	start(&f, state, false, UINT64_MAX);
	requests[0].in = fake_alloc(&f.d, SECTOR);
	for (size_t i = 0; i < ARRAY_SIZE(requests); i++)
		(void)ask(&f, &requests[i]);
	dev_blk_stats(f.dev, &stats);
	assert_int_equal(stats.read.invalid, 1);
	assert_int_equal(stats.write.invalid, 2);
	assert_int_equal(stats.unmap.invalid, 1);
	assert_int_equal(stats.flush.invalid, 0);
	assert_int_equal(stats.read.operations + stats.read.failed, 0);
	assert_int_equal(stats.write.operations, 2);
	assert_int_equal(stats.unmap.operations + stats.unmap.failed, 0);
	assert_int_equal(stats.written_end_bytes, SECTORS * SECTOR);
	stop(&f);
}

static int run_with(enum block_aio aio, const char *name)
{
	static enum block_aio each[2];
	enum block_aio *state = &each[aio == BLOCK_AIO_IO_URING];
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_prestate(test_answers, state),
		cmocka_unit_test_prestate(test_ranges, state),
		cmocka_unit_test_prestate(test_long_range, state),
		cmocka_unit_test_prestate(test_framing, state),
		cmocka_unit_test_prestate(test_serial, state),
		cmocka_unit_test_prestate(test_no_header_or_status, state),
		cmocka_unit_test_prestate(test_cut_file, state),
		cmocka_unit_test_prestate(test_features, state),
		cmocka_unit_test_prestate(test_without_features, state),
		cmocka_unit_test_prestate(test_disks_that_cannot_be, state),
		cmocka_unit_test_prestate(test_quiesce, state),
		cmocka_unit_test_prestate(test_spare, state),
		cmocka_unit_test_prestate(test_locks, state),
		cmocka_unit_test_prestate(test_lock_of_spare, state),
		cmocka_unit_test_prestate(test_write_cache, state),
		cmocka_unit_test_prestate(test_queues, state),
		cmocka_unit_test_prestate(test_statistics, state),
		cmocka_unit_test_prestate(test_statistics_of_the_invalid, state),
	};

	*state = aio;
	return cmocka_run_group_tests_name(name, tests, NULL, NULL);
}

int main(void)
{
	CLEANUP(own_block_engine_destroy) struct block_engine *uring = NULL;
	struct err why = ERR_INIT;
	int failed = run_with(BLOCK_AIO_THREADS, "threads");

	if (block_uring_create(-1, false, &uring, &why) == 0)
		failed += run_with(BLOCK_AIO_IO_URING, "io_uring");
	else
		print_message("not run with aio=io_uring: %s\n", why.text);
	return failed;
}
