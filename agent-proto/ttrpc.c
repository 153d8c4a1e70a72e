/*
 * One ttrpc connection in an event loop: its life, what comes in, what goes out. Requests and calls are in ttrpc_serve.c
 * and ttrpc_call.c, the bytes in ttrpc_frame.c.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "agent-proto/ttrpc_conn.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/own.h"

#define DEFAULT_MAX_REQUESTS     256
#define DEFAULT_MAX_QUEUED_BYTES (16u << 20)
#define READ_BYTES               (32u << 10)
#define READ_ROUNDS              8 /* a talkative peer leaves the loop to others after so many reads */
#define WRITE_FRAMES             16

void conn_arm(struct ttrpc_conn *conn)
{
	uint64_t after_ms = 0;

	if (conn->closed)
		return;

	uint64_t deadline_ms = conn_next_deadline_ms(conn);
	uint64_t now_ms = clock_now_ms();
	if (conn->failed)
		after_ms = 1;
	else if (deadline_ms)
		after_ms = deadline_ms > now_ms ? deadline_ms - now_ms : 1;

	int rc = loop_arm(conn->timer, after_ms);
	BUG_ON(rc < 0); /* an armed timerfd of ours with a sane value */
}

void conn_fail(struct ttrpc_conn *conn, const struct err *why)
{
	if (conn->failed || conn->closed)
		return;
	conn->failed = true;
	conn->why = *why;
	conn_arm(conn);
}

static void fail_errno(struct ttrpc_conn *conn, int code, const char *what)
{
	struct err why = ERR_INIT;

	err_set(&why, code, "%s", what);
	conn_fail(conn, &why);
}

static void drop_output(struct ttrpc_conn *conn)
{
	while (!TAILQ_EMPTY(&conn->out)) {
		struct ttrpc_frame *f = TAILQ_FIRST(&conn->out);

		TAILQ_REMOVE(&conn->out, f, link);
		free(f);
	}
	conn->out_bytes = 0;
}

/* The callbacks run last, when nothing of the connection is left that they could disturb. */
static void conn_close(struct ttrpc_conn *conn)
{
	if (conn->closed)
		return;
	conn->closed = true;
	loop_remove(conn->io);
	loop_remove(conn->timer);
	own_close(&conn->fd);
	drop_output(conn);
	conn_fail_calls(conn);
	conn_cancel_requests(conn);
}

static void conn_hold(struct ttrpc_conn *conn)
{
	conn->users++;
}

static void conn_release(struct ttrpc_conn *conn)
{
	if (--conn->users > 0 || !conn->dead)
		return;
	ttrpc_reader_done(&conn->reader);
	proto_budget_destroy(conn->budget);
	free(conn);
}

/* After a batch: tells the owner of a failure, once. */
static void conn_settle(struct ttrpc_conn *conn)
{
	if (!conn->failed || conn->closed)
		return;
	conn_close(conn);
	if (!conn->dead && conn->on_close)
		conn->on_close(conn->arg, conn, &conn->why);
}

static size_t gather(const struct ttrpc_conn *conn, struct iovec *iov, size_t max)
{
	struct ttrpc_frame *f = NULL;
	size_t n = 0;

	TAILQ_FOREACH(f, &conn->out, link)
	{
		if (n == max)
			break;
		iov[n++] =
			(struct iovec){.iov_base = f->bytes + f->sent, .iov_len = f->len - f->sent};
	}
	return n;
}

static void step_over(struct ttrpc_conn *conn, size_t sent)
{
	conn->out_bytes -= sent;
	while (sent > 0) {
		struct ttrpc_frame *f = TAILQ_FIRST(&conn->out);
		size_t left = f->len - f->sent;

		if (sent < left) {
			f->sent += sent;
			return;
		}
		sent -= left;
		TAILQ_REMOVE(&conn->out, f, link);
		free(f);
	}
}

static void watch_output(struct ttrpc_conn *conn)
{
	bool want = !TAILQ_EMPTY(&conn->out);

	if (want == conn->wants_out)
		return;
	conn->wants_out = want;

	int rc = loop_mod_fd(conn->io, want ? EPOLLIN | EPOLLOUT : EPOLLIN);
	if (rc < 0)
		fail_errno(conn, -rc, "watch a ttrpc connection");
}

static void conn_flush(struct ttrpc_conn *conn)
{
	while (!TAILQ_EMPTY(&conn->out)) {
		struct iovec iov[WRITE_FRAMES];
		struct msghdr msg = {.msg_iov = iov};

		msg.msg_iovlen = gather(conn, iov, WRITE_FRAMES);
		ssize_t n = sendmsg(conn->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0) {
			fail_errno(conn, errno, "send on a ttrpc connection");
			return;
		}
		step_over(conn, (size_t)n);
	}
	watch_output(conn);
}

