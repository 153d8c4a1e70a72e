/*
 * Events: to every client that has negotiated, with the time they happened. Of a kind that a guest can cause at will, one
 * goes out at once and then the newest of each interval.
 */
#include "vmm/qmp/internal.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"

static struct json_object *new_event(const char *name, struct json_object *data)
{
	struct json_object *event = json_object_new_object();
	struct json_object *stamp = qj_put_object(event, "timestamp");
	struct timespec now;

	(void)clock_gettime(CLOCK_REALTIME, &now);
	qj_put_int(stamp, "seconds", now.tv_sec);
	qj_put_int(stamp, "microseconds", now.tv_nsec / 1000);
	qj_put_str(event, "event", name);
	qj_put(event, "data", data);
	return event;
}

static void broadcast(struct qmp *qmp, struct json_object *event)
{
	for (size_t i = 0; i < QMP_MAX_CLIENTS; i++) {
		if (qmp->clients[i] && qmp_client_negotiated(qmp->clients[i]))
			qmp_client_send(qmp->clients[i], event);
	}
}

static size_t event_index(const char *name)
{
	size_t i = 0;

	while (i < qmp_nevents && strcmp(qmp_events[i].name, name) != 0)
		i++;
	BUG_ON(i == qmp_nevents);
	return i;
}

static void on_held_time(void *arg)
{
	struct qmp_held_event *held = arg;
	AUTO_JSON struct json_object *message = TAKE_PTR(&held->message);

	held->last_ms = clock_now_ms();
	if (message)
		broadcast(held->qmp, message);
}

/* true: the event waits, its time has not come. */
static bool hold(struct qmp_held_event *held, unsigned int limit_ms, struct json_object *event)
{
	uint64_t since_ms = clock_now_ms() - held->last_ms;

	if (held->message) {
		own_json(&held->message);
		held->message = json_object_get(event);
		return true;
	}
	if (held->last_ms == 0 || since_ms >= limit_ms ||
	    loop_arm(held->timer, limit_ms - since_ms) < 0)
		return false;
	held->message = json_object_get(event);
	return true;
}

void qmp_emit(struct qmp *qmp, const char *name, struct json_object *data)
{
	AUTO_JSON struct json_object *event = new_event(name, data);
	size_t i = event_index(name);
	struct qmp_held_event *held = &qmp->held[i];

	if (qmp_events[i].limit_ms && hold(held, qmp_events[i].limit_ms, event))
		return;
	held->last_ms = clock_now_ms();
	broadcast(qmp, event);
}

void qmp_send_running(struct qmp *qmp, struct qmp_client *client)
{
	AUTO_JSON struct json_object *event = new_event("NACRE_RUNNING", qmp_start_times(qmp));

	qmp_client_send(client, event);
}

int qmp_events_init(struct qmp *qmp, struct err *err)
{
	int rc = 0;

	qmp->held = calloc(qmp_nevents, sizeof(*qmp->held));
	if (!qmp->held)
		return err_set(err, ENOMEM, "QMP events");
	for (size_t i = 0; rc == 0 && i < qmp_nevents; i++) {
		qmp->held[i].qmp = qmp;
		if (qmp_events[i].limit_ms)
			rc = loop_add_timer(qmp->loop, on_held_time, &qmp->held[i],
					    &qmp->held[i].timer, err);
	}
	return rc;
}

void qmp_events_done(struct qmp *qmp)
{
	for (size_t i = 0; qmp->held && i < qmp_nevents; i++) {
		own_json(&qmp->held[i].message);
		loop_remove(qmp->held[i].timer);
	}
	free(qmp->held);
}
