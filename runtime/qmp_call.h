/* One command to the vmm: its line, who waits for its answer, and what a refusal means. For qmp_client.c. */
#ifndef NACRE_RUNTIME_QMP_CALL_H
#define NACRE_RUNTIME_QMP_CALL_H

#include <json-c/json.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/compiler.h"
#include "base/err.h"
#include "runtime/qmp_client.h"

struct qmp_call {
	TAILQ_ENTRY(qmp_call) link;
	uint64_t id;
	char *command;
	char *text; /* what is sent; NULL when it is */
	size_t len, sent;
	int fd;
	uint64_t deadline_ms; /* 0: none */
	qmp_reply_fn fn;
	void *arg;
};
TAILQ_HEAD(qmp_calls, qmp_call);

/* With its line, and a duplicate of `fd` (-1: none) to go with it. NULL: `err` says why. */
struct qmp_call *qmp_call_create(uint64_t id, const char *command, struct json_object *arguments,
				 int fd, struct err *err) MUST_CHECK;
void qmp_call_destroy(struct qmp_call *call);

/* The `error` of an answer (QEMU's classes) as an err. */
void qmp_call_refused(const struct qmp_call *call, struct json_object *error, struct err *err);

#endif
