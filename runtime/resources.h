/*
 * resources.json: what a sandbox holds on the host, in its state directory. An entry is written before the thing is made (a
 * process: right after, and until then it ends by itself when its maker does), so that `delete` can clean up after a
 * monitor that was killed at any point. Version 1:
 *
 *	{"version": 1, "resources": [{"kind": "file", "path": "/run/..."},
 *	                             {"kind": "cgroup", "path": "/pods/7"},
 *	                             {"kind": "process", "what": "vmm", "pid": 7, "start": 1234},
 *	                             {"kind": "redirect", "netns": "/run/netns/x", "dev": 4, "ino": 9, "link": 2, "tap": 3}]}
 *
 * Mounts are not in it: they live in a mount namespace of monitor and broker and vanish with it.
 */
#ifndef NACRE_RUNTIME_RESOURCES_H
#define NACRE_RUNTIME_RESOURCES_H

#include "base/compiler.h"
#include "base/err.h"
#include "runtime/network_join.h"
#include "runtime/procid.h"

#define RESOURCES_FILE "resources.json"

/* What adds to a list that cannot be read fails, and leaves it as it is. */

/* A file or socket outside of the state directory; `path` is absolute. */
int resources_add_file(const char *state_dir, const char *path, struct err *err) MUST_CHECK;
/* A directory below the root of cgroup v2 (runtime/sandbox_cgroup.h). */
int resources_add_cgroup(const char *state_dir, const char *path, struct err *err) MUST_CHECK;
int resources_add_process(const char *state_dir, const char *what, const struct procid *id,
			  struct err *err) MUST_CHECK;

/* What a network leaves in a namespace that outlives it. */
int resources_add_redirect(const char *state_dir, const struct network_leftover *l,
			   struct err *err) MUST_CHECK;

/* Once it has been taken back. A list that is gone is fine. */
int resources_drop_redirect(const char *state_dir, const struct network_leftover *l,
			    struct err *err) MUST_CHECK;

/* The first process entry called `what`; -ENOENT when there is none. */
int resources_find_process(const char *state_dir, const char *what, struct procid *out) MUST_CHECK;

/*
 * The caller holds the directory's lock (state_dir_lock). Kills the processes (the monitor first, so that nobody adds to the
 * list meanwhile), takes redirections back, unlinks the files, removes the state directory. Idempotent: what is gone
 * already is success. A list that cannot be read still removes the directory.
 */
int resources_replay(const char *state_dir, struct err *err) MUST_CHECK;

/* The end of a sandbox whose processes are gone, by whom it was: all that is listed, unless somebody is removing it already. */
void resources_end(const char *state_dir);

/* As replay, the lock too, but for the sandbox's own end: no process is killed. */
int resources_remove_files(const char *state_dir, struct err *err) MUST_CHECK;

#endif
