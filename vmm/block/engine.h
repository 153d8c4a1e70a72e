/*
 * Asynchronous reads and writes of a disk's back end, behind one small interface with two engines: io_uring, and threads
 * that call preadv2/pwritev2 where a host has no io_uring. An engine belongs to one device and knows nothing of guests:
 * it moves bytes between a file and vectors that it passes on to the kernel and never follows.
 *
 * Order: none is kept between operations under way. A flush covers the writes whose done() was called before it was
 * submitted (fdatasync(2)), which is what virtio 1.2, 5.2.6.2 promises a driver.
 *
 * Threads: the caller lets in one at a time (the device's lock); done() is called by block_engine_reap in the caller's
 * thread, nowhere else.
 */
#ifndef NACRE_VMM_BLOCK_ENGINE_H
#define NACRE_VMM_BLOCK_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/compiler.h"
#include "base/err.h"
#include "base/own.h"

/* Operations one engine may have under way: the caller's promise. */
#define BLOCK_DEPTH 128

/* AUTO: io_uring, or threads where the host has none. */
enum block_aio { BLOCK_AIO_AUTO, BLOCK_AIO_THREADS, BLOCK_AIO_IO_URING };

/* "threads", "io_uring", or "native", which QEMU means Linux's own asynchronous I/O by: AUTO here. */
int block_aio_parse(const char *text, enum block_aio *out, struct err *err) MUST_CHECK;

/*
 * PUNCH and ZERO are the modes of fallocate(2), always with FALLOC_FL_KEEP_SIZE. DISCARD is BLKDISCARD of a block device:
 * to punch one means to zero it, which many that discard cannot do without writing.
 */
enum block_op { BLOCK_READ, BLOCK_WRITE, BLOCK_FLUSH, BLOCK_PUNCH, BLOCK_ZERO, BLOCK_DISCARD };

/* One operation: the caller's memory, lent with its vectors from submit until done(). */
struct block_io {
	enum block_op op;
	bool dsync; /* WRITE: on the disk before it is done */
	int fd;
	const struct iovec *iov; /* READ and WRITE */
	uint32_t niov;           /* 1..IOV_MAX */
	uint64_t off_bytes;
	uint64_t len_bytes; /* PUNCH, ZERO and DISCARD */
	/* Bytes moved (short as of the system call), 0, or -errno. May submit this or another operation. */
	void (*done)(struct block_io *io, int64_t result);

	struct block_io *next; /* the engine's, as the next two */
	int64_t result;
	uint32_t retries;
};

struct block_engine;

struct block_engine_ops {
	const char *name;
	/* Threads may be made now. NULL: none are. */
	int (*start)(struct block_engine *e, struct err *err);
	void (*submit)(struct block_engine *e, struct block_io *io);
	bool (*commit)(struct block_engine *e);
	void (*reap)(struct block_engine *e);
	void (*destroy)(struct block_engine *e);
};

/* The head of each engine's own struct. */
struct block_engine {
	const struct block_engine_ops *ops;
	int event_fd; /* the engine's: readable while block_engine_reap has something to do */
};

/*
 * `only_fd` >= 0: the one descriptor that operations will name; with io_uring it is registered and the ring takes no
 * other. -1: each operation's own counts, for disks that come and go. Either way the ring is restricted to the operations
 * above and takes no more registrations: ring operations pass seccomp by. `discards`: operations may be DISCARD, which costs
 * a ring a thread beside it.
 */
int block_engine_create(enum block_aio aio, int only_fd, bool discards, struct block_engine **out,
			struct err *err) MUST_CHECK;
/* Before the first submit, after the process has entered its jail. */
int block_engine_start(struct block_engine *e, struct err *err) MUST_CHECK;
/* Nothing may be under way unless no thread looks at it any more; what is, is never done(). NULL is fine. */
void block_engine_destroy(struct block_engine *e);
DEFINE_OWNER(block_engine_destroy, struct block_engine)

const char *block_engine_name(const struct block_engine *e);
int block_engine_event_fd(const struct block_engine *e);

/* Queues an operation; it is under way from commit on. */
void block_engine_submit(struct block_engine *e, struct block_io *io);
/* false: the kernel is short of memory; commit again in a while. */
bool block_engine_commit(struct block_engine *e) MUST_CHECK;
/* Calls done() for what is finished. Commit afterwards: what is to be done again is queued. */
void block_engine_reap(struct block_engine *e);
/* Waits until block_engine_reap has something to do or `wake_fd` (-1: none) is readable, for timeout_ms at most. Any thread. */
void block_engine_wait(const struct block_engine *e, int wake_fd, int timeout_ms);

/* The two engines, for engine.c and tests. -ENOSYS or -EPERM from uring: the host does not let us. */
int block_uring_create(int only_fd, bool discards, struct block_engine **out,
		       struct err *err) MUST_CHECK;
/* 1..BLOCK_WORKERS_MAX threads. */
#define BLOCK_WORKERS_MAX 4
int block_threads_create(size_t workers, struct block_engine **out, struct err *err) MUST_CHECK;

#endif
