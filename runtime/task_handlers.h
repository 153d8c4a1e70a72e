/* The Task service's methods that only look: the table in task_service.c names them. Each answers its call. */
#ifndef NACRE_RUNTIME_TASK_HANDLERS_H
#define NACRE_RUNTIME_TASK_HANDLERS_H

#include "agent-proto/containerd.pb-c.h"
#include "runtime/process.h"
#include "runtime/task_call.h"

void task_state(struct task_call *call);
void task_pids(struct task_call *call);
void task_connect(struct task_call *call);
void task_wait(struct task_call *call);
void task_why(struct task_call *call);
void task_unsupported(struct task_call *call);

Containerd__Timestamp task_exited_at(const struct process *p);

#endif
