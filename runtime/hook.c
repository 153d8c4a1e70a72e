/* See hook.h. A hook ends in on_exit() alone: the deadline only kills. */
#include "runtime/hook.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>

#include "base/log.h"
#include "base/own.h"
#include "base/spawn.h"

#define OUTPUT_BYTES 4096 /* of each stream; the rest is read and dropped */
#define OUTPUT_LINES 20   /* of each stream, in the log */
#define LAST_READS   16   /* after the exit: a child left behind may write for ever */

struct capture {
	const char *name;
	int fd;
	struct loop_source *src;
	char text[OUTPUT_BYTES];
	size_t len;
	bool cut;
};

struct hook_run {
	const struct oci_hook *hook;
	const char *what;
	pid_t pid; /* 0: reaped */
	bool timed_out;
	struct loop_source *child, *timer;
	struct capture out, error;
	hook_fn fn;
	void *arg;
};

static void capture_done(struct capture *c)
{
	loop_remove(c->src);
	c->src = NULL;
	own_close(&c->fd);
}

void hook_destroy(struct hook_run *h)
{
	if (!h)
		return;
	loop_remove(h->timer);
	if (h->pid) {
		loop_remove(h->child);
		(void)kill(-h->pid, SIGKILL);
		while (waitpid(h->pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	capture_done(&h->out);
	capture_done(&h->error);
	free(h);
}

/* False when there is nothing more, now or ever. */
static bool capture_read(struct capture *c)
{
	char buf[OUTPUT_BYTES];
	ssize_t n = read(c->fd, buf, sizeof(buf));

	if (n <= 0)
		return n < 0 && errno == EINTR;
	size_t room = sizeof(c->text) - 1 - c->len;
	size_t take = (size_t)n < room ? (size_t)n : room;

	memcpy(c->text + c->len, buf, take);
	c->len += take;
	c->text[c->len] = '\0';
	c->cut = c->cut || take < (size_t)n;
	return true;
}

static void on_output(void *arg, int fd, uint32_t events)
{
	struct capture *c = arg;

	(void)fd;
	if (!capture_read(c) && (events & (EPOLLHUP | EPOLLERR)))
		capture_done(c);
}

static void capture_rest(struct capture *c)
{
	for (int i = 0; c->fd >= 0 && i < LAST_READS && capture_read(c); i++)
		;
	capture_done(c);
}

static void log_capture(const struct hook_run *h, const struct capture *c)
{
	const char *at = c->text;
	int lines = 0;

	for (; *at && lines < OUTPUT_LINES; lines++) {
		size_t len = strcspn(at, "\n");

		log_info("%s, %s: %.*s", h->what, c->name, (int)(len < 512 ? len : 512), at);
		at += len + (at[len] == '\n');
	}
	if (*at || c->cut)
		log_info("%s, %s: the rest is left out", h->what, c->name);
}

/* The first line that says something; control bytes would be obeyed by the terminal that shows the error. */
static void first_line(const struct capture *c, char *out, size_t size)
{
	const char *at = c->text + strspn(c->text, " \t\r\n");
	size_t len = strcspn(at, "\r\n");

	(void)snprintf(out, size, "%.*s", (int)len, at);
	for (char *p = out; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = '?';
}

static void judge(const struct hook_run *h, int status, struct err *why)
{
	char line[400], how[64];

	if (!h->timed_out && status == 0)
		return;
	if (h->timed_out)
		(void)snprintf(how, sizeof(how), "not done within %lld s, killed",
			       (long long)h->hook->timeout_s);
	else
		(void)snprintf(how, sizeof(how), "exit status %d", status);
	first_line(&h->error, line, sizeof(line));
	(void)err_say(why, h->timed_out ? ETIMEDOUT : ECHILD, "%.256s: %s%s%s", h->hook->path, how,
		      *line ? ", stderr: " : "", line);
}

static void on_exit_of(void *arg, pid_t pid, int status)
{
	struct hook_run *h = arg;
	struct err why = ERR_INIT;

	(void)pid;
	h->pid = 0;
	h->child = NULL;
	loop_remove(h->timer);
	h->timer = NULL;
	capture_rest(&h->out);
	capture_rest(&h->error);
	log_capture(h, &h->out);
	log_capture(h, &h->error);
	judge(h, status, &why);
	h->fn(h->arg, &why);
}

static void on_deadline(void *arg)
{
	struct hook_run *h = arg;

	h->timed_out = true;
	(void)kill(-h->pid, SIGKILL);
}

/* Our end is read by the loop, *theirs becomes the hook's. */
static int capture_open(struct capture *c, struct loop *loop, int *theirs, struct err *err)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC))
		return err_set(err, errno, "make a pipe for a hook");
	c->fd = ends[0];
	*theirs = ends[1];
	if (fcntl(c->fd, F_SETFL, O_NONBLOCK) < 0)
		return err_set(err, errno, "make a pipe for a hook");
	return loop_add_fd(loop, c->fd, EPOLLIN, on_output, c, &c->src, err);
}

static int start_process(struct hook_run *h, const struct hook_params *p, int out, int error,
			 struct err *err)
{
	char *argv[] = {h->hook->path, NULL};
	const struct spawn_fd fds[] = {
		{p->state_fd, STDIN_FILENO}, {out, STDOUT_FILENO}, {error, STDERR_FILENO}};
	const struct spawn spec = {
		.path = h->hook->path,
		.argv = h->hook->args.n ? h->hook->args.v : argv,
		.envp = h->hook->env.n ? h->hook->env.v : NULL,
		.fds = fds,
		.nfds = ARRAY_SIZE(fds),
		.new_session = true,
		.kill_on_parent_death = SIGKILL,
		.mount_ns_fd = p->mount_ns_fd,
		.cwd = p->cwd,
	};
	int rc = spawn_start(&spec, &h->pid, NULL, err);

	return rc ? rc : loop_add_child(p->loop, h->pid, on_exit_of, h, &h->child, err);
}

int hook_start(const struct hook_params *p, struct hook_run **out, struct err *err)
{
	CLEANUP(own_hook_destroy) struct hook_run *h = calloc(1, sizeof(*h));
	AUTO_FD int stdout_fd = -1;
	AUTO_FD int stderr_fd = -1;

	if (!h)
		return err_set(err, ENOMEM, "run a hook");
	h->hook = p->hook;
	h->what = p->what;
	h->fn = p->fn;
	h->arg = p->arg;
	h->out = (struct capture){.name = "stdout", .fd = -1};
	h->error = (struct capture){.name = "stderr", .fd = -1};
	int rc = capture_open(&h->out, p->loop, &stdout_fd, err);
	if (!rc)
		rc = capture_open(&h->error, p->loop, &stderr_fd, err);
	if (!rc)
		rc = loop_add_timer(p->loop, on_deadline, h, &h->timer, err);
	if (!rc)
		rc = start_process(h, p, stdout_fd, stderr_fd, err);
	if (rc)
		return rc;
	if (p->hook->timeout_s) {
		rc = loop_arm(h->timer, (uint64_t)p->hook->timeout_s * 1000);
		if (rc)
			return err_set(err, -rc, "give a hook its deadline");
	}
	*out = TAKE_PTR(&h);
	return 0;
}
