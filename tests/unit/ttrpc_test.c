/*
 * ttrpc on a socketpair: both roles in one loop, bytes on the wire written by hand, and what a hostile peer may send. A
 * `wire` test holds one end as a bare descriptor and plays the peer.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <protobuf-c/protobuf-c.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "agent-proto/ttrpc.h"
#include "agent-proto/ttrpc_frame.h"
#include "base/err.h"
#include "base/loop.h"
#include "base/own.h"

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

static void on_echo(void *arg, struct ttrpc_request *req, const uint8_t *payload, size_t len)
{
	struct world *w = arg;

	if (w->destroy_in_handler) {
		ttrpc_conn_destroy(w->server);
		w->server = NULL;
		return;
	}
	ttrpc_reply(req, payload, len);
}

static void on_held_cancel(void *arg)
{
	struct world *w = arg;

	w->held = NULL;
	w->cancels++;
}

static void on_hold(void *arg, struct ttrpc_request *req, const uint8_t *payload, size_t len)
{
	struct world *w = arg;

	(void)payload;
	(void)len;
	w->held = req;
	ttrpc_on_cancel(req, on_held_cancel, w);
}

static void on_refuse(void *arg, struct ttrpc_request *req, const uint8_t *payload, size_t len)
{
	(void)arg;
	(void)payload;
	(void)len;
	ttrpc_fail(req, TTRPC_NOT_FOUND, "no \xff\x1b%s", "x");
}

static void on_big(void *arg, struct ttrpc_request *req, const uint8_t *payload, size_t len)
{
	AUTO_FREE uint8_t *big = calloc(1, TTRPC_MAX_BODY);

	(void)arg;
	(void)payload;
	(void)len;
	assert_non_null(big);
	ttrpc_reply(req, big, TTRPC_MAX_BODY);
}

static const struct ttrpc_method methods[] = {
	{"S", "Echo", on_echo}, {"S", "Hold", on_hold}, {"S", "Refuse", on_refuse},
	{"S", "Big", on_big},   {NULL, NULL, NULL},
};

static void on_close(void *arg, struct ttrpc_conn *conn, const struct err *why)
{
	struct world *w = arg;

	w->closes++;
	w->why = *why;
	if (conn == w->server)
		w->server = NULL;
	if (conn == w->client)
		w->client = NULL;
	ttrpc_conn_destroy(conn);
}

static struct ttrpc_conn *conn_on(struct world *w, int fd, const struct ttrpc_method *m,
				  struct ttrpc_limits limits)
{
	struct ttrpc_conn_params p = {.loop = w->loop,
				      .fd = fd,
				      .methods = m,
				      .arg = w,
				      .limits = limits,
				      .on_close = on_close};
	struct ttrpc_conn *conn = NULL;
	struct err err = ERR_INIT;

	assert_int_equal(ttrpc_conn_create(&p, &conn, &err), 0);
	return conn;
}

static struct world *world_new(bool wire, struct ttrpc_limits limits)
{
	struct world *w = calloc(1, sizeof(*w));
	struct err err = ERR_INIT;
	int fds[2];

	assert_non_null(w);
	assert_int_equal(loop_create(&w->loop, &err), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	w->server = conn_on(w, fds[0], methods, limits);
	w->peer = -1;
	if (wire)
		w->peer = fds[1];
	else
		w->client = conn_on(w, fds[1], NULL, (struct ttrpc_limits){0});
	return w;
}

static void world_free(struct world *w)
{
	ttrpc_conn_destroy(w->client);
	ttrpc_conn_destroy(w->server);
	own_close(&w->peer);
	loop_destroy(w->loop);
	free(w);
}

static void step(struct world *w, int timeout_ms)
{
	struct err err = ERR_INIT;

	assert_int_equal(loop_step(w->loop, timeout_ms, &err), 0);
}

static void settle(struct world *w)
{
	for (int i = 0; i < 20; i++)
		step(w, 0);
}

static void on_answer(void *arg, const struct err *status, const uint8_t *payload, size_t len)
{
	struct world *w = arg;

	w->answers++;
	w->last = *status;
	w->payload_len = len;
	if (len > 0 && len <= sizeof(w->payload))
		memcpy(w->payload, payload, len);
}

static void call(struct world *w, const char *method, const char *text)
{
	ttrpc_call(w->client, "S", method, text, strlen(text), 0, on_answer, w);
}

/* Feeds bytes to the server bit by bit, so that no socket buffer is the limit. */
static void wire_send(struct world *w, const void *data, size_t len)
{
	const uint8_t *at = data;

	while (len > 0) {
		ssize_t n = send(w->peer, at, len, MSG_DONTWAIT | MSG_NOSIGNAL);

		step(w, 0);
		if (n <= 0)
			return; /* the server closed: the test looks at that */
		at += n;
		len -= (size_t)n;
	}
	settle(w);
}

