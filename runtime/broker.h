/*
 * The broker: a child of the monitor that keeps the rights which the monitor gives up when its guest is up (monitor_jail.h), and
 * does what takes them: mounts of containers, their hooks, taps, opening and connecting by name. It is forked after the mount
 * namespace has been made and before anything else runs, talks to the monitor only, and ends with it.
 *
 * It takes an enum of operations, each with fixed arguments (broker_wire.h), and re-checks all: bundles are read by the broker itself,
 * containers and links are numbers it knows, and once it is sealed only what looks like what came before is done
 * (broker_policy.h).
 *
 * Each function here asks and waits for the answer, which comes as fast as the kernel does the deed; only hooks, and sharing with
 * whatever storage is behind it, take their time and answer later. A broker that is gone or silent is -ENOTCONN or -ETIMEDOUT from then on. The monitor's only thread.
 */
#ifndef NACRE_RUNTIME_BROKER_H
#define NACRE_RUNTIME_BROKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/compiler.h"
#include "base/err.h"
#include "base/loop.h"
#include "base/own.h"
#include "runtime/hooks.h"
#include "runtime/rootfs_mount.h"
#include "runtime/stdio_host.h"

#define BROKER_SHARE_MS 60000

struct broker;

struct broker_params {
	struct loop *loop;
	const char *sandbox_id, *state_dir; /* lent for the broker's life, like events */
	const char *events;                 /* containerd's socket, "": none */
	int host_mount_ns_fd;               /* where hooks run, 0: here; lent for the call */
	/* It has ended, and nobody asked it to. */
	void (*on_lost)(void *arg);
	void *arg;
};

int broker_start(const struct broker_params *p, struct broker **out, struct err *err) MUST_CHECK;
/* It takes back whatever is left, removes the state directory, and is waited for. Hooks that run are told ECANCELED. NULL is fine. */
void broker_stop(struct broker *b);
DEFINE_OWNER(broker_stop, struct broker)
pid_t broker_pid(const struct broker *b);

/*
 * Reads the bundle. *number names the container from now on, *config is the text of its config.json, the caller's. `stub` is
 * whom hooks are told, 0: the vmm.
 */
int broker_add(struct broker *b, const char *id, const char *bundle, pid_t stub, uint32_t *number,
	       char **config, size_t *len, struct err *err) MUST_CHECK;
/*
 * Mounts its root filesystem and puts it and its binds into the shared tree; what was done is taken back when it fails. fn once: before
 * this returns until the broker is sealed, and then whenever the storage behind it has answered, or has not for BROKER_SHARE_MS.
 */
void broker_share(struct broker *b, uint32_t number, const struct rootfs_mount *mounts, size_t n,
		  hooks_fn fn, void *arg);
/* Takes them back, for good; sharing that is under way is ended. */
int broker_unshare(struct broker *b, uint32_t number, struct err *err) MUST_CHECK;
/* The last word on a container. */
int broker_forget(struct broker *b, uint32_t number, struct err *err) MUST_CHECK;
/* Runs its hooks of that moment, once in its life. fn once, maybe before this returns. */
void broker_hooks(struct broker *b, uint32_t number, enum hooks_moment moment, hooks_fn fn,
		  void *arg);
/* Ends those that run and any that would still come, and what is being shared, with ECANCELED. */
void broker_close_hooks(struct broker *b);
/* Leaves BUNDLE/oom. */
int broker_mark_oom(struct broker *b, uint32_t number, struct err *err) MUST_CHECK;

/* As stdio_host_open (stdio_host.h). */
int broker_open_stream(struct broker *b, const char *name, bool input, struct stdio_host *out,
		       struct err *err) MUST_CHECK;
/* Connections to the vmm's vsock socket and to containerd; they do not block. */
int broker_connect_guest(struct broker *b, int *fd, struct err *err) MUST_CHECK;
int broker_connect_events(struct broker *b, int *fd, struct err *err) MUST_CHECK;
/* Writes START_RECORD_FILE. */
int broker_record(struct broker *b, const char *text, struct err *err) MUST_CHECK;

/* The pod's namespace; ns_fd is lent. Then as network_join.h has it. */
int broker_network(struct broker *b, int ns_fd, const char *ns_path, struct err *err) MUST_CHECK;
int broker_join(struct broker *b, int link, int *tap, int *tap_fd, struct err *err) MUST_CHECK;
int broker_leave(struct broker *b, int link, struct err *err) MUST_CHECK;
int broker_follow_mtu(struct broker *b, int link, struct err *err) MUST_CHECK;

/* The guest runs: from now on the broker trusts nobody. Hooks are told the vmm's pid. */
int broker_seal(struct broker *b, pid_t vmm_pid, struct err *err) MUST_CHECK;

#endif
