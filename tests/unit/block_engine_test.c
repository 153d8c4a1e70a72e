/* Each engine alone: what its operations do to a file, and what a ring of io_uring no longer lets anyone do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <liburing.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/own.h"
#include "vmm/block/engine.h"

#define DISK_BYTES 8192
#define WAIT_MS    10000

static int disk_make(uint8_t byte)
{
	uint8_t bytes[DISK_BYTES];
	int fd = memfd_create("disk", MFD_CLOEXEC);

	memset(bytes, byte, sizeof(bytes));
	assert_int_equal(write(fd, bytes, sizeof(bytes)), sizeof(bytes));
	return fd;
}

struct waiting {
	struct block_io io;
	bool is_done;
	int64_t result;
};

static void on_done(struct block_io *io, int64_t result)
{
	struct waiting *w = container_of(io, struct waiting, io);

	w->is_done = true;
	w->result = result;
}

static int64_t perform(struct block_engine *e, const struct block_io *io)
{
	struct waiting w = {.io = *io};

	w.io.done = on_done;
	block_engine_submit(e, &w.io);
	while (!w.is_done) {
		assert_true(block_engine_commit(e));
		block_engine_wait(e, -1, WAIT_MS);
		block_engine_reap(e);
	}
	return w.result;
}

static void test_operations(void **state)
{
	enum block_aio aio = *(const enum block_aio *)*state;
	CLEANUP(own_block_engine_destroy) struct block_engine *e = NULL;
	AUTO_FD int fd = disk_make(0x11);
	uint8_t one[512], two[1024], want[1024];
	struct iovec iov[] = {{one, sizeof(one)}, {two, sizeof(two)}};

	assert_int_equal(block_engine_create(aio, fd, false, &e, NULL), 0);
	assert_int_equal(block_engine_start(e, NULL), 0);
	memset(one, 0x22, sizeof(one));
	memset(two, 0x33, sizeof(two));
	assert_int_equal(perform(e, &(struct block_io){.op = BLOCK_WRITE,
						       .dsync = true,
						       .fd = fd,
						       .iov = iov,
						       .niov = 2,
						       .off_bytes = 512}),
			 1536);
	assert_int_equal(perform(e, &(struct block_io){.op = BLOCK_FLUSH, .fd = fd}), 0);
	assert_int_equal(perform(e, &(struct block_io){.op = BLOCK_PUNCH,
						       .fd = fd,
						       .off_bytes = 4096,
						       .len_bytes = 4096}),
			 0);
	memset(one, 0, sizeof(one));
	memset(two, 0, sizeof(two));
	/* 512 bytes of the first pattern, then of the second what is left of it. */
	assert_int_equal(perform(e, &(struct block_io){.op = BLOCK_READ,
						       .fd = fd,
						       .iov = iov,
						       .niov = 2,
						       .off_bytes = 1024}),
			 1536);
	memset(want, 0x33, sizeof(want));
	assert_memory_equal(one, want, sizeof(one));
	memset(want + 512, 0x11, 512);
	assert_memory_equal(two, want, sizeof(two));
	/* Over the end: what there is; at the end: nothing. */
	assert_int_equal(perform(e, &(struct block_io){.op = BLOCK_READ,
						       .fd = fd,
						       .iov = iov,
						       .niov = 2,
						       .off_bytes = DISK_BYTES - 512}),
			 512);
	assert_int_equal(one[0], 0);
	assert_int_equal(perform(e, &(struct block_io){.op = BLOCK_READ,
						       .fd = fd,
						       .iov = iov,
						       .niov = 2,
						       .off_bytes = DISK_BYTES}),
			 0);
}

