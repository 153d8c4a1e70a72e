/*
 * The directory tree a sandbox's guest sees by virtio-fs, in a mount namespace of monitor and broker:
 *
 *	STATE/shared   a small tmpfs, a shared mount; the broker makes the skeleton and the binds here
 *	  ID/rootfs    bind of the container's root filesystem
 *	  ID/mounts/N  binds of the host files and directories its spec mounts
 *	STATE/export   the same tree, a read-only slave: what the vmm's root becomes
 *
 * Binds made later arrive in the export by propagation and keep their own writability, but the skeleton cannot be changed
 * from the guest: no name the broker walks can be turned into a link. All binds are nodev and nosuid on the host's side.
 */
#ifndef NACRE_RUNTIME_SHARED_TREE_H
#define NACRE_RUNTIME_SHARED_TREE_H

#include "base/compiler.h"
#include "base/err.h"
#include "config/plan.h"

/*
 * Gives this process a mount namespace of its own into which the host's mounts still arrive, and out of which nothing goes.
 * Once, before any other thread exists.
 */
int shared_tree_enter_namespace(struct err *err) MUST_CHECK;

/* Makes the tree below the state directory. */
int shared_tree_make(const char *state_dir, struct err *err) MUST_CHECK;

/* Unmounts the tree, so that the state directory can be removed. What is not there is fine. */
void shared_tree_unmake(const char *state_dir);

/* What is bound next, which may take as long as the storage it is on. */
typedef void (*shared_tree_step_fn)(void *arg, const char *source);

/* Binds the container's rootfs and mounts. On failure nothing of the container stays in the tree. */
int shared_tree_add(const char *state_dir, const struct container_plan *plan,
		    shared_tree_step_fn on_step, void *arg, struct err *err) MUST_CHECK;

/* Unmounts and removes what shared_tree_add made. What is not there is fine. */
void shared_tree_remove(const char *state_dir, const struct container_plan *plan);

#endif
