/* Split queues: one table of chains that break one rule each, and stories of rings, notifications and chain bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/own.h"
#include "tests/unit/fake_driver.h"
#include "vmm/virtio/queue.h"

#define RING_SIZE 8
#define BUF       (FAKE_RAM_AT + (1ULL << 20))
#define TABLE     (FAKE_RAM_AT + (2ULL << 20))
#define RAM_END   (FAKE_RAM_AT + FAKE_RAM_BYTES)
#define NEXT      VRING_DESC_F_NEXT
#define WRITE     VRING_DESC_F_WRITE
#define INDIRECT  VRING_DESC_F_INDIRECT

struct fixture {
	struct fake_driver d;
	struct vq q;
	struct vq_chain chain;
};

static void start(struct fixture *f, bool event_idx, bool indirect)
{
	struct fake_queue *ring = &f->d.queues[0];

	f->q.size_max = RING_SIZE;
	vq_reset(&f->q);
	fake_ring_init(&f->d, 0, RING_SIZE, event_idx);
	f->q.desc = ring->desc;
	f->q.avail = ring->avail;
	f->q.used = ring->used;
	assert_true(vq_start(&f->q, f->d.mem, event_idx, indirect));
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	fake_init(&f->d);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	fake_done(&f->d);
	free(f);
	return 0;
}

/* --- the walk --------------------------------------------------------------------------------------------------- */

struct walk_case {
	const char *name;
	uint16_t head;
	uint16_t avail_idx; /* 0: 1 */
	bool no_indirect;
	struct vring_desc desc[RING_SIZE];
	struct vring_desc table[RING_SIZE + 1]; /* at TABLE */
	const char *why;                        /* NULL: a good chain */
	uint32_t readable, writable;
};

/* A loop, a chain as long as the queue, one descriptor more: each descriptor is 16 readable bytes. */
#define LINK(n)                                                                                    \
	{                                                                                          \
		BUF, 16, NEXT, (n)                                                                 \
	}

