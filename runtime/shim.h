/*
 * containerd-shim-nacre-v2: what containerd executes. `start` makes a monitor (or finds the pod's) and prints its address,
 * `delete` cleans up after one that is gone, `-info` and `-v` say who we are. The monitor then serves the Task service.
 */
#ifndef NACRE_RUNTIME_SHIM_H
#define NACRE_RUNTIME_SHIM_H

#include <stdbool.h>

#include "base/compiler.h"
#include "base/err.h"

#define SHIM_RUNTIME_NAME "io.containerd.nacre.v2"

struct oci_spec;

struct shim_args {
	const char *namespace_, *address, *publish_binary, *id, *bundle;
	bool debug, version, info;
};

/* The working directory is the bundle in both. */
int shim_start(const struct shim_args *args, struct err *err) MUST_CHECK;
int shim_delete(const struct shim_args *args, struct err *err) MUST_CHECK;

/*
 * The sandbox a bundle's container belongs to: the annotation of containerd's or CRI-O's CRI plugin, else the container's own id.
 * The caller frees.
 */
int shim_group(const char *bundle, const char *id, char **out, struct err *err) MUST_CHECK;
/* The same where the spec is at hand; lent. */
const char *shim_group_of(const struct oci_spec *spec, const char *id);

/* State directory of a sandbox in a containerd namespace. The caller frees. */
int shim_state_dir(const char *namespace_, const char *group, char **out,
		   struct err *err) MUST_CHECK;

/* Path of the socket containerd dials. The caller frees. */
int shim_socket_path(const struct shim_args *args, const char *group, char **out,
		     struct err *err) MUST_CHECK;

int shim_main(int argc, char *const argv[]);

#endif
