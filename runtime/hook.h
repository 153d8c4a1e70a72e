/*
 * One run of one OCI hook (runtime-spec 1.2, config.md "POSIX-platform Hooks"): a process in a session of its own, with exactly
 * its args and env, the state on standard input, and output that goes to the log, as much of it as there is room for. It is
 * over when the process has exited, whatever its own children do. Nothing here blocks.
 */
#ifndef NACRE_RUNTIME_HOOK_H
#define NACRE_RUNTIME_HOOK_H

#include "base/compiler.h"
#include "base/err.h"
#include "base/loop.h"
#include "config/oci.h"

struct hook_run;

/* why->code 0: it exited with 0. Else one line: how it ended, and the first line of its standard error. */
typedef void (*hook_fn)(void *arg, const struct err *why);

struct hook_params {
	struct loop *loop;
	const struct oci_hook *hook; /* lent for the run, as is what */
	const char *what;            /* "createRuntime hook #0", for the log */
	const char *cwd;             /* lent for the call */
	int state_fd;                /* lent for the call */
	int mount_ns_fd;             /* lent for the call; 0: stay in ours */
	hook_fn fn;
	void *arg;
};

/* fn once, later, and only if this succeeds; then the run is to be destroyed, in fn or after it. */
int hook_start(const struct hook_params *p, struct hook_run **out, struct err *err) MUST_CHECK;

/* Kills the process group if it still runs; fn is not called. */
void hook_destroy(struct hook_run *h);
DEFINE_OWNER(hook_destroy, struct hook_run)

#endif
