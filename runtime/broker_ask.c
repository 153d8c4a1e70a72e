/* What the broker is asked, one operation a function. */
#include "runtime/broker_ask.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/log.h"

/* Hooks that run, or a container that is being shared. */
struct broker_row {
	struct broker *broker;
	int fd;
	struct loop_source *src, *timer;
	struct err last; /* what was said last */
	hooks_fn fn;
	void *arg;
	struct broker_row *next;
};

/* From now on nobody is asked: an answer that comes late would be taken for another's. */
static int give_up(struct broker *b, int code, const struct broker_request *r, struct err *err)
{
	const char *what = broker_op_name(r->op);

	own_close(&b->sock);
	code = code == EAGAIN ? ETIMEDOUT : code;
	/* The one that opens something by a name which may lie on a server that is gone. */
	if (r->op == BROKER_OPEN_STREAM)
		return err_set(err, code, "ask the broker (%s '%s')", what, r->texts[0]);
	return err_set(err, code, "ask the broker (%s)", what);
}

/* As many descriptors as are given room for, -1 for those that did not come; they are the caller's. */
static int ask(struct broker *b, const struct broker_request *r, int with_fd, uint32_t *value,
	       int *fds, size_t nfds, struct err *err)
{
	AUTO_STRBUF struct strbuf packet = STRBUF_INIT;
	uint8_t bytes[BROKER_REPLY_MAX_BYTES];
	struct err status = ERR_INIT;
	uint32_t number = 0;
	size_t got = nfds;

	if (!b || b->sock < 0)
		return err_set(err, ENOTCONN, "ask the broker (%s)", broker_op_name(r->op));
	int rc = broker_request_encode(r, &packet, err);
	if (rc)
		return rc;
	ssize_t n = fd_send(b->sock, packet.data, packet.len, &with_fd, with_fd >= 0);
	if (n >= 0)
		n = fd_recv(b->sock, bytes, sizeof(bytes), fds, &got);
	if (n <= 0)
		return give_up(b, n < 0 ? (int)-n : ENOTCONN, r, err);
	for (size_t i = got; i < nfds; i++)
		fds[i] = -1;
	rc = broker_reply_decode(bytes, (size_t)n, &number, &status);
	for (size_t i = 0; rc && i < got; i++)
		own_close(&fds[i]);
	if (rc && err)
		*err = status;
	if (!rc && value)
		*value = number;
	return rc;
}

int broker_ask_plain(struct broker *b, enum broker_op op, uint32_t container, uint32_t value,
		     struct err *err)
{
	const struct broker_request r = {.op = op, .container = container, .value = value};

	return ask(b, &r, -1, NULL, NULL, 0, err);
}

/* For one descriptor. */
static int ask_fd(struct broker *b, const struct broker_request *r, uint32_t *value, int *fd,
		  struct err *err)
{
	int got = -1;
	int rc = ask(b, r, -1, value, &got, 1, err);

	if (rc)
		return rc;
	if (got < 0)
		return err_say(err, EPROTO, "the broker gave no descriptor (%s)",
			       broker_op_name(r->op));
	*fd = got;
	return 0;
}

/* --- containers ---------------------------------------------------------------------------------------------------- */

static int read_all(int fd, char **out, size_t *len, struct err *err)
{
	struct stat st;

	if (fstat(fd, &st))
		return err_set(err, errno, "read config.json");
	AUTO_FREE char *text = calloc(1, (size_t)st.st_size + 1);
	ssize_t n = text ? fd_read_full(fd, text, (size_t)st.st_size) : -ENOMEM;

	if (n != st.st_size)
		return err_set(err, n < 0 ? (int)-n : EIO, "read config.json");
	*out = TAKE_PTR(&text);
	*len = (size_t)n;
	return 0;
}

