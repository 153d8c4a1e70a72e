/*
 * A container of a sandbox: from a bundle and a list of rootfs mounts to a process in the guest and back to nothing. The first
 * container of a sandbox boots its microVM, sized by that container's spec.
 */
#ifndef NACRE_RUNTIME_CONTAINER_H
#define NACRE_RUNTIME_CONTAINER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"
#include "config/oci.h"
#include "config/plan.h"
#include "runtime/hooks.h"
#include "runtime/process.h"
#include "runtime/rootfs_mount.h"

struct sandbox;

struct container {
	unsigned int refs;
	struct sandbox *sandbox; /* outlives it */
	char *id, *bundle;
	struct oci_spec *spec;
	struct container_plan *plan;
	struct process *init;  /* a counted reference, taken back when the container is removed */
	struct process *execs; /* each a counted reference */
	bool deleting;
	bool paused;
	bool hooked;            /* its create hooks were begun: poststop hooks are due */
	pid_t stub_pid;         /* announced by the caller, 0: none */
	uint32_t number;        /* by which the broker knows it; 0: not yet */
	struct container *next; /* in sandbox->containers */
};

/* What Create says; lent for the call. */
struct container_params {
	const char *id, *bundle;
	const struct rootfs_mount *mounts;
	size_t nmounts;
	pid_t stub_pid; /* who will stand for it, as hooks are told; 0: the vmm does */
	struct process_io io;
};

struct container *container_get(struct container *c);
void container_put(struct container *c);

/* fn once, maybe before this returns. On failure nothing of the container remains. */
void container_create(struct sandbox *s, const struct container_params *params, process_fn fn,
		      void *arg);

/* Makes a process of the JSON "process" object, ready to start. fn once. */
void container_exec(struct container *c, const char *exec_id, const void *json, size_t len,
		    const struct process_io *io, process_fn fn, void *arg);

/* A container whose init has stopped or was never started; else -EBUSY. fn when the host holds nothing of it. */
void container_delete(struct container *c, process_fn fn, void *arg);
/* The same of one exec. */
void container_delete_exec(struct process *p, process_fn fn, void *arg);

/* Takes back everything the host holds of it, and the sandbox's reference; the guest is not asked. */
void container_remove(struct container *c);

/* Runs its hooks of that moment. The caller holds a reference until fn, which is called once. */
void container_run_hooks(struct container *c, enum hooks_moment moment, hooks_fn fn, void *arg);

/* Init for exec_id "" (or NULL); NULL when there is none. Lent. */
struct process *container_process(struct container *c, const char *exec_id);
bool container_has_running_exec(const struct container *c);

/* The init is gone and so are the execs, said or not. */
void container_end_execs(struct container *c);

/* The guest's kernel killed in it for want of memory: leaves BUNDLE/oom, by which CRI-O and podman know, and tells the sandbox. */
void container_oom(const struct container *c);

/* The guest is gone: every process has exited with 137. */
void container_lost(struct container *c);

#endif
