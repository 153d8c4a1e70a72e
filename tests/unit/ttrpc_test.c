/* ttrpc as its users see it: calls between both roles in one loop, the blocking client, codes and texts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <protobuf-c/protobuf-c.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "agent-proto/ttrpc_frame.h"
#include "base/own.h"
#include "tests/unit/ttrpc_world.h"

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

/* --- both roles ------------------------------------------------------------------------------------------------- */

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

static void test_call(void **state)
{
	struct world *w = world_new(false, (struct ttrpc_limits){0});

	(void)state;
	call(w, "Echo", "hello");
	world_settle(w);
	assert_int_equal(w->answers, 1);
	assert_int_equal(w->last.code, 0);
	assert_int_equal(w->payload_len, 5);
	assert_memory_equal(w->payload, "hello", 5);

	call(w, "Refuse", "");
	world_settle(w);
	assert_int_equal(w->answers, 2);
	assert_int_equal(w->last.code, ENOENT);
	assert_string_equal(w->last.text, "no ??x");

	call(w, "Nothing", "");
	world_settle(w);
	assert_int_equal(w->last.code, EOPNOTSUPP);

	call(w, "Big", ""); /* does not fit with its own tag: refused by the server's own encoder */
	world_settle(w);
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
		world_step(w, 0);
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
			world_settle(w);
	}
	world_settle(w);
	assert_int_equal(w->answers, 1000);
	assert_non_null(w->held);
	ttrpc_reply(w->held, "late", 4);
	world_settle(w);
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
		world_step(w, 100);
	assert_int_equal(w->answers, 1);
	assert_int_equal(w->last.code, ETIMEDOUT);
	ttrpc_reply(w->held, NULL, 0); /* the second one's */
	world_settle(w);
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
		world_step(w, 100);
	ttrpc_reply(w->held, NULL, 0);
	call(w, "Echo", "on");
	world_settle(w);
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
	world_settle(w);
	assert_non_null(w->held);
	ttrpc_conn_destroy(w->server);
	w->server = NULL;
	assert_int_equal(w->cancels, 1);
	world_settle(w);
	world_step(w, 50);
	assert_int_equal(w->answers, 1);
	assert_int_equal(w->closes, 1);
	world_free(w);
}

static void test_client_goes(void **state)
{
	struct world *w = world_new(false, (struct ttrpc_limits){0});

	(void)state;
	call(w, "Hold", "");
	world_settle(w);
	ttrpc_conn_destroy(w->client);
	w->client = NULL;
	assert_int_equal(w->answers, 1);
	assert_int_equal(w->last.code, ECONNRESET);
	world_settle(w);
	world_step(w, 50);
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
	world_settle(w);
	world_step(w, 50);
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
	world_settle(w);
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
