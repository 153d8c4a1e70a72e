/*
 * The host side of a vsock connection: a client of the listening unix socket says "CONNECT <port>\n" and is told
 * "OK <host port>\n" when the guest has accepted, as Firecracker's and Cloud Hypervisor's clients expect it. Whatever is
 * wrong ends as a closed socket. Each step has a deadline, kept by one timer.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/own.h"
#include "base/str.h"
#include "vmm/dev/vsock.h"

/* accept(2) fails for want of descriptors or memory: the listener would report the same client for ever. */
#define ACCEPT_RETRY_MS 1000u
#define ACCEPT_ROUNDS   32

static void arm_at(struct vsock *v, uint64_t at_ms, uint64_t now)
{
	v->timer_at_ms = at_ms;
	BUG_ON(loop_arm(v->timer, at_ms > now ? at_ms - now : 1) < 0);
}

static void wake_by(struct vsock *v, uint64_t at_ms)
{
	if (v->timer_at_ms == 0 || at_ms < v->timer_at_ms)
		arm_at(v, at_ms, clock_now_ms());
}

void vsock_host_deadline(struct vsock_conn *c, uint32_t after_ms)
{
	c->deadline_ms = after_ms ? clock_now_ms() + after_ms : 0;
	if (after_ms)
		wake_by(c->v, c->deadline_ms);
}

void vsock_host_expire(struct vsock *v)
{
	struct vsock_conn *c = NULL, *next = NULL;
	uint64_t now = clock_now_ms();
	uint64_t at_ms = 0;

	v->timer_at_ms = 0;
	for (c = TAILQ_FIRST(&v->conns); c; c = next) {
		next = TAILQ_NEXT(c, link);
		if (c->deadline_ms == 0)
			continue;
		if (c->deadline_ms <= now)
			vsock_conn_reset(c);
		else if (at_ms == 0 || c->deadline_ms < at_ms)
			at_ms = c->deadline_ms;
	}
	if (v->accept_retry_ms && v->accept_retry_ms <= now) {
		v->accept_retry_ms = 0;
		vsock_host_listen(v);
	}
	if (v->accept_retry_ms && (at_ms == 0 || v->accept_retry_ms < at_ms))
		at_ms = v->accept_retry_ms;
	if (at_ms)
		arm_at(v, at_ms, now);
}

void vsock_host_listen(struct vsock *v)
{
	bool room = v->nconns < VSOCK_MAX_CONNS && v->nwaiting < VSOCK_MAX_WAITING;
	bool on = room && v->accept_retry_ms == 0;

	if (!v->listen_source || on == v->listening)
		return;
	v->listening = on;
	BUG_ON(loop_mod_fd(v->listen_source, on ? EPOLLIN : 0) < 0);
}

void vsock_host_accept(struct vsock *v)
{
	for (int i = 0; i < ACCEPT_ROUNDS && v->listening; i++) {
		AUTO_FD int fd = accept4(v->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		struct vsock_conn *c = NULL;

		if (fd < 0 && (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED))
			return;
		if (fd >= 0)
			c = vsock_conn_new(v, fd, VSOCK_HANDSHAKE);
		if (!c) {
			v->accept_retry_ms = clock_now_ms() + ACCEPT_RETRY_MS;
			wake_by(v, v->accept_retry_ms);
			vsock_host_listen(v);
			return;
		}
		(void)TAKE_FD(&fd);
		vsock_host_deadline(c, VSOCK_HANDSHAKE_MS);
		vsock_host_listen(v);
	}
}

/* The port of "CONNECT <port>"; false: something else. */
static bool parse_line(const char *line, uint32_t *port)
{
	static const char word[] = "CONNECT ";
	uint64_t n = 0;

	if (strncmp(line, word, sizeof(word) - 1) != 0 ||
	    str_to_u64(line + sizeof(word) - 1, 0, UINT32_MAX - 1, &n) < 0)
		return false;
	*port = (uint32_t)n;
	return true;
}

/* A port no connection uses. There are more ports than connections, so one is found. */
static uint32_t new_port(struct vsock *v, uint32_t guest_port)
{
	uint32_t port = 0;

	do {
		port = v->next_port;
		v->next_port = port == VSOCK_LAST_PORT ? VSOCK_FIRST_PORT : port + 1;
	} while (vsock_conn_find(v, port, guest_port));
	return port;
}

static void start_connect(struct vsock_conn *c, uint32_t guest_port)
{
	vsock_conn_set_ports(c, new_port(c->v, guest_port), guest_port);
	vsock_conn_set_state(c, VSOCK_CONNECTING);
	vsock_host_deadline(c, VSOCK_CONNECT_MS);
	c->want |= VSOCK_WANT_REQUEST;
	vsock_conn_watch(c);
	vsock_conn_ready(c);
}

/* How many bytes of what lies in the socket belong to the line: up to its newline, which sets *whole. -errno, 0 at end. */
static ssize_t peek_line(struct vsock_conn *c, bool *whole)
{
	char *at = c->line + c->line_len;
	ssize_t n = recv(c->fd, at, sizeof(c->line) - c->line_len, MSG_PEEK | MSG_DONTWAIT);

	if (n <= 0)
		return n < 0 ? -errno : 0;

	const char *end = memchr(at, '\n', (size_t)n);
	*whole = end != NULL;
	return end ? end - at + 1 : n;
}

void vsock_host_handshake(struct vsock_conn *c)
{
	bool whole = false;
	uint32_t port = 0;
	ssize_t n = peek_line(c, &whole);

	if (n == -EAGAIN || n == -EINTR)
		return;
	/* What was peeked is taken, so that a line that comes in pieces does not wake us for the old ones. */
	if (n > 0)
		n = recv(c->fd, c->line + c->line_len, (size_t)n, MSG_DONTWAIT);
	if (n <= 0) {
		vsock_conn_free(c);
		return;
	}
	c->line_len += (uint32_t)n;
	if (whole) {
		c->line[c->line_len - 1] = '\0';
		if (parse_line(c->line, &port))
			start_connect(c, port);
		else
			vsock_conn_free(c);
	} else if (c->line_len == sizeof(c->line)) {
		vsock_conn_free(c);
	}
}

void vsock_host_connected(struct vsock_conn *c)
{
	char text[32];
	int len = snprintf(text, sizeof(text), "OK %u\n", c->host_port);
	ssize_t n = send(c->fd, text, (size_t)len, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (n != len) { /* gone, or it had filled its own socket */
		vsock_conn_reset(c);
		return;
	}
	vsock_conn_set_state(c, VSOCK_OPEN);
	vsock_host_deadline(c, 0);
	vsock_host_listen(c->v);
	vsock_conn_watch(c);
}
