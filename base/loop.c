/*
 * epoll with four kinds of source. A removed source leaves epoll at once but is freed after the batch of events in which
 * it was removed: another event of the same batch may still carry its pointer, and finds `dead` set.
 */
#include "base/loop.h"

#include <poll.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>

#define LOOP_BATCH 32

enum source_kind { SOURCE_FD, SOURCE_TIMER, SOURCE_SIGNALS, SOURCE_CHILD };

struct loop_source {
	struct loop *loop;
	enum source_kind kind;
	int fd;
	bool owns_fd;
	bool dead;
	pid_t pid;
	union {
		loop_fd_fn on_fd;
		loop_timer_fn on_timer;
		loop_signal_fn on_signal;
		loop_child_fn on_child;
	} fn;
	void *arg;
	struct loop_source *next, *prev; /* in loop->live or loop->dead */
};

struct loop {
	int epoll_fd;
	int wake_fd; /* loop_stop from another thread */
	_Atomic bool stop;
	struct loop_source *live;
	struct loop_source *dead;
};

static void list_push(struct loop_source **head, struct loop_source *src)
{
	src->prev = NULL;
	src->next = *head;
	if (*head)
		(*head)->prev = src;
	*head = src;
}

static void list_take(struct loop_source **head, struct loop_source *src)
{
	if (src->prev)
		src->prev->next = src->next;
	else
		*head = src->next;
	if (src->next)
		src->next->prev = src->prev;
}

static void source_free(struct loop_source *src)
{
	if (src->owns_fd)
		own_close(&src->fd);
	free(src);
}

static void free_all(struct loop_source **head)
{
	while (*head) {
		struct loop_source *src = *head;

		list_take(head, src);
		source_free(src);
	}
}

void loop_destroy(struct loop *loop)
{
	if (!loop)
		return;
	free_all(&loop->live);
	free_all(&loop->dead);
	own_close(&loop->epoll_fd);
	own_close(&loop->wake_fd);
	free(loop);
}

int loop_create(struct loop **out, struct err *err)
{
	CLEANUP(own_loop_destroy) struct loop *loop = calloc(1, sizeof(*loop));
	struct epoll_event ev = {.events = EPOLLIN, .data.ptr = NULL};

	if (!loop)
		return err_set(err, ENOMEM, "make an event loop");
	loop->epoll_fd = -1;
	loop->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (loop->wake_fd < 0)
		return err_set(err, errno, "make an event loop's eventfd");
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epoll_fd < 0)
		return err_set(err, errno, "make an event loop's epoll");
	if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, loop->wake_fd, &ev) < 0)
		return err_set(err, errno, "watch an event loop's eventfd");
	*out = TAKE_PTR(&loop);
	return 0;
}

/* Fills in what is common and starts watching. On failure `fd` stays the caller's. */
static int add_source(struct loop *loop, const struct loop_source *like, uint32_t events,
		      struct loop_source **out, struct err *err)
{
	AUTO_FREE struct loop_source *src = malloc(sizeof(*src));
	struct epoll_event ev = {.events = events, .data.ptr = src};

	if (!src)
		return err_set(err, ENOMEM, "add to an event loop");
	*src = *like;
	src->loop = loop;
	if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, src->fd, &ev) < 0)
		return err_set(err, errno, "watch descriptor %d", src->fd);
	list_push(&loop->live, src);
	if (out)
		*out = src;
	(void)TAKE_PTR(&src);
	return 0;
}

int loop_add_fd(struct loop *loop, int fd, uint32_t events, loop_fd_fn fn, void *arg,
		struct loop_source **out, struct err *err)
{
	struct loop_source like = {.kind = SOURCE_FD, .fd = fd, .fn.on_fd = fn, .arg = arg};

	return add_source(loop, &like, events, out, err);
}

int loop_mod_fd(struct loop_source *src, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data.ptr = src};

	return epoll_ctl(src->loop->epoll_fd, EPOLL_CTL_MOD, src->fd, &ev) < 0 ? -errno : 0;
}

int loop_add_timer(struct loop *loop, loop_timer_fn fn, void *arg, struct loop_source **out,
		   struct err *err)
{
	AUTO_FD int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	struct loop_source like = {
		.kind = SOURCE_TIMER, .fd = fd, .owns_fd = true, .fn.on_timer = fn, .arg = arg};
	int ret;

	if (fd < 0)
		return err_set(err, errno, "make a timer");
	ret = add_source(loop, &like, EPOLLIN, out, err);
	if (ret == 0)
		(void)TAKE_FD(&fd);
	return ret;
}

int loop_arm(struct loop_source *src, uint64_t after_ms)
{
	struct itimerspec when = {
		.it_value = {.tv_sec = (time_t)(after_ms / 1000),
			     .tv_nsec = (long)(after_ms % 1000) * 1000000},
	};

	return timerfd_settime(src->fd, 0, &when, NULL) < 0 ? -errno : 0;
}

