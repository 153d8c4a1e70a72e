/* The state of a container as hooks read it on standard input (runtime-spec 1.2, runtime.md "State"). */
#ifndef NACRE_CONFIG_OCI_STATE_H
#define NACRE_CONFIG_OCI_STATE_H

#include <sys/types.h>

#include "base/compiler.h"
#include "base/err.h"
#include "config/oci.h"

/* Where the guest's copy of a spec with startContainer hooks says what the bundle is called on the host. */
#define OCI_ANNOTATION_BUNDLE "nacre.bundle"

/*
 * As a file to be read from its start: a reader that does not come holds up nobody. pid 0: none, the container has stopped.
 * *fd is the caller's.
 */
int oci_state_open(const struct oci_spec *spec, const char *id, const char *bundle,
		   const char *status, pid_t pid, int *fd, struct err *err) MUST_CHECK;

#endif
