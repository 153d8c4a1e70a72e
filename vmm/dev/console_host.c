/*
 * A port's other end. A socket has one client at a time, the next one waits in its queue; a file and the terminal are there
 * from the start. Input is read only while the guest takes it. Who hangs up meanwhile is out of the loop altogether, for epoll
 * would report that for ever, and what it has said waits until it is read or somebody else comes.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "vmm/dev/console.h"

#define DRAIN_MS 500

static void unwatch(struct console_host *h)
{
	loop_remove(h->input);
	h->input = NULL;
	h->resting = false;
}

/* Of our own source, where only a bug fails. */
static void rest(struct console_host *h, bool resting)
{
	BUG_ON(loop_mod_fd(h->input, resting ? 0 : EPOLLIN) < 0);
	h->resting = resting;
}

/* The terminal's input only ends; a client's makes room for the next one. */
static void hang_up(struct console_port *port)
{
	struct console_host *h = &port->host;

	unwatch(h);
	own_close(&h->fd);
	h->ended = false;
	if (!h->listener)
		return;
	sink_destroy(h->sink);
	h->sink = NULL;
	listener_pause(h->listener, false);
}

/* A client that has said all may still want to read: it is there until both directions are closed. */
static void end_input(struct console_port *port)
{
	struct console_host *h = &port->host;

	h->ended = true;
	if (!h->listener || loop_mod_fd(h->input, 0) < 0)
		hang_up(port);
}

/* Is it the end that waits to be read, and nothing before it? */
static bool is_at_end(const struct console_host *h)
{
	char byte;

	return h->listener && recv(h->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

static void take_input(struct console_port *port)
{
	struct console_host *h = &port->host;
	ssize_t n = console_listens(port) ? console_receive(port, h->fd) : -ENOBUFS;

	if (n > 0 || n == -EAGAIN)
		return;
	if (n == -ENOBUFS && !is_at_end(h))
		rest(h, true);
	else
		end_input(port);
}

/* Left before the guest had taken all: that must not keep the next client out. */
static void let_others_in(struct console_host *h)
{
	unwatch(h);
	if (h->listener)
		listener_pause(h->listener, false);
}

static void on_input(void *arg, int fd UNUSED, uint32_t events)
{
	struct console_port *port = arg;
	struct console_host *h = &port->host;
	bool gone = events & (EPOLLHUP | EPOLLERR);

	virtio_lock(port->console->dev);
	if (!h->ended && !h->resting)
		take_input(port);
	else if (gone && h->resting)
		let_others_in(h);
	else if (gone)
		hang_up(port);
	virtio_unlock(port->console->dev);
}

static int watch(struct console_port *port, struct err *err)
{
	struct console_host *h = &port->host;

	return loop_add_fd(port->console->loop, h->fd, EPOLLIN, on_input, port, &h->input, err);
}

void console_host_resume(struct console_port *port)
{
	struct console_host *h = &port->host;
	struct err err = ERR_INIT;

	if (h->fd < 0 || h->ended || !console_listens(port))
		return;
	if (h->resting)
		rest(h, false);
	if (h->input)
		return;
	if (h->listener)
		listener_pause(h->listener, true);
	if (watch(port, &err) == 0)
		return;
	log_warn("console port %u: its input ends: %s", port->nr, err.text);
	hang_up(port);
}

static void on_client(void *arg, int fd)
{
	struct console_port *port = arg;
	struct console_host *h = &port->host;
	struct err err = ERR_INIT;
	int rc;

	virtio_lock(port->console->dev);
	if (h->fd >= 0) /* let_others_in */
		hang_up(port);
	h->fd = fd;
	listener_pause(h->listener, true);
	rc = sink_create(fd, port->console->loop, &h->sink, &err);
	if (rc == 0)
		rc = watch(port, &err);
	if (rc < 0) {
		log_warn("console port %u: a client is turned away: %s", port->nr, err.text);
		hang_up(port);
	}
	virtio_unlock(port->console->dev);
}

static int duplicate(int fd, int *out, struct err *err)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);

	if (copy < 0)
		return err_set(err, errno, "console descriptor %d", fd);
	*out = copy;
	return 0;
}

static int open_listener(struct console_port *port, int fd, struct err *err)
{
	struct console_host *h = &port->host;
	int rc = duplicate(fd, &h->listen_fd, err);

	if (rc < 0)
		return rc;
	rc = fd_set_nonblock(h->listen_fd, true);
	if (rc < 0)
		return err_set(err, -rc, "console socket");
	return listener_create(port->console->loop, h->listen_fd, on_client, port, &h->listener,
			       err);
}

int console_host_open(struct console_port *port, const struct dev_console_port *p, struct err *err)
{
	struct console_host *h = &port->host;
	int rc = 0;

	if (p->listen_fd >= 0)
		return open_listener(port, p->listen_fd, err);
	if (p->out_fd >= 0)
		rc = sink_create(p->out_fd, port->console->loop, &h->sink, err);
	if (rc < 0 || p->in_fd < 0)
		return rc;
	rc = duplicate(p->in_fd, &h->fd, err);
	if (rc == 0)
		rc = watch(port, err);
	/* A file or /dev/null as input: nobody types there. */
	h->ended = rc == -EPERM;
	return h->ended ? 0 : rc;
}

static void drain(const struct console_port *port)
{
	uint64_t dropped;

	sink_drain(port->host.sink, DRAIN_MS);
	dropped = sink_dropped_bytes(port->host.sink);
	if (dropped > 0)
		log_warn("console port %u: %llu bytes of output were dropped: nobody read them",
			 port->nr, (unsigned long long)dropped);
}

void console_host_close(struct console_port *port)
{
	struct console_host *h = &port->host;

	if (h->sink)
		drain(port);
	loop_remove(h->input);
	listener_destroy(h->listener);
	sink_destroy(h->sink);
	own_close(&h->fd);
	own_close(&h->listen_fd);
}
