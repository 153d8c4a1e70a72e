/*
 * See start_hooks.h. Paths are looked up in the container, and the state's pid is the one the container sees, both as runc does.
 * What a hook writes goes where the container's output goes.
 */
#include "agent/start_hooks.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/own.h"
#include "base/spawn.h"
#include "config/oci_state.h"

/* All of them together: less than the host waits for the answer to a start. */
#define HOOKS_MAX_S 20

static int judge(int status, struct err *err)
{
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	return err_say(err, ECHILD, "exit status %d",
		       WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

static int await(pid_t pid, int pidfd, int64_t timeout_ms, struct err *err)
{
	struct pollfd ended = {.fd = pidfd, .events = POLLIN};
	int status = 0, n;

	do
		n = poll(&ended, 1, (int)timeout_ms);
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		(void)kill(-pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (n <= 0)
		return err_say(err, ETIMEDOUT, "not done within %d s, killed",
			       (int)((timeout_ms + 999) / 1000));
	return judge(status, err);
}

/* What is left of the time for all, or the hook's own timeout when that is less. */
static int64_t timeout_of(const struct oci_hook *hook, uint64_t end_ms)
{
	int64_t left = clock_ms_left(end_ms);

	if (hook->timeout_s && hook->timeout_s <= HOOKS_MAX_S && hook->timeout_s * 1000 < left)
		return hook->timeout_s * 1000;
	return left;
}

static int run(const struct oci_spec *spec, const struct oci_hook *hook, const char *id,
	       uint64_t end_ms, struct err *err)
{
	const char *bundle = oci_annotation(spec, OCI_ANNOTATION_BUNDLE);
	char *argv[] = {hook->path, NULL};
	AUTO_FD int state_fd = -1;
	AUTO_FD int pidfd = -1;
	pid_t pid = 0;
	int ret =
		oci_state_open(spec, id, bundle ? bundle : "", "created", getpid(), &state_fd, err);

	if (ret < 0)
		return ret;
	const struct spawn_fd fds[] = {{state_fd, STDIN_FILENO},
				       {STDOUT_FILENO, STDOUT_FILENO},
				       {STDERR_FILENO, STDERR_FILENO}};
	const struct spawn spawn = {
		.path = hook->path,
		.argv = hook->args.n ? hook->args.v : argv,
		.envp = hook->env.n ? hook->env.v : NULL,
		.fds = fds,
		.nfds = ARRAY_SIZE(fds),
		.new_session = true,
	};
	ret = spawn_start(&spawn, &pid, &pidfd, err);
	return ret < 0 ? ret : await(pid, pidfd, timeout_of(hook, end_ms), err);
}

int start_hooks_run(const struct oci_spec *spec, const char *id, struct err *err)
{
	const struct oci_hook *hooks = spec->hooks[OCI_HOOK_START_CONTAINER];
	const uint64_t end_ms = clock_now_ms() + HOOKS_MAX_S * 1000;

	for (size_t i = 0; i < spec->nhooks[OCI_HOOK_START_CONTAINER]; i++)
		if (run(spec, &hooks[i], id, end_ms, err) < 0)
			return err_wrap(err, "error running startContainer hook #%zu: %s", i,
					hooks[i].path);
	return 0;
}