int broker_add(struct broker *b, const char *id, const char *bundle, pid_t stub, uint32_t *number,
	       char **config, size_t *len, struct err *err)
{
	const struct broker_request r = {
		.op = BROKER_ADD, .value = (uint32_t)stub, .ntexts = 2, .texts = {id, bundle}};
	AUTO_FD int fd = -1;
	struct err ignored = ERR_INIT;
	uint32_t made = 0;
	int rc = ask_fd(b, &r, &made, &fd, err);

	if (rc)
		return rc;
	rc = read_all(fd, config, len, err);
	if (!rc)
		*number = made;
	else if (broker_forget(b, made, &ignored))
		log_warn("%s", ignored.text);
	return rc;
}

int broker_unshare(struct broker *b, uint32_t number, struct err *err)
{
	return broker_ask_plain(b, BROKER_UNSHARE, number, 0, err);
}

int broker_forget(struct broker *b, uint32_t number, struct err *err)
{
	return broker_ask_plain(b, BROKER_FORGET, number, 0, err);
}

int broker_mark_oom(struct broker *b, uint32_t number, struct err *err)
{
	return broker_ask_plain(b, BROKER_MARK_OOM, number, 0, err);
}

/* --- what takes its time ------------------------------------------------------------------------------------------- */

static void end_row(struct broker_row *row, const struct err *why)
{
	struct broker_row done = *row;

	for (struct broker_row **at = &row->broker->rows; *at; at = &(*at)->next) {
		if (*at == row) {
			*at = row->next;
			break;
		}
	}
	loop_remove(row->src);
	loop_remove(row->timer);
	own_close(&row->fd);
	free(row);
	done.fn(done.arg, why);
}

/* The last word is it: the broker has done all that belongs to it when it closes its end. */
static void on_outcome(void *arg, int fd, uint32_t events)
{
	struct broker_row *row = arg;
	uint8_t bytes[BROKER_REPLY_MAX_BYTES];
	struct err said = ERR_INIT;
	uint32_t value = 0;
	size_t nfds = 0;
	ssize_t n = fd_recv(fd, bytes, sizeof(bytes), NULL, &nfds);

	(void)events;
	if (n > 0) {
		(void)!broker_reply_decode(bytes, (size_t)n, &value, &said);
		row->last = said;
		return;
	}
	const struct err last = row->last;

	if (last.code == EINPROGRESS)
		(void)err_say(&said, EIO, "%.900s: the broker gave it up", last.text);
	end_row(row, last.code == EINPROGRESS ? &said : &last);
}

static void on_late(void *arg)
{
	struct broker_row *row = arg;
	struct err late = ERR_INIT;

	(void)err_say(&late, ETIMEDOUT,
		      "%.800s: not done within %llu s: does the storage that it is on answer?",
		      row->last.text, (unsigned long long)row->broker->share_ms / 1000);
	end_row(row, &late);
}

/* NULL, with fn told, when there is nothing to wait for. */
static struct broker_row *start_row(struct broker *b, const struct broker_request *r, hooks_fn fn,
				    void *arg)
{
	struct broker_row *row = malloc(sizeof(*row));
	struct err err = ERR_INIT;
	int rc = row ? 0 : err_set(&err, ENOMEM, "ask the broker (%s)", broker_op_name(r->op));

	if (row) {
		*row = (struct broker_row){.broker = b, .fd = -1, .fn = fn, .arg = arg};
		(void)err_say(&row->last, EINPROGRESS, "%s", broker_op_name(r->op));
		rc = ask(b, r, -1, NULL, &row->fd, 1, &err);
	}
	if (!rc && row->fd >= 0)
		rc = loop_add_fd(b->p.loop, row->fd, EPOLLIN, on_outcome, row, &row->src, &err);
	if (!rc && row->fd >= 0) {
		row->next = b->rows;
		b->rows = row;
		return row;
	}
	if (row)
		own_close(&row->fd);
	free(row);
	fn(arg, &err);
	return NULL;
}