/* An engine for disks that come later takes what each operation names, and says what is wrong with it. */
static void test_descriptors(void **state)
{
	enum block_aio aio = *(const enum block_aio *)*state;
	CLEANUP(own_block_engine_destroy) struct block_engine *e = NULL;
	uint8_t byte = 0;
	struct iovec iov = {&byte, 1};
	struct block_io read = {.op = BLOCK_READ, .iov = &iov, .niov = 1};

	assert_int_equal(block_engine_create(aio, -1, true, &e, NULL), 0);
	assert_int_equal(block_engine_start(e, NULL), 0);
	for (uint8_t i = 1; i < 3; i++) {
		AUTO_FD int fd = disk_make(i);

		read.fd = fd;
		assert_int_equal(perform(e, &read), 1);
		assert_int_equal(byte, i);
	}
	assert_int_equal(perform(e, &read), -EBADF);
}

/* A discard is an ioctl of block devices, with either engine: of a file it is refused as no other operation is. */
static void test_discard(void **state)
{
	enum block_aio aio = *(const enum block_aio *)*state;
	CLEANUP(own_block_engine_destroy) struct block_engine *e = NULL;
	AUTO_FD int fd = disk_make(7);
	struct block_io discard = {.op = BLOCK_DISCARD, .fd = fd, .len_bytes = 512};
	struct block_io flush = {.op = BLOCK_FLUSH, .fd = fd};

	assert_int_equal(block_engine_create(aio, fd, true, &e, NULL), 0);
	assert_int_equal(block_engine_start(e, NULL), 0);
	assert_int_equal(perform(e, &discard), -ENOTTY);
	assert_int_equal(perform(e, &flush), 0);
}

/* The one file of a disk given at the start: a ring that was talked into another descriptor still reads this one. */
static void test_only_file(void **state)
{
	CLEANUP(own_block_engine_destroy) struct block_engine *e = NULL;
	AUTO_FD int fd = disk_make(7);
	AUTO_FD int other = disk_make(8);
	uint8_t byte = 0;
	struct iovec iov = {&byte, 1};

	(void)state;
	assert_int_equal(block_uring_create(fd, false, &e, NULL), 0);
	assert_int_equal(
		perform(e,
			&(struct block_io){.op = BLOCK_READ, .fd = other, .iov = &iov, .niov = 1}),
		1);
	assert_int_equal(byte, 7);
}

/* What the kernel has said about `io` is another result now; the engine has not seen it yet. */
static void falsify(const struct block_engine *e, const struct block_io *io, int32_t result)
{
	const size_t len = 2 * 4096; /* heads, tails and 2 * BLOCK_DEPTH completions */
	struct io_uring_cqe *ring = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED,
					 block_engine_event_fd(e), IORING_OFF_CQ_RING);
	size_t found = 0;

	assert_ptr_not_equal(ring, MAP_FAILED);
	for (size_t i = 0; i < len / sizeof(*ring); i++) {
		if (ring[i].user_data != (uintptr_t)io)
			continue;
		ring[i].res = result;
		found++;
	}
	assert_true(found > 0);
	(void)munmap(ring, len);
}

/* What the kernel could not do just now is done again and not told, as long as that may help. */
static void test_not_now(void **state)
{
	static const struct {
		int32_t result;
		int times;
		int64_t want;
	} cases[] = {{-EAGAIN, 50, 1}, {-EINTR, 50, 1},         {-EIO, 1, -EIO},
		     {-EINTR, 50, 1},  {-EAGAIN, 200, -EAGAIN}, {-EINTR, 200, -EINTR}};
	CLEANUP(own_block_engine_destroy) struct block_engine *e = NULL;
	AUTO_FD int fd = disk_make(1);
	uint8_t byte = 0;
	struct iovec iov = {&byte, 1};
	struct waiting w = {
		.io = {.op = BLOCK_READ, .fd = fd, .iov = &iov, .niov = 1, .done = on_done},
	};

	(void)state;
	assert_int_equal(block_uring_create(-1, false, &e, NULL), 0);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		w.is_done = false;
		block_engine_submit(e, &w.io);
		for (int n = 0; !w.is_done; n++) {
			assert_true(block_engine_commit(e));
			block_engine_wait(e, -1, WAIT_MS);
			if (n < cases[i].times)
				falsify(e, &w.io, cases[i].result);
			block_engine_reap(e);
		}
		assert_int_equal(w.result, cases[i].want);
	}
}