static void wire_expect(struct world *w, const uint8_t *want, size_t len)
{
	uint8_t got[512];
	ssize_t n = recv(w->peer, got, sizeof(got), MSG_DONTWAIT);

	assert_int_equal(n < 0 ? 0 : n, len);
	if (len > 0)
		assert_memory_equal(got, want, len);
}

/* --- codes, text, budget ------------------------------------------------------------------------------------- */

static void test_codes(void **state)
{
	static const struct {
		int error;
		enum ttrpc_code code;
	} cases[] = {
		{ENOENT, TTRPC_NOT_FOUND},
		{ESRCH, TTRPC_NOT_FOUND},
		{EEXIST, TTRPC_ALREADY_EXISTS},
		{EINVAL, TTRPC_INVALID_ARGUMENT},
		{EACCES, TTRPC_PERMISSION_DENIED},
		{ENOMEM, TTRPC_RESOURCE_EXHAUSTED},
		{EBUSY, TTRPC_FAILED_PRECONDITION},
		{ENOSYS, TTRPC_UNIMPLEMENTED},
		{ETIMEDOUT, TTRPC_DEADLINE_EXCEEDED},
		{EPIPE, TTRPC_UNAVAILABLE},
		{123456, TTRPC_UNKNOWN},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(ttrpc_code_of_errno(cases[i].error), cases[i].code);
	for (int c = TTRPC_OK; c <= TTRPC_UNAVAILABLE; c++)
		assert_int_equal(ttrpc_code_of_errno(ttrpc_errno_of_code((enum ttrpc_code)c)), c);
	assert_int_equal(ttrpc_errno_of_code((enum ttrpc_code)99), EREMOTEIO);
}

static void test_clean_text(void **state)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		{"plain, \n\t", "plain, \n\t"},
		{"a\x1b[2Jb", "a?[2Jb"},
		{"\xc3\xa9 \xe2\x82\xac \xf0\x9f\x90\x9a",
		 "\xc3\xa9 \xe2\x82\xac \xf0\x9f\x90\x9a"},
		{"\xff", "?"},
		{"\xc3", "?"},
		{"\xe2\x82", "??"},
		{"\xc0\xaf", "??"},
		{"\xed\xa0\x80", "???"},
		{"\xf4\x90\x80\x80", "????"},
		{"\xc2\x9b", "??"},
		{"\x7f", "?"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char text[64];

		(void)snprintf(text, sizeof(text), "%s", cases[i].in);
		ttrpc_clean_text(text);
		assert_string_equal(text, cases[i].out);
	}
}

static void test_budget(void **state)
{
	struct proto_budget *b = proto_budget_create(1000);
	ProtobufCAllocator *a = proto_budget_alloc(b);

	(void)state;
	assert_null(a->alloc(a->allocator_data, SIZE_MAX));
	assert_null(a->alloc(a->allocator_data, 1000));
	for (int i = 0; i < 10; i++) { /* what is freed comes back */
		void *p = a->alloc(a->allocator_data, 600);

		assert_non_null(p);
		assert_null(a->alloc(a->allocator_data, 600));
		a->free(a->allocator_data, p);
	}
	a->free(a->allocator_data, NULL);
	proto_budget_destroy(b);
}

/* --- the wire -------------------------------------------------------------------------------------------------- */

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
		{"half a header, then end", BYTES(0, 0, 0), true, EPROTO},
		{"half a body, then end", BYTES(0, 0, 0, 2, 0, 0, 0, 1, 1, 0, 'x'), true, EPROTO},
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
			step(w, 100);
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
		step(w, 2);
	}
	assert_int_equal(w->closes, 1);
	assert_int_equal(w->why.code, ENOBUFS);
	world_free(w);
}

/* --- both roles ------------------------------------------------------------------------------------------------- */

static void test_call(void **state)
{
	struct world *w = world_new(false, (struct ttrpc_limits){0});

	(void)state;
	call(w, "Echo", "hello");
	settle(w);
	assert_int_equal(w->answers, 1);
	assert_int_equal(w->last.code, 0);
	assert_int_equal(w->payload_len, 5);
	assert_memory_equal(w->payload, "hello", 5);

	call(w, "Refuse", "");
	settle(w);
	assert_int_equal(w->answers, 2);
	assert_int_equal(w->last.code, ENOENT);
	assert_string_equal(w->last.text, "no ??x");

	call(w, "Nothing", "");
	settle(w);
	assert_int_equal(w->last.code, EOPNOTSUPP);

	call(w, "Big", ""); /* does not fit with its own tag: refused by the server's own encoder */
	settle(w);
	assert_int_equal(w->answers, 4);
	assert_int_equal(w->last.code, ENOBUFS);
	world_free(w);
}

