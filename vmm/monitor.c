/* Events out, end of file in. What the monitor may say later arrives by a protocol of its own. */
#include "vmm/monitor.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/log.h"

struct monitor {
	int fd;
	struct loop_source *source;
	void (*on_close)(void *arg);
	void *arg;
};

static void on_readable(void *arg, int fd, uint32_t events UNUSED)
{
	struct monitor *m = arg;
	char discarded[256];
	ssize_t n = recv(fd, discarded, sizeof(discarded), MSG_DONTWAIT);

	if (n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR)))
		return;
	loop_remove(m->source);
	m->source = NULL;
	m->on_close(m->arg);
}

int monitor_create(int fd, struct loop *loop, void (*on_close)(void *arg), void *arg,
		   struct monitor **out, struct err *err)
{
	CLEANUP(own_monitor_destroy) struct monitor *m = calloc(1, sizeof(*m));
	int rc;

	if (!m)
		return err_set(err, ENOMEM, "monitor");
	m->fd = -1;
	m->on_close = on_close;
	m->arg = arg;
	rc = loop_add_fd(loop, fd, EPOLLIN | EPOLLRDHUP, on_readable, m, &m->source, err);
	if (rc < 0)
		return err_wrap(err, "-monitor-fd %d", fd);
	m->fd = fd;
	*out = TAKE_PTR(&m);
	return 0;
}

void monitor_destroy(struct monitor *m)
{
	if (!m)
		return;
	loop_remove(m->source);
	own_close(&m->fd);
	free(m);
}

PRINTF_LIKE(2, 3)
static void send_line(struct monitor *m, const char *fmt, ...)
{
	char line[512];
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(line, sizeof(line), fmt, args);
	va_end(args);
	BUG_ON(n < 0 || (size_t)n >= sizeof(line));
	if (send(m->fd, line, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL) != n)
		log_warn("monitor: an event was lost: %s", strerror(errno));
}

void monitor_send_running(struct monitor *m, const struct machine_times *t)
{
	if (!m)
		return;
	send_line(m,
		  "{\"event\":\"running\",\"monotonic_us\":{\"exec\":%llu,\"memory\":%llu,"
		  "\"devices\":%llu,\"kernel\":%llu,\"entry\":%llu}}\n",
		  (unsigned long long)t->exec_us, (unsigned long long)t->memory_us,
		  (unsigned long long)t->devices_us, (unsigned long long)t->kernel_us,
		  (unsigned long long)t->entry_us);
}

void monitor_send_ended(struct monitor *m, enum guest_end end, const char *detail)
{
	if (!m)
		return;
	/* The detail is our own text (vcpu.c): words and numbers, nothing to escape. */
	send_line(m, "{\"event\":\"guest-ended\",\"reason\":\"%s%s%.200s\"}\n", guest_end_name(end),
		  *detail ? ": " : "", detail);
}
