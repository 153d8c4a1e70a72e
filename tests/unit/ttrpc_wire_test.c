/* ttrpc byte by byte: what goes over the wire, written by hand, and what a hostile peer may send. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "agent-proto/ttrpc_frame.h"
#include "base/own.h"
#include "tests/unit/ttrpc_world.h"

/* Feeds bytes to the server bit by bit, so that no socket buffer is the limit. */
static void wire_send(struct world *w, const void *data, size_t len)
{
	const uint8_t *at = data;

	while (len > 0) {
		ssize_t n = send(w->peer, at, len, MSG_DONTWAIT | MSG_NOSIGNAL);

		world_step(w, 0);
		if (n <= 0)
			return; /* the server closed: the test looks at that */
		at += n;
		len -= (size_t)n;
	}
	world_settle(w);
}

static void wire_expect(struct world *w, const uint8_t *want, size_t len)
{
	uint8_t got[512];
	ssize_t n = recv(w->peer, got, sizeof(got), MSG_DONTWAIT);

	assert_int_equal(n < 0 ? 0 : n, len);
	if (len > 0)
		assert_memory_equal(got, want, len);
}

static void test_wire(void **state)
{
	const struct {
		const char *name;
		const uint8_t *in;
		size_t in_len;
		const uint8_t *out;
		size_t out_len;
	} cases[] = {
		{"echo",
		 BYTES(0, 0, 0, 13, 0, 0, 0, 1, 1, 0, /* Request{service, method, payload} */
		       0x0a, 1, 'S', 0x12, 4, 'E', 'c', 'h', 'o', 0x1a, 2, 'h', 'i'),
		 BYTES(0, 0, 0, 4, 0, 0, 0, 1, 2, 0, 0x12, 2, 'h', 'i')},
		{"echo of nothing, with timeout, metadata and a field of later days",
		 BYTES(0, 0, 0, 23, 0, 0, 0, 3, 1, 1, 0x0a, 1, 'S', 0x12, 4, 'E', 'c', 'h', 'o',
		       0x20, 0x80, 0xe4, 0x97, 0xd0, 0x12, 0x2a, 4, 0x0a, 0, 0x12, 0, 0x38, 1),
		 BYTES(0, 0, 0, 0, 0, 0, 0, 3, 2, 0)},
		{"refused, with bytes that are not text",
		 BYTES(0, 0, 0, 11, 0, 0, 0, 1, 1, 0, 0x0a, 1, 'S', 0x12, 6, 'R', 'e', 'f', 'u',
		       's', 'e'),
		 BYTES(0, 0, 0, 12, 0, 0, 0, 1, 2, 0, 0x0a, 10, 0x08, 5, 0x12, 6, 'n', 'o', ' ',
		       '?', '?', 'x')},
		{"a data frame of no stream and a type of later days are stepped over",
		 BYTES(0, 0, 0, 2, 0, 0, 0, 1, 3, 1, 'x', 'y', 0, 0, 0, 1, 0, 0, 0, 1, 9, 0, 'z'),
		 NULL, 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct world *w = world_new(true, (struct ttrpc_limits){0});

		print_message("%s\n", cases[i].name);
		wire_send(w, cases[i].in, cases[i].in_len);
		wire_expect(w, cases[i].out, cases[i].out_len);
		assert_int_equal(w->closes, 0);
		world_free(w);
	}
}

/* The same at each of its byte boundaries: what is assembled does not depend on how it came. */
static void test_split(void **state)
{
	static const uint8_t in[] = {0,   0,    0, 13,  0,   0,   0,   1,    1, 0,   0x0a, 1,
				     'S', 0x12, 4, 'E', 'c', 'h', 'o', 0x1a, 2, 'h', 'i'};
	static const uint8_t out[] = {0, 0, 0, 4, 0, 0, 0, 1, 2, 0, 0x12, 2, 'h', 'i'};

	(void)state;
	for (size_t cut = 1; cut < sizeof(in); cut++) {
		struct world *w = world_new(true, (struct ttrpc_limits){0});

		wire_send(w, in, cut);
		wire_expect(w, NULL, 0);
		wire_send(w, in + cut, sizeof(in) - cut);
		wire_expect(w, out, sizeof(out));
		world_free(w);
	}
}

/* code of the response frame that lies in the socket, -1 when there is none */
static int wire_code(struct world *w, uint32_t stream)
{
	uint8_t got[512];
	ssize_t n = recv(w->peer, got, sizeof(got), MSG_DONTWAIT);

	if (n < TTRPC_HEADER_BYTES)
		return -1;
	assert_int_equal(got[8], TTRPC_TYPE_RESPONSE);
	assert_int_equal((uint32_t)got[4] << 24 | (uint32_t)got[5] << 16 | (uint32_t)got[6] << 8 |
				 got[7],
			 stream);
	if (n == TTRPC_HEADER_BYTES || got[10] != 0x0a)
		return TTRPC_OK;
	assert_int_equal(got[12], 0x08);
	return got[13];
}

/* Each differs from a good request, Request{"S", "Echo"} on stream 5, in one thing. */
static void test_refusals(void **state)
{
	static const struct {
		const char *name;
		uint32_t body_bytes, stream;
		uint8_t type, flags;
		const char *body;
		int code;
	} cases[] = {
		{"good", 9, 5, 1, 0,
		 "\x0a\x01S\x12\x04"
		 "Echo",
		 TTRPC_OK},
		{"flag remote-closed", 9, 5, 1, 1,
		 "\x0a\x01S\x12\x04"
		 "Echo",
		 TTRPC_OK},
		{"flag remote-open", 9, 5, 1, 2,
		 "\x0a\x01S\x12\x04"
		 "Echo",
		 TTRPC_UNIMPLEMENTED},
		{"even stream", 9, 6, 1, 0,
		 "\x0a\x01S\x12\x04"
		 "Echo",
		 TTRPC_INVALID_ARGUMENT},
		{"stream 0", 9, 0, 1, 0,
		 "\x0a\x01S\x12\x04"
		 "Echo",
		 TTRPC_INVALID_ARGUMENT},
		{"stream used before", 9, 3, 1, 0,
		 "\x0a\x01S\x12\x04"
		 "Echo",
		 TTRPC_INVALID_ARGUMENT},
		{"unknown service", 9, 5, 1, 0,
		 "\x0a\x01T\x12\x04"
		 "Echo",
		 TTRPC_UNIMPLEMENTED},
		{"unknown method", 9, 5, 1, 0,
		 "\x0a\x01S\x12\x04"
		 "Ech0",
		 TTRPC_UNIMPLEMENTED},
		{"prefix of a method", 8, 5, 1, 0,
		 "\x0a\x01S\x12\x03"
		 "Ech",
		 TTRPC_UNIMPLEMENTED},
		{"field past the end", 9, 5, 1, 0,
		 "\x0a\x01S\x12\x05"
		 "Echo",
		 TTRPC_INVALID_ARGUMENT},
		{"field number 0", 9, 5, 1, 0,
		 "\x02\x01S\x12\x04"
		 "Echo",
		 TTRPC_INVALID_ARGUMENT},
		{"empty body", 0, 5, 1, 0, "", TTRPC_UNIMPLEMENTED},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct world *w = world_new(true, (struct ttrpc_limits){0});
		uint8_t in[64] = {0,
				  0,
				  0,
				  (uint8_t)cases[i].body_bytes,
				  0,
				  0,
				  0,
				  (uint8_t)cases[i].stream,
				  cases[i].type,
				  cases[i].flags};

		print_message("%s\n", cases[i].name);
		wire_send(w, BYTES(0, 0, 0, 9, 0, 0, 0, 3, 1, 0, 0x0a, 1, 'S', 0x12, 4, 'E', 'c',
				   'h', 'o'));
		assert_int_equal(wire_code(w, 3), TTRPC_OK);
		memcpy(in + TTRPC_HEADER_BYTES, cases[i].body, cases[i].body_bytes);
		wire_send(w, in, TTRPC_HEADER_BYTES + cases[i].body_bytes);
		assert_int_equal(wire_code(w, cases[i].stream), cases[i].code);
		assert_int_equal(w->closes, 0);
		world_free(w);
	}
}

static void wire_send_zeros(struct world *w, size_t len)
{
	static const uint8_t zeros[65536];

	while (len > 0) {
		size_t n = len < sizeof(zeros) ? len : sizeof(zeros);

		wire_send(w, zeros, n);
		len -= n;
	}
}

static void wire_send_header(struct world *w, uint32_t len, uint32_t stream, uint8_t type)
{
	uint8_t h[TTRPC_HEADER_BYTES] = {0};
	uint32_t be_len = htonl(len), be_stream = htonl(stream);

	memcpy(h, &be_len, 4);
	memcpy(h + 4, &be_stream, 4);
	h[8] = type;
	wire_send(w, h, sizeof(h));
}

static void test_oversize_is_drained(void **state)
{
	struct world *w = world_new(true, (struct ttrpc_limits){0});

	(void)state;
	wire_send_header(w, TTRPC_MAX_BODY + 1, 1, TTRPC_TYPE_REQUEST);
	wire_send_zeros(w, TTRPC_MAX_BODY);
	assert_int_equal(wire_code(w, 1), -1);
	wire_send_zeros(w, 1);
	assert_int_equal(wire_code(w, 1), TTRPC_RESOURCE_EXHAUSTED);
	/* As large as may be: whole, but no Request. */
	wire_send_header(w, TTRPC_MAX_BODY, 3, TTRPC_TYPE_REQUEST);
	wire_send_zeros(w, TTRPC_MAX_BODY);
	assert_int_equal(wire_code(w, 3), TTRPC_INVALID_ARGUMENT);
	wire_send(w,
		  BYTES(0, 0, 0, 9, 0, 0, 0, 5, 1, 0, 0x0a, 1, 'S', 0x12, 4, 'E', 'c', 'h', 'o'));
	assert_int_equal(wire_code(w, 5), TTRPC_OK);
	assert_int_equal(w->closes, 0);
	world_free(w);
}

/* Two bytes of metadata ask for fifty of memory: 3 MiB of them must fail to decode, not cost 100 MiB. */
static void test_amplification(void **state)
{
	struct world *w = world_new(true, (struct ttrpc_limits){0});
	size_t len = 3u << 20;
	AUTO_FREE uint8_t *body = malloc(len);

	(void)state;
	for (size_t i = 0; i < len; i += 2) {
		body[i] = 0x2a;
		body[i + 1] = 0;
	}
	wire_send_header(w, (uint32_t)len, 1, TTRPC_TYPE_REQUEST);
	wire_send(w, body, len);
	assert_int_equal(wire_code(w, 1), TTRPC_INVALID_ARGUMENT);
	world_free(w);
}

/* What ends a connection, and with which words. */
static void test_broken_framing(void **state)
{
	const struct {
		const char *name;
		const uint8_t *in;
		size_t in_len;
		bool peer_closes;
		int code;
	} cases[] = {
		{"nothing, then end", NULL, 0, true, 0},
		{"half a header, then end", BYTES(0, 0, 0), true, ECONNRESET},
		{"half a body, then end", BYTES(0, 0, 0, 2, 0, 0, 0, 1, 1, 0, 'x'), true,
		 ECONNRESET},
		{"answer to a stream never opened", BYTES(0, 0, 0, 0, 0, 0, 0, 1, 2, 0), false,
		 EPROTO},
		{"answer to an even stream", BYTES(0, 0, 0, 0, 0, 0, 0, 2, 2, 0), false, EPROTO},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct world *w = world_new(true, (struct ttrpc_limits){0});

		print_message("%s\n", cases[i].name);
		wire_send(w, cases[i].in, cases[i].in_len);
		if (cases[i].peer_closes)
			own_close(&w->peer);
		for (int k = 0; k < 5 && w->closes == 0; k++)
			world_step(w, 100);
		assert_int_equal(w->closes, 1);
		assert_int_equal(w->why.code, cases[i].code);
		world_free(w);
	}
}

static void test_limit_of_requests(void **state)
{
	struct world *w = world_new(true, (struct ttrpc_limits){.max_requests = 2});
	uint8_t in[] = {0, 0, 0, 9, 0, 0, 0, 1, 1, 0, 0x0a, 1, 'S', 0x12, 4, 'H', 'o', 'l', 'd'};

	(void)state;
	for (uint8_t i = 0; i < 3; i++) {
		in[7] = (uint8_t)(1 + 2 * i);
		wire_send(w, in, sizeof(in));
		assert_int_equal(wire_code(w, in[7]), i < 2 ? -1 : TTRPC_RESOURCE_EXHAUSTED);
	}
	ttrpc_reply(w->held, NULL, 0);
	assert_int_equal(wire_code(w, 3), TTRPC_OK);
	in[7] = 7;
	wire_send(w, in, sizeof(in));
	assert_int_equal(wire_code(w, 7), -1);
	world_free(w);
}

/* A peer that asks and never reads. */
static void test_limit_of_output(void **state)
{
	struct world *w = world_new(true, (struct ttrpc_limits){.max_queued_bytes = 1u << 20});
	AUTO_FREE uint8_t *in = calloc(1, 60000);
	static const uint8_t head[] = {0x0a, 1,   'S',  0x12, 4,    'E', 'c',
				       'h',  'o', 0x1a, 0xc6, 0xd4, 0x03}; /* 59974 bytes follow */

	(void)state;
	memcpy(in, head, sizeof(head));
	for (uint32_t i = 0; i < 100 && w->closes == 0; i++) {
		wire_send_header(w, (uint32_t)sizeof(head) + 59974, 1 + 2 * i, 1);
		wire_send(w, in, sizeof(head) + 59974);
		world_step(w, 2);
	}
	assert_int_equal(w->closes, 1);
	assert_int_equal(w->why.code, ENOBUFS);
	world_free(w);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_wire),
		cmocka_unit_test(test_split),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_oversize_is_drained),
		cmocka_unit_test(test_amplification),
		cmocka_unit_test(test_broken_framing),
		cmocka_unit_test(test_limit_of_requests),
		cmocka_unit_test(test_limit_of_output),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