static void test_large_payload(void **state)
{
	struct world *w = world_new(false, (struct ttrpc_limits){0});
	size_t len = TTRPC_MAX_BODY - 64;
	AUTO_FREE uint8_t *big = malloc(len + 128);

	(void)state;
	memset(big, 'x', len + 128);
	ttrpc_call(w->client, "S", "Echo", big, len, 0, on_answer, w);
	for (int i = 0; i < 2000 && w->answers == 0; i++)
		step(w, 0);
	assert_int_equal(w->answers, 1);
	assert_int_equal(w->last.code, 0);
	assert_int_equal(w->payload_len, len);

	ttrpc_call(w->client, "S", "Echo", big, len + 128, 0, on_answer, w);
	assert_int_equal(w->answers, 2); /* at once: it never went out */
	assert_int_equal(w->last.code, EMSGSIZE);
	world_free(w);
}

static void test_held_call_blocks_nobody(void **state)
{
	struct world *w = world_new(false, (struct ttrpc_limits){0});

	(void)state;
	call(w, "Hold", "");
	for (unsigned i = 1; i <= 1000; i++) {
		call(w, "Echo", "again");
		if (i % 50 == 0)
			settle(w);
	}
	settle(w);
	assert_int_equal(w->answers, 1000);
	assert_non_null(w->held);
	ttrpc_reply(w->held, "late", 4);
	settle(w);
	assert_int_equal(w->answers, 1001);
	assert_memory_equal(w->payload, "late", 4);
	world_free(w);
}

static void test_timeout(void **state)
{
	struct world *w = world_new(false, (struct ttrpc_limits){0});

	(void)state;
	ttrpc_call(w->client, "S", "Hold", NULL, 0, 30, on_answer, w);
	ttrpc_call(w->client, "S", "Hold", NULL, 0, 60000, on_answer, w);
	for (int i = 0; i < 20 && w->answers == 0; i++)
		step(w, 100);
	assert_int_equal(w->answers, 1);
	assert_int_equal(w->last.code, ETIMEDOUT);
	ttrpc_reply(w->held, NULL, 0); /* the second one's */
	settle(w);
	assert_int_equal(w->answers, 2);
	assert_int_equal(w->last.code, 0);
	assert_int_equal(w->closes, 0);
	world_free(w);
}

static void test_late_answer_is_dropped(void **state)
{
	struct world *w = world_new(false, (struct ttrpc_limits){0});

	(void)state;
	ttrpc_call(w->client, "S", "Hold", NULL, 0, 10, on_answer, w);
	for (int i = 0; i < 20 && w->answers == 0; i++)
		step(w, 100);
	ttrpc_reply(w->held, NULL, 0);
	call(w, "Echo", "on");
	settle(w);
	assert_int_equal(w->answers, 2);
	assert_int_equal(w->last.code, 0);
	assert_int_equal(w->closes, 0);
	world_free(w);
}

static void test_server_goes(void **state)
{
	struct world *w = world_new(false, (struct ttrpc_limits){0});

	(void)state;
	call(w, "Hold", "");
	settle(w);
	assert_non_null(w->held);
	ttrpc_conn_destroy(w->server);
	w->server = NULL;
	assert_int_equal(w->cancels, 1);
	settle(w);
	step(w, 50);
	assert_int_equal(w->answers, 1);
	assert_int_equal(w->closes, 1);
	world_free(w);
}

static void test_client_goes(void **state)
{
	struct world *w = world_new(false, (struct ttrpc_limits){0});

	(void)state;
	call(w, "Hold", "");
	settle(w);
	ttrpc_conn_destroy(w->client);
	w->client = NULL;
	assert_int_equal(w->answers, 1);
	assert_int_equal(w->last.code, ECONNRESET);
	settle(w);
	step(w, 50);
	assert_int_equal(w->cancels, 1);
	assert_int_equal(w->closes, 1);
	world_free(w);
}

static void test_destroy_in_handler(void **state)
{
	struct world *w = world_new(false, (struct ttrpc_limits){0});

	(void)state;
	w->destroy_in_handler = true;
	call(w, "Echo", "");
	call(w, "Echo", "");
	settle(w);
	step(w, 50);
	assert_int_equal(w->answers, 2);
	assert_int_equal(w->last.code, ECONNRESET);
	world_free(w);
}

