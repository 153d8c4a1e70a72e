/* What a running container can be told: new limits, standing still, going on. */
#ifndef NACRE_RUNTIME_CONTAINER_CONTROL_H
#define NACRE_RUNTIME_CONTAINER_CONTROL_H

#include <stdbool.h>
#include <stddef.h>

#include "runtime/process.h"

struct container;

/*
 * `resources_json`: an OCI "linux.resources" object; what it does not name stays as it is. The container's limits are kept in the
 * guest; with its quota the number of vCPUs on line follows. A memory limit beyond what the microVM was made for is refused.
 * fn once.
 */
void container_update(struct container *c, const void *resources_json, size_t len, process_fn fn,
		      void *arg);

/* fn when every process of it stands still, or goes on. */
void container_pause(struct container *c, bool pause, process_fn fn, void *arg);

#endif