void conn_send(struct ttrpc_conn *conn, struct ttrpc_frame *frame)
{
	struct err why = ERR_INIT;

	if (conn->failed || conn->closed) {
		free(frame);
		return;
	}
	TAILQ_INSERT_TAIL(&conn->out, frame, link);
	conn->out_bytes += frame->len;
	if (!conn->wants_out)
		conn_flush(conn);
	if (conn->out_bytes > conn->limits.max_queued_bytes) {
		err_say(&why, ENOBUFS, "the peer lets %zu bytes of answers lie", conn->out_bytes);
		conn_fail(conn, &why);
	}
}

static void dispatch(struct ttrpc_conn *conn)
{
	/* Types of later versions are stepped over, and stream data, since no stream was ever accepted. */
	if (conn->reader.header.type == TTRPC_TYPE_REQUEST)
		conn_serve(conn);
	else if (conn->reader.header.type == TTRPC_TYPE_RESPONSE)
		conn_answer(conn);
	ttrpc_reader_next(&conn->reader);
}

static bool conn_ended(const struct ttrpc_conn *conn)
{
	return conn->failed || conn->closed;
}

static void take_bytes(struct ttrpc_conn *conn, const uint8_t *data, size_t len)
{
	while (len > 0 && !conn_ended(conn)) {
		size_t used = 0;
		int rc = ttrpc_reader_feed(&conn->reader, data, len, &used);

		if (rc < 0) {
			fail_errno(conn, -rc, "receive a ttrpc message");
			return;
		}
		data += used;
		len -= used;
		if (rc == 1)
			dispatch(conn);
	}
}

static void end_of_file(struct ttrpc_conn *conn)
{
	struct err why = ERR_INIT;

	if (ttrpc_reader_partial(&conn->reader))
		err_say(&why, ECONNRESET, "the peer closed in the middle of a ttrpc message");
	conn_fail(conn, &why);
}

static void conn_read(struct ttrpc_conn *conn)
{
	uint8_t buf[READ_BYTES];

	for (int round = 0; round < READ_ROUNDS && !conn_ended(conn); round++) {
		ssize_t n = recv(conn->fd, buf, sizeof(buf), MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0) {
			fail_errno(conn, errno, "receive on a ttrpc connection");
			return;
		}
		if (n == 0) {
			end_of_file(conn);
			return;
		}
		take_bytes(conn, buf, (size_t)n);
		if ((size_t)n < sizeof(buf))
			return;
	}
}

static void on_io(void *arg, int fd, uint32_t events)
{
	struct ttrpc_conn *conn = arg;

	(void)fd;
	conn_hold(conn);
	if (events & EPOLLOUT)
		conn_flush(conn);
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		conn_read(conn);
	conn_settle(conn);
	conn_release(conn);
}

static void on_timer(void *arg)
{
	struct ttrpc_conn *conn = arg;

	conn_hold(conn);
	conn_expire_calls(conn);
	conn_settle(conn);
	conn_arm(conn);
	conn_release(conn);
}

/* What may fail; the caller destroys what was begun. */
static int conn_open(struct ttrpc_conn *conn, int fd, struct err *err)
{
	conn->budget = proto_budget_create(TTRPC_DECODE_BYTES);
	if (!conn->budget)
		return err_set(err, ENOMEM, "make a ttrpc connection");

	int rc = fd_set_nonblock(fd, true);
	if (rc < 0)
		return err_set(err, -rc, "make a ttrpc socket non-blocking");
	rc = loop_add_timer(conn->loop, on_timer, conn, &conn->timer, err);
	if (rc < 0)
		return rc;
	return loop_add_fd(conn->loop, fd, EPOLLIN, on_io, conn, &conn->io, err);
}

int ttrpc_conn_create(const struct ttrpc_conn_params *p, struct ttrpc_conn **out, struct err *err)
{
	struct ttrpc_conn *conn = malloc(sizeof(*conn));

	if (!conn)
		return err_set(err, ENOMEM, "make a ttrpc connection");
	*conn = (struct ttrpc_conn){
		.loop = p->loop,
		.fd = -1, /* the caller's until all is well */
		.methods = p->methods,
		.arg = p->arg,
		.limits = p->limits,
		.on_close = p->on_close,
		.next_stream = 1,
	};
	TAILQ_INIT(&conn->out);
	TAILQ_INIT(&conn->serving);
	TAILQ_INIT(&conn->calls);
	if (conn->limits.max_requests == 0)
		conn->limits.max_requests = DEFAULT_MAX_REQUESTS;
	if (conn->limits.max_queued_bytes == 0)
		conn->limits.max_queued_bytes = DEFAULT_MAX_QUEUED_BYTES;

	int rc = conn_open(conn, p->fd, err);
	if (rc < 0) {
		ttrpc_conn_destroy(conn);
		return rc;
	}
	conn->fd = p->fd;
	*out = conn;
	return 0;
}

void ttrpc_conn_destroy(struct ttrpc_conn *conn)
{
	if (!conn || conn->dead)
		return;
	conn->dead = true;
	conn_hold(conn);
	conn_close(conn);
	conn_release(conn);
}
