/*
 * The cgroup of a sandbox on the host (runtime-spec 1.2, config-linux.md "cgroupsPath"): what its vmm uses is accounted there, and can
 * be limited there by whoever made the path. Version 2 only, and by directories only: a path in systemd's form
 * ("slice:prefix:name") is left to systemd, and the vmm stays in the monitor's cgroup.
 */
#ifndef NACRE_RUNTIME_SANDBOX_CGROUP_H
#define NACRE_RUNTIME_SANDBOX_CGROUP_H

#include "base/compiler.h"
#include "base/err.h"

#define CGROUP_ROOT "/sys/fs/cgroup"

/*
 * Makes it, once it is in resources.json, which removes it. *fd: the directory, for a child to be born in, the caller's; 0: there is
 * none, as said above. `path` is resolved below the root whatever links or ".." it has.
 */
int sandbox_cgroup_make(const char *path, const char *state_dir, int *fd,
			struct err *err) MUST_CHECK;

/* Kills what is left in it and removes it; not there is fine, and its parents stay. */
void sandbox_cgroup_remove(const char *path);

#endif
