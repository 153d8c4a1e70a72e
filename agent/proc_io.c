/* See proc_io.h. */
#include "agent/proc_io.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "agent/relay.h"
#include "base/fd.h"
#include "base/own.h"

#define GRACE_MS 200
#define TICK_MS  1000
/* Progress shows in steps of the host's credit, 64 KiB: a slow reader needs several ticks for one. */
#define STALLED_TICKS 10

struct stream {
	struct proc_io *stdio;
	bool wanted;
	bool ended; /* output: nothing more comes from the process */
	struct stream_ticket *ticket;
	int host_fd;  /* the connection */
	int agent_fd; /* our end of the pipe */
	int child_fd; /* the process's end */
	struct relay *relay;
};

struct proc_io {
	struct proc_io_params p;
	struct stream streams[3];
	int pty;
	bool begun, exited, drained, last_call, lost;
	struct loop_source *timer;
	uint64_t progress;
	int stalled;
};

void proc_io_destroy(struct proc_io *s)
{
	if (!s)
		return;
	loop_remove(s->timer);
	for (int i = 0; i < 3; i++) {
		struct stream *stream = &s->streams[i];

		stream_ticket_cancel(stream->ticket);
		relay_destroy(stream->relay);
		own_close(&stream->host_fd);
		own_close(&stream->agent_fd);
		own_close(&stream->child_fd);
	}
	own_close(&s->pty);
	free(s);
}

bool proc_io_has_lost(const struct proc_io *s)
{
	return s->lost;
}

bool proc_io_is_connected(const struct proc_io *s)
{
	for (int i = 0; i < 3; i++) {
		if (s->streams[i].ticket)
			return false;
	}
	return true;
}

static void on_arrived(void *arg, int fd)
{
	struct stream *stream = arg;
	struct proc_io *s = stream->stdio;

	stream->ticket = NULL;
	stream->host_fd = fd;
	if (proc_io_is_connected(s))
		s->p.on_connected(s->p.arg);
}

static int open_pipe(struct stream *stream, bool input, struct err *err)
{
	int ends[2];
	int ret;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_set(err, errno, "make a pipe for the process");
	stream->child_fd = input ? ends[0] : ends[1];
	stream->agent_fd = input ? ends[1] : ends[0];
	ret = fd_set_nonblock(stream->agent_fd, true);
	return ret < 0 ? err_set(err, -ret, "make a pipe for the process") : 0;
}

static int open_stream(struct proc_io *s, int i, struct err *err)
{
	struct stream *stream = &s->streams[i];
	int ret = 0;

	stream->wanted = s->p.tokens[i] && !(s->p.terminal && i == 2);
	if (!stream->wanted)
		return 0;
	if (!s->p.terminal)
		ret = open_pipe(stream, i == 0, err);
	if (ret < 0)
		return ret;
	return stream_door_expect(s->p.door, s->p.tokens[i], on_arrived, stream, &stream->ticket,
				  err);
}

static void check_drained(struct proc_io *s)
{
	if (!s->exited || s->drained || !s->streams[1].ended || !s->streams[2].ended)
		return;
	s->drained = true;
	loop_remove(s->timer);
	s->timer = NULL;
	s->p.on_drained(s->p.arg);
}

static void on_relay_end(void *arg)
{
	struct stream *stream = arg;
	struct proc_io *s = stream->stdio;

	stream->ended = true;
	check_drained(s);
}

static uint64_t progress_now(const struct proc_io *s)
{
	uint64_t sum = 0;

	for (int i = 1; i < 3; i++)
		sum += s->streams[i].relay ? relay_progress(s->streams[i].relay) : 0;
	return sum;
}

static void make_last_call(struct proc_io *s)
{
	s->last_call = true;
	for (int i = 1; i < 3; i++) {
		if (s->streams[i].relay && !s->streams[i].ended)
			relay_finish(s->streams[i].relay);
	}
}

static void give_up(struct proc_io *s)
{
	for (int i = 1; i < 3; i++) {
		s->lost = s->lost || !s->streams[i].ended;
		relay_destroy(s->streams[i].relay);
		s->streams[i].relay = NULL;
		s->streams[i].ended = true;
	}
}

/* After the exit: first the last call, then a look each second whether the host still takes bytes. */
static void on_tick(void *arg)
{
	struct proc_io *s = arg;
	uint64_t progress;

	if (!s->last_call)
		make_last_call(s);
	progress = progress_now(s);
	s->stalled = progress == s->progress ? s->stalled + 1 : 0;
	s->progress = progress;
	if (s->drained)
		return;
	if (s->stalled >= STALLED_TICKS || loop_arm(s->timer, TICK_MS) < 0)
		give_up(s);
	check_drained(s);
}