static const struct walk_case walk_cases[] = {
	{"one readable", .desc = {{BUF, 16, 0, 0}}, .readable = 16},
	{"one writable", .desc = {{BUF, 16, WRITE, 0}}, .writable = 16},
	{"readable then writable", .desc = {{BUF, 16, NEXT, 2}, [2] = {BUF, 32, WRITE, 0}},
	 .readable = 16, .writable = 32},
	{"readable after writable", .desc = {{BUF, 16, NEXT | WRITE, 2}, [2] = {BUF, 32, 0, 0}},
	 .why = "readable descriptor after a writable one"},
	{"head is the last", .head = 7, .desc = {[7] = {BUF, 16, 0, 0}}, .readable = 16},
	{"head past the table", .head = 8, .desc = {[7] = {BUF, 16, 0, 0}},
	 .why = "descriptor index past its table"},
	{"next past the table", .desc = {{BUF, 16, NEXT, 8}},
	 .why = "descriptor index past its table"},
	{"as long as the queue",
	 .desc = {LINK(1), LINK(2), LINK(3), LINK(4), LINK(5), LINK(6), LINK(7), {BUF, 16, 0, 0}},
	 .readable = 128},
	{"loop to itself", .desc = {LINK(0)}, .why = "chain longer than the queue"},
	{"loop of two", .desc = {LINK(1), LINK(0)}, .why = "chain longer than the queue"},
	{"no bytes", .desc = {{BUF, 0, 0, 0}}, .why = "descriptor of no bytes"},
	{"last byte of RAM", .desc = {{RAM_END - 1, 1, 0, 0}}, .readable = 1},
	{"one past RAM", .desc = {{RAM_END - 1, 2, 0, 0}}, .why = "buffer outside RAM"},
	{"before RAM", .desc = {{FAKE_RAM_AT - 1, 2, 0, 0}}, .why = "buffer outside RAM"},
	{"address wraps", .desc = {{UINT64_MAX - 7, 16, 0, 0}}, .why = "buffer outside RAM"},
	{"length of 4 GiB - 1", .desc = {{BUF, UINT32_MAX, 0, 0}}, .why = "buffer outside RAM"},
	{"available index by size", .avail_idx = 8, .desc = {{BUF, 16, 0, 0}}, .readable = 16},
	{"available index jumped", .avail_idx = 9, .desc = {{BUF, 16, 0, 0}},
	 .why = "available index jumped"},
	{"available index went back", .avail_idx = UINT16_MAX, .desc = {{BUF, 16, 0, 0}},
	 .why = "available index jumped"},
	{"table of two", .desc = {{TABLE, 32, INDIRECT, 0}}, .table = {LINK(1), {BUF, 8, WRITE, 0}},
	 .readable = 16, .writable = 8},
	{"table after a descriptor, its WRITE flag without meaning",
	 .desc = {{BUF, 4, NEXT, 3}, [3] = {TABLE, 32, INDIRECT | WRITE, 0}},
	 .table = {LINK(1), {BUF, 8, WRITE, 0}}, .readable = 20, .writable = 8},
	{"table not negotiated", .no_indirect = true, .desc = {{TABLE, 32, INDIRECT, 0}},
	 .table = {LINK(1), {BUF, 8, WRITE, 0}},
	 .why = "indirect descriptor that was not negotiated"},
	{"table with a next", .desc = {{TABLE, 32, INDIRECT | NEXT, 1}, {BUF, 8, WRITE, 0}},
	 .table = {LINK(1), {BUF, 8, WRITE, 0}}, .why = "indirect descriptor with a next one"},
	{"table in a table", .desc = {{TABLE, 32, INDIRECT, 0}},
	 .table = {{TABLE, 32, INDIRECT, 0}}, .why = "indirect descriptor in an indirect table"},
	{"table of no bytes", .desc = {{TABLE, 0, INDIRECT, 0}},
	 .why = "indirect table of a bad length"},
	{"table of 17 bytes", .desc = {{TABLE, 17, INDIRECT, 0}}, .table = {{BUF, 8, 0, 0}},
	 .why = "indirect table of a bad length"},
	{"table as long as the queue", .desc = {{TABLE, 16 * RING_SIZE, INDIRECT, 0}},
	 .table = {{BUF, 8, 0, 0}}, .readable = 8},
	{"table longer than the queue", .desc = {{TABLE, 16 * (RING_SIZE + 1), INDIRECT, 0}},
	 .table = {{BUF, 8, 0, 0}}, .why = "indirect table of a bad length"},
	{"table's next past it", .desc = {{TABLE, 16, INDIRECT, 0}},
	 .table = {LINK(1), {BUF, 8, 0, 0}}, .why = "descriptor index past its table"},
	{"loop in a table", .desc = {{TABLE, 32, INDIRECT, 0}}, .table = {LINK(1), LINK(0)},
	 .why = "chain longer than the queue"},
	{"table and descriptors longer than the queue",
	 .desc = {LINK(1), LINK(2), {TABLE, 16 * 7, INDIRECT, 0}},
	 .table = {LINK(1), LINK(2), LINK(3), LINK(4), LINK(5), LINK(6), {BUF, 16, 0, 0}},
	 .why = "chain longer than the queue"},
	{"table past RAM", .desc = {{RAM_END, 16, INDIRECT, 0}},
	 .why = "descriptor table outside RAM"},
	{"table's address wraps", .desc = {{UINT64_MAX - 15, 16, INDIRECT, 0}},
	 .why = "descriptor table outside RAM"},
};

