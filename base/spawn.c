/*
 * The child between fork and exec only makes system calls that are async-signal-safe. Descriptors are first moved above
 * every wanted number, then put in place, so that no dup2 overwrites one still needed; close_range takes the rest. A child in a
 * new user namespace waits at its gate until its ids are mapped: what it execs before has no capabilities there. So does one
 * whose starter has something to write down about it first.
 */
#include "base/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/idmap.h"
#include "base/own.h"

#define PARK_FROM 256 /* parking place: above every `to` (checked) */

struct failure {
	int code;
	int step;
};

/* Pipes between the two: the child reports what failed, and is let through its gate. */
struct ends {
	int report;
	int gate;
};

enum step { STEP_GATE, STEP_FDS, STEP_MOUNTS, STEP_CWD, STEP_DEATH_SIGNAL, STEP_EXEC };

static const char *const step_text[] = {
	[STEP_GATE] = "map the ids of",
	[STEP_FDS] = "pass descriptors to",
	[STEP_MOUNTS] = "enter the mount namespace of",
	[STEP_CWD] = "change to the working directory of",
	[STEP_DEATH_SIGNAL] = "set the parent-death signal of",
	[STEP_EXEC] = "start",
};

NORETURN static void child_fail(int report, enum step step)
{
	struct failure f = {.code = errno, .step = (int)step};

	if (write(report, &f, sizeof(f)) < 0)
		_exit(126);
	_exit(127);
}

/* 0, 1, 2 are /dev/null unless listed; then exactly the listed ones and `report` (close-on-exec) stay open. */
static int child_place_fds(const struct spawn *s, int *report)
{
	int parked[SPAWN_MAX_FDS], null_fd, max_to = 2, moved;

	for (size_t i = 0; i < s->nfds; i++) {
		parked[i] = fcntl(s->fds[i].from, F_DUPFD_CLOEXEC, PARK_FROM);
		if (parked[i] < 0)
			return -1;
		max_to = s->fds[i].to > max_to ? s->fds[i].to : max_to;
	}
	moved = fcntl(*report, F_DUPFD_CLOEXEC, PARK_FROM);
	null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (moved < 0 || null_fd < 0)
		return -1;
	null_fd = fcntl(null_fd, F_DUPFD_CLOEXEC, PARK_FROM);
	if (null_fd < 0)
		return -1;
	for (int std = 0; std <= 2; std++)
		if (dup2(null_fd, std) < 0)
			return -1;

	if (syscall(SYS_close_range, 3, ~0u, CLOSE_RANGE_CLOEXEC) < 0)
		return -1;
	for (size_t i = 0; i < s->nfds; i++)
		if (dup2(parked[i], s->fds[i].to) < 0)
			return -1;
	*report = moved;
	return 0;
}

/* Whoever died before the signal was asked for no longer holds the pipe's reading end. (Its pid says nothing in a new pid namespace.) */
static bool parent_is_gone(int report)
{
	struct pollfd p = {.fd = report};

	return poll(&p, 1, 0) == 1 && (p.revents & POLLERR);
}

/* Its end of file means that the parent gave up. */
static int child_wait_at_gate(int gate)
{
	char byte;
	ssize_t n;

	do
		n = read(gate, &byte, 1);
	while (n < 0 && errno == EINTR);
	if (n == 0)
		errno = ECANCELED;
	return n == 1 ? 0 : -1;
}

NORETURN static void child_run(const struct spawn *s, struct ends ends)
{
	static char *const no_env[] = {NULL};
	int report = ends.report;
	sigset_t none;

	for (int sig = 1; sig < NSIG; sig++)
		(void)signal(sig, SIG_DFL);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);

	if (child_wait_at_gate(ends.gate) < 0)
		child_fail(report, STEP_GATE);
	if (child_place_fds(s, &report) < 0)
		child_fail(report, STEP_FDS);
	if (s->new_session)
		(void)setsid();
	if (s->mount_ns_fd && setns(s->mount_ns_fd, CLONE_NEWNS) < 0)
		child_fail(report, STEP_MOUNTS);
	if (s->cwd && chdir(s->cwd) < 0)
		child_fail(report, STEP_CWD);
	if (s->kill_on_parent_death && prctl(PR_SET_PDEATHSIG, s->kill_on_parent_death) < 0)
		child_fail(report, STEP_DEATH_SIGNAL);
	if (s->kill_on_parent_death && parent_is_gone(report))
		_exit(128 + s->kill_on_parent_death);
	(void)execve(s->path, s->argv, s->envp ? s->envp : no_env);
	child_fail(report, STEP_EXEC);
}

