/* See proc.h. */
#include "agent/proc.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "agent/cgroup.h"
#include "agent/child_channel.h"
#include "agent/proc_clone.h"
#include "agent/pty.h"
#include "agent/proc_io.h"
#include "base/log.h"
#include "base/own.h"

#define LAUNCH_TIMEOUT_MS 10000

enum proc_state {
	PROC_LAUNCHING,
	PROC_CREATED,
	PROC_CONNECTING,
	PROC_STARTING,
	PROC_RUNNING,
};

/* An open question: fn NULL when there is none. */
struct question {
	proc_fn fn;
	void *arg;
};

struct waiter {
	proc_wait_fn fn;
	void *arg;
	struct waiter *next;
};

struct proc {
	struct loop *loop;
	int cgroup_fd;
	struct kernel_words *kernel;
	enum proc_state state;
	bool exited, done;
	struct proc_exit exit;
	uint64_t oom_kills_before, kernel_mark;
	pid_t pid;
	int pidfd;
	int channel;
	struct loop_source *channel_source, *deadline;
	struct proc_io *stdio;
	struct question question; /* of create or start, whichever is under way */
	struct waiter *waiters;
};

static void answer(struct proc *p, const struct err *why)
{
	struct question q = p->question;

	p->question = (struct question){0};
	if (loop_arm(p->deadline, 0) < 0)
		log_warn("disarm a deadline: errno %d", errno);
	if (q.fn)
		q.fn(q.arg, why);
}

static void answer_ok(struct proc *p)
{
	answer(p, &(struct err)ERR_INIT);
}

static void answer_waiters(struct proc *p, const struct err *why)
{
	while (p->waiters) {
		struct waiter *w = p->waiters;

		p->waiters = w->next;
		w->fn(w->arg, why ? NULL : &p->exit, why);
		free(w);
	}
}

static void close_channel(struct proc *p)
{
	loop_remove(p->channel_source);
	p->channel_source = NULL;
	own_close(&p->channel);
}

static void kill_now(struct proc *p)
{
	if (!p->exited && p->pidfd >= 0)
		(void)syscall(SYS_pidfd_send_signal, p->pidfd, SIGKILL, NULL, 0);
}

void proc_destroy(struct proc *p)
{
	struct err gone = ERR_INIT;

	if (!p)
		return;
	(void)err_say(&gone, ECANCELED, "the process was deleted");
	kill_now(p);
	if (p->deadline)
		answer(p, &gone);
	answer_waiters(p, p->exited ? NULL : &gone);
	close_channel(p);
	loop_remove(p->deadline);
	proc_io_destroy(p->stdio);
	own_close(&p->pidfd);
	free(p);
}
DEFINE_OWNER(proc_destroy, struct proc)

static void fail(struct proc *p, const struct err *why)
{
	close_channel(p);
	kill_now(p);
	answer(p, why);
}

static void on_death(struct proc *p)
{
	struct err why = ERR_INIT;

	(void)err_say(&why, EIO, "the process died before it %s",
		      p->state == PROC_STARTING ? "executed its program" : "was set up");
	fail(p, &why);
}

/* End of the channel: before the barrier a death, after it the program's exec. */
static void on_child_gone(struct proc *p)
{
	if (p->state != PROC_STARTING || !proc_has_executed(p->pid)) {
		on_death(p);
		return;
	}
	close_channel(p);
	p->state = PROC_RUNNING;
	answer_ok(p);
}

static void on_channel(void *arg, int fd, uint32_t events)
{
	struct proc *p = arg;
	enum child_word word = CHILD_GONE;
	struct err why = ERR_INIT;
	int pty = -1;
	int ret = child_channel_receive(fd, &word, &why, &pty);

	(void)events;
	if (ret == -EAGAIN)
		return;
	if (ret < 0 && ret != -EBADMSG) {
		on_death(p);
		return;
	}
	if (ret < 0 || (word == CHILD_READY && p->state != PROC_LAUNCHING)) {
		own_close(&pty);
		(void)err_say(&why, EPROTO, "the process spoke out of turn");
		fail(p, &why);
		return;
	}
	switch (word) {
	case CHILD_GONE:
		on_child_gone(p);
		break;
	case CHILD_FAILED:
		fail(p, &why);
		break;
	case CHILD_READY:
		proc_io_set_pty(p->stdio, pty);
		p->state = PROC_CREATED;
		answer_ok(p);
		break;
	}
}

