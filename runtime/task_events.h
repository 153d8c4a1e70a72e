/*
 * What containerd is told of: each function publishes one event by the service's publisher, in the order of the calls. The two
 * that the sandbox calls itself, task_on_exit and task_on_oom, are in task_service.h.
 */
#ifndef NACRE_RUNTIME_TASK_EVENTS_H
#define NACRE_RUNTIME_TASK_EVENTS_H

#include "agent-proto/containerd.pb-c.h"
#include "runtime/process.h"
#include "runtime/task_service.h"

void task_publish_create(const struct task_service *ts, const Containerd__CreateTaskRequest *m,
			 uint32_t pid);
/* Of a container's own process, or of an exec. */
void task_publish_start(const struct task_service *ts, const struct process *p);
void task_publish_delete(const struct task_service *ts, const struct process *p);
void task_publish_exec_added(const struct task_service *ts,
			     const Containerd__ExecProcessRequest *m);
/* That it was paused, or went on. */
void task_publish_paused(const struct task_service *ts, const struct container *c);

#endif
