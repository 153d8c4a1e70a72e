/* What the verbs do to a container that exists, apart from their command lines: find, kill, delete. */
#ifndef NACRE_RUNTIME_LIFECYCLE_H
#define NACRE_RUNTIME_LIFECYCLE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent-proto/containerd.pb-c.h"
#include "base/compiler.h"
#include "base/err.h"
#include "runtime/monitor_client.h"

/* The container's monitor. -ENOENT: no such container; -ECONNREFUSED: the container is there, its monitor is not. */
int lifecycle_connect(const char *root, const char *id, struct monitor_client *out,
		      struct err *err) MUST_CHECK;

/* STOPPED with pid 0 when the monitor is gone. -ENOENT: no such container. */
int lifecycle_state(const char *root, const char *id, Containerd__Status *status, pid_t *pid,
		    struct err *err) MUST_CHECK;

int lifecycle_kill(const char *root, const char *id, uint32_t signo, bool all,
		   struct err *err) MUST_CHECK;

/* Removes all the container holds. force: a running one is killed, an absent one is fine. */
int lifecycle_delete(const char *root, const char *id, bool force, struct err *err) MUST_CHECK;

const char *lifecycle_status_name(Containerd__Status status);

#endif