static void walk_one(struct fixture *f, const struct walk_case *c)
{
	uint16_t idx = c->avail_idx ? c->avail_idx : 1;
	bool popped;

	start(f, false, !c->no_indirect);
	for (uint16_t i = 0; i < RING_SIZE; i++)
		fake_desc(&f->d, 0, i, c->desc[i]);
	assert_true(gmem_write(f->d.mem, GPA(TABLE), c->table, sizeof(c->table)));
	fake_avail(&f->d, 0, c->head);
	fake_avail_idx(&f->d, 0, idx);

	popped = vq_pop(&f->q, &f->chain);
	assert_int_equal(popped, c->why == NULL);
	assert_int_equal(f->q.broken, c->why != NULL);
	if (c->why) {
		assert_string_equal(f->q.why, c->why);
		/* Broken stays broken, whatever the driver writes. */
		fake_desc(&f->d, 0, 0, (struct vring_desc){.addr = BUF, .len = 16});
		assert_false(vq_pop(&f->q, &f->chain));
		return;
	}
	assert_int_equal(f->chain.head, c->head);
	assert_int_equal(f->chain.readable_bytes, c->readable);
	assert_int_equal(f->chain.writable_bytes, c->writable);
}

static void test_walk(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(walk_cases); i++) {
		print_message("  %s\n", walk_cases[i].name);
		walk_one(*state, &walk_cases[i]);
	}
}

/* 1 GiB of RAM in which four descriptors make 4 GiB: refused by the sum, each of them being RAM. */
static void test_sum_of_lengths(void **state)
{
	struct gmem_range ram = {.at = GPA(0), .len_bytes = 1ULL << 30};
	CLEANUP(own_gmem_destroy) struct gmem *mem = NULL;
	struct vring_desc desc[4];
	struct vq q = {.size_max = RING_SIZE};
	uint16_t avail[3] = {0, 1, 0};
	AUTO_FREE struct vq_chain *chain = calloc(1, sizeof(*chain));

	(void)state;
	assert_int_equal(gmem_create(&ram, 1, &mem, NULL), 0);
	for (uint16_t i = 0; i < 4; i++)
		desc[i] = (struct vring_desc){
			.addr = 0,
			.len = 1U << 30,
			.flags = (uint16_t)(i >= 2 ? WRITE | NEXT : NEXT),
			.next = (uint16_t)(i + 1),
		};
	desc[3].flags = WRITE;
	desc[3].len--;
	for (int over = 0; over < 2; over++) {
		desc[3].len += (uint32_t)over;
		vq_reset(&q);
		q.desc = GPA(0);
		q.avail = GPA(4096);
		q.used = GPA(8192);
		assert_true(gmem_write(mem, q.desc, desc, sizeof(desc)));
		assert_true(gmem_write(mem, q.avail, avail, sizeof(avail)));
		assert_true(vq_start(&q, mem, false, false));
		assert_int_equal(vq_pop(&q, chain), !over);
	}
	assert_string_equal(q.why, "chain of 4 GiB or more");
}

/* --- starting ----------------------------------------------------------------------------------------------------- */

static void test_start(void **state)
{
	static const struct {
		const char *name;
		uint16_t size;
		uint64_t desc, avail, used;
		bool event_idx, ok;
	} cases[] = {
		{"good", 8, BUF, BUF + 4096, BUF + 8192, true, true},
		{"smaller", 4, BUF, BUF + 4096, BUF + 8192, true, true},
		{"size 0", 0, BUF, BUF + 4096, BUF + 8192, true, false},
		{"size no power of two", 6, BUF, BUF + 4096, BUF + 8192, true, false},
		{"size past the maximum", 16, BUF, BUF + 4096, BUF + 8192, true, false},
		{"descriptors not aligned", 8, BUF + 8, BUF + 4096, BUF + 8192, true, false},
		{"available not aligned", 8, BUF, BUF + 4097, BUF + 8192, true, false},
		{"used not aligned", 8, BUF, BUF + 4096, BUF + 8194, true, false},
		{"descriptors end in RAM", 8, RAM_END - 128, BUF, BUF + 8192, true, true},
		{"descriptors end past RAM", 8, RAM_END - 112, BUF, BUF + 8192, true, false},
		{"available ends in RAM", 8, BUF, RAM_END - 22, BUF + 8192, true, true},
		{"available's event past RAM", 8, BUF, RAM_END - 20, BUF + 8192, true, false},
		{"available without event", 8, BUF, RAM_END - 20, BUF + 8192, false, true},
		{"available past RAM", 8, BUF, RAM_END - 18, BUF + 8192, false, false},
		{"used without event", 8, BUF, BUF + 4096, RAM_END - 68, false, true},
		{"used's event past RAM", 8, BUF, BUF + 4096, RAM_END - 68, true, false},
		{"descriptors wrap", 8, UINT64_MAX - 15, BUF, BUF + 8192, true, false},
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		f->q.size_max = RING_SIZE;
		vq_reset(&f->q);
		f->q.size = cases[i].size;
		f->q.desc = GPA(cases[i].desc);
		f->q.avail = GPA(cases[i].avail);
		f->q.used = GPA(cases[i].used);
		print_message("  %s\n", cases[i].name);
		assert_int_equal(vq_start(&f->q, f->d.mem, cases[i].event_idx, true), cases[i].ok);
		assert_int_equal(f->q.ready, cases[i].ok);
	}
}

