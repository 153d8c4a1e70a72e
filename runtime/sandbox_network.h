/* What joins a sandbox and its pod's network (runtime/network.h): which namespace it is, and the ways to vmm and agent. */
#ifndef NACRE_RUNTIME_SANDBOX_NETWORK_H
#define NACRE_RUNTIME_SANDBOX_NETWORK_H

#include <sys/types.h>

#include "base/compiler.h"
#include "base/err.h"
#include "config/oci.h"
#include "runtime/network.h"

struct sandbox;

/*
 * The first container's namespace becomes the pod's: that of `stub`, who has entered it, or else the one config.json names, or
 * a new one. Joins the interfaces that are there.
 */
int sandbox_network_open(struct sandbox *s, const struct oci_spec *spec, pid_t stub,
			 struct err *err) MUST_CHECK;

/* fn when what the namespace has now is in the guest. */
void sandbox_network_settle(struct sandbox *s, network_fn fn, void *arg);

#endif
