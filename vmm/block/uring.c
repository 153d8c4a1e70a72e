/*
 * The io_uring engine: one ring a device. What a ring does is not seen by seccomp, so it is born disabled, restricted to the
 * operations of enum block_op, and then enabled (io_uring_register(2), IORING_REGISTER_RESTRICTIONS): from there on it
 * takes no registrations at all. The ring's own descriptor is what the loop polls.
 *
 * Before Linux 6.12 a ring cannot discard (block device ioctls by IORING_OP_URING_CMD), so a thread beside it does: a
 * discard may take long, and the device's own thread has others to serve. The loop polls an epoll set of both then.
 */
#include <errno.h>
#include <liburing.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "base/log.h"
#include "base/own.h"
#include "vmm/block/engine.h"

/* How often an operation that met a kernel short of something, or a signal, is begun again before that is its result. */
#define RETRIES_MAX 100

struct uring {
	struct block_engine engine;
	bool fixed; /* operations name entry 0 of the ring's table of files */
	bool has_ring;
	struct io_uring ring;
	struct block_engine *discarder; /* NULL: none will come */
	int both_fd;                    /* epoll: the ring and the discarder; -1 without it */
};

static void prepare(struct io_uring_sqe *sqe, const struct block_io *io, int fd)
{
	unsigned int n = io->niov;

	switch (io->op) {
	case BLOCK_READ:
		io_uring_prep_readv(sqe, fd, io->iov, n, io->off_bytes);
		return;
	case BLOCK_WRITE:
		io_uring_prep_writev2(sqe, fd, io->iov, n, io->off_bytes,
				      io->dsync ? RWF_DSYNC : 0);
		return;
	case BLOCK_FLUSH:
		io_uring_prep_fsync(sqe, fd, IORING_FSYNC_DATASYNC);
		return;
	case BLOCK_PUNCH:
	case BLOCK_ZERO:
		io_uring_prep_fallocate(sqe, fd,
					FALLOC_FL_KEEP_SIZE |
						(io->op == BLOCK_PUNCH ? FALLOC_FL_PUNCH_HOLE
								       : FALLOC_FL_ZERO_RANGE),
					(off_t)io->off_bytes, (off_t)io->len_bytes);
		return;
	case BLOCK_DISCARD:
		BUG_ON(true); /* the discarder's */
	}
}

static void enqueue(struct uring *u, struct block_io *io)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring);

	BUG_ON(!sqe); /* the queue holds BLOCK_DEPTH */
	prepare(sqe, io, u->fixed ? 0 : io->fd);
	if (u->fixed)
		sqe->flags |= IOSQE_FIXED_FILE;
	io_uring_sqe_set_data(sqe, io);
}

static void uring_submit(struct block_engine *e, struct block_io *io)
{
	struct uring *u = container_of(e, struct uring, engine);

	if (io->op == BLOCK_DISCARD) {
		BUG_ON(!u->discarder);
		block_engine_submit(u->discarder, io);
		return;
	}
	io->retries = 0;
	enqueue(u, io);
}

static bool uring_commit(struct block_engine *e)
{
	struct uring *u = container_of(e, struct uring, engine);

	if (u->discarder && !block_engine_commit(u->discarder))
		return false;
	while (io_uring_sq_ready(&u->ring) > 0) {
		int n = io_uring_submit(&u->ring);

		if (n == -EINTR)
			continue;
		if (n <= 0)
			return false;
	}
	return true;
}

/* Neither says anything about the disk: a guest that took it for an error would lose its file system. */
static bool begins_again(struct block_io *io, int64_t result)
{
	return (result == -EAGAIN || result == -EINTR) && io->retries++ < RETRIES_MAX;
}

static void uring_reap(struct block_engine *e)
{
	struct uring *u = container_of(e, struct uring, engine);
	struct io_uring_cqe *cqe;

	if (u->discarder)
		block_engine_reap(u->discarder);
	/* Each is given back before done(), which may submit: no more are under way than the queue holds. */
	while (io_uring_peek_cqe(&u->ring, &cqe) == 0) {
		struct block_io *io = io_uring_cqe_get_data(cqe);
		int64_t result = cqe->res;

		io_uring_cqe_seen(&u->ring, cqe);
		if (begins_again(io, result))
			enqueue(u, io);
		else
			io->done(io, result);
	}
}