static void on_deadline(void *arg)
{
	struct proc *p = arg;
	struct err why = ERR_INIT;

	if (p->state == PROC_CONNECTING) {
		p->state = PROC_CREATED;
		(void)err_say(&why, ETIMEDOUT, "the standard streams were not connected in time");
		answer(p, &why);
		return;
	}
	(void)err_say(&why, ETIMEDOUT, "the process was not set up in time");
	fail(p, &why);
}

static void begin(struct proc *p)
{
	struct err why = ERR_INIT;

	if (proc_io_begin(p->stdio, &why) < 0) {
		fail(p, &why);
		return;
	}
	if (loop_arm(p->deadline, PROC_START_TIMEOUT_MS) < 0) {
		(void)err_set(&why, errno, "arm a deadline");
		fail(p, &why);
		return;
	}
	p->state = PROC_STARTING;
	p->oom_kills_before = cgroup_oom_kills(p->cgroup_fd);
	p->kernel_mark = kernel_words_mark(p->kernel);
	child_channel_go(p->channel);
}

static void on_connected(void *arg)
{
	struct proc *p = arg;

	if (p->state == PROC_CONNECTING)
		begin(p);
}

static void on_drained(void *arg)
{
	struct proc *p = arg;

	p->done = true;
	p->exit.output_lost = proc_io_has_lost(p->stdio);
	answer_waiters(p, NULL);
}

static int launch(struct proc *p, const struct child_plan *like, struct err *err)
{
	struct child_plan plan = *like;
	AUTO_FD int child_end = -1;
	int ret = child_channel_open(&p->channel, &child_end, err);

	if (ret < 0)
		return ret;
	plan.channel = child_end;
	for (int i = 0; i < 3; i++)
		plan.stdio[i] = proc_io_child_fd(p->stdio, i);
	ret = proc_clone(&plan, p->cgroup_fd, &p->pid, &p->pidfd, err);
	if (ret == 0)
		ret = proc_prepare(&plan, p->pid, err);
	if (ret < 0)
		return ret;
	proc_io_close_child_fds(p->stdio);
	child_channel_go(p->channel);
	return 0;
}

static int watch(struct proc *p, struct err *err)
{
	int ret = loop_add_fd(p->loop, p->channel, EPOLLIN, on_channel, p, &p->channel_source, err);

	if (ret == 0 && loop_arm(p->deadline, LAUNCH_TIMEOUT_MS) < 0)
		ret = err_set(err, errno, "arm a deadline");
	return ret;
}

/* Nobody will know of a child that was made in vain: it must be gone before its cgroup is removed. */
static void collect(struct proc *p)
{
	siginfo_t info;

	if (p->pidfd < 0)
		return;
	kill_now(p);
	(void)waitid(P_PIDFD, (id_t)p->pidfd, &info, WEXITED);
}

int proc_create(const struct proc_params *params, struct proc **out, struct err *err)
{
	CLEANUP(own_proc_destroy) struct proc *p = calloc(1, sizeof(*p));
	struct proc_io_params stdio = {
		.loop = params->loop,
		.door = params->door,
		.tokens = {params->tokens[0], params->tokens[1], params->tokens[2]},
		.terminal = params->plan->process->terminal,
		.on_connected = on_connected,
		.on_drained = on_drained,
		.arg = p,
	};
	int ret;

	if (!p)
		return err_set(err, ENOMEM, "make a process");
	p->loop = params->loop;
	p->cgroup_fd = params->cgroup_fd;
	p->kernel = params->kernel;
	p->pidfd = -1;
	p->channel = -1;
	ret = loop_add_timer(p->loop, on_deadline, p, &p->deadline, err);
	if (ret == 0)
		ret = proc_io_create(&stdio, &p->stdio, err);
	if (ret == 0)
		ret = launch(p, params->plan, err);
	if (ret == 0)
		ret = watch(p, err);
	if (ret < 0) {
		collect(p);
		return ret;
	}
	p->question = (struct question){params->on_created, params->arg};
	*out = TAKE_PTR(&p);
	return 0;
}

