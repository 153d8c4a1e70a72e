/*
 * A container's root filesystem, step by step, in the child and in its own mount namespace: attach, fill (mounts.h,
 * devices.h), hide, enter. Until rootfs_enter the guest's own tree is still "/", which is where /proc and the guest's
 * device nodes are taken from.
 */
#ifndef NACRE_AGENT_ROOTFS_H
#define NACRE_AGENT_ROOTFS_H

#include "base/compiler.h"
#include "base/err.h"
#include "config/oci.h"

/* Where the agent has made an empty directory for the child to attach its root on. */
#define ROOTFS_MOUNT_POINT "/run/nacre/rootfs"

/* Cuts propagation and attaches directory `name` of the shared tree. *root_fd is the caller's. */
int rootfs_attach(int shared_fd, const char *name, int *root_fd, struct err *err) MUST_CHECK;

/* Masked and read-only paths; those that do not exist are passed over. */
int rootfs_hide(const struct oci_spec *spec, int root_fd, struct err *err) MUST_CHECK;

/* The root becomes "/", the guest's tree goes away; then read-only and propagation as the spec has them. */
int rootfs_enter(const struct oci_spec *spec, int root_fd, struct err *err) MUST_CHECK;

#endif
