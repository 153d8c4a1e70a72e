/*
 * A device's thread: runs a loop until it is stopped. To hold it, an eventfd brings it into a handler that waits there, so
 * it rests between two events of its loop, never in the middle of a request.
 */
#include "vmm/iothread.h"

#include <pthread.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "base/log.h"
#include "vmm/jail.h"

struct iothread {
	struct loop *loop;
	pthread_t thread;
	bool running;
	enum thread_kind kind;
	int hold_fd;
	struct loop_source *hold_source;

	pthread_mutex_t lock; /* guards what follows */
	pthread_cond_t changed;
	uint32_t holds;
	pid_t tid; /* 0: the thread has not begun */
	bool stopping;
	bool resting;
};

static void on_hold(void *arg, int fd, uint32_t events UNUSED)
{
	struct iothread *t = arg;
	eventfd_t count;

	if (eventfd_read(fd, &count) < 0)
		return;
	(void)pthread_mutex_lock(&t->lock);
	t->resting = true;
	(void)pthread_cond_broadcast(&t->changed);
	while (t->holds > 0 && !t->stopping)
		(void)pthread_cond_wait(&t->changed, &t->lock);
	t->resting = false;
	(void)pthread_mutex_unlock(&t->lock);
}

int iothread_create(enum thread_kind kind, struct iothread **out, struct err *err)
{
	CLEANUP(own_iothread_destroy) struct iothread *t = calloc(1, sizeof(*t));
	int rc;

	if (!t)
		return err_set(err, ENOMEM, "thread '%s'", thread_kind_name(kind));
	(void)pthread_mutex_init(&t->lock, NULL); /* glibc: defaults cannot fail */
	(void)pthread_cond_init(&t->changed, NULL);
	t->kind = kind;
	t->hold_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (t->hold_fd < 0)
		return err_set(err, errno, "eventfd of thread '%s'", thread_kind_name(kind));
	rc = loop_create(&t->loop, err);
	if (rc == 0)
		rc = loop_add_fd(t->loop, t->hold_fd, EPOLLIN, on_hold, t, &t->hold_source, err);
	if (rc < 0)
		return rc;
	*out = TAKE_PTR(&t);
	return 0;
}

struct loop *iothread_loop(struct iothread *t)
{
	return t->loop;
}

pid_t iothread_tid(struct iothread *t)
{
	pid_t tid;

	if (!t->running)
		return 0;
	(void)pthread_mutex_lock(&t->lock);
	while (t->tid == 0)
		(void)pthread_cond_wait(&t->changed, &t->lock);
	tid = t->tid;
	(void)pthread_mutex_unlock(&t->lock);
	return tid;
}

static void set_tid(struct iothread *t)
{
	(void)pthread_mutex_lock(&t->lock);
	t->tid = gettid();
	(void)pthread_cond_broadcast(&t->changed);
	(void)pthread_mutex_unlock(&t->lock);
}

static void *run(void *arg)
{
	struct iothread *t = arg;
	struct err err = ERR_INIT;

	(void)pthread_setname_np(pthread_self(), thread_kind_name(t->kind));
	set_tid(t);
	jail_thread(t->kind);
	if (loop_run(t->loop, &err) < 0)
		log_error("thread %s: %s", thread_kind_name(t->kind), err.text);
	return NULL;
}

int iothread_start(struct iothread *t, struct err *err)
{
	int rc;

	if (t->holds > 0)
		(void)eventfd_write(t->hold_fd, 1);
	rc = pthread_create(&t->thread, NULL, run, t);
	if (rc != 0)
		return err_set(err, rc, "start thread '%s'", thread_kind_name(t->kind));
	t->running = true;
	return 0;
}

void iothread_hold(struct iothread *t)
{
	(void)pthread_mutex_lock(&t->lock);
	if (t->holds++ == 0 && t->running)
		(void)eventfd_write(t->hold_fd, 1);
	(void)pthread_mutex_unlock(&t->lock);
}

int iothread_await_rest(struct iothread *t, const struct timespec *deadline, struct err *err)
{
	int rc = 0;

	(void)pthread_mutex_lock(&t->lock);
	BUG_ON(t->holds == 0);
	while (rc == 0 && t->running && !t->resting)
		rc = pthread_cond_clockwait(&t->changed, &t->lock, CLOCK_MONOTONIC, deadline);
	(void)pthread_mutex_unlock(&t->lock);
	if (rc != 0)
		return err_say(err, rc, "device thread '%s' did not finish its work in time",
			       thread_kind_name(t->kind));
	return 0;
}

void iothread_release(struct iothread *t)
{
	(void)pthread_mutex_lock(&t->lock);
	BUG_ON(t->holds == 0);
	if (--t->holds == 0)
		(void)pthread_cond_broadcast(&t->changed);
	(void)pthread_mutex_unlock(&t->lock);
}

static void set_stopping(struct iothread *t)
{
	(void)pthread_mutex_lock(&t->lock);
	t->stopping = true;
	(void)pthread_cond_broadcast(&t->changed);
	(void)pthread_mutex_unlock(&t->lock);
}

void iothread_stop(struct iothread *t)
{
	if (!t || !t->running)
		return;
	loop_stop(t->loop);
	set_stopping(t);
	(void)pthread_join(t->thread, NULL);
	t->running = false;
}

void iothread_destroy(struct iothread *t)
{
	if (!t)
		return;
	iothread_stop(t);
	loop_destroy(t->loop);
	own_close(&t->hold_fd);
	(void)pthread_cond_destroy(&t->changed);
	(void)pthread_mutex_destroy(&t->lock);
	free(t);
}
