/*
 * The engine for hosts without io_uring: a few threads that call preadv2/pwritev2. Each is an iothread, so it is
 * started, jailed and stopped as any other; an eventfd that counts (EFD_SEMAPHORE) wakes one of them an operation. With one
 * thread it stands beside a ring, for what rings cannot do.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "vmm/block/engine.h"
#include "vmm/iothread.h"

struct io_list {
	struct block_io *first;
	struct block_io **end; /* where the next one goes */
};

struct worker {
	struct iothread *thread;
	struct loop_source *source;
};

struct threads {
	struct block_engine engine;
	int work_fd;                /* counts what is in `todo` */
	struct io_list uncommitted; /* the caller's, no lock */
	pthread_mutex_t lock;       /* guards the next two */
	struct io_list todo, finished;
	size_t nworkers;
	struct worker workers[BLOCK_WORKERS_MAX];
};

static void list_init(struct io_list *l)
{
	l->first = NULL;
	l->end = &l->first;
}

static void list_add(struct io_list *l, struct block_io *io)
{
	io->next = NULL;
	*l->end = io;
	l->end = &io->next;
}

static struct block_io *list_take(struct io_list *l)
{
	struct block_io *io = l->first;

	if (!io)
		return NULL;
	l->first = io->next;
	if (!l->first)
		l->end = &l->first;
	return io;
}

static int64_t call(const struct block_io *io)
{
	off_t off = (off_t)io->off_bytes;
	int n = (int)io->niov;

	switch (io->op) {
	case BLOCK_READ:
		return preadv2(io->fd, io->iov, n, off, 0);
	case BLOCK_WRITE:
		return pwritev2(io->fd, io->iov, n, off, io->dsync ? RWF_DSYNC : 0);
	case BLOCK_FLUSH:
		return fdatasync(io->fd);
	case BLOCK_PUNCH:
		return fallocate(io->fd, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, off,
				 (off_t)io->len_bytes);
	case BLOCK_ZERO:
		return fallocate(io->fd, FALLOC_FL_KEEP_SIZE | FALLOC_FL_ZERO_RANGE, off,
				 (off_t)io->len_bytes);
	case BLOCK_DISCARD:
		return ioctl(io->fd, BLKDISCARD, (uint64_t[2]){io->off_bytes, io->len_bytes});
	}
	return -1;
}

static void perform(struct block_io *io)
{
	do {
		io->result = call(io);
	} while (io->result < 0 && errno == EINTR);
	if (io->result < 0)
		io->result = -errno;
}

/* A worker's thread: one operation a turn of its loop. */
static void on_work(void *arg, int fd, uint32_t events UNUSED)
{
	struct threads *t = arg;
	struct block_io *io;
	eventfd_t one;

	if (eventfd_read(fd, &one) < 0)
		return; /* another worker was quicker */
	(void)pthread_mutex_lock(&t->lock);
	io = list_take(&t->todo);
	(void)pthread_mutex_unlock(&t->lock);
	if (!io)
		return;
	perform(io);
	(void)pthread_mutex_lock(&t->lock);
	list_add(&t->finished, io);
	(void)pthread_mutex_unlock(&t->lock);
	(void)eventfd_write(t->engine.event_fd, 1);
}

static void threads_submit(struct block_engine *e, struct block_io *io)
{
	struct threads *t = container_of(e, struct threads, engine);

	list_add(&t->uncommitted, io);
}

static bool threads_commit(struct block_engine *e)
{
	struct threads *t = container_of(e, struct threads, engine);
	eventfd_t n = 0;

	(void)pthread_mutex_lock(&t->lock);
	for (struct block_io *io = list_take(&t->uncommitted); io;
	     io = list_take(&t->uncommitted), n++)
		list_add(&t->todo, io);
	(void)pthread_mutex_unlock(&t->lock);
	if (n > 0)
		(void)eventfd_write(t->work_fd, n);
	return true;
}

static void threads_reap(struct block_engine *e)
{
	struct threads *t = container_of(e, struct threads, engine);
	struct block_io *io;
	eventfd_t count;

	(void)eventfd_read(e->event_fd, &count);
	for (;;) {
		(void)pthread_mutex_lock(&t->lock);
		io = list_take(&t->finished);
		(void)pthread_mutex_unlock(&t->lock);
		if (!io)
			return;
		io->done(io, io->result);
	}
}

static int threads_start(struct block_engine *e, struct err *err)
{
	struct threads *t = container_of(e, struct threads, engine);
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < t->nworkers; i++)
		rc = iothread_start(t->workers[i].thread, err);
	return rc;
}

static void threads_destroy(struct block_engine *e)
{
	struct threads *t = container_of(e, struct threads, engine);

	for (size_t i = 0; i < t->nworkers; i++) {
		struct worker *w = &t->workers[i];

		if (w->thread)
			iothread_stop(w->thread);
		loop_remove(w->source);
		iothread_destroy(w->thread);
	}
	own_close(&t->work_fd);
	own_close(&e->event_fd);
	(void)pthread_mutex_destroy(&t->lock);
	free(t);
}

static const struct block_engine_ops threads_ops = {
	.name = "threads",
	.start = threads_start,
	.submit = threads_submit,
	.commit = threads_commit,
	.reap = threads_reap,
	.destroy = threads_destroy,
};

static int make_worker(struct threads *t, struct worker *w, struct err *err)
{
	int rc = iothread_create(THREAD_BLK_IO, &w->thread, err);

	if (rc < 0)
		return rc;
	return loop_add_fd(iothread_loop(w->thread), t->work_fd, EPOLLIN, on_work, t, &w->source,
			   err);
}

int block_threads_create(size_t workers, struct block_engine **out, struct err *err)
{
	CLEANUP(own_block_engine_destroy) struct block_engine *e = NULL;
	struct threads *t = calloc(1, sizeof(*t));
	int rc = 0;

	if (!t)
		return err_set(err, ENOMEM, "disk threads");
	e = &t->engine;
	e->ops = &threads_ops;
	(void)pthread_mutex_init(&t->lock, NULL); /* glibc: a default mutex cannot fail */
	list_init(&t->uncommitted);
	list_init(&t->todo);
	list_init(&t->finished);
	e->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	t->work_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK | EFD_SEMAPHORE);
	if (e->event_fd < 0 || t->work_fd < 0)
		return err_set(err, errno, "eventfd of disk threads");
	while (rc == 0 && t->nworkers < workers)
		rc = make_worker(t, &t->workers[t->nworkers++], err);
	if (rc < 0)
		return rc;
	*out = TAKE_PTR(&e);
	return 0;
}
