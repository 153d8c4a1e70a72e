/* The server's methods and the loop of the ttrpc tests. */
#include "tests/unit/ttrpc_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <sys/socket.h>

#include "base/own.h"

static void on_echo(void *arg, struct ttrpc_request *req, const uint8_t *payload, size_t len)
{
	struct world *w = arg;

	if (w->destroy_in_handler) {
		ttrpc_conn_destroy(w->server);
		w->server = NULL;
		return;
	}
	ttrpc_reply(req, payload, len);
}

static void on_held_cancel(void *arg)
{
	struct world *w = arg;

	w->held = NULL;
	w->cancels++;
}

static void on_hold(void *arg, struct ttrpc_request *req, const uint8_t *payload, size_t len)
{
	struct world *w = arg;

	(void)payload;
	(void)len;
	w->held = req;
	ttrpc_on_cancel(req, on_held_cancel, w);
}

static void on_refuse(void *arg, struct ttrpc_request *req, const uint8_t *payload, size_t len)
{
	(void)arg;
	(void)payload;
	(void)len;
	ttrpc_fail(req, TTRPC_NOT_FOUND, "no \xff\x1b%s", "x");
}

static void on_big(void *arg, struct ttrpc_request *req, const uint8_t *payload, size_t len)
{
	AUTO_FREE uint8_t *big = calloc(1, TTRPC_MAX_BODY);

	(void)arg;
	(void)payload;
	(void)len;
	assert_non_null(big);
	ttrpc_reply(req, big, TTRPC_MAX_BODY);
}

static const struct ttrpc_method methods[] = {
	{"S", "Echo", on_echo}, {"S", "Hold", on_hold}, {"S", "Refuse", on_refuse},
	{"S", "Big", on_big},   {NULL, NULL, NULL},
};

static void on_close(void *arg, struct ttrpc_conn *conn, const struct err *why)
{
	struct world *w = arg;

	w->closes++;
	w->why = *why;
	if (conn == w->server)
		w->server = NULL;
	if (conn == w->client)
		w->client = NULL;
	ttrpc_conn_destroy(conn);
}

static struct ttrpc_conn *conn_on(struct world *w, int fd, const struct ttrpc_method *m,
				  struct ttrpc_limits limits)
{
	struct ttrpc_conn_params p = {.loop = w->loop,
				      .fd = fd,
				      .methods = m,
				      .arg = w,
				      .limits = limits,
				      .on_close = on_close};
	struct ttrpc_conn *conn = NULL;
	struct err err = ERR_INIT;

	assert_int_equal(ttrpc_conn_create(&p, &conn, &err), 0);
	return conn;
}

struct world *world_new(bool wire, struct ttrpc_limits limits)
{
	struct world *w = calloc(1, sizeof(*w));
	struct err err = ERR_INIT;
	int fds[2];

	assert_non_null(w);
	assert_int_equal(loop_create(&w->loop, &err), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	w->server = conn_on(w, fds[0], methods, limits);
	w->peer = -1;
	if (wire)
		w->peer = fds[1];
	else
		w->client = conn_on(w, fds[1], NULL, (struct ttrpc_limits){0});
	return w;
}

void world_free(struct world *w)
{
	ttrpc_conn_destroy(w->client);
	ttrpc_conn_destroy(w->server);
	own_close(&w->peer);
	loop_destroy(w->loop);
	free(w);
}

void world_step(struct world *w, int timeout_ms)
{
	struct err err = ERR_INIT;

	assert_int_equal(loop_step(w->loop, timeout_ms, &err), 0);
}

void world_settle(struct world *w)
{
	for (int i = 0; i < 20; i++)
		world_step(w, 0);
}