void broker_share(struct broker *b, uint32_t number, const struct rootfs_mount *mounts, size_t n,
		  hooks_fn fn, void *arg)
{
	struct broker_request r = {.op = BROKER_SHARE, .container = number};
	struct broker_row *row = NULL;
	struct err err = ERR_INIT;

	if (broker_mounts_put(&r, mounts, n)) {
		(void)err_say(&err, E2BIG, "the rootfs has too many mounts or options");
		fn(arg, &err);
		return;
	}
	row = start_row(b, &r, fn, arg);
	if (row && (loop_add_timer(b->p.loop, on_late, row, &row->timer, &err) ||
		    loop_arm(row->timer, b->share_ms)))
		log_warn("no deadline for the mounts of a container: %s", err.text);
}

void broker_hooks(struct broker *b, uint32_t number, enum hooks_moment moment, hooks_fn fn,
		  void *arg)
{
	const struct broker_request r = {
		.op = BROKER_HOOKS, .container = number, .value = (uint32_t)moment};

	(void)start_row(b, &r, fn, arg);
}

void broker_close_hooks(struct broker *b)
{
	struct err err = ERR_INIT;

	if (!b)
		return;
	if (broker_ask_plain(b, BROKER_CLOSE_HOOKS, 0, 0, &err))
		log_warn("%s", err.text);
	while (b->rows) {
		err = (struct err)ERR_INIT;
		(void)err_say(&err, ECANCELED, "%.900s: not done: the sandbox is removed",
			      b->rows->last.text);
		end_row(b->rows, &err);
	}
}

/* --- names --------------------------------------------------------------------------------------------------------- */

int broker_open_stream(struct broker *b, const char *name, bool input, struct stdio_host *out,
		       struct err *err)
{
	const struct broker_request r = {
		.op = BROKER_OPEN_STREAM, .value = input, .ntexts = 1, .texts = {name}};
	int fds[BROKER_MAX_FDS] = {-1, -1};
	int rc = ask(b, &r, -1, NULL, fds, ARRAY_SIZE(fds), err);

	if (!rc)
		*out = (struct stdio_host){.fd = fds[0], .keep = fds[1]};
	return rc;
}

int broker_connect_guest(struct broker *b, int *fd, struct err *err)
{
	const struct broker_request r = {.op = BROKER_CONNECT_GUEST};

	return ask_fd(b, &r, NULL, fd, err);
}

int broker_connect_events(struct broker *b, int *fd, struct err *err)
{
	const struct broker_request r = {.op = BROKER_CONNECT_EVENTS};

	return ask_fd(b, &r, NULL, fd, err);
}

int broker_record(struct broker *b, const char *text, struct err *err)
{
	const struct broker_request r = {.op = BROKER_RECORD, .ntexts = 1, .texts = {text}};

	return ask(b, &r, -1, NULL, NULL, 0, err);
}

/* --- network ------------------------------------------------------------------------------------------------------- */

int broker_network(struct broker *b, int ns_fd, const char *ns_path, struct err *err)
{
	const struct broker_request r = {.op = BROKER_NETWORK, .ntexts = 1, .texts = {ns_path}};

	return ask(b, &r, ns_fd, NULL, NULL, 0, err);
}

int broker_join(struct broker *b, int link, int *tap, int *tap_fd, struct err *err)
{
	const struct broker_request r = {.op = BROKER_JOIN, .value = (uint32_t)link};
	uint32_t index = 0;
	int rc = ask_fd(b, &r, &index, tap_fd, err);

	if (!rc)
		*tap = (int)index;
	return rc;
}

int broker_leave(struct broker *b, int link, struct err *err)
{
	return broker_ask_plain(b, BROKER_LEAVE, 0, (uint32_t)link, err);
}

int broker_follow_mtu(struct broker *b, int link, struct err *err)
{
	return broker_ask_plain(b, BROKER_MTU, 0, (uint32_t)link, err);
}

int broker_seal(struct broker *b, pid_t vmm_pid, struct err *err)
{
	return broker_ask_plain(b, BROKER_SEAL, 0, (uint32_t)vmm_pid, err);
}
