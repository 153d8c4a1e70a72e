/*
 * A listening socket in an event loop. accept(2) that fails for want of descriptors or memory leaves the client in the queue,
 * and a level-triggered loop would be told of it again at once and for ever: the listener rests for a while instead.
 */
#ifndef NACRE_BASE_LISTENER_H
#define NACRE_BASE_LISTENER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"
#include "base/loop.h"

#define LISTENER_REST_MS 100

struct listener;

/* conn_fd: a connection, non-blocking and close-on-exec, given to the callee. */
typedef void (*listener_fn)(void *arg, int conn_fd);

/* listen_fd is lent, non-blocking, and outlives the listener. */
int listener_create(struct loop *loop, int listen_fd, listener_fn fn, void *arg,
		    struct listener **out, struct err *err) MUST_CHECK;
void listener_destroy(struct listener *l);
DEFINE_OWNER(listener_destroy, struct listener)

/* Clients wait in the socket's queue while it is paused; from its callback too. */
void listener_pause(struct listener *l, bool paused);

/* How often it had to rest. */
uint64_t listener_rests(const struct listener *l);

#endif
