/*
 * One connection: bytes in, cut into JSON texts by an incremental parser, and bytes out. Three bounds keep what a client can
 * cost: the length of a text, a rate of commands (a client that is faster waits), and the output it has not read (no
 * command of it is taken until it has).
 */
#include "vmm/qmp/internal.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"

#define READ_BYTES        4096
#define MAX_TEXT_BYTES    (64 << 10)
#define MAX_DEPTH         16
#define PAUSE_OUT_BYTES   (64 << 10)
#define MAX_OUT_BYTES     (1 << 20)
#define BURST_COMMANDS    200
#define COMMANDS_A_SECOND 100

struct qmp_client {
	struct qmp *qmp;
	int fd;
	const char *chardev; /* NULL: the monitor */
	bool negotiated;
	bool closing;  /* said something that cannot be read on */
	bool skipping; /* to the end of a line that was no JSON */
	struct loop_source *source, *timer;
	struct json_tokener *parser;
	size_t text_bytes; /* of the text under way */
	char in[READ_BYTES];
	size_t in_at, in_len;
	struct strbuf out;
	size_t out_at;
	unsigned int allowed; /* commands before it must wait */
	uint64_t counted_ms;
	struct log_limit lost;
	struct qmp_fds fds;
};

static size_t unread(const struct qmp_client *c)
{
	return c->out.len - c->out_at;
}

/* May a command of it be taken now? */
static bool is_open(const struct qmp_client *c)
{
	return !c->closing && c->allowed > 0 && unread(c) < PAUSE_OUT_BYTES;
}

static void refill(struct qmp_client *c)
{
	uint64_t now = clock_now_ms();
	uint64_t earned = (now - c->counted_ms) * COMMANDS_A_SECOND / 1000;

	if (earned == 0)
		return;
	c->counted_ms = now;
	c->allowed = earned > BURST_COMMANDS - c->allowed ? BURST_COMMANDS
							  : c->allowed + (unsigned int)earned;
}

