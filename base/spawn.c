/*
 * The child between fork and exec only makes system calls that are async-signal-safe. Descriptors are first moved above
 * every wanted number, then put in place, so that no dup2 overwrites one still needed; close_range takes the rest.
 */
#include "base/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/own.h"

#define PARK_FROM 256 /* parking place: above every `to` (checked) */

struct failure {
	int code;
	int step;
};

enum step { STEP_FDS, STEP_MOUNTS, STEP_CWD, STEP_DEATH_SIGNAL, STEP_EXEC };

static const char *const step_text[] = {
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

NORETURN static void child_run(const struct spawn *s, int report, int report_read)
{
	static char *const no_env[] = {NULL};
	sigset_t none;

	(void)close(report_read);
	for (int sig = 1; sig < NSIG; sig++)
		(void)signal(sig, SIG_DFL);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);

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

int spawn_start(const struct spawn *s, pid_t *pid, int *pidfd, struct err *err)
{
	AUTO_FD int report_read = -1;
	AUTO_FD int report_write = -1;
	AUTO_FD int child_pidfd = -1;
	struct failure f = {0};
	int pipe_fds[2];
	ssize_t n;
	pid_t child;

	BUG_ON(s->nfds > SPAWN_MAX_FDS);
	for (size_t i = 0; i < s->nfds; i++)
		BUG_ON(s->fds[i].to >= PARK_FROM);
	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return err_set(err, errno, "make a pipe to start '%s'", s->path);
	report_read = pipe_fds[0];
	report_write = pipe_fds[1];

	child = fork();
	if (child < 0)
		return err_set(err, errno, "fork to start '%s'", s->path);
	if (child == 0)
		child_run(s, report_write, report_read);
	own_close(&report_write);

	do
		n = read(report_read, &f, sizeof(f));
	while (n < 0 && errno == EINTR);
	if (n == (ssize_t)sizeof(f)) {
		(void)waitpid(child, NULL, 0);
		return err_set(err, f.code, "%s '%s'", step_text[f.step], s->path);
	}
	if (pidfd) {
		child_pidfd = (int)syscall(SYS_pidfd_open, child, 0);
		if (child_pidfd < 0) {
			int code = errno;

			(void)kill(child, SIGKILL);
			(void)waitpid(child, NULL, 0);
			return err_set(err, code, "pidfd of '%s'", s->path);
		}
		*pidfd = TAKE_FD(&child_pidfd);
	}
	*pid = child;
	return 0;
}
