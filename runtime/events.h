/*
 * Task events to containerd, over ttrpc at $TTRPC_ADDRESS (service containerd.services.events.ttrpc.v1.Events, method Forward),
 * strictly in the order of their publication: one in flight, the rest queued. A lost connection is made anew and the event sent
 * again, a bounded number of times; containerd being away must never hold up a container.
 */
#ifndef NACRE_RUNTIME_EVENTS_H
#define NACRE_RUNTIME_EVENTS_H

#include <protobuf-c/protobuf-c.h>

#include "base/compiler.h"
#include "base/err.h"
#include "base/loop.h"
#include "base/own.h"

struct events;

/* A connection to containerd that does not block; *fd is the caller's. */
typedef int (*events_connect_fn)(void *arg, int *fd, struct err *err);

/* Nothing is connected before the first event. */
int events_create(struct loop *loop, events_connect_fn connect, void *arg, const char *namespace_,
		  struct events **out, struct err *err) MUST_CHECK;
/* What is queued is dropped. NULL is fine. */
void events_destroy(struct events *e);
DEFINE_OWNER(events_destroy, struct events)

/* topic "/tasks/exit", type "containerd.events.TaskExit". NULL events (the OCI face): nothing to do. */
void events_publish(struct events *e, const char *topic, const char *type,
		    const ProtobufCMessage *message);

/* fn once when nothing is queued any more, at once if that is so (or events is NULL). */
void events_when_idle(struct events *e, void (*fn)(void *arg), void *arg);

#endif