static void test_no_registration(void **state)
{
	static const unsigned int ops[] = {IORING_REGISTER_BUFFERS, IORING_REGISTER_FILES,
					   IORING_REGISTER_EVENTFD, IORING_REGISTER_FILES_UPDATE,
					   IORING_REGISTER_RESTRICTIONS};
	AUTO_FD int fd = disk_make(1);

	(void)state;
	for (int fixed = 0; fixed < 2; fixed++) {
		CLEANUP(own_block_engine_destroy) struct block_engine *e = NULL;

		assert_int_equal(block_uring_create(fixed ? fd : -1, false, &e, NULL), 0);
		for (size_t i = 0; i < ARRAY_SIZE(ops); i++) {
			int rc = (int)syscall(SYS_io_uring_register, block_engine_event_fd(e),
					      ops[i], &fd, 1);

			assert_int_equal(rc, -1);
			assert_int_equal(errno, EACCES);
		}
	}
}

/*
 * The ring of an engine, once more in our memory, as somebody has it who has taken the process over: where its parts lie is
 * known from another ring of that size.
 */
static void ring_map(const struct block_engine *e, struct io_uring *ring)
{
	struct io_uring_params params = {.flags = IORING_SETUP_R_DISABLED};
	struct io_uring other;

	assert_int_equal(io_uring_queue_init_params(BLOCK_DEPTH, &other, &params), 0);
	io_uring_queue_exit(&other);
	assert_int_equal(io_uring_queue_mmap(dup(block_engine_event_fd(e)), &params, ring), 0);
}

static int ring_perform(struct io_uring *ring, uint8_t opcode, uint8_t flags, int fd)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
	struct io_uring_cqe *cqe = NULL;
	int result;

	assert_non_null(sqe);
	io_uring_prep_rw(opcode, sqe, fd, NULL, 0, 0);
	sqe->flags = flags;
	assert_int_equal(io_uring_submit_and_wait(ring, 1), 1);
	assert_int_equal(io_uring_peek_cqe(ring, &cqe), 0);
	result = cqe->res;
	io_uring_cqe_seen(ring, cqe);
	return result;
}

/* What opens, connects, sends, watches or is not even asked to do anything; and with each kind of ring the flags it never sets. */
static void test_other_operations(void **state)
{
	static const uint8_t refused[] = {
		IORING_OP_NOP,
		IORING_OP_READ,
		IORING_OP_WRITE,
		IORING_OP_READ_FIXED,
		IORING_OP_WRITE_FIXED,
		IORING_OP_OPENAT,
		IORING_OP_OPENAT2,
		IORING_OP_CLOSE,
		IORING_OP_STATX,
		IORING_OP_RENAMEAT,
		IORING_OP_UNLINKAT,
		IORING_OP_CONNECT,
		IORING_OP_ACCEPT,
		IORING_OP_SEND,
		IORING_OP_SENDMSG,
		IORING_OP_RECV,
		IORING_OP_RECVMSG,
		IORING_OP_SPLICE,
		IORING_OP_POLL_ADD,
		IORING_OP_EPOLL_CTL,
		IORING_OP_FILES_UPDATE,
		IORING_OP_TIMEOUT,
		IORING_OP_PROVIDE_BUFFERS,
	};
	AUTO_FD int fd = disk_make(1);

	(void)state;
	for (int fixed = 0; fixed < 2; fixed++) {
		CLEANUP(own_block_engine_destroy) struct block_engine *e = NULL;
		const uint8_t flags = fixed ? IOSQE_FIXED_FILE : 0;
		const int file = fixed ? 0 : fd;
		struct io_uring ring;

		assert_int_equal(block_uring_create(fixed ? fd : -1, false, &e, NULL), 0);
		ring_map(e, &ring);
		assert_int_equal(ring_perform(&ring, IORING_OP_FSYNC, flags, file), 0);
		for (size_t i = 0; i < ARRAY_SIZE(refused); i++)
			assert_int_equal(ring_perform(&ring, refused[i], flags, file), -EACCES);
		assert_int_equal(ring_perform(&ring, IORING_OP_FSYNC, flags ^ IOSQE_FIXED_FILE, fd),
				 -EACCES);
		assert_int_equal(ring_perform(&ring, IORING_OP_FSYNC, flags | IOSQE_ASYNC, file),
				 -EACCES);
		assert_int_equal(ring_perform(&ring, IORING_OP_FSYNC, flags, file), 0);
		io_uring_queue_exit(&ring);
	}
}