/* A peer that is gone is noticed by reading. */
static void write_out(struct qmp_client *c)
{
	while (unread(c) > 0) {
		ssize_t n = send(c->fd, c->out.data + c->out_at, unread(c),
				 MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		c->out_at = n < 0 ? c->out.len : c->out_at + (size_t)n;
	}
	c->out.len = c->out_at = 0;
}

static void watch(struct qmp_client *c)
{
	uint32_t events = (is_open(c) ? EPOLLIN : 0U) | (unread(c) > 0 ? EPOLLOUT : 0U);

	if (loop_mod_fd(c->source, events) < 0)
		c->closing = true;
	if (c->allowed == 0 && loop_arm(c->timer, 1000 / COMMANDS_A_SECOND + 1) < 0)
		c->closing = true;
}

void qmp_client_send(struct qmp_client *c, struct json_object *message)
{
	const int flags = JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE;
	size_t len;
	const char *text = json_object_to_json_string_length(message, flags, &len);

	if (c->out_at > 0) {
		memmove(c->out.data, c->out.data + c->out_at, unread(c));
		c->out.len = unread(c);
		c->out_at = 0;
	}
	if (!text || len + 2 > MAX_OUT_BYTES - c->out.len || strbuf_add(&c->out, text, len) < 0 ||
	    strbuf_add(&c->out, "\r\n", 2) < 0) {
		log_guest(&c->lost, "QMP: a client does not read: a message to it is lost");
		return;
	}
	write_out(c);
	watch(c);
}

/* Skips to where a text can begin again; false when there is no more input. */
static bool find_text(struct qmp_client *c)
{
	if (c->text_bytes > 0)
		return c->in_at < c->in_len;
	for (; c->in_at < c->in_len; c->in_at++) {
		char byte = c->in[c->in_at];

		if (byte == '\n')
			c->skipping = false;
		if (!c->skipping && !strchr(" \t\r\n", byte))
			return true;
		if (!c->skipping && byte == '\0')
			return true;
	}
	return false;
}

static void refuse_text(struct qmp_client *c, const char *why)
{
	struct err err;

	(void)err_say(&err, EINVAL, "this is no JSON text: %s", why);
	qmp_send_error(c, NULL, QMP_GENERIC_ERROR, err.text);
	json_tokener_reset(c->parser);
	c->text_bytes = 0;
	c->skipping = true;
}

static void take_text(struct qmp_client *c)
{
	size_t len = c->in_len - c->in_at;
	AUTO_JSON struct json_object *request =
		json_tokener_parse_ex(c->parser, c->in + c->in_at, (int)len);
	enum json_tokener_error result = json_tokener_get_error(c->parser);

	if (result == json_tokener_continue) {
		c->text_bytes += len;
		c->in_at = c->in_len;
		if (c->text_bytes <= MAX_TEXT_BYTES)
			return;
		refuse_text(c, "it is too long");
		c->closing = true;
		return;
	}
	c->in_at += json_tokener_get_parse_end(c->parser);
	if (result != json_tokener_success) {
		refuse_text(c, json_tokener_error_desc(result));
		return;
	}
	json_tokener_reset(c->parser);
	c->text_bytes = 0;
	c->allowed--;
	qmp_dispatch(c->qmp, c, request);
}

bool qmp_client_is_monitor(const struct qmp_client *c)
{
	return !c->chardev;
}

static void end_client(struct qmp_client *c)
{
	struct qmp *qmp = c->qmp;
	bool monitor = qmp_client_is_monitor(c);

	for (size_t i = 0; i < QMP_MAX_CLIENTS; i++) {
		if (qmp->clients[i] == c)
			qmp->clients[i] = NULL;
	}
	qmp_client_destroy(c);
	if (monitor)
		qmp->on_monitor_close(qmp->monitor_arg);
}

/* Takes what it may of the input that is there; the rest waits for the next event. */
static void work(struct qmp_client *c)
{
	refill(c);
	while (is_open(c) && find_text(c))
		take_text(c);
	if (!c->closing)
		watch(c);
	if (c->closing)
		end_client(c);
}

static void on_time(void *arg)
{
	work(arg);
}

/* false when the client has gone. */
static bool read_in(struct qmp_client *c)
{
	int fds[QMP_FDS_PENDING];
	size_t nfds = ARRAY_SIZE(fds);
	ssize_t n = fd_recv(c->fd, c->in, sizeof(c->in), fds, &nfds);

	if (n == -EAGAIN)
		return true;
	if (n <= 0)
		return false;
	qmp_fds_push(&c->fds, fds, nfds);
	c->in_at = 0;
	c->in_len = (size_t)n;
	return true;
}

static void on_ready(void *arg, int fd UNUSED, uint32_t events)
{
	struct qmp_client *c = arg;

	if (events & EPOLLOUT)
		write_out(c);
	/* A client that left while it had to wait is not waited for. */
	if (!(events & EPOLLIN) && (events & (EPOLLHUP | EPOLLERR)))
		c->closing = true;
	if ((events & EPOLLIN) && c->in_at == c->in_len && !read_in(c))
		c->closing = true;
	work(c);
}

bool qmp_client_negotiated(const struct qmp_client *c)
{
	return c->negotiated;
}

void qmp_client_negotiate(struct qmp_client *c)
{
	c->negotiated = true;
}

struct qmp_fds *qmp_client_fds(struct qmp_client *c)
{
	return &c->fds;
}

bool qmp_client_flush(struct qmp_client *c, int *fd)
{
	*fd = c->fd;
	write_out(c);
	return unread(c) == 0;
}

static void greet(struct qmp_client *c)
{
	AUTO_JSON struct json_object *greeting = json_object_new_object();
	struct json_object *body = qj_put_object(greeting, "QMP");

	qj_put(body, "version", qmp_version());
	qj_put(body, "capabilities", json_object_new_array());
	qmp_client_send(c, greeting);
}

DEFINE_OWNER(qmp_client_destroy, struct qmp_client)

static struct qmp_client **free_place(struct qmp *qmp)
{
	for (size_t i = 0; i < QMP_MAX_CLIENTS; i++) {
		if (!qmp->clients[i])
			return &qmp->clients[i];
	}
	return NULL;
}

bool qmp_has_client(const struct qmp *qmp, const char *chardev)
{
	for (size_t i = 0; i < QMP_MAX_CLIENTS; i++) {
		const struct qmp_client *c = qmp->clients[i];

		if (c && c->chardev && !strcmp(c->chardev, chardev))
			return true;
	}
	return false;
}

int qmp_client_create(struct qmp *qmp, int fd, const char *chardev, struct err *err)
{
	CLEANUP(own_qmp_client_destroy) struct qmp_client *c = calloc(1, sizeof(*c));
	struct qmp_client **place = free_place(qmp);
	int rc;

	if (!place)
		return err_say(err, EMFILE, "QMP: there are %d clients already", QMP_MAX_CLIENTS);
	if (!c)
		return err_set(err, ENOMEM, "QMP client");
	c->qmp = qmp;
	c->fd = -1;
	c->chardev = chardev;
	c->out.max_bytes = MAX_OUT_BYTES;
	c->allowed = BURST_COMMANDS;
	c->counted_ms = clock_now_ms();
	c->parser = json_tokener_new_ex(MAX_DEPTH);
	if (!c->parser)
		return err_set(err, ENOMEM, "QMP client");
	json_tokener_set_flags(c->parser, JSON_TOKENER_VALIDATE_UTF8);
	rc = fd_set_nonblock(fd, true);
	if (rc < 0)
		return err_set(err, -rc, "QMP client");
	rc = loop_add_timer(qmp->loop, on_time, c, &c->timer, err);
	if (rc == 0)
		rc = loop_add_fd(qmp->loop, fd, EPOLLIN, on_ready, c, &c->source, err);
	if (rc < 0)
		return rc;
	c->fd = fd;
	greet(c);
	*place = TAKE_PTR(&c);
	return 0;
}

void qmp_client_destroy(struct qmp_client *c)
{
	if (!c)
		return;
	loop_remove(c->timer);
	loop_remove(c->source);
	qmp_fds_done(&c->fds);
	if (c->parser)
		json_tokener_free(c->parser);
	strbuf_done(&c->out);
	own_close(&c->fd);
	free(c);
}