static void destroy_client(void *arg, const struct err *status, const uint8_t *payload, size_t len)
{
	struct world *w = arg;

	on_answer(arg, status, payload, len);
	ttrpc_conn_destroy(w->client);
	w->client = NULL;
}

static void test_destroy_in_answer(void **state)
{
	struct world *w = world_new(false, (struct ttrpc_limits){0});

	(void)state;
	ttrpc_call(w->client, "S", "Echo", "x", 1, 0, destroy_client, w);
	call(w, "Hold", "");
	settle(w);
	assert_null(w->client);
	assert_int_equal(w->answers, 2);
	world_free(w);
}

/* --- the blocking client ------------------------------------------------------------------------------------- */

static void test_blocking(void **state)
{
	const struct {
		const char *name;
		const uint8_t *in; /* lies in the socket before the call */
		size_t in_len;
		bool peer_closes;
		int ret;
		const char *answer;
	} cases[] = {
		{"answer", BYTES(0, 0, 0, 4, 0, 0, 0, 1, 2, 0, 0x12, 2, 'h', 'i'), false, 0, "hi"},
		{"empty answer", BYTES(0, 0, 0, 0, 0, 0, 0, 1, 2, 0), false, 0, ""},
		{"a late answer first",
		 BYTES(0, 0, 0, 1, 0, 0, 0, 9, 2, 0, 'x', 0, 0, 0, 4, 0, 0, 0, 1, 2, 0, 0x12, 2,
		       'h', 'i'),
		 false, 0, "hi"},
		{"refused", BYTES(0, 0, 0, 4, 0, 0, 0, 1, 2, 0, 0x0a, 2, 0x08, 6), false, -EEXIST,
		 NULL},
		{"no response", BYTES(0, 0, 0, 1, 0, 0, 0, 1, 2, 0, 0xff), false, -EPROTO, NULL},
		{"no answer", NULL, 0, false, -ETIMEDOUT, NULL},
		{"half an answer", BYTES(0, 0, 0, 4, 0, 0, 0, 1, 2, 0, 0x12), false, -ETIMEDOUT,
		 NULL},
		{"end", NULL, 0, true, -ECONNRESET, NULL},
	};
	static const uint8_t request[] = {0,    0,   0,    17,   0,    0,    0,   1,   1,   0,
					  0x0a, 1,   'S',  0x12, 4,    'E',  'c', 'h', 'o', 0x1a,
					  1,    'x', 0x20, 0x80, 0xda, 0xc4, 0x09}; /* 20 ms */

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		AUTO_FD int fd = -1;
		AUTO_FD int peer = -1;
		AUTO_FREE uint8_t *answer = NULL;
		size_t len = 0;
		uint32_t stream = 1;
		struct err err = ERR_INIT;
		uint8_t sent[64];
		int fds[2];

		print_message("%s\n", cases[i].name);
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
		fd = fds[0];
		peer = fds[1];
		if (cases[i].in_len)
			assert_int_equal(send(peer, cases[i].in, cases[i].in_len, 0),
					 cases[i].in_len);
		if (cases[i].peer_closes)
			(void)shutdown(peer, SHUT_WR);
		assert_int_equal(ttrpc_call_blocking(fd, &stream, "S", "Echo", "x", 1, 20, &answer,
						     &len, &err),
				 cases[i].ret);
		assert_int_equal(err.code, -cases[i].ret);
		assert_int_equal(stream, 3);
		assert_int_equal(recv(peer, sent, sizeof(sent), MSG_DONTWAIT), sizeof(request));
		assert_memory_equal(sent, request, sizeof(request));
		if (cases[i].answer) {
			assert_int_equal(len, strlen(cases[i].answer));
			assert_memory_equal(answer, cases[i].answer, len);
		} else {
			assert_null(answer);
		}
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_codes),
		cmocka_unit_test(test_clean_text),
		cmocka_unit_test(test_budget),
		cmocka_unit_test(test_wire),
		cmocka_unit_test(test_split),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_oversize_is_drained),
		cmocka_unit_test(test_amplification),
		cmocka_unit_test(test_broken_framing),
		cmocka_unit_test(test_limit_of_requests),
		cmocka_unit_test(test_limit_of_output),
		cmocka_unit_test(test_call),
		cmocka_unit_test(test_large_payload),
		cmocka_unit_test(test_held_call_blocks_nobody),
		cmocka_unit_test(test_timeout),
		cmocka_unit_test(test_late_answer_is_dropped),
		cmocka_unit_test(test_server_goes),
		cmocka_unit_test(test_client_goes),
		cmocka_unit_test(test_destroy_in_handler),
		cmocka_unit_test(test_destroy_in_answer),
		cmocka_unit_test(test_blocking),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
