/*
 * See qmp_client.h. Calls stand in one list in the order of their ids: what is sent waits for its answer, the rest for room in
 * the socket. One timer stands for the deadlines of all.
 */
#include "runtime/qmp_client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"
#include "config/json.h"
#include "runtime/qmp_call.h"

#define READ_BYTES     4096
#define READ_OUT_READS 64

enum qmp_state { QMP_GREETING, QMP_NEGOTIATING, QMP_READY, QMP_CLOSED };

struct qmp_client {
	struct qmp_client_params p;
	struct loop_source *source, *timer;
	enum qmp_state state;
	uint64_t greeting_deadline_ms; /* 0: none */
	struct qmp_calls calls;
	size_t ncalls;
	uint64_t last_id; /* 0 is qmp_capabilities' */
	struct strbuf line;
};

static void call_end(struct qmp_client *c, struct qmp_call *call, const struct err *status,
		     struct json_object *result)
{
	TAILQ_REMOVE(&c->calls, call, link);
	c->ncalls--;
	call->fn(call->arg, status, result);
	qmp_call_destroy(call);
}

static void close_down(struct qmp_client *c)
{
	c->state = QMP_CLOSED;
	loop_remove(c->source);
	loop_remove(c->timer);
	c->source = c->timer = NULL;
	own_close(&c->p.fd);
}

static void fail_calls(struct qmp_client *c, const struct err *why)
{
	while (!TAILQ_EMPTY(&c->calls))
		call_end(c, TAILQ_FIRST(&c->calls), why, NULL);
}

static void fail(struct qmp_client *c, const struct err *why)
{
	if (c->state == QMP_CLOSED)
		return;
	close_down(c);
	fail_calls(c, why);
	c->p.on_close(c->p.arg, why);
}

static void fail_protocol(struct qmp_client *c, const char *what)
{
	struct err why = ERR_INIT;

	(void)err_say(&why, EPROTO, "the vmm broke the QMP protocol: %s", what);
	fail(c, &why);
}

/* --- deadlines -------------------------------------------------------------------------------------------------- */

static void arm(struct qmp_client *c)
{
	uint64_t first = c->greeting_deadline_ms, now = clock_now_ms();
	struct qmp_call *call;

	TAILQ_FOREACH(call, &c->calls, link)
	if (call->deadline_ms && (!first || call->deadline_ms < first))
		first = call->deadline_ms;
	/* 0 would disarm. */
	BUG_ON(loop_arm(c->timer, first == 0 ? 0 : first > now ? first - now : 1) < 0);
}

static void on_deadline(void *arg)
{
	struct qmp_client *c = arg;
	const uint64_t now = clock_now_ms();
	struct err why = ERR_INIT;
	struct qmp_call *call;

	if (c->greeting_deadline_ms && c->greeting_deadline_ms <= now)
		(void)err_say(&why, ETIMEDOUT, "the vmm did not greet in time");
	TAILQ_FOREACH(call, &c->calls, link)
	if (call->deadline_ms && call->deadline_ms <= now && !why.code)
		(void)err_say(&why, ETIMEDOUT, "the vmm did not answer %s in time", call->command);
	if (why.code)
		fail(c, &why);
	else
		arm(c);
}

/* --- out -------------------------------------------------------------------------------------------------------- */

/* 0 when all of it is out, -EAGAIN when the socket is full. */
static int send_call(struct qmp_client *c, struct qmp_call *call)
{
	while (call->sent < call->len) {
		ssize_t n = fd_send(c->p.fd, call->text + call->sent, call->len - call->sent,
				    &call->fd, call->fd >= 0 ? 1 : 0);

		if (n < 0)
			return (int)n;
		/* It went with the first byte. */
		own_close(&call->fd);
		call->sent += (size_t)n;
	}
	free(call->text);
	call->text = NULL;
	return 0;
}

