/*
 * What a monitor is told by whoever starts it (`nacre create`, or the shim's `start`), and the starting. The monitor is this
 * program again, by the hidden verb "monitor", in a session of its own, with nothing of its parent's but the listed files.
 */
#ifndef NACRE_RUNTIME_MONITOR_ARGS_H
#define NACRE_RUNTIME_MONITOR_ARGS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/compiler.h"
#include "base/err.h"

#define MONITOR_VERB "monitor"

struct monitor_args {
	const char *id;         /* of the sandbox */
	const char *state_dir;  /* absolute; exists */
	const char *namespace_; /* containerd's; "" in the OCI face */
	const char *events;     /* containerd's ttrpc socket; "": no events */
	const char *
		address; /* containerd's own socket, by which people find its shims; "" in the OCI face */
	bool debug;
	/* The OCI face: the sandbox serves one caller and ends when that is gone before anything came of it. */
	bool single;
};

/* Descriptor numbers in the monitor. */
enum { MONITOR_FD_LISTEN = 3, MONITOR_FD_LOG = 4, MONITOR_FD_STDIO = 10 };

/*
 * Starts it. listen_fd and log_fd are lent, as are the `nstdio` descriptors that become MONITOR_FD_STDIO and up. Its process is
 * written to resources.json before it runs. *pid is a direct child.
 */
int monitor_spawn(const struct monitor_args *args, int listen_fd, int log_fd, const int *stdio,
		  size_t nstdio, pid_t *pid, struct err *err) MUST_CHECK;

/* The verb itself: runs the monitor to its end. Exit status. */
int monitor_main(int argc, char *const argv[]);

#endif