pid_t proc_pid(const struct proc *p)
{
	return p->pid;
}

int proc_pidfd(const struct proc *p)
{
	return p->pidfd;
}

bool proc_has_exited(const struct proc *p)
{
	return p->exited;
}

bool proc_was_started(const struct proc *p)
{
	return p->state >= PROC_CONNECTING;
}

void proc_start(struct proc *p, proc_fn fn, void *arg)
{
	struct err why = ERR_INIT;

	if (p->state != PROC_CREATED || p->exited) {
		(void)err_say(&why, EBUSY,
			      p->exited ? "the process has exited"
					: "the process was started already");
		fn(arg, &why);
		return;
	}
	p->question = (struct question){fn, arg};
	p->state = PROC_CONNECTING;
	if (loop_arm(p->deadline, PROC_CONNECT_TIMEOUT_MS) < 0) {
		(void)err_set(&why, errno, "arm a deadline");
		fail(p, &why);
	} else if (proc_io_is_connected(p->stdio)) {
		begin(p);
	}
}

int proc_signal(struct proc *p, int signo, struct err *err)
{
	if (p->exited)
		return err_say(err, ESRCH, "process already finished");
	if (syscall(SYS_pidfd_send_signal, p->pidfd, signo, NULL, 0) == 0)
		return 0;
	if (errno == ESRCH)
		return err_say(err, ESRCH, "process already finished");
	return err_set(err, errno, "send signal %d", signo);
}

int proc_resize(struct proc *p, uint32_t width, uint32_t height, struct err *err)
{
	int pty = proc_io_pty(p->stdio);

	if (pty < 0)
		return err_say(err, EINVAL, "the process has no terminal");
	if (width > UINT16_MAX || height > UINT16_MAX)
		return err_say(err, EINVAL, "a terminal of %u by %u is too large", width, height);
	if (pty_resize(pty, (uint16_t)width, (uint16_t)height) < 0)
		return err_set(err, errno, "resize the terminal");
	return 0;
}

void proc_close_stdin(struct proc *p)
{
	proc_io_close_stdin(p->stdio);
}

void proc_wait(struct proc *p, proc_wait_fn fn, void *arg)
{
	struct waiter *w;
	struct err why = ERR_INIT;

	if (p->done) {
		fn(arg, &p->exit, NULL);
		return;
	}
	w = malloc(sizeof(*w));
	if (!w) {
		(void)err_set(&why, ENOMEM, "wait");
		fn(arg, NULL, &why);
		return;
	}
	*w = (struct waiter){fn, arg, p->waiters};
	p->waiters = w;
}

void proc_dies(struct proc *p)
{
	if (p->channel >= 0)
		on_channel(p, p->channel, 0);
}

/* A shell that ends with 139 tells of its child's fault. */
static void keep_kernel_words(struct proc *p)
{
	if (p->state < PROC_STARTING || p->exit.status <= 128)
		return;
	(void)snprintf(p->exit.kernel_said, sizeof(p->exit.kernel_said), "%s",
		       kernel_words_since(p->kernel, p->kernel_mark));
}

void proc_reaped(struct proc *p, int wait_status)
{
	struct timespec now;
	struct err why = ERR_INIT;

	p->exited = true;
	p->exit.signal = WIFSIGNALED(wait_status) ? (uint32_t)WTERMSIG(wait_status) : 0;
	p->exit.status = p->exit.signal ? 128 + p->exit.signal : (uint32_t)WEXITSTATUS(wait_status);
	(void)clock_gettime(CLOCK_REALTIME, &now);
	p->exit.at_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
	p->exit.oom_killed = p->exit.status == 128 + SIGKILL &&
			     cgroup_oom_kills(p->cgroup_fd) > p->oom_kills_before;
	keep_kernel_words(p);
	if (p->state == PROC_CONNECTING) {
		(void)err_say(&why, ESRCH, "the process was killed before it was started");
		fail(p, &why);
	}
	proc_io_exited(p->stdio);
}
