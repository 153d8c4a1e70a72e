/*
 * A container from a bundle, as `create` and `run` make it: state directory, monitor, microVM, stub, files about it. On failure
 * nothing of it remains.
 */
#ifndef NACRE_RUNTIME_LAUNCH_H
#define NACRE_RUNTIME_LAUNCH_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/compiler.h"
#include "base/err.h"

struct launch_params {
	const char *root, *id;
	const char *bundle;         /* "." when not given */
	const char *console_socket; /* NULL: none */
	const char *pid_file;       /* NULL: none */
	bool debug;
	bool detached; /* nobody stays to serve a terminal */
};

struct launched {
	pid_t stub;    /* a direct child */
	bool terminal; /* the container has one and it is ours: make it raw, pass its size on */
};

int launch(const struct launch_params *p, struct launched *out, struct err *err) MUST_CHECK;

#endif
