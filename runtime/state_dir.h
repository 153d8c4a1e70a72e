/*
 * The state directory of one sandbox, ROOT/ID (0700): resources.json, state.json (what `nacre state` prints beside the live
 * status), monitor.sock, the unix socket of the guest's vsock, qmp.sock when asked for, and the mount points of the
 * shared tree. The shim's lie below
 * ROOT/@NAMESPACE/: '@' cannot be in a container id, so the two faces never meet.
 */
#ifndef NACRE_RUNTIME_STATE_DIR_H
#define NACRE_RUNTIME_STATE_DIR_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/compiler.h"
#include "base/err.h"
#include "base/own.h"

#define STATE_ROOT_DEFAULT "/run/nacre"
#define STATE_MONITOR_SOCK "monitor.sock"
#define STATE_VSOCK_SOCK   "vsock.sock"
#define STATE_QMP_SOCK     "qmp.sock"
#define STATE_SHARED_DIR   "shared"
#define STATE_EXPORT_DIR   "export"

/* The path of it; the id is checked. The caller frees. */
int state_dir_path(const char *root, const char *id, char **out, struct err *err) MUST_CHECK;

/* Makes it, and what leads there. -EEXIST with runc's words when the id is taken. */
int state_dir_make(const char *path, struct err *err) MUST_CHECK;

/* 0, or -ENOENT with runc's words. */
int state_dir_exists(const char *path, struct err *err) MUST_CHECK;

/*
 * Whoever removes a state directory, or what it lists, holds its lock (flock(2)): a second remover must not take what somebody
 * has made anew under the same id for what it came for. state_dir_open first, then, when it comes to removing, the lock, which
 * says -ENOENT when another remover was first: the path is gone or another directory's. Closing the descriptor unlocks.
 */
int state_dir_open(const char *path, int *fd, struct err *err) MUST_CHECK;
/* Waits for other removers, each of which has its deadlines. */
int state_dir_lock(const char *path, int fd, struct err *err) MUST_CHECK;
/* For the monitor at its own end: -EBUSY when somebody is removing it, who is waiting for the monitor then. */
int state_dir_try_lock(const char *path, int fd, struct err *err) MUST_CHECK;
/* Still the directory at that path? */
bool state_dir_is(const char *path, int fd);

/* state.json: what does not change during the container's life. */
struct container_state {
	char *id, *bundle, *rootfs;
	char *oci_version;
	char *created;          /* RFC 3339 */
	char *annotations_json; /* an object */
	pid_t pid;              /* the stub's */
};

int container_state_save(const char *state_dir, const struct container_state *s,
			 struct err *err) MUST_CHECK;
int container_state_load(const char *state_dir, struct container_state **out,
			 struct err *err) MUST_CHECK;
void container_state_destroy(struct container_state *s);
DEFINE_OWNER(container_state_destroy, struct container_state)

#endif
