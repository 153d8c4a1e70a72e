/*
 * Console output that cannot block a guest: a ring, a timer that wakes the writer, and writes that do not wait. The first
 * byte into an empty ring sets the timer, so that a line is one write and not one for each of its bytes.
 *
 * The writer takes bytes out of the ring only after it has written them, without the lock: what lies between head and
 * head + len is nobody else's, so a file that is slow to write to delays the loop and no vCPU.
 */
#include "vmm/sink.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>

#include "base/clock.h"
#include "base/log.h"

#define GATHER_NS   (5 * 1000000L)
#define PRESS_NS    1L /* at once: 0 would disarm */
#define PRESS_BYTES (SINK_RING_BYTES / 2)

struct sink {
	pthread_mutex_t lock; /* guards the ring and `dead`; never held over a system call */
	uint8_t ring[SINK_RING_BYTES];
	size_t head; /* next byte to write out */
	size_t len;
	bool dead; /* the reader is gone: everything is dropped */
	uint64_t dropped;

	bool stalled; /* waiting for EPOLLOUT */

	int fd;
	int timer_fd;
	bool is_socket;
	size_t max_write; /* of bytes that do not block once poll(2) says so; SIZE_MAX: never blocks, or cannot help it */
	struct loop_source *timer;
	struct loop_source *writable; /* NULL: a file, which is always writable */
};

/*
 * A second description of the same pipe or terminal, so that O_NONBLOCK does not surprise whoever shares ours. Not for
 * files, whose offset would start again, nor for sockets, which cannot be reopened and have MSG_DONTWAIT.
 */
static void make_nonblocking(struct sink *s, mode_t mode)
{
	char path[32];
	int fd;

	if (!S_ISFIFO(mode) && !isatty(s->fd))
		return;
	/* Where /proc is not to be had: pipe(7) has room for PIPE_BUF bytes when it has any, a terminal for one. */
	s->max_write = S_ISFIFO(mode) ? PIPE_BUF : 1;
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", s->fd);
	fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return;
	own_close(&s->fd);
	s->fd = fd;
	s->max_write = SIZE_MAX;
}

