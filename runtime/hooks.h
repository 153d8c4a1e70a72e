/*
 * The hooks of one moment of a container's life, one after the other, in the broker's loop (broker.h). In create the first failure ends the
 * row, and after the start too; after the end a failure is a warning in the log and the next one runs (runtime-spec 1.2,
 * runtime.md "Lifecycle"). All run in the mount namespace nacre was called in, but for createContainer hooks: those run
 * in the broker's, which is the nearest the host has to the container's.
 */
#ifndef NACRE_RUNTIME_HOOKS_H
#define NACRE_RUNTIME_HOOKS_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/compiler.h"
#include "base/err.h"
#include "base/loop.h"
#include "config/oci.h"

struct hooks;

enum hooks_moment {
	HOOKS_CREATE, /* prestart, createRuntime, createContainer */
	HOOKS_POSTSTART,
	HOOKS_POSTSTOP,
};

/* Rows of hooks that run in one loop. */
struct hooks_list {
	struct loop *loop;
	int host_mount_ns_fd; /* 0: ours is the host's */
	struct hooks *first;
	bool closed; /* no more are run */
};

/* Whose they are; strings and spec are lent until the row has ended. */
struct hooks_subject {
	const struct oci_spec *spec; /* NULL: one that never came to be, and has none */
	const char *id, *bundle;
	pid_t pid;
};

typedef void (*hooks_fn)(void *arg, const struct err *why);

/* Has it any of that moment? NULL: no. */
bool hooks_wanted(const struct oci_spec *spec, enum hooks_moment moment);

/* fn once, maybe before this returns. */
void hooks_run(struct hooks_list *list, const struct hooks_subject *s, enum hooks_moment moment,
	       hooks_fn fn, void *arg);

/* Ends those that run, with ECANCELED, and any that would still come. */
void hooks_close(struct hooks_list *list);

/* The poststop hooks of a bundle whose monitor cannot run them any more. Blocks until they have ended; warnings only. */
void hooks_poststop_of_bundle(const char *id, const char *bundle);

#endif