/* Before the greeting nobody may speak, and before capabilities are agreed on nobody but qmp_capabilities, the first call. */
static void flush(struct qmp_client *c)
{
	struct qmp_call *call, *next;
	struct err why = ERR_INIT;
	int rc = 0;

	for (call = TAILQ_FIRST(&c->calls); call && rc == 0; call = next) {
		next = c->state == QMP_NEGOTIATING ? NULL : TAILQ_NEXT(call, link);
		if (c->state != QMP_GREETING && call->text)
			rc = send_call(c, call);
	}
	if (rc < 0 && rc != -EAGAIN) {
		(void)err_set(&why, -rc, "talk to the vmm");
		fail(c, &why);
		return;
	}
	BUG_ON(loop_mod_fd(c->source, rc ? EPOLLIN | EPOLLOUT : EPOLLIN) < 0);
}

void qmp_client_call(struct qmp_client *c, const char *command, struct json_object *arguments,
		     int fd, uint32_t timeout_ms, qmp_reply_fn fn, void *arg)
{
	AUTO_JSON struct json_object *taken = arguments;
	struct qmp_call *call = NULL;
	struct err err = ERR_INIT;

	if (c->state == QMP_CLOSED)
		(void)err_say(&err, ENOTCONN, "the vmm cannot be asked to %s: it is gone", command);
	else if (c->ncalls >= QMP_MAX_CALLS)
		(void)err_say(&err, EBUSY, "the vmm has too many commands to do");
	else
		call = qmp_call_create(++c->last_id, command, taken, fd, &err);
	if (!call) {
		fn(arg, &err, NULL);
		return;
	}
	call->fn = fn;
	call->arg = arg;
	call->deadline_ms = timeout_ms ? clock_now_ms() + timeout_ms : 0;
	TAILQ_INSERT_TAIL(&c->calls, call, link);
	c->ncalls++;
	arm(c);
	flush(c);
}

/* --- in --------------------------------------------------------------------------------------------------------- */

static void on_capabilities(void *arg, const struct err *status, struct json_object *result)
{
	struct qmp_client *c = arg;

	(void)result;
	if (status->code) {
		fail(c, status);
		return;
	}
	c->state = QMP_READY;
	c->greeting_deadline_ms = 0;
}

static void take_greeting(struct qmp_client *c, struct json_object *o)
{
	struct err err = ERR_INIT;
	struct qmp_call *call = NULL;

	if (!json_object_object_get_ex(o, "QMP", NULL)) {
		fail_protocol(c, "no greeting");
		return;
	}
	call = qmp_call_create(0, "qmp_capabilities", NULL, -1, &err);
	if (!call) {
		fail(c, &err);
		return;
	}
	call->fn = on_capabilities;
	call->arg = c;
	TAILQ_INSERT_HEAD(&c->calls, call, link);
	c->ncalls++;
	c->state = QMP_NEGOTIATING;
}

/* The call that an answer is to: one that has been sent. */
static struct qmp_call *find_call(struct qmp_client *c, struct json_object *o)
{
	struct json_object *id = NULL;
	struct qmp_call *call;

	if (!json_object_object_get_ex(o, "id", &id) || !json_object_is_type(id, json_type_int))
		return NULL;
	TAILQ_FOREACH(call, &c->calls, link)
	if (call->id == json_object_get_uint64(id) && !call->text)
		return call;
	return NULL;
}

static void take_answer(struct qmp_client *c, struct json_object *o)
{
	struct qmp_call *call = find_call(c, o);
	struct json_object *result = NULL, *error = NULL;
	struct err err = ERR_INIT;

	if (!call) {
		fail_protocol(c, "an answer to nothing that was asked");
		return;
	}
	if (json_object_object_get_ex(o, "error", &error))
		qmp_call_refused(call, error, &err);
	else
		(void)json_object_object_get_ex(o, "return", &result);
	call_end(c, call, &err, err.code ? NULL : result);
}