/* --- rings -------------------------------------------------------------------------------------------------------- */

static struct fake_seg buf16(bool writable)
{
	return (struct fake_seg){.at = GPA(BUF), .len = 16, .writable = writable};
}

/* Many times around, past the wrap of the 16-bit indexes. */
static void test_wraps(void **state)
{
	struct fixture *f = *state;
	struct fake_seg seg = buf16(true);

	start(f, true, true);
	for (uint32_t i = 0; i < 70000; i++) {
		uint16_t head = fake_add(&f->d, 0, &seg, 1);
		uint16_t used_head = 0;
		uint32_t len = 0;

		assert_true(vq_pop(&f->q, &f->chain));
		assert_true(chain_write_skip(&f->chain, i % 17));
		vq_push(&f->chain);
		assert_true(vq_wants_interrupt(&f->q));
		assert_true(fake_used(&f->d, 0, &used_head, &len));
		assert_int_equal(used_head, head);
		assert_int_equal(len, i % 17);
	}
	assert_false(vq_pop(&f->q, &f->chain));
	assert_false(f->q.broken);
}

static void test_unpop(void **state)
{
	struct fixture *f = *state;
	struct fake_seg seg = buf16(true);

	start(f, true, true);
	fake_add(&f->d, 0, &seg, 1);
	assert_true(vq_pop(&f->q, &f->chain));
	assert_false(vq_pop(&f->q, &f->chain));
	vq_unpop(&f->chain);
	assert_true(vq_pop(&f->q, &f->chain));
	assert_int_equal(f->chain.head, 0);
}

/* A device that answers after its queue was stopped or reset writes nothing into what is no ring any more. */
static void test_push_after_stop(void **state)
{
	struct fixture *f = *state;
	struct fake_seg seg = buf16(true);
	uint16_t head;
	uint32_t len;

	start(f, true, true);
	fake_add(&f->d, 0, &seg, 1);
	assert_true(vq_pop(&f->q, &f->chain));
	vq_reset(&f->q);
	vq_push(&f->chain);
	vq_unpop(&f->chain);
	assert_int_equal(f->q.avail_next, 0);
	assert_false(fake_used(&f->d, 0, &head, &len));
}

static void push_n(struct fixture *f, int n)
{
	struct fake_seg seg = buf16(true);

	for (int i = 0; i < n; i++) {
		fake_add(&f->d, 0, &seg, 1);
		assert_true(vq_pop(&f->q, &f->chain));
		vq_push(&f->chain);
	}
}

static void test_interrupt_event_idx(void **state)
{
	static const struct {
		uint16_t event;
		int pushes;
		bool wants;
	} steps[] = {
		{0, 0, false}, /* nothing new */
		{0, 1, true},  /* 0 -> 1 passes 0 */
		{0, 1, false}, /* 1 -> 2 passed it long ago */
		{5, 3, false}, /* 2 -> 5: the event is that index 5 is filled */
		{5, 1, true},  /* 5 -> 6 */
		{7, 4, true},  /* 6 -> 10 passes 7 on the way */
		{9, 1, false},
	};
	struct fixture *f = *state;

	start(f, true, true);
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		fake_used_event(&f->d, 0, steps[i].event);
		push_n(f, steps[i].pushes);
		assert_int_equal(vq_wants_interrupt(&f->q), steps[i].wants);
	}
}

