/*
 * ttrpc on a socketpair: a server with a few methods, and at the other end a client in the same loop or, for a `wire` test
 * that plays the peer, a bare descriptor. The methods of service S: Echo; Hold, which leaves its request in `held`; Refuse;
 * Big, whose answer does not fit.
 */
#ifndef NACRE_TESTS_TTRPC_WORLD_H
#define NACRE_TESTS_TTRPC_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent-proto/ttrpc.h"
#include "base/err.h"
#include "base/loop.h"

#define BYTES(...) ((const uint8_t[]){__VA_ARGS__}), sizeof((const uint8_t[]){__VA_ARGS__})

struct world {
	struct loop *loop;
	int peer; /* a wire test's end of the pair */
	struct ttrpc_conn *server, *client;
	struct ttrpc_request *held; /* of the method Hold */
	unsigned answers, cancels, closes;
	struct err last; /* status of the last answer */
	struct err why;  /* reason of the last close */
	uint8_t payload[64];
	size_t payload_len;
	bool destroy_in_handler;
};

/* The limits are the server's. */
struct world *world_new(bool wire, struct ttrpc_limits limits);
void world_free(struct world *w);

/* One step of the loop; enough of them for what is under way. */
void world_step(struct world *w, int timeout_ms);
void world_settle(struct world *w);

#endif