static int uring_start(struct block_engine *e, struct err *err)
{
	struct uring *u = container_of(e, struct uring, engine);

	return u->discarder ? block_engine_start(u->discarder, err) : 0;
}

static void uring_destroy(struct block_engine *e)
{
	struct uring *u = container_of(e, struct uring, engine);

	block_engine_destroy(u->discarder);
	own_close(&u->both_fd);
	if (u->has_ring)
		io_uring_queue_exit(&u->ring);
	free(u);
}

static const struct block_engine_ops uring_ops = {
	.name = "io_uring",
	.start = uring_start,
	.submit = uring_submit,
	.commit = uring_commit,
	.reap = uring_reap,
	.destroy = uring_destroy,
};

/* Whoever takes the process over gets no more from the ring than this. */
static int restrict_ring(struct uring *u)
{
	static const uint8_t ops[] = {IORING_OP_READV, IORING_OP_WRITEV, IORING_OP_FSYNC,
				      IORING_OP_FALLOCATE};
	struct io_uring_restriction list[ARRAY_SIZE(ops) + 2] = {0};
	unsigned int n = 0;

	for (; n < ARRAY_SIZE(ops); n++) {
		list[n].opcode = IORING_RESTRICTION_SQE_OP;
		list[n].sqe_op = ops[n];
	}
	if (u->fixed) {
		list[n].opcode = IORING_RESTRICTION_SQE_FLAGS_ALLOWED;
		list[n++].sqe_flags = IOSQE_FIXED_FILE;
		list[n].opcode = IORING_RESTRICTION_SQE_FLAGS_REQUIRED;
		list[n++].sqe_flags = IOSQE_FIXED_FILE;
	}
	return io_uring_register_restrictions(&u->ring, list, n);
}

static int set_up(struct uring *u, int only_fd)
{
	struct io_uring_params params = {.flags = IORING_SETUP_R_DISABLED};
	int rc = io_uring_queue_init_params(BLOCK_DEPTH, &u->ring, &params);

	if (rc < 0)
		return rc;
	u->has_ring = true;
	u->engine.event_fd = u->ring.ring_fd;
	if (u->fixed)
		rc = io_uring_register_files(&u->ring, &only_fd, 1);
	if (rc == 0)
		rc = restrict_ring(u);
	if (rc == 0)
		rc = io_uring_enable_rings(&u->ring);
	return rc;
}

static int watch(const struct uring *u, int fd)
{
	struct epoll_event ev = {.events = EPOLLIN};

	return epoll_ctl(u->both_fd, EPOLL_CTL_ADD, fd, &ev);
}

static int add_discarder(struct uring *u, struct err *err)
{
	int rc = block_threads_create(1, &u->discarder, err);

	if (rc < 0)
		return rc;
	u->both_fd = epoll_create1(EPOLL_CLOEXEC);
	if (u->both_fd < 0 || watch(u, u->ring.ring_fd) < 0 ||
	    watch(u, block_engine_event_fd(u->discarder)) < 0)
		return err_set(err, errno, "epoll of a disk");
	u->engine.event_fd = u->both_fd;
	return 0;
}

int block_uring_create(int only_fd, bool discards, struct block_engine **out, struct err *err)
{
	CLEANUP(own_block_engine_destroy) struct block_engine *e = NULL;
	struct uring *u = calloc(1, sizeof(*u));
	int rc;

	if (!u)
		return err_set(err, ENOMEM, "io_uring");
	e = &u->engine;
	*e = (struct block_engine){.ops = &uring_ops, .event_fd = -1};
	u->fixed = only_fd >= 0;
	u->both_fd = -1;
	rc = set_up(u, only_fd);
	if (rc < 0)
		return err_set(err, -rc, "no io_uring on this host");
	if (discards)
		rc = add_discarder(u, err);
	if (rc < 0)
		return rc;
	*out = TAKE_PTR(&e);
	return 0;
}