static void test_interrupt_flag(void **state)
{
	struct fixture *f = *state;

	start(f, false, true);
	assert_false(vq_wants_interrupt(&f->q));
	push_n(f, 1);
	assert_true(vq_wants_interrupt(&f->q));
	assert_false(vq_wants_interrupt(&f->q));
	fake_avail_flags(&f->d, 0, VRING_AVAIL_F_NO_INTERRUPT);
	push_n(f, 1);
	assert_false(vq_wants_interrupt(&f->q));
}

/* An empty queue asks for the next one by itself. */
static void test_notify(void **state)
{
	struct fixture *f = *state;

	start(f, true, true);
	push_n(f, 2);
	assert_false(vq_pop(&f->q, &f->chain));
	assert_int_equal(fake_avail_event(&f->d, 0), 2);
	push_n(f, 1);
	assert_int_equal(fake_avail_event(&f->d, 0), 2);
	assert_false(vq_pop(&f->q, &f->chain));
	assert_int_equal(fake_avail_event(&f->d, 0), 3);
}

/* What ends a kick must end its loops too. */
static void test_budget(void **state)
{
	struct fixture *f = *state;
	struct fake_seg seg = buf16(false);

	start(f, true, true);
	for (int i = 0; i < 3; i++)
		fake_add(&f->d, 0, &seg, 1);
	f->q.budget = 2;
	assert_true(vq_pop(&f->q, &f->chain));
	vq_unpop(&f->chain);
	assert_true(vq_pop(&f->q, &f->chain));
	assert_true(vq_pop(&f->q, &f->chain));
	assert_false(vq_pop(&f->q, &f->chain));
	f->q.budget = VQ_NO_BUDGET;
	assert_true(vq_pop(&f->q, &f->chain));
	assert_int_equal(f->q.budget, VQ_NO_BUDGET);
}

/* --- bytes -------------------------------------------------------------------------------------------------------- */

/* "abc" "defgh" "ij" readable; 2, 3 and 4 bytes writable at BUF, 16 apart. */
static void pop_pieces(struct fixture *f)
{
	struct fake_seg segs[6] = {
		{.at = fake_put(&f->d, "abc", 3), .len = 3},
		{.at = fake_put(&f->d, "defgh", 5), .len = 5},
		{.at = fake_put(&f->d, "ij", 2), .len = 2},
		{.at = GPA(BUF), .len = 2, .writable = true},
		{.at = GPA(BUF + 16), .len = 3, .writable = true},
		{.at = GPA(BUF + 32), .len = 4, .writable = true},
	};

	start(f, true, true);
	fake_add_indirect(&f->d, 0, segs, ARRAY_SIZE(segs));
	assert_true(vq_pop(&f->q, &f->chain));
}

static void assert_written(struct fixture *f, const char *want)
{
	char got[10] = "";

	fake_get(&f->d, GPA(BUF), got, 2);
	fake_get(&f->d, GPA(BUF + 16), got + 2, 3);
	fake_get(&f->d, GPA(BUF + 32), got + 5, 4);
	assert_string_equal(got, want);
}

static void test_read(void **state)
{
	struct fixture *f = *state;
	char got[16] = "";

	pop_pieces(f);
	assert_int_equal(chain_read(&f->chain, got, 4), 4);
	assert_string_equal(got, "abcd");
	assert_int_equal(chain_read_left(&f->chain), 6);
	assert_false(chain_read_skip(&f->chain, 7));
	assert_true(chain_read_skip(&f->chain, 3));
	memset(got, 0, sizeof(got));
	assert_int_equal(chain_read(&f->chain, got, sizeof(got)), 3);
	assert_string_equal(got, "hij");
	assert_int_equal(chain_read(&f->chain, got, 1), 0);
	assert_true(chain_read_skip(&f->chain, 0));
	assert_false(chain_read_skip(&f->chain, 1));
}

