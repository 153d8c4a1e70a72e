/* The server: listeners, the places of clients, and what the engine has to tell. */
#include "vmm/qmp/qmp.h"

#include <errno.h>
#include <poll.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "vmm/qmp/internal.h"

const char *qmp_state_name(enum qmp_state state)
{
	switch (state) {
	case QMP_PRELAUNCH:
		return "prelaunch";
	case QMP_RUNNING:
		return "running";
	case QMP_PAUSED:
		return "paused";
	case QMP_SHUTDOWN:
		return "shutdown";
	case QMP_PANICKED:
		return "guest-panicked";
	case QMP_INTERNAL_ERROR:
		return "internal-error";
	}
	return "";
}

static const char *cause_name(enum qmp_cause cause)
{
	switch (cause) {
	case QMP_HOST_ERROR:
		return "host-error";
	case QMP_HOST_QUIT:
		return "host-qmp-quit";
	case QMP_HOST_RESET:
		return "host-qmp-system-reset";
	case QMP_HOST_SIGNAL:
		return "host-signal";
	case QMP_GUEST_SHUTDOWN:
		return "guest-shutdown";
	case QMP_GUEST_RESET:
		return "guest-reset";
	case QMP_GUEST_PANIC:
		return "guest-panic";
	}
	return "";
}

int qmp_create(struct loop *loop, const struct qmp_engine *engine, struct qmp **out,
	       struct err *err)
{
	CLEANUP(own_qmp_destroy) struct qmp *qmp = calloc(1, sizeof(*qmp));
	int rc;

	if (!qmp)
		return err_set(err, ENOMEM, "QMP");
	qmp->loop = loop;
	qmp->engine = *engine;
	rc = qmp_events_init(qmp, err);
	if (rc < 0)
		return rc;
	*out = TAKE_PTR(&qmp);
	return 0;
}

void qmp_destroy(struct qmp *qmp)
{
	if (!qmp)
		return;
	for (size_t i = 0; i < qmp->nlisteners; i++) {
		listener_destroy(qmp->listeners[i].listener);
		own_close(&qmp->listeners[i].fd);
	}
	for (size_t i = 0; i < QMP_MAX_CLIENTS; i++)
		qmp_client_destroy(qmp->clients[i]);
	qmp_events_done(qmp);
	free(qmp);
}

static void on_connection(void *arg, int fd)
{
	const struct qmp_listener *l = arg;
	struct err err = ERR_INIT;

	if (qmp_client_create(l->qmp, fd, l->chardev, &err) == 0)
		return;
	log_warn("a QMP client was turned away: %s", err.text);
	(void)close(fd);
}

int qmp_add_listener(struct qmp *qmp, int fd, const char *chardev, struct err *err)
{
	struct qmp_listener *l = &qmp->listeners[qmp->nlisteners];
	int rc;

	if (qmp->nlisteners == QMP_MAX_LISTENERS)
		return err_say(err, E2BIG, "QMP can listen at %d sockets", QMP_MAX_LISTENERS);
	rc = fd_set_nonblock(fd, true);
	if (rc < 0)
		return err_set(err, -rc, "QMP");
	l->qmp = qmp;
	l->chardev = chardev;
	rc = listener_create(qmp->loop, fd, on_connection, l, &l->listener, err);
	if (rc < 0)
		return rc;
	l->fd = fd;
	qmp->nlisteners++;
	return 0;
}

int qmp_add_monitor(struct qmp *qmp, int fd, void (*on_close)(void *arg), void *arg,
		    struct err *err)
{
	qmp->on_monitor_close = on_close;
	qmp->monitor_arg = arg;
	return qmp_client_create(qmp, fd, NULL, err);
}

void qmp_started(struct qmp *qmp)
{
	qmp->state = QMP_RUNNING;
	qmp->started = true;
	qmp_emit(qmp, "NACRE_RUNNING", qmp_start_times(qmp));
}

static struct json_object *cause_data(enum qmp_cause cause)
{
	struct json_object *data = json_object_new_object();

	qj_put_bool(data, "guest", cause >= QMP_GUEST_SHUTDOWN);
	qj_put_str(data, "reason", cause_name(cause));
	return data;
}

void qmp_was_reset(struct qmp *qmp, bool by_guest)
{
	qmp->powering_down = false;
	qmp_emit(qmp, "RESET", cause_data(by_guest ? QMP_GUEST_RESET : QMP_HOST_RESET));
}

bool qmp_wants_end(const struct qmp *qmp)
{
	return qmp->powering_down;
}

void qmp_ended(struct qmp *qmp, enum qmp_cause cause, const char *crash)
{
	if (cause == QMP_GUEST_RESET && qmp->powering_down)
		cause = QMP_GUEST_SHUTDOWN;
	qmp->state = QMP_SHUTDOWN;
	if (crash) {
		struct json_object *data = json_object_new_object();

		qmp->state = cause == QMP_GUEST_PANIC ? QMP_PANICKED : QMP_INTERNAL_ERROR;
		qj_put_str(data, "reason", crash);
		qmp_emit(qmp, "GUEST_CRASHED", data);
	}
	qmp_emit(qmp, "SHUTDOWN", cause_data(cause));
}

void qmp_drain(struct qmp *qmp, int timeout_ms)
{
	const uint64_t deadline_ms = clock_now_ms() + (uint64_t)timeout_ms;

	for (int left_ms = timeout_ms; left_ms > 0; left_ms = clock_ms_left(deadline_ms)) {
		struct pollfd fds[QMP_MAX_CLIENTS];
		nfds_t n = 0;

		for (size_t i = 0; i < QMP_MAX_CLIENTS; i++) {
			if (!qmp->clients[i] || qmp_client_flush(qmp->clients[i], &fds[n].fd))
				continue;
			fds[n++].events = POLLOUT;
		}
		if (n == 0 || poll(fds, n, left_ms) <= 0)
			return;
	}
}
