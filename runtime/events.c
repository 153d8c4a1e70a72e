/* The queue of events to containerd: one call in flight, retried on a fresh connection, dropped after a few attempts. */
#include "runtime/events.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "agent-proto/containerd.pb-c.h"
#include "agent-proto/ttrpc.h"
#include "base/log.h"

#define EVENTS_SERVICE    "containerd.services.events.ttrpc.v1.Events"
#define EVENTS_TIMEOUT_MS 5000
#define EVENTS_MAX_QUEUED 2048
#define EVENTS_ATTEMPTS   5
#define EVENTS_NEXT_MS    1
#define EVENTS_RETRY_MS   200 /* times the attempt */

struct event {
	uint8_t *request; /* a packed ForwardRequest */
	size_t len;
	unsigned int attempts;
	char topic[40];
	struct event *next;
};

struct events {
	struct loop *loop;
	events_connect_fn connect;
	void *connect_arg;
	char *namespace_;
	struct ttrpc_conn *conn;
	struct event *head, **tail;
	unsigned int queued;
	bool in_flight;
	struct loop_source *kick; /* sends the head of the queue */
	void (*on_idle)(void *arg);
	void *idle_arg;
};

static void event_free(struct event *ev)
{
	free(ev->request);
	free(ev);
}

void events_destroy(struct events *e)
{
	if (!e)
		return;
	struct ttrpc_conn *conn = TAKE_PTR(&e->conn);

	/* An answer that comes out of this finds an empty queue. */
	while (e->head) {
		struct event *ev = e->head;

		e->head = ev->next;
		event_free(ev);
	}
	e->tail = &e->head;
	e->on_idle = NULL;
	ttrpc_conn_destroy(conn);
	loop_remove(e->kick);
	free(e->namespace_);
	free(e);
}

static void tell_idle(struct events *e)
{
	void (*fn)(void *arg) = e->on_idle;

	if (!fn || e->head)
		return;
	e->on_idle = NULL;
	fn(e->idle_arg);
}

static void drop_head(struct events *e)
{
	struct event *ev = e->head;

	e->head = ev->next;
	if (!e->head)
		e->tail = &e->head;
	e->queued--;
	event_free(ev);
}

static void on_close(void *arg, struct ttrpc_conn *conn, const struct err *why)
{
	struct events *e = arg;

	(void)why;
	if (e->conn != conn)
		return;
	e->conn = NULL;
	ttrpc_conn_destroy(conn);
}

static int connect_now(struct events *e, struct err *err)
{
	AUTO_FD int fd = -1;

	if (e->conn)
		return 0;
	int rc = e->connect(e->connect_arg, &fd, err);
	if (rc)
		return rc;
	const struct ttrpc_conn_params p = {
		.loop = e->loop,
		.fd = fd,
		.arg = e,
		.on_close = on_close,
	};
	rc = ttrpc_conn_create(&p, &e->conn, err);
	if (!rc)
		(void)TAKE_FD(&fd);
	return rc;
}

static void failed(struct events *e, const struct err *why)
{
	struct event *ev = e->head;

	ev->attempts++;
	if (ev->attempts >= EVENTS_ATTEMPTS) {
		log_warn("event %s is lost: %s", ev->topic, why->text);
		drop_head(e);
	}
	if (e->head && loop_arm(e->kick, (uint64_t)EVENTS_RETRY_MS * (e->head->attempts + 1)))
		log_warn("events cannot be retried");
	tell_idle(e);
}

static void on_answer(void *arg, const struct err *status, const uint8_t *payload, size_t len)
{
	struct events *e = arg;

	(void)payload;
	(void)len;
	e->in_flight = false;
	if (!e->head)
		return;
	if (status->code) {
		failed(e, status);
		return;
	}
	drop_head(e);
	if (e->head && loop_arm(e->kick, EVENTS_NEXT_MS))
		log_warn("events cannot be sent");
	tell_idle(e);
}

static void send_next(struct events *e)
{
	struct err err = ERR_INIT;

	if (!e->head || e->in_flight)
		return;
	if (connect_now(e, &err)) {
		failed(e, &err);
		return;
	}
	e->in_flight = true;
	ttrpc_call(e->conn, EVENTS_SERVICE, "Forward", e->head->request, e->head->len,
		   EVENTS_TIMEOUT_MS, on_answer, e);
}

static void on_kick(void *arg)
{
	send_next(arg);
}

int events_create(struct loop *loop, events_connect_fn connect, void *arg, const char *namespace_,
		  struct events **out, struct err *err)
{
	CLEANUP(own_events_destroy) struct events *e = calloc(1, sizeof(*e));

	if (!e)
		return err_set(err, ENOMEM, "publish events");
	e->loop = loop;
	e->tail = &e->head;
	e->connect = connect;
	e->connect_arg = arg;
	e->namespace_ = strdup(namespace_);
	if (!e->namespace_)
		return err_set(err, ENOMEM, "publish events");
	int rc = loop_add_timer(loop, on_kick, e, &e->kick, err);
	if (rc)
		return rc;
	*out = TAKE_PTR(&e);
	return 0;
}

static void *pack(const ProtobufCMessage *message, size_t *len)
{
	*len = protobuf_c_message_get_packed_size(message);
	uint8_t *bytes = malloc(*len ? *len : 1);

	if (bytes)
		(void)protobuf_c_message_pack(message, bytes);
	return bytes;
}

static struct event *event_make(const struct events *e, const char *topic, const char *type,
				const ProtobufCMessage *message)
{
	Containerd__ForwardRequest request = CONTAINERD__FORWARD_REQUEST__INIT;
	Containerd__Envelope envelope = CONTAINERD__ENVELOPE__INIT;
	Containerd__Timestamp when = CONTAINERD__TIMESTAMP__INIT;
	Containerd__Any any = CONTAINERD__ANY__INIT;
	struct timespec now = {0};
	AUTO_FREE uint8_t *body = pack(message, &any.value.len);
	struct event *ev = calloc(1, sizeof(*ev));

	(void)clock_gettime(CLOCK_REALTIME, &now);
	when.seconds = now.tv_sec;
	when.nanos = (int32_t)now.tv_nsec;
	any.type_url = (char *)(uintptr_t)type;
	any.value.data = body;
	envelope.timestamp = &when;
	envelope.namespace_ = e->namespace_;
	envelope.topic = (char *)(uintptr_t)topic;
	envelope.event = &any;
	request.envelope = &envelope;
	if (ev && body)
		ev->request = pack(&request.base, &ev->len);
	if (!ev || !ev->request) {
		free(ev);
		return NULL;
	}
	strncpy(ev->topic, topic, sizeof(ev->topic) - 1);
	return ev;
}

void events_publish(struct events *e, const char *topic, const char *type,
		    const ProtobufCMessage *message)
{
	if (!e)
		return;
	struct event *ev =
		e->queued < EVENTS_MAX_QUEUED ? event_make(e, topic, type, message) : NULL;
	if (!ev) {
		log_warn("event %s is lost: no room", topic);
		return;
	}
	*e->tail = ev;
	e->tail = &ev->next;
	e->queued++;
	send_next(e);
}

void events_when_idle(struct events *e, void (*fn)(void *arg), void *arg)
{
	if (!e) {
		fn(arg);
		return;
	}
	e->on_idle = fn;
	e->idle_arg = arg;
	tell_idle(e);
}