static void test_write(void **state)
{
	struct fixture *f = *state;

	pop_pieces(f);
	assert_true(chain_write_skip(&f->chain, 1));
	assert_int_equal(chain_write(&f->chain, "23456", 5), 5);
	assert_int_equal(chain_write_left(&f->chain), 3);
	assert_true(chain_write_at(&f->chain, 0, "1", 1));
	assert_true(chain_write_at(&f->chain, 1, "BC", 2));
	assert_false(chain_write_at(&f->chain, 6, "x", 1));
	assert_false(chain_write_at(&f->chain, 5, "xy", 2));
	assert_false(chain_write_at(&f->chain, 7, "x", 1));
	assert_false(chain_write_at(&f->chain, SIZE_MAX, "xy", 2));
	assert_false(chain_write_skip(&f->chain, 4));
	assert_int_equal(chain_write(&f->chain, "789xx", 5), 3);
	assert_int_equal(f->chain.write_done, 9);
	assert_written(f, "1BC456789");
}

static void test_to_fd(void **state)
{
	struct fixture *f = *state;
	AUTO_FD int fd = memfd_create("to_fd", MFD_CLOEXEC);
	char got[16] = "";

	pop_pieces(f);
	assert_true(chain_read_skip(&f->chain, 1));
	assert_int_equal(chain_to_fd(&f->chain, 5, fd, 2, 0), 5);
	assert_int_equal(chain_to_fd(&f->chain, 100, fd, -1, 0), 4);
	assert_int_equal(chain_to_fd(&f->chain, 100, fd, -1, 0), 0);
	assert_int_equal(pread(fd, got, sizeof(got), 0), 7);
	assert_memory_equal(got, "ghijdef", 7);
	assert_int_equal(chain_to_fd(&f->chain, 1, -1, 0, 0), 0);
	f->chain.read_done = 0;
	assert_int_equal(chain_to_fd(&f->chain, 1, -1, 0, 0), -EBADF);
	assert_int_equal(f->chain.read_done, 0);
}

static void test_from_fd(void **state)
{
	struct fixture *f = *state;
	AUTO_FD int fd = memfd_create("from_fd", MFD_CLOEXEC);
	int pipe_fds[2];

	pop_pieces(f);
	assert_int_equal(pwrite(fd, "0123456", 7, 0), 7);
	assert_int_equal(chain_from_fd(&f->chain, 3, fd, 1, 0), 3);
	assert_int_equal(chain_from_fd(&f->chain, 100, fd, 5, 0), 2);
	assert_int_equal(chain_from_fd(&f->chain, 100, fd, 7, 0), 0);
	assert_int_equal(chain_from_fd(&f->chain, 1, -1, 0, 0), -EBADF);
	assert_int_equal(pipe(pipe_fds), 0);
	assert_int_equal(write(pipe_fds[1], "wxyz", 4), 4);
	assert_int_equal(chain_from_fd(&f->chain, 3, pipe_fds[0], -1, 0), 3);
	assert_int_equal(f->chain.write_done, 8);
	assert_int_equal(chain_write(&f->chain, "!", 1), 1);
	assert_written(f, "12356wxy!");
	close(pipe_fds[0]);
	close(pipe_fds[1]);
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_walk),
		CASE(test_sum_of_lengths),
		CASE(test_start),
		CASE(test_wraps),
		CASE(test_unpop),
		CASE(test_push_after_stop),
		CASE(test_interrupt_event_idx),
		CASE(test_interrupt_flag),
		CASE(test_notify),
		CASE(test_budget),
		CASE(test_read),
		CASE(test_write),
		CASE(test_to_fd),
		CASE(test_from_fd),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
