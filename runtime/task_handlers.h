/* Handlers of the Task service that only look: the table in task_service.c names them. Each is a ttrpc_handler. */
#ifndef NACRE_RUNTIME_TASK_HANDLERS_H
#define NACRE_RUNTIME_TASK_HANDLERS_H

#include <stddef.h>
#include <stdint.h>

#include "agent-proto/containerd.pb-c.h"
#include "agent-proto/ttrpc.h"
#include "runtime/process.h"

struct task_service;

void task_state(void *arg, struct ttrpc_request *req, const uint8_t *payload, size_t len);
void task_pids(void *arg, struct ttrpc_request *req, const uint8_t *payload, size_t len);
void task_connect(void *arg, struct ttrpc_request *req, const uint8_t *payload, size_t len);
void task_wait(void *arg, struct ttrpc_request *req, const uint8_t *payload, size_t len);
void task_unsupported(void *arg, struct ttrpc_request *req, const uint8_t *payload, size_t len);

/* The process a request names (lent), or NULL and the request is answered NOT_FOUND. */
struct process *task_find(struct task_service *ts, struct ttrpc_request *req, const char *id,
			  const char *exec_id);

Containerd__Timestamp task_exited_at(const struct process *p);

#endif
