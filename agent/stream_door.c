/* See stream_door.h. */
#include "agent/stream_door.h"

#include <linux/vm_sockets.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "base/listener.h"
#include "base/log.h"
#include "base/own.h"

#define MAX_VISITORS     64
#define TOKEN_TIMEOUT_MS 10000

struct stream_ticket {
	struct stream_door *door;
	uint8_t token[STREAM_TOKEN_BYTES];
	stream_arrived_fn fn;
	void *arg;
	struct stream_ticket *next;
};

/* A connection that has not shown its token yet. */
struct visitor {
	struct stream_door *door;
	int fd;
	uint8_t token[STREAM_TOKEN_BYTES];
	size_t have;
	struct loop_source *source, *timer;
	struct visitor *next;
};

struct stream_door {
	struct loop *loop;
	int listen_fd;
	bool host_only;
	struct listener *listener;
	struct stream_ticket *tickets;
	struct visitor *visitors;
	size_t nvisitors;
	struct log_limit limit;
};

static void visitor_destroy(struct visitor *v)
{
	struct visitor **at = &v->door->visitors;

	while (*at != v)
		at = &(*at)->next;
	*at = v->next;
	v->door->nvisitors--;
	loop_remove(v->source);
	loop_remove(v->timer);
	own_close(&v->fd);
	free(v);
}

/* Every ticket is compared whole, so that the time says nothing about how much of a token was right. */
static struct stream_ticket *find_ticket(struct stream_door *door, const uint8_t *token)
{
	struct stream_ticket *found = NULL;

	for (struct stream_ticket *t = door->tickets; t; t = t->next) {
		volatile uint8_t difference = 0;

		for (size_t i = 0; i < STREAM_TOKEN_BYTES; i++)
			difference = (uint8_t)(difference | (t->token[i] ^ token[i]));
		if (difference == 0)
			found = t;
	}
	return found;
}

void stream_ticket_cancel(struct stream_ticket *ticket)
{
	struct stream_ticket **at;

	if (!ticket)
		return;
	at = &ticket->door->tickets;
	while (*at != ticket)
		at = &(*at)->next;
	*at = ticket->next;
	explicit_bzero(ticket->token, sizeof(ticket->token));
	free(ticket);
}

static void let_in(struct visitor *v)
{
	struct stream_ticket *ticket = find_ticket(v->door, v->token);
	struct stream_door *door = v->door;
	AUTO_FD int fd = TAKE_FD(&v->fd);
	stream_arrived_fn fn;
	void *arg;

	visitor_destroy(v);
	if (!ticket) {
		log_guest(&door->limit, "a stream with an unknown token was refused");
		return;
	}
	fn = ticket->fn;
	arg = ticket->arg;
	stream_ticket_cancel(ticket);
	fn(arg, TAKE_FD(&fd));
}

static void on_visitor(void *arg, int fd, uint32_t events)
{
	struct visitor *v = arg;
	ssize_t n = read(fd, v->token + v->have, sizeof(v->token) - v->have);

	(void)events;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		visitor_destroy(v);
		return;
	}
	v->have += (size_t)n;
	if (v->have < sizeof(v->token))
		return;
	/* The descriptor changes hands: epoll must have forgotten it before. */
	loop_remove(v->source);
	v->source = NULL;
	let_in(v);
}

static void on_late(void *arg)
{
	struct visitor *v = arg;

	log_guest(&v->door->limit, "a connection without a token was closed");
	visitor_destroy(v);
}

static bool from_host(int fd)
{
	struct sockaddr_vm peer = {0};
	socklen_t len = sizeof(peer);

	return getpeername(fd, (struct sockaddr *)&peer, &len) == 0 &&
	       peer.svm_family == AF_VSOCK && peer.svm_cid == VMADDR_CID_HOST;
}

static int visitor_create(struct stream_door *door, int fd, struct err *err)
{
	struct visitor *v = calloc(1, sizeof(*v));
	int ret;

	if (!v) {
		own_close(&fd);
		return err_set(err, ENOMEM, "accept a stream");
	}
	v->door = door;
	v->fd = fd;
	v->next = door->visitors;
	door->visitors = v;
	door->nvisitors++;
	ret = loop_add_fd(door->loop, fd, EPOLLIN, on_visitor, v, &v->source, err);
	if (ret == 0)
		ret = loop_add_timer(door->loop, on_late, v, &v->timer, err);
	if (ret == 0)
		ret = loop_arm(v->timer, TOKEN_TIMEOUT_MS);
	if (ret < 0)
		visitor_destroy(v);
	return ret;
}

static void on_connection(void *arg, int fd)
{
	struct stream_door *door = arg;
	struct err err = ERR_INIT;

	if ((door->host_only && !from_host(fd)) || door->nvisitors >= MAX_VISITORS) {
		log_guest(&door->limit, "a connection was refused at the door");
		own_close(&fd);
		return;
	}
	if (visitor_create(door, fd, &err) < 0)
		log_guest(&door->limit, "%s", err.text);
}

int stream_door_create(struct loop *loop, int listen_fd, bool host_only, struct stream_door **out,
		       struct err *err)
{
	AUTO_FREE struct stream_door *door = calloc(1, sizeof(*door));
	int ret;

	if (!door)
		return err_set(err, ENOMEM, "listen for streams");
	door->loop = loop;
	door->listen_fd = listen_fd;
	door->host_only = host_only;
	ret = fd_set_nonblock(listen_fd, true);
	if (ret < 0)
		return err_set(err, -ret, "listen for streams");
	ret = listener_create(loop, listen_fd, on_connection, door, &door->listener, err);
	if (ret < 0)
		return ret;
	*out = TAKE_PTR(&door);
	return 0;
}

void stream_door_destroy(struct stream_door *door)
{
	if (!door)
		return;
	while (door->visitors)
		visitor_destroy(door->visitors);
	while (door->tickets)
		stream_ticket_cancel(door->tickets);
	listener_destroy(door->listener);
	own_close(&door->listen_fd);
	free(door);
}

int stream_door_expect(struct stream_door *door, const uint8_t token[STREAM_TOKEN_BYTES],
		       stream_arrived_fn fn, void *arg, struct stream_ticket **out, struct err *err)
{
	struct stream_ticket *ticket;

	if (find_ticket(door, token))
		return err_say(err, EEXIST, "a stream with this token is expected already");
	ticket = calloc(1, sizeof(*ticket));
	if (!ticket)
		return err_set(err, ENOMEM, "expect a stream");
	ticket->door = door;
	memcpy(ticket->token, token, sizeof(ticket->token));
	ticket->fn = fn;
	ticket->arg = arg;
	ticket->next = door->tickets;
	door->tickets = ticket;
	*out = ticket;
	return 0;
}
