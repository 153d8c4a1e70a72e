/* The monitor's side of the broker, between its start and end (broker.c) and what it is asked (broker_ask.c). */
#ifndef NACRE_RUNTIME_BROKER_ASK_H
#define NACRE_RUNTIME_BROKER_ASK_H

#include "runtime/broker.h"
#include "runtime/broker_wire.h"

struct broker_row; /* hooks that run, containers that are being shared */

struct broker {
	struct broker_params p;
	int sock; /* -1: it is gone */
	pid_t pid;
	struct loop_source *child;
	struct broker_row *rows;
	uint64_t share_ms; /* BROKER_SHARE_MS, but for tests */
};

/* An operation without texts and descriptors. */
int broker_ask_plain(struct broker *b, enum broker_op op, uint32_t container, uint32_t value,
		     struct err *err) MUST_CHECK;

#endif
