/*
 * QMP, the QEMU Machine Protocol, as the engine's one control interface (docs/interop/qmp-spec of QEMU): a server for
 * several clients at once, each on a unix stream socket. Commands and events are those of nacre-qmp(7).
 *
 * A client costs a bounded amount of memory, whatever it sends or does not read: requests are bounded and slowed down to
 * a rate, the answers of a client that does not read stop its commands, and events that do not fit are lost to it.
 *
 * Threads: all by the main one, whose loop is `loop`.
 */
#ifndef NACRE_VMM_QMP_QMP_H
#define NACRE_VMM_QMP_QMP_H

#include <stdbool.h>
#include <stddef.h>

#include "base/compiler.h"
#include "base/err.h"
#include "base/loop.h"
#include "base/own.h"
#include "vmm/qmp/engine.h"

#define QMP_MAX_CLIENTS   16
#define QMP_MAX_LISTENERS 4

/* RunState of QEMU. */
enum qmp_state {
	QMP_PRELAUNCH,
	QMP_RUNNING,
	QMP_PAUSED,
	QMP_SHUTDOWN,
	QMP_PANICKED,
	QMP_INTERNAL_ERROR
};

/* ShutdownCause of QEMU. */
enum qmp_cause {
	QMP_HOST_ERROR,
	QMP_HOST_QUIT,
	QMP_HOST_RESET,
	QMP_HOST_SIGNAL,
	QMP_GUEST_SHUTDOWN,
	QMP_GUEST_RESET,
	QMP_GUEST_PANIC
};

struct qmp;

/* `engine` is copied; its self outlives the server. */
int qmp_create(struct loop *loop, const struct qmp_engine *engine, struct qmp **out,
	       struct err *err) MUST_CHECK;
/* Closes everything. NULL is fine. */
void qmp_destroy(struct qmp *qmp);
DEFINE_OWNER(qmp_destroy, struct qmp)

/* Serves the clients of a listening unix socket, which is the server's from success on. The chardev's name is lent for good. */
int qmp_add_listener(struct qmp *qmp, int fd, const char *chardev, struct err *err) MUST_CHECK;
/*
 * Serves one client on a connected unix socket, which is the server's from success on. It is the monitor: it may
 * negotiate as late as it likes and still hears that the guest runs, and when it closes, `on_close` is called, once.
 */
int qmp_add_monitor(struct qmp *qmp, int fd, void (*on_close)(void *arg), void *arg,
		    struct err *err) MUST_CHECK;

/* The guest runs for the first time: NACRE_RUNNING. */
void qmp_started(struct qmp *qmp);
/* The machine was reset: RESET. */
void qmp_was_reset(struct qmp *qmp, bool by_guest);
/* A reset by the guest is the end it was asked for by system_powerdown. */
bool qmp_wants_end(const struct qmp *qmp);
/* The end: GUEST_CRASHED when `crash` says why, then SHUTDOWN. */
void qmp_ended(struct qmp *qmp, enum qmp_cause cause, const char *crash);
/* Writes out what clients are still to hear, for at most `timeout_ms`. The loop does not run any more. */
void qmp_drain(struct qmp *qmp, int timeout_ms);

#endif