static pid_t clone_into(const struct spawn *s)
{
	struct clone_args args = {
		.flags = s->new_namespaces | (s->cgroup_fd ? CLONE_INTO_CGROUP : 0),
		.exit_signal = SIGCHLD,
		.cgroup = (unsigned int)s->cgroup_fd,
	};

	return (pid_t)syscall(SYS_clone3, &args, sizeof(args));
}

static int reap(pid_t child, int rc)
{
	int saved = errno;

	(void)kill(child, SIGKILL);
	while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
		;
	errno = saved;
	return rc;
}

/* -1 with errno, as fork. */
static pid_t fork_as_wanted(const struct spawn *s)
{
	AUTO_FD int home = -1;

	if (!s->new_namespaces && !s->cgroup_fd && !s->net_ns_fd)
		return fork();
	if (!s->net_ns_fd)
		return clone_into(s);
	home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (home < 0 || setns(s->net_ns_fd, CLONE_NEWNET) < 0)
		return -1;
	pid_t child = clone_into(s);
	int saved = errno;

	if (child != 0 && setns(home, CLONE_NEWNET) < 0)
		return child > 0 ? reap(child, -1) : -1;
	errno = saved;
	return child;
}

static int open_gate(const struct spawn *s, pid_t child, int gate, struct err *err)
{
	int rc = s->new_namespaces & CLONE_NEWUSER ? idmap_one_to_one(child, err) : 0;

	if (rc == 0 && s->before_exec)
		rc = s->before_exec(s->arg, child, err);
	if (rc == 0 && write(gate, "", 1) != 1)
		rc = err_set(err, errno, "let the child go");
	return rc;
}

/* Until the exec, by which the pipe closes, or a failure. */
static int wait_for_exec(const struct spawn *s, int report, struct err *err)
{
	struct failure f = {0};
	ssize_t n;

	do
		n = read(report, &f, sizeof(f));
	while (n < 0 && errno == EINTR);
	return n == (ssize_t)sizeof(f) ? err_set(err, f.code, "%s '%s'", step_text[f.step], s->path)
				       : 0;
}

static int start_child(const struct spawn *s, pid_t *out, struct err *err)
{
	AUTO_FD int report_read = -1;
	AUTO_FD int report_write = -1;
	AUTO_FD int gate_read = -1;
	AUTO_FD int gate_write = -1;
	int report[2], gate[2];

	if (pipe2(report, O_CLOEXEC) < 0)
		return err_set(err, errno, "make a pipe to start '%s'", s->path);
	report_read = report[0];
	report_write = report[1];
	if (pipe2(gate, O_CLOEXEC) < 0)
		return err_set(err, errno, "make a pipe to start '%s'", s->path);
	gate_read = gate[0];
	gate_write = gate[1];

	pid_t child = fork_as_wanted(s);
	if (child < 0)
		return err_set(err, errno, "fork to start '%s'", s->path);
	if (child == 0) {
		own_close(&gate_write);
		own_close(&report_read);
		child_run(s, (struct ends){.report = report_write, .gate = gate_read});
	}
	own_close(&report_write);
	/* Our end of the gate to read from stays open, so that a child that died gives no SIGPIPE. */
	int rc = open_gate(s, child, gate_write, err);
	if (rc == 0)
		rc = wait_for_exec(s, report_read, err);
	if (rc < 0)
		return reap(child, rc);
	*out = child;
	return 0;
}

int spawn_start(const struct spawn *s, pid_t *pid, int *pidfd, struct err *err)
{
	pid_t child = 0;

	BUG_ON(s->nfds > SPAWN_MAX_FDS);
	for (size_t i = 0; i < s->nfds; i++)
		BUG_ON(s->fds[i].to >= PARK_FROM);
	int rc = start_child(s, &child, err);
	if (rc < 0)
		return rc;
	if (pidfd) {
		int fd = (int)syscall(SYS_pidfd_open, child, 0);

		if (fd < 0)
			return reap(child, err_set(err, errno, "pidfd of '%s'", s->path));
		*pidfd = fd;
	}
	*pid = child;
	return 0;
}