static ssize_t write_some(const struct sink *s, const uint8_t *from, size_t n)
{
	struct pollfd p = {.fd = s->fd, .events = POLLOUT};

	if (s->is_socket)
		return send(s->fd, from, n, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (s->max_write == SIZE_MAX)
		return write(s->fd, from, n);
	if (poll(&p, 1, 0) == 0) {
		errno = EAGAIN;
		return -1;
	}
	return write(s->fd, from, n < s->max_write ? n : s->max_write);
}

/* The bytes up to the end of the ring or of what is in it; 0 when there is nothing to write. */
static size_t next_piece(struct sink *s, const uint8_t **from)
{
	size_t n;

	(void)pthread_mutex_lock(&s->lock);
	n = SINK_RING_BYTES - s->head;
	if (n > s->len)
		n = s->len;
	if (s->dead)
		n = 0;
	*from = s->ring + s->head;
	(void)pthread_mutex_unlock(&s->lock);
	return n;
}

static void set_dead(struct sink *s)
{
	(void)pthread_mutex_lock(&s->lock);
	s->dead = true;
	(void)pthread_mutex_unlock(&s->lock);
}

static void take_written(struct sink *s, size_t n)
{
	(void)pthread_mutex_lock(&s->lock);
	s->head = (s->head + n) % SINK_RING_BYTES;
	s->len -= n;
	(void)pthread_mutex_unlock(&s->lock);
}

/*
 * false when the reader is not ready for more. Not more than a ring at once: a guest that writes as fast as the reader reads
 * must not keep the loop from its other work.
 */
static bool write_ring(struct sink *s)
{
	const uint8_t *from;
	size_t written = 0;

	while (written < SINK_RING_BYTES) {
		size_t len = next_piece(s, &from);
		ssize_t n;

		if (len == 0)
			break;
		n = write_some(s, from, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return false;
		if (n <= 0) {
			set_dead(s);
			break;
		}
		take_written(s, (size_t)n);
		written += (size_t)n;
	}
	return true;
}

static void set_timer(struct sink *s, long after_ns)
{
	struct itimerspec when = {.it_value = {.tv_nsec = after_ns}};

	(void)timerfd_settime(s->timer_fd, 0, &when, NULL);
}

static void flush(struct sink *s)
{
	const uint8_t *from;
	bool stalled = !write_ring(s);

	if (s->writable && stalled != s->stalled &&
	    loop_mod_fd(s->writable, stalled ? EPOLLOUT : 0) < 0)
		set_dead(s);
	s->stalled = stalled;
	if (!stalled && next_piece(s, &from) > 0)
		set_timer(s, PRESS_NS);
}

static void on_timer(void *arg, int fd, uint32_t events UNUSED)
{
	uint64_t count;

	if (read(fd, &count, sizeof(count)) == (ssize_t)sizeof(count))
		flush(arg);
}

static void on_writable(void *arg, int fd UNUSED, uint32_t events)
{
	struct sink *s = arg;

	if (events & (EPOLLERR | EPOLLHUP)) {
		set_dead(s);
		loop_remove(s->writable);
		s->writable = NULL;
		return;
	}
	flush(s);
}

static int attach(struct sink *s, struct loop *loop, struct err *err)
{
	struct stat st;
	int rc;

	if (fstat(s->fd, &st) < 0)
		return err_set(err, errno, "console output descriptor %d", s->fd);
	s->is_socket = S_ISSOCK(st.st_mode);
	s->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (s->timer_fd < 0)
		return err_set(err, errno, "console timer");
	rc = loop_add_fd(loop, s->timer_fd, EPOLLIN, on_timer, s, &s->timer, err);
	if (rc < 0)
		return rc;
	if (S_ISREG(st.st_mode))
		return 0;
	make_nonblocking(s, st.st_mode);
	rc = loop_add_fd(loop, s->fd, 0, on_writable, s, &s->writable, err);
	/* /dev/null and its like cannot be polled and never block. */
	return rc == -EPERM ? 0 : rc;
}

int sink_create(int fd, struct loop *loop, struct sink **out, struct err *err)
{
	CLEANUP(own_sink_destroy) struct sink *s = calloc(1, sizeof(*s));
	int rc;

	if (!s)
		return err_set(err, ENOMEM, "console output");
	(void)pthread_mutex_init(&s->lock, NULL);
	s->timer_fd = -1;
	s->max_write = SIZE_MAX;
	s->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (s->fd < 0)
		return err_set(err, errno, "console output descriptor %d", fd);
	rc = attach(s, loop, err);
	if (rc < 0)
		return rc;
	*out = TAKE_PTR(&s);
	return 0;
}

void sink_destroy(struct sink *s)
{
	if (!s)
		return;
	loop_remove(s->timer);
	loop_remove(s->writable);
	own_close(&s->timer_fd);
	own_close(&s->fd);
	(void)pthread_mutex_destroy(&s->lock);
	free(s);
}

/* The bytes that had room. */
static size_t put_locked(struct sink *s, const uint8_t *bytes, size_t n)
{
	size_t room = s->dead ? 0 : SINK_RING_BYTES - s->len;
	size_t taken = n < room ? n : room;
	size_t at = (s->head + s->len) % SINK_RING_BYTES;
	size_t first = taken < SINK_RING_BYTES - at ? taken : SINK_RING_BYTES - at;

	memcpy(s->ring + at, bytes, first);
	memcpy(s->ring, bytes + first, taken - first);
	s->len += taken;
	s->dropped += n - taken;
	return taken;
}

void sink_write(struct sink *s, const void *bytes, size_t n)
{
	size_t before, after;

	(void)pthread_mutex_lock(&s->lock);
	before = s->len;
	after = before + put_locked(s, bytes, n);
	(void)pthread_mutex_unlock(&s->lock);
	if (before < PRESS_BYTES && after >= PRESS_BYTES)
		set_timer(s, PRESS_NS);
	else if (before == 0 && after > 0)
		set_timer(s, GATHER_NS);
}

void sink_put(struct sink *s, uint8_t byte)
{
	sink_write(s, &byte, 1);
}

void sink_drain(struct sink *s, int timeout_ms)
{
	uint64_t deadline_ms = clock_now_ms() + (uint64_t)timeout_ms;
	const uint8_t *from;
	bool done = false;

	while (!done) {
		struct pollfd p = {.fd = s->fd, .events = POLLOUT};
		int left_ms = clock_ms_left(deadline_ms);

		done = (write_ring(s) && next_piece(s, &from) == 0) || left_ms == 0;
		if (!done && poll(&p, 1, left_ms) < 0 && errno != EINTR)
			return;
	}
}

uint64_t sink_dropped_bytes(struct sink *s)
{
	uint64_t n;

	(void)pthread_mutex_lock(&s->lock);
	n = s->dropped;
	(void)pthread_mutex_unlock(&s->lock);
	return n;
}
