/*
 * The broker's own side: what it holds, and the operations, one function each (runtime/broker_wire.h says what they take). Every one
 * checks its arguments again; none believes that the monitor asks in a sensible order.
 */
#ifndef NACRE_RUNTIME_BROKER_STATE_H
#define NACRE_RUNTIME_BROKER_STATE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/compiler.h"
#include "base/err.h"
#include "base/loop.h"
#include "runtime/broker_policy.h"
#include "runtime/broker_wire.h"
#include "runtime/hooks.h"

/* Of one pod at the same time. */
#define BROKER_MAX_CONTAINERS 1024

struct broker_container;
struct broker_log_dir; /* held since before the seal */
struct network_joins;

struct broker_state {
	struct loop *loop;
	const char *sandbox_id, *state_dir;
	const char *events; /* containerd's socket, "": none */
	struct broker_policy policy;
	struct hooks_list hooks;
	pid_t vmm_pid;
	struct broker_container *containers;
	uint32_t ncontainers, last_number;
	struct network_joins *network;
	struct broker_log_dir *log_dirs;
	bool recorded, ended;
};

/* What an operation takes and gives beside the request. Descriptors in `given` are closed when they have been sent. */
struct broker_deed {
	const struct broker_request *request;
	int taken; /* came with the request, or -1; lent */
	uint32_t value;
	int given[BROKER_MAX_FDS];
	size_t ngiven;
};

typedef int (*broker_fn)(struct broker_state *s, struct broker_deed *d, struct err *err);

int broker_do_add(struct broker_state *s, struct broker_deed *d, struct err *err) MUST_CHECK;
int broker_do_share(struct broker_state *s, struct broker_deed *d, struct err *err) MUST_CHECK;
int broker_do_unshare(struct broker_state *s, struct broker_deed *d, struct err *err) MUST_CHECK;
int broker_do_forget(struct broker_state *s, struct broker_deed *d, struct err *err) MUST_CHECK;
int broker_do_hooks(struct broker_state *s, struct broker_deed *d, struct err *err) MUST_CHECK;
int broker_do_mark_oom(struct broker_state *s, struct broker_deed *d, struct err *err) MUST_CHECK;

int broker_do_open_stream(struct broker_state *s, struct broker_deed *d,
			  struct err *err) MUST_CHECK;
int broker_do_connect_guest(struct broker_state *s, struct broker_deed *d,
			    struct err *err) MUST_CHECK;
int broker_do_connect_events(struct broker_state *s, struct broker_deed *d,
			     struct err *err) MUST_CHECK;
int broker_do_record(struct broker_state *s, struct broker_deed *d, struct err *err) MUST_CHECK;

int broker_do_network(struct broker_state *s, struct broker_deed *d, struct err *err) MUST_CHECK;
int broker_do_join(struct broker_state *s, struct broker_deed *d, struct err *err) MUST_CHECK;
int broker_do_leave(struct broker_state *s, struct broker_deed *d, struct err *err) MUST_CHECK;
int broker_do_mtu(struct broker_state *s, struct broker_deed *d, struct err *err) MUST_CHECK;

/* Closes the directories of log files. */
void broker_drop_log_dirs(struct broker_state *s);
/* Takes everything of all containers back. */
void broker_drop_containers(struct broker_state *s);

/* Serves requests from `sock` (taken) until its end, then takes back what is left. The policy is empty. */
void broker_serve(struct broker_state *s, int sock);

#endif
