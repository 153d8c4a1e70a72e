/*
 * The broker's loop: a packet, a deed, a packet. Whatever cannot be read ends it: its monitor does not write such. It has no
 * deadlines of its own, since who asks has them.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/own.h"
#include "runtime/broker_state.h"
#include "runtime/network_join.h"
#include "runtime/resources.h"
#include "runtime/shared_tree.h"

static int close_hooks(struct broker_state *s, struct broker_deed *d, struct err *err)
{
	(void)d;
	(void)err;
	hooks_close(&s->hooks);
	return 0;
}

static int seal(struct broker_state *s, struct broker_deed *d, struct err *err)
{
	if (s->policy.sealed)
		return err_say(err, EPERM, "the broker is sealed already");
	s->policy.sealed = true;
	s->vmm_pid = (pid_t)d->request->value;
	return 0;
}

/* In the order of dependence; what is gone already is fine. */
static void take_all_back(struct broker_state *s)
{
	hooks_close(&s->hooks);
	network_joins_destroy(TAKE_PTR(&s->network));
	broker_drop_containers(s);
	shared_tree_unmake(s->state_dir);
}

static int end(struct broker_state *s, struct broker_deed *d, struct err *err)
{
	(void)d;
	(void)err;
	take_all_back(s);
	resources_end(s->state_dir);
	s->ended = true;
	loop_stop(s->loop);
	return 0;
}

static const broker_fn deeds[BROKER_OPS] = {
	[BROKER_ADD] = broker_do_add,
	[BROKER_SHARE] = broker_do_share,
	[BROKER_UNSHARE] = broker_do_unshare,
	[BROKER_FORGET] = broker_do_forget,
	[BROKER_HOOKS] = broker_do_hooks,
	[BROKER_CLOSE_HOOKS] = close_hooks,
	[BROKER_MARK_OOM] = broker_do_mark_oom,
	[BROKER_OPEN_STREAM] = broker_do_open_stream,
	[BROKER_CONNECT_GUEST] = broker_do_connect_guest,
	[BROKER_CONNECT_EVENTS] = broker_do_connect_events,
	[BROKER_RECORD] = broker_do_record,
	[BROKER_NETWORK] = broker_do_network,
	[BROKER_JOIN] = broker_do_join,
	[BROKER_LEAVE] = broker_do_leave,
	[BROKER_MTU] = broker_do_mtu,
	[BROKER_SEAL] = seal,
	[BROKER_END] = end,
};

static int answer(int sock, struct broker_deed *d, const struct err *status)
{
	uint8_t bytes[BROKER_REPLY_MAX_BYTES];
	const size_t len = broker_reply_encode(status, d->value, bytes);
	ssize_t n = fd_send(sock, bytes, len, d->given, d->ngiven);

	for (size_t i = 0; i < d->ngiven; i++)
		own_close(&d->given[i]);
	return n < 0 ? (int)n : 0;
}

static int perform(struct broker_state *s, int sock, struct broker_deed *d)
{
	struct err status = ERR_INIT;

	if (deeds[d->request->op](s, d, &status)) {
		for (size_t i = 0; i < d->ngiven; i++)
			own_close(&d->given[i]);
		d->ngiven = 0;
		log_debug("broker: %s: %s", broker_op_name(d->request->op), status.text);
	}
	return answer(sock, d, &status);
}

/* 0, or why this was the last packet. */
static int serve_packet(struct broker_state *s, int sock)
{
	uint8_t bytes[BROKER_MAX_BYTES + 1];
	struct broker_request request;
	struct broker_deed d = {.request = &request, .taken = -1};
	size_t nfds = 1;
	ssize_t n = fd_recv(sock, bytes, sizeof(bytes), &d.taken, &nfds);

	if (n <= 0)
		return n < 0 ? (int)n : -ECONNRESET;
	int rc = broker_request_decode(bytes, (size_t)n, &request);

	if (!rc)
		rc = perform(s, sock, &d);
	own_close(&d.taken);
	return rc;
}

static void on_packet(void *arg, int fd, uint32_t events)
{
	struct broker_state *s = arg;
	int rc = serve_packet(s, fd);

	(void)events;
	if (!rc)
		return;
	if (rc == -EPROTO)
		log_error("broker: the monitor asks for what there is not: ending");
	loop_stop(s->loop);
}

void broker_serve(struct broker_state *s, int sock)
{
	AUTO_FD int held = sock;
	struct loop_source *src = NULL;
	struct err err = ERR_INIT;
	int rc = loop_add_fd(s->loop, held, EPOLLIN, on_packet, s, &src, &err);

	if (!rc)
		rc = loop_run(s->loop, &err);
	if (rc)
		log_error("broker: %s", err.text);
	loop_remove(src);
	if (!s->ended)
		take_all_back(s);
	broker_drop_log_dirs(s);
	broker_policy_done(&s->policy);
}