static void take_event(struct qmp_client *c, struct json_object *o, const char *name)
{
	struct json_object *data = NULL;

	if (json_object_object_get_ex(o, "data", &data) &&
	    !json_object_is_type(data, json_type_object))
		data = NULL;
	c->p.on_event(c->p.arg, name, data);
}

static void take_line(struct qmp_client *c, const char *line, size_t len)
{
	AUTO_JSON struct json_object *o = NULL;
	const char *event;

	if (json_parse(line, len, "a line", false, &o, NULL) ||
	    !json_object_is_type(o, json_type_object)) {
		fail_protocol(c, "not a JSON object");
		return;
	}
	event = json_text(o, "event");
	if (c->state == QMP_GREETING)
		take_greeting(c, o);
	else if (*event)
		take_event(c, o, event);
	else
		take_answer(c, o);
}

/* Whole lines out of the buffer; what is left of it is the beginning of one. */
static void split(struct qmp_client *c)
{
	size_t at = 0;
	char *end = NULL;

	while (c->state != QMP_CLOSED &&
	       (end = memchr(c->line.data + at, '\n', c->line.len - at)) != NULL) {
		size_t len = (size_t)(end - (c->line.data + at));

		if (len > 0 && end[-1] == '\r')
			len--;
		if (len > 0)
			take_line(c, c->line.data + at, len);
		at = (size_t)(end + 1 - c->line.data);
	}
	memmove(c->line.data, c->line.data + at, c->line.len - at);
	c->line.len -= at;
}

/* false: nothing more for now. */
static bool take_in(struct qmp_client *c)
{
	char bytes[READ_BYTES];
	struct err why = ERR_INIT;
	ssize_t n = recv(c->p.fd, bytes, sizeof(bytes), MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n <= 0) {
		(void)err_say(&why, ECONNRESET, "the vmm hung up");
		fail(c, &why);
		return false;
	}
	if (strbuf_add(&c->line, bytes, (size_t)n)) {
		fail_protocol(c, "a line without end");
		return false;
	}
	split(c);
	return c->state != QMP_CLOSED;
}

static void on_socket(void *arg, int fd, uint32_t events)
{
	struct qmp_client *c = arg;

	(void)fd;
	if (events & ~(uint32_t)EPOLLOUT && !take_in(c) && c->state == QMP_CLOSED)
		return;
	arm(c);
	flush(c);
}

void qmp_client_read_out(struct qmp_client *c)
{
	for (int i = 0; c->state != QMP_CLOSED && i < READ_OUT_READS && take_in(c); i++)
		;
}

int qmp_client_create(const struct qmp_client_params *p, struct qmp_client **out, struct err *err)
{
	CLEANUP(own_qmp_client_destroy) struct qmp_client *c = calloc(1, sizeof(*c));

	if (!c)
		return err_set(err, ENOMEM, "talk to the vmm");
	TAILQ_INIT(&c->calls);
	c->p = *p;
	c->p.fd = -1;
	c->line.max_bytes = QMP_LINE_MAX_BYTES;
	/* A peer that does not read must not hold us up. */
	int rc = fd_set_nonblock(p->fd, true);
	if (rc)
		return err_set(err, -rc, "talk to the vmm");
	rc = loop_add_timer(p->loop, on_deadline, c, &c->timer, err);
	if (!rc)
		rc = loop_add_fd(p->loop, p->fd, EPOLLIN, on_socket, c, &c->source, err);
	if (rc)
		return rc;
	c->greeting_deadline_ms =
		p->greeting_timeout_ms ? clock_now_ms() + p->greeting_timeout_ms : 0;
	arm(c);
	c->p.fd = p->fd;
	*out = TAKE_PTR(&c);
	return 0;
}

void qmp_client_destroy(struct qmp_client *c)
{
	struct err gone = ERR_INIT;

	if (!c)
		return;
	(void)err_say(&gone, ECANCELED, "the vmm is being removed");
	close_down(c);
	fail_calls(c, &gone);
	strbuf_done(&c->line);
	free(c);
}