/* From now on io_uring_setup fails here: a kernel without it (ENOSYS), or a sandbox or sysctl that denies it (EPERM). */
static int forbid_rings(uint32_t number)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | number),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog program = {ARRAY_SIZE(code), code};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -errno;
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) ? -errno : 0;
}

/* 0: all was as it should be on such a host. */
static int use_disk_without_rings(int number)
{
	CLEANUP(own_block_engine_destroy) struct block_engine *e = NULL;
	CLEANUP(own_block_engine_destroy) struct block_engine *none = NULL;
	AUTO_FD int fd = disk_make(5);
	struct err err = ERR_INIT;
	uint8_t byte = 0;
	struct iovec iov = {&byte, 1};
	struct block_io read = {.op = BLOCK_READ, .fd = fd, .iov = &iov, .niov = 1};

	if (forbid_rings((uint32_t)number))
		return 1;
	if (block_engine_create(BLOCK_AIO_IO_URING, fd, false, &none, &err) != -number || none)
		return 2;
	if (!strstr(err.text, "no io_uring on this host") || !strstr(err.text, "aio=threads"))
		return 3;
	if (block_engine_create(BLOCK_AIO_AUTO, fd, true, &e, &err))
		return 4;
	if (strcmp(block_engine_name(e), "threads") != 0 || block_engine_start(e, &err))
		return 5;
	return perform(e, &read) == 1 && byte == 5 ? 0 : 6;
}

static void test_hosts_without_rings(void **state)
{
	static const int numbers[] = {ENOSYS, EPERM};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		int status = 0;
		pid_t pid = fork();

		if (pid == 0)
			_exit(use_disk_without_rings(numbers[i]));
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, 0);
	}
}

static void test_words(void **state)
{
	enum block_aio aio;

	(void)state;
	assert_int_equal(block_aio_parse("io_uring", &aio, NULL), 0);
	assert_int_equal(aio, BLOCK_AIO_IO_URING);
	assert_int_equal(block_aio_parse("threads", &aio, NULL), 0);
	assert_int_equal(aio, BLOCK_AIO_THREADS);
	assert_int_equal(block_aio_parse("native", &aio, NULL), 0);
	assert_int_equal(aio, BLOCK_AIO_AUTO);
	assert_int_equal(block_aio_parse("", &aio, NULL), -EINVAL);
}

int main(void)
{
	enum block_aio threads = BLOCK_AIO_THREADS, uring = BLOCK_AIO_IO_URING;
	CLEANUP(own_block_engine_destroy) struct block_engine *e = NULL;
	struct err why = ERR_INIT;
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_words),
		cmocka_unit_test_prestate(test_operations, &threads),
		cmocka_unit_test_prestate(test_descriptors, &threads),
		cmocka_unit_test_prestate(test_discard, &threads),
		cmocka_unit_test(test_hosts_without_rings),
	};
	const struct CMUnitTest uring_tests[] = {
		cmocka_unit_test_prestate(test_operations, &uring),
		cmocka_unit_test_prestate(test_descriptors, &uring),
		cmocka_unit_test_prestate(test_discard, &uring),
		cmocka_unit_test(test_only_file),
		cmocka_unit_test(test_not_now),
		cmocka_unit_test(test_no_registration),
		cmocka_unit_test(test_other_operations),
	};
	int failed = cmocka_run_group_tests_name("threads", tests, NULL, NULL);

	if (block_uring_create(-1, false, &e, &why) == 0)
		failed += cmocka_run_group_tests_name("io_uring", uring_tests, NULL, NULL);
	else
		print_message("not run with aio=io_uring: %s\n", why.text);
	return failed;
}