int proc_io_create(const struct proc_io_params *params, struct proc_io **out, struct err *err)
{
	CLEANUP(own_proc_io_destroy) struct proc_io *s = calloc(1, sizeof(*s));
	int ret;

	if (!s)
		return err_set(err, ENOMEM, "make the standard streams");
	s->p = *params;
	s->pty = -1;
	for (int i = 0; i < 3; i++)
		s->streams[i] =
			(struct stream){.stdio = s, .host_fd = -1, .agent_fd = -1, .child_fd = -1};
	ret = loop_add_timer(params->loop, on_tick, s, &s->timer, err);
	for (int i = 0; i < 3 && ret == 0; i++)
		ret = open_stream(s, i, err);
	if (ret < 0)
		return ret;
	*out = TAKE_PTR(&s);
	return 0;
}

int proc_io_child_fd(const struct proc_io *s, int i)
{
	return s->streams[i].child_fd;
}

void proc_io_close_child_fds(struct proc_io *s)
{
	for (int i = 0; i < 3; i++)
		own_close(&s->streams[i].child_fd);
}

void proc_io_set_pty(struct proc_io *s, int master)
{
	own_close(&s->pty);
	s->pty = master;
}

int proc_io_pty(const struct proc_io *s)
{
	return s->pty;
}

static int relay_stream(struct proc_io *s, int i, int from_fd, int to_fd, struct err *err)
{
	struct relay_params params = {
		.loop = s->p.loop,
		.from_fd = from_fd,
		.to_fd = to_fd,
		.on_loss = i == 0 ? RELAY_ENDS : RELAY_DRAINS,
		.on_end = on_relay_end,
		.arg = &s->streams[i],
	};

	return relay_create(&params, &s->streams[i].relay, err);
}

/* One relay reads the master, another writes it: each owns a descriptor of its own. */
static int begin_terminal(struct proc_io *s, struct err *err)
{
	AUTO_FD int in = fcntl(s->pty, F_DUPFD_CLOEXEC, 3);
	AUTO_FD int out = fcntl(s->pty, F_DUPFD_CLOEXEC, 3);
	int ret;

	if (in < 0 || out < 0)
		return err_set(err, errno, "attach the terminal");
	ret = fd_set_nonblock(s->pty, true); /* of the open file, hence of all three */
	if (ret < 0)
		return err_set(err, -ret, "attach the terminal");
	if (s->streams[0].wanted) {
		ret = relay_stream(s, 0, s->streams[0].host_fd, in, err);
		if (ret < 0)
			return ret;
		(void)TAKE_FD(&in);
		(void)TAKE_FD(&s->streams[0].host_fd);
	}
	ret = relay_stream(s, 1, out, s->streams[1].host_fd, err);
	if (ret < 0)
		return ret;
	(void)TAKE_FD(&out);
	(void)TAKE_FD(&s->streams[1].host_fd);
	s->streams[2].ended = true;
	return 0;
}

static int begin_pipe(struct proc_io *s, int i, struct err *err)
{
	struct stream *stream = &s->streams[i];
	int ret;

	if (!stream->wanted) {
		stream->ended = true;
		return 0;
	}
	if (i == 0)
		ret = relay_stream(s, i, stream->host_fd, stream->agent_fd, err);
	else
		ret = relay_stream(s, i, stream->agent_fd, stream->host_fd, err);
	if (ret < 0)
		return ret;
	stream->host_fd = -1;
	stream->agent_fd = -1;
	return 0;
}

int proc_io_begin(struct proc_io *s, struct err *err)
{
	int ret = 0;

	s->begun = true;
	if (s->p.terminal)
		return begin_terminal(s, err);
	for (int i = 0; i < 3 && ret == 0; i++)
		ret = begin_pipe(s, i, err);
	return ret;
}

void proc_io_close_stdin(struct proc_io *s)
{
	struct stream *stream = &s->streams[0];

	if (s->p.terminal || stream->ended)
		return;
	if (stream->relay)
		relay_finish(stream->relay);
	else
		own_close(&stream->agent_fd);
}

void proc_io_exited(struct proc_io *s)
{
	s->exited = true;
	relay_destroy(s->streams[0].relay);
	s->streams[0].relay = NULL;
	s->streams[0].ended = true;
	proc_io_close_child_fds(s);
	for (int i = 0; i < 3 && !s->begun; i++) {
		stream_ticket_cancel(s->streams[i].ticket);
		s->streams[i].ticket = NULL;
		s->streams[i].ended = true;
		own_close(&s->streams[i].host_fd);
	}
	if (loop_arm(s->timer, GRACE_MS) < 0)
		give_up(s);
	check_drained(s);
}
