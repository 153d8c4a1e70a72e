/*
 * A QMP client (QEMU's docs/interop/qmp-spec) in an event loop: greeting, capabilities, commands with ids, events. The peer is
 * a vmm that may have been taken over: its lines are bounded, its JSON is checked, what breaks the protocol or leaves a call
 * unanswered past its deadline ends the connection, and no memory is kept for it beyond one line and the calls of ours.
 */
#ifndef NACRE_RUNTIME_QMP_CLIENT_H
#define NACRE_RUNTIME_QMP_CLIENT_H

#include <json-c/json.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"
#include "base/loop.h"
#include "base/own.h"

#define QMP_LINE_MAX_BYTES (64u << 10)
#define QMP_MAX_CALLS      64

struct qmp_client;

/*
 * status->code 0: `result` is what the command returned (lent). Otherwise status has the peer's words: ENOSYS for
 * CommandNotFound, ENODEV for DeviceNotFound, EIO for its other errors.
 */
typedef void (*qmp_reply_fn)(void *arg, const struct err *status, struct json_object *result);

struct qmp_client_params {
	struct loop *loop;
	int fd;                       /* connected unix stream socket, owned from success on */
	uint32_t greeting_timeout_ms; /* for greeting and capabilities together; 0: none */
	/* `data` is an object or NULL, lent. */
	void (*on_event)(void *arg, const char *name, struct json_object *data);
	/* Once: the peer hung up, broke the protocol (err says how) or was silent; all calls have been answered. */
	void (*on_close)(void *arg, const struct err *why);
	void *arg;
};

int qmp_client_create(const struct qmp_client_params *p, struct qmp_client **out,
		      struct err *err) MUST_CHECK;
/* Answers what is open with ECANCELED; on_close is not called. Not from a callback of its own. NULL is fine. */
void qmp_client_destroy(struct qmp_client *c);
DEFINE_OWNER(qmp_client_destroy, struct qmp_client)

/*
 * `arguments` is taken and may be NULL. `fd` (-1: none) goes along by SCM_RIGHTS, for getfd and add-fd; it is lent. Calls made
 * before the greeting wait for it. fn is called once, possibly before this returns; timeout_ms 0: no deadline.
 */
void qmp_client_call(struct qmp_client *c, const char *command, struct json_object *arguments,
		     int fd, uint32_t timeout_ms, qmp_reply_fn fn, void *arg);

/* Takes what has arrived, without waiting: for the owner of a peer that has ended. */
void qmp_client_read_out(struct qmp_client *c);

#endif