int loop_add_signals(struct loop *loop, const sigset_t *set, loop_signal_fn fn, void *arg,
		     struct loop_source **out, struct err *err)
{
	AUTO_FD int fd = -1;
	struct loop_source like = {
		.kind = SOURCE_SIGNALS, .owns_fd = true, .fn.on_signal = fn, .arg = arg};
	int ret;

	ret = pthread_sigmask(SIG_BLOCK, set, NULL);
	if (ret != 0)
		return err_set(err, ret, "block signals");
	fd = signalfd(-1, set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		return err_set(err, errno, "make a signal descriptor");
	like.fd = fd;
	ret = add_source(loop, &like, EPOLLIN, out, err);
	if (ret == 0)
		(void)TAKE_FD(&fd);
	return ret;
}

int loop_add_child(struct loop *loop, pid_t pid, loop_child_fn fn, void *arg,
		   struct loop_source **out, struct err *err)
{
	AUTO_FD int fd = (int)syscall(SYS_pidfd_open, pid, 0);
	struct loop_source like = {.kind = SOURCE_CHILD,
				   .fd = fd,
				   .owns_fd = true,
				   .pid = pid,
				   .fn.on_child = fn,
				   .arg = arg};
	int ret;

	if (fd < 0)
		return err_set(err, errno, "watch process %d", (int)pid);
	ret = add_source(loop, &like, EPOLLIN, out, err);
	if (ret == 0)
		(void)TAKE_FD(&fd);
	return ret;
}

void loop_kill_child(const struct loop_source *src)
{
	if (src && src->kind == SOURCE_CHILD)
		(void)syscall(SYS_pidfd_send_signal, src->fd, SIGKILL, NULL, 0);
}

void loop_remove(struct loop_source *src)
{
	if (!src || src->dead)
		return;
	(void)epoll_ctl(src->loop->epoll_fd, EPOLL_CTL_DEL, src->fd, NULL);
	src->dead = true;
	if (src->owns_fd)
		own_close(&src->fd);
	list_take(&src->loop->live, src);
	list_push(&src->loop->dead, src);
}

static void fire_timer(struct loop_source *src)
{
	uint64_t expirations;

	if (read(src->fd, &expirations, sizeof(expirations)) == (ssize_t)sizeof(expirations))
		src->fn.on_timer(src->arg);
}

static void fire_signals(struct loop_source *src)
{
	struct signalfd_siginfo info;

	while (!src->dead && read(src->fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
		src->fn.on_signal(src->arg, (int)info.ssi_signo);
}

static void fire_child(struct loop_source *src)
{
	loop_child_fn fn = src->fn.on_child;
	void *arg = src->arg;
	siginfo_t info = {0};
	pid_t pid = src->pid;
	int status;

	if (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG) < 0 || info.si_pid != pid)
		return;
	status = info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
	loop_remove(src);
	fn(arg, pid, status);
}

static void fire(struct loop_source *src, uint32_t events)
{
	switch (src->kind) {
	case SOURCE_FD:
		src->fn.on_fd(src->arg, src->fd, events);
		break;
	case SOURCE_TIMER:
		fire_timer(src);
		break;
	case SOURCE_SIGNALS:
		fire_signals(src);
		break;
	case SOURCE_CHILD:
		fire_child(src);
		break;
	}
}

int loop_step(struct loop *loop, int timeout_ms, struct err *err)
{
	struct epoll_event events[LOOP_BATCH];
	int n = epoll_wait(loop->epoll_fd, events, LOOP_BATCH, timeout_ms);

	if (n < 0 && errno == EINTR)
		return 0;
	if (n < 0)
		return err_set(err, errno, "wait for events");
	for (int i = 0; i < n; i++) {
		struct loop_source *src = events[i].data.ptr;
		uint64_t wakes;

		if (src && !src->dead)
			fire(src, events[i].events);
		else if (!src && read(loop->wake_fd, &wakes, sizeof(wakes)) < 0)
			continue; /* somebody else's wake was already taken */
	}
	free_all(&loop->dead);
	return 0;
}

bool loop_idle(const struct loop *loop)
{
	/* An epoll descriptor is readable while one of its own is ready. */
	struct pollfd set = {.fd = loop->epoll_fd, .events = POLLIN};

	return poll(&set, 1, 0) == 0;
}

int loop_run(struct loop *loop, struct err *err)
{
	while (!loop->stop) {
		int ret = loop_step(loop, -1, err);

		if (ret < 0)
			return ret;
	}
	loop->stop = false;
	return 0;
}

void loop_stop(struct loop *loop)
{
	uint64_t one = 1;

	loop->stop = true;
	if (write(loop->wake_fd, &one, sizeof(one)) < 0)
		return; /* full: it wakes anyway */
}
