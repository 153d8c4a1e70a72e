/* Holding a device thread: when it rests, when it goes on, what a thread in the middle of its work is waited for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <sched.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/own.h"
#include "vmm/iothread.h"

struct fixture {
	struct iothread *t;
	struct loop_source *source;
	int work_fd;    /* one count is one piece of work */
	int go_fd;      /* while `slow`, work waits here */
	int started_fd; /* slow work has begun */
	bool slow;
	atomic_uint done;
};

static void on_work(void *arg, int fd, uint32_t events UNUSED)
{
	struct fixture *f = arg;
	eventfd_t count;

	if (eventfd_read(fd, &count) < 0)
		return;
	if (f->slow) {
		assert_int_equal(eventfd_write(f->started_fd, 1), 0);
		assert_int_equal(eventfd_read(f->go_fd, &count), 0);
	}
	atomic_fetch_add(&f->done, 1);
}

static int setup(void **state)
{
	static struct fixture f;

	f = (struct fixture){0};
	f.work_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	f.go_fd = eventfd(0, EFD_CLOEXEC);
	f.started_fd = eventfd(0, EFD_CLOEXEC);
	if (iothread_create(THREAD_BLK, &f.t, NULL) < 0)
		return -1;
	*state = &f;
	return loop_add_fd(iothread_loop(f.t), f.work_fd, EPOLLIN, on_work, &f, &f.source, NULL);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	iothread_stop(f->t);
	loop_remove(f->source);
	iothread_destroy(f->t);
	own_close(&f->work_fd);
	own_close(&f->go_fd);
	own_close(&f->started_fd);
	return 0;
}

static struct timespec in_ms(long ms)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	ts.tv_nsec += ms % 1000 * 1000000;
	ts.tv_sec += ms / 1000 + ts.tv_nsec / 1000000000;
	ts.tv_nsec %= 1000000000;
	return ts;
}

static int await_rest(struct fixture *f, long ms)
{
	const struct timespec deadline = in_ms(ms);
	struct err err = ERR_INIT;

	return iothread_await_rest(f->t, &deadline, &err);
}

static void hold(struct fixture *f)
{
	iothread_hold(f->t);
	assert_int_equal(await_rest(f, 60000), 0);
}

static void work(struct fixture *f)
{
	assert_int_equal(eventfd_write(f->work_fd, 1), 0);
}

static bool done(struct fixture *f, unsigned count)
{
	const struct timespec end = in_ms(60000);
	struct timespec now;

	do {
		if (atomic_load(&f->done) == count)
			return true;
		(void)sched_yield();
		(void)clock_gettime(CLOCK_MONOTONIC, &now);
	} while (now.tv_sec < end.tv_sec);
	return false;
}

/* Nothing is done while held, nothing is lost by it; holds count. */
static void test_hold(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(iothread_start(f->t, NULL), 0);
	for (unsigned i = 0; i < 50; i++) {
		work(f);
		assert_true(done(f, 2 * i + 1));
		hold(f);
		work(f);
		hold(f);
		iothread_release(f->t);
		for (int look = 0; look < 1000; look++) {
			assert_int_equal(atomic_load(&f->done), 2 * i + 1);
			(void)sched_yield();
		}
		iothread_release(f->t);
		assert_true(done(f, 2 * i + 2));
	}
}

/* Held again before the thread has noticed that it was let go. */
static void test_quick(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(iothread_start(f->t, NULL), 0);
	for (int i = 0; i < 1000; i++) {
		hold(f);
		iothread_release(f->t);
	}
	work(f);
	assert_true(done(f, 1));
}

static void test_held_before_start(void **state)
{
	struct fixture *f = *state;

	hold(f); /* without a thread there is nobody to wait for */
	assert_int_equal(iothread_start(f->t, NULL), 0);
	assert_int_equal(await_rest(f, 60000), 0);
	work(f);
	for (int look = 0; look < 1000; look++) {
		assert_int_equal(atomic_load(&f->done), 0);
		(void)sched_yield();
	}
	iothread_release(f->t);
	assert_true(done(f, 1));
}

/* A request that does not end: the wait does, and the thread is at rest once the request is over. */
static void test_deadline(void **state)
{
	struct fixture *f = *state;
	eventfd_t count;

	f->slow = true;
	assert_int_equal(iothread_start(f->t, NULL), 0);
	work(f);
	assert_int_equal(eventfd_read(f->started_fd, &count), 0);
	iothread_hold(f->t);
	assert_int_equal(await_rest(f, 20), -ETIMEDOUT);
	assert_int_equal(eventfd_write(f->go_fd, 1), 0);
	assert_int_equal(await_rest(f, 60000), 0);
	assert_int_equal(atomic_load(&f->done), 1);
	iothread_release(f->t);
}

/* Teardown joins a thread that is held. */
static void test_stop_while_held(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(iothread_start(f->t, NULL), 0);
	hold(f);
	iothread_stop(f->t);
	iothread_release(f->t);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_hold),     CASE(test_quick),           CASE(test_held_before_start),
		CASE(test_deadline), CASE(test_stop_while_held),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
