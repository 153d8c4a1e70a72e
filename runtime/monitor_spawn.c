/* Starting a monitor: its arguments as a command line, its descriptors by number. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/spawn.h"
#include "runtime/monitor_args.h"
#include "runtime/procid.h"
#include "runtime/resources.h"

#define MONITOR_MAX_STDIO 3

/* Before it runs: a monitor that is not on the list outlives a starter who is killed, and nobody finds it. */
static int put_on_list(void *arg, pid_t child, struct err *err)
{
	const struct monitor_args *args = arg;
	struct procid id = {0};
	int rc = procid_of(child, &id, err);

	return rc ? rc : resources_add_process(args->state_dir, "monitor", &id, err);
}

int monitor_spawn(const struct monitor_args *args, int listen_fd, int log_fd, const int *stdio,
		  size_t nstdio, pid_t *pid, struct err *err)
{
	struct spawn_fd fds[2 + MONITOR_MAX_STDIO] = {{listen_fd, MONITOR_FD_LISTEN},
						      {log_fd, MONITOR_FD_LOG}};
	size_t nfds = 2;

	BUG_ON(nstdio > MONITOR_MAX_STDIO);
	for (size_t i = 0; i < nstdio; i++)
		fds[nfds++] = (struct spawn_fd){stdio[i], MONITOR_FD_STDIO + (int)i};
	const char *argv[] = {*args->address ? "containerd-shim-nacre-v2" : "nacre",
			      MONITOR_VERB,
			      "-namespace",
			      args->namespace_,
			      "-id",
			      args->id,
			      "-address",
			      args->address,
			      "-state",
			      args->state_dir,
			      "-events",
			      args->events,
			      args->debug ? "-debug=true" : "-debug=false",
			      args->single ? "-single=true" : "-single=false",
			      NULL};
	const struct spawn s = {
		.path = "/proc/self/exe",
		.argv = (char *const *)(uintptr_t)argv,
		.envp = environ,
		.fds = fds,
		.nfds = nfds,
		.new_session = true,
		.cwd = "/",
		.before_exec = put_on_list,
		.arg = (void *)(uintptr_t)args,
	};

	return spawn_start(&s, pid, NULL, err);
}
