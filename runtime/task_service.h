/*
 * containerd's Task service over one sandbox (containerd.task.v2.Task and v3, the same handlers), and beside it the one call of
 * ours, nacre.monitor.v1.Monitor/Attach, by which a stub ties a process to its own life. Used by both faces.
 */
#ifndef NACRE_RUNTIME_TASK_SERVICE_H
#define NACRE_RUNTIME_TASK_SERVICE_H

#include <stdbool.h>
#include <sys/types.h>

#include "agent-proto/ttrpc.h"
#include "runtime/process.h"

struct container;
struct events;
struct sandbox;

#define TASK_SERVICE_V2 "containerd.task.v2.Task"
#define TASK_SERVICE_V3 "containerd.task.v3.Task"
/* Type of Create's options when `nacre create` asks: the pid of the stub, in decimal. */
#define TASK_OPTIONS_STUB     "nacre.monitor.v1.Stub"
#define NACRE_MONITOR_SERVICE "nacre.monitor.v1.Monitor"

struct task_service {
	struct sandbox *sandbox;
	struct events *events; /* NULL: nobody listens */
	bool used;             /* a create has been asked for */
	/* Shutdown has been done and answered: the monitor may end. */
	void (*on_shutdown)(void *arg);
	void *arg;
};

/* One connection. The arg of its handlers. */
struct task_client {
	struct task_service *service;
	struct ttrpc_conn *conn;
	pid_t pid;                /* who is on the other end */
	struct process *attached; /* dies with this connection; a counted reference */
	struct task_client *next;
};

extern const struct ttrpc_method task_methods[];

/* Hooks of the sandbox: publish. `arg` is the service. */
void task_on_exit(void *arg, const struct process *p);
void task_on_oom(void *arg, const struct container *c);

/* The connection is gone: a process attached to it is killed. */
void task_client_gone(struct task_client *client);

#endif
