/* QMP: the protocol itself (negotiation, texts, errors, bounds), the commands that need only the engine, and the schema. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/own.h"
#include "base/str.h"
#include "tests/unit/qmp_world.h"
#include "vmm/qmp/json.h"
#include "vmm/qmp/schema.h"

static void test_negotiation_comes_first_and_once(void **state)
{
	struct qmp_world *w = *state;
	int client = qmp_world_connect(w, false);

	qmp_assert_says(qmp_world_hear(w, client), "{\"QMP\":{\"version\":{\"qemu\":{");
	qmp_assert_says(qmp_world_say(w, client, "{\"execute\":\"query-status\"}"),
			"CommandNotFound");
	qmp_was_reset(w->qmp, false);
	assert_string_equal(qmp_world_hear(w, client), "");
	qmp_assert_says(qmp_world_say(w, client,
				      "{\"execute\":\"qmp_capabilities\",\"arguments\":{\"enable\":"
				      "[\"oob\"]}}"),
			"GenericError");
	qmp_assert_says(qmp_world_say(w, client, "{\"execute\":\"query-status\"}"),
			"CommandNotFound");
	qmp_assert_says(qmp_world_say(w, client,
				      "{\"execute\":\"qmp_capabilities\",\"arguments\":{\"enable\":"
				      "[]}}"),
			"{\"return\":{}}");
	qmp_assert_says(qmp_world_say(w, client, "{\"execute\":\"query-status\"}"), "prelaunch");
	qmp_assert_says(qmp_world_say(w, client, "{\"execute\":\"qmp_capabilities\"}"),
			"CommandNotFound");
	(void)close(client);
}

static void test_requests(void **state)
{
	static const struct {
		const char *request;
		const char *part; /* of the answer */
	} cases[] = {
		{"{\"execute\":\"query-kvm\",\"id\":{\"a\":[1,null]}}", "\"id\":{\"a\":[1,null]}}"},
		{"{\"execute\":\"query-kvm\",\"id\":7}", "\"return\":{\"enabled\":true"},
		{"{\"execute\":\"query-kvm\",\"arguments\":{}}", "\"return\""},
		{"{\"execute\":\"nix\",\"id\":7}", "\"class\":\"CommandNotFound\""},
		{"{\"execute\":\"nix\",\"id\":7}", "\"id\":7"},
		{"{\"execute\":7}", "GenericError"},
		{"{\"execute\":null}", "'execute': the name"},
		{"{}", "'execute': the name"},
		{"[]", "a request is an object"},
		{"null ", "a request is an object"},
		{"\"x\"", "a request is an object"},
		{"{\"execute\":\"query-kvm\",\"x\":1}", "no member 'x'"},
		{"{\"exec-oob\":\"query-kvm\"}", "out-of-band"},
		{"{\"execute\":\"query-kvm\",\"arguments\":[]}", "'arguments': an object"},
		{"{\"execute\":\"query-kvm\",\"arguments\":null}", "'arguments': an object"},
		{"{\"execute\":\"query-kvm\",\"arguments\":{\"x\":1}}", "there is no 'x'"},
		{"{]\n", "this is no JSON text"},
		{"x\n", "this is no JSON text"},
		{"{\"execute\":\"\xff\"}\n", "this is no JSON text"},
		{"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\n", "this is no JSON text"},
	};
	struct qmp_world *w = *state;
	int client = qmp_world_ready(w);

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		qmp_assert_says(qmp_world_say(w, client, cases[i].request), cases[i].part);
	/* And it still listens. */
	qmp_assert_says(qmp_world_say(w, client, "{\"execute\":\"query-kvm\"}"), "\"return\"");
	(void)close(client);
}

static void test_a_request_may_come_in_pieces_or_in_company(void **state)
{
	static const char request[] = " {\"execute\" :\n\"query-kvm\"}";
	struct qmp_world *w = *state;
	int client = qmp_world_ready(w);
	const char *heard = "";

	for (size_t i = 0; i + 1 < sizeof(request); i++) {
		char byte[2] = {request[i], '\0'};

		assert_string_equal(heard, "");
		heard = qmp_world_say(w, client, byte);
	}
	qmp_assert_says(heard, "enabled");
	heard = qmp_world_say(
		w, client,
		"{\"execute\":\"query-kvm\",\"id\":1}{\"execute\":\"query-kvm\",\"id\":2}\n"
		"} junk\n {\"execute\":\"query-kvm\",\"id\":3}");
	qmp_assert_says(heard, "\"id\":1");
	qmp_assert_says(heard, "\"id\":2");
	qmp_assert_says(heard, "no JSON text");
	qmp_assert_says(heard, "\"id\":3");
	(void)close(client);
}

static void test_a_text_without_end_ends_the_client(void **state)
{
	struct qmp_world *w = *state;
	int client = qmp_world_ready(w);
	char piece[1025], byte;
	int sent = 0;

	memset(piece, 'x', 1024);
	piece[0] = '"';
	piece[1024] = '\0';
	while (sent++ < 1024 && send(client, piece, 1024, MSG_NOSIGNAL) == 1024) {
		const char *heard = qmp_world_hear(w, client);

		piece[0] = 'x';
		if (strstr(heard, "too long"))
			break;
	}
	assert_in_range(sent, 64, 66);
	assert_int_equal(read(client, &byte, 1), 0);
	(void)close(client);
}

static int count_answers(struct qmp_world *w, int client, int timeout_ms)
{
	struct err err = ERR_INIT;
	int answers = 0;
	char buf[4096];
	ssize_t n;

	assert_int_equal(loop_step(w->loop, timeout_ms, &err), 0);
	while ((n = read(client, buf, sizeof(buf))) > 0) {
		for (ssize_t i = 0; i < n; i++)
			answers += buf[i] == '\n';
	}
	return answers;
}

/* 2000 commands are the work of twenty seconds: what comes at once is far from all, and the rest comes bit by bit. */
static void test_a_fast_client_waits(void **state)
{
	AUTO_STRBUF struct strbuf many = STRBUF_INIT;
	struct qmp_world *w = *state;
	int client = qmp_world_ready(w);
	int answers = 0, later = 0;

	for (int i = 0; i < 2000; i++)
		assert_int_equal(strbuf_addf(&many, "{\"execute\":\"stop\"}"), 0);
	qmp_world_send(client, many.data, -1);
	for (int i = 0; i < 50; i++)
		answers += count_answers(w, client, 0);
	assert_in_range(answers, 199, 1000);
	while (later == 0)
		later = count_answers(w, client, 1000);
	assert_true(later < 1000);
	(void)close(client);
}

static void test_a_client_that_does_not_read_costs_a_bounded_amount(void **state)
{
	struct qmp_world *w = *state;
	int deaf = qmp_world_ready(w);
	int client = qmp_world_ready(w);
	struct err err = ERR_INIT;
	int heard = 0;
	char buf[65536];

	for (int i = 0; i < 50000; i++)
		qmp_ended(w->qmp, QMP_GUEST_RESET, NULL);
	/* It hears what was kept for it, which is not all. */
	for (ssize_t n = 1; n > 0;) {
		assert_int_equal(loop_step(w->loop, 0, &err), 0);
		n = read(deaf, buf, sizeof(buf));
		for (ssize_t i = 0; i < n; i++)
			heard += buf[i] == '\n';
	}
	assert_in_range(heard, 1000, 20000);
	qmp_assert_says(qmp_world_say(w, deaf, "{\"execute\":\"query-kvm\"}"), "enabled");
	(void)close(deaf);
	(void)close(client);
}

/* More answers than are kept for anybody: commands wait for the reader, so that none is lost. */
static void test_answers_wait_for_who_reads_late(void **state)
{
	AUTO_STRBUF struct strbuf many = STRBUF_INIT;
	struct qmp_world *w = *state;
	int client = qmp_world_ready(w);
	int answers = 0;

	for (int i = 0; i < 150; i++)
		assert_int_equal(strbuf_addf(&many, "{\"execute\":\"query-qmp-schema\"}"), 0);
	qmp_world_send(client, many.data, -1);
	for (int i = 0; i < 50; i++)
		assert_int_equal(loop_step(w->loop, 0, NULL), 0);
	for (int batch = 0; answers < 150 && batch < 2000; batch++)
		answers += count_answers(w, client, 10);
	assert_int_equal(answers, 150);
	(void)close(client);
}

static void test_run_commands(void **state)
{
	struct qmp_world *w = *state;
	int client = qmp_world_ready(w);

	qmp_assert_says(qmp_world_say(w, client, "{\"execute\":\"cont\"}"),
			"\"event\":\"NACRE_RUNNING\"");
	qmp_assert_says(qmp_world_say(w, client, "{\"execute\":\"stop\"}"), "\"event\":\"STOP\"");
	qmp_assert_says(qmp_world_say(w, client, "{\"execute\":\"query-status\"}"),
			"\"status\":\"paused\"");
	assert_string_equal(qmp_world_say(w, client, "{\"execute\":\"stop\"}"),
			    "{\"return\":{}}\r\n");
	qmp_assert_says(qmp_world_say(w, client, "{\"execute\":\"cont\"}"), "\"event\":\"RESUME\"");
	qmp_assert_says(qmp_world_say(w, client, "{\"execute\":\"system_reset\"}"),
			"\"data\":{\"guest\":false,\"reason\":\"host-qmp-system-reset\"}");
	qmp_assert_says(qmp_world_say(w, client, "{\"execute\":\"quit\"}"), "{\"return\":{}}");
	assert_string_equal(w->calls, "cont stop cont reset quit ");
	w->fail_with = 5;
	qmp_assert_says(qmp_world_say(w, client, "{\"execute\":\"stop\"}"), "GenericError");
	qmp_assert_says(qmp_world_say(w, client, "{\"execute\":\"query-status\"}"),
			"\"status\":\"running\"");
	(void)close(client);
}

/* What the engine makes the end of is no reset. */
static void test_a_reset_may_be_the_end(void **state)
{
	struct qmp_world *w = *state;
	int client = qmp_world_ready(w);

	w->reset_is_end = true;
	assert_string_equal(qmp_world_say(w, client, "{\"execute\":\"system_reset\"}"),
			    "{\"return\":{}}\r\n");
	qmp_ended(w->qmp, QMP_HOST_RESET, NULL);
	qmp_assert_says(
		qmp_world_hear(w, client),
		"SHUTDOWN\",\"data\":{\"guest\":false,\"reason\":\"host-qmp-system-reset\"}");
	(void)close(client);
}

/* A reset is how a guest of ours ends; after system_powerdown that is the shutdown it was asked for. */
static void test_powerdown_ends_in_a_shutdown(void **state)
{
	struct qmp_world *w = *state;
	int client = qmp_world_ready(w);

	qmp_ended(w->qmp, QMP_GUEST_RESET, NULL);
	qmp_assert_says(qmp_world_hear(w, client), "\"reason\":\"guest-reset\"");
	w->agent = true;
	assert_false(qmp_wants_end(w->qmp));
	qmp_assert_says(qmp_world_say(w, client, "{\"execute\":\"system_powerdown\"}"),
			"POWERDOWN");
	assert_true(qmp_wants_end(w->qmp));
	qmp_ended(w->qmp, QMP_GUEST_PANIC, "triple fault");
	qmp_assert_says(qmp_world_hear(w, client), "\"reason\":\"guest-panic\"");
	qmp_ended(w->qmp, QMP_GUEST_RESET, NULL);
	qmp_assert_says(qmp_world_hear(w, client),
			"{\"guest\":true,\"reason\":\"guest-shutdown\"}");
	/* One that begins anew was not asked any more. */
	qmp_assert_says(qmp_world_say(w, client, "{\"execute\":\"system_reset\"}"), "RESET");
	qmp_ended(w->qmp, QMP_GUEST_RESET, NULL);
	qmp_assert_says(qmp_world_hear(w, client), "\"reason\":\"guest-reset\"");
	(void)close(client);
}

static void test_threads_go_by_their_objects(void **state)
{
	struct qmp_world *w = *state;
	int client = qmp_world_ready(w);
	const char *heard = qmp_world_say(w, client, "{\"execute\":\"query-iothreads\"}");

	qmp_assert_says(heard, "{\"id\":\"io0\",\"thread-id\":7,");
	qmp_assert_says(heard, "{\"id\":\"slot2\",\"thread-id\":8,");
	qmp_assert_says(heard, "{\"id\":\"nic\",\"thread-id\":9,");
	(void)close(client);
}

static void test_powerdown_needs_an_agent(void **state)
{
	struct qmp_world *w = *state;
	int client = qmp_world_ready(w);

	qmp_assert_says(qmp_world_say(w, client, "{\"execute\":\"system_powerdown\"}"), "no agent");
	w->agent = true;
	qmp_assert_says(qmp_world_say(w, client, "{\"execute\":\"system_powerdown\"}"),
			"\"event\":\"POWERDOWN\"");
	(void)close(client);
}

#define START_TIMES "{\"execute\":\"query-start-times\"}"
#define TELL_TIMES(text)                                                                           \
	"{\"execute\":\"nacre-start-times\",\"arguments\":{\"monotonic-us\":{" text "}}}"

/* What the engine cannot know by itself the monitor tells, as it comes; nobody else may, and the engine's own stays. */
static void test_start_times(void **state)
{
	struct qmp_world *w = *state;
	int monitor = qmp_world_connect(w, true);
	int client = qmp_world_ready(w);

	(void)qmp_world_say(w, monitor, "{\"execute\":\"qmp_capabilities\"}");
	w->not_entered = true;
	qmp_assert_says(qmp_world_say(w, client, START_TIMES),
			"{\"return\":{\"monotonic-us\":{\"exec\":1,\"memory\":3,\"devices\":4,"
			"\"kernel\":5,\"jail\":2}}}");
	w->not_entered = false;
	qmp_assert_says(qmp_world_say(w, client, TELL_TIMES("\"linux\":9")), "the monitor");
	qmp_assert_says(qmp_world_say(w, monitor, TELL_TIMES("\"exec\":9")), "GenericError");
	qmp_assert_says(
		qmp_world_say(w, monitor, TELL_TIMES("\"spawn\":-9,\"linux\":9,\"init\":0")),
		"{\"return\":{}}");
	qmp_assert_says(qmp_world_say(w, monitor, TELL_TIMES("\"started\":12")), "{\"return\":{}}");
	qmp_assert_says(qmp_world_say(w, client, START_TIMES),
			"{\"return\":{\"monotonic-us\":{\"exec\":1,\"memory\":3,\"devices\":4,"
			"\"kernel\":5,\"jail\":2,\"entry\":6,\"linux\":9,\"started\":12}}}");
	(void)close(client);
	(void)close(monitor);
	(void)qmp_world_hear(w, -1);
}

static void test_the_monitor_hears_what_it_missed(void **state)
{
	struct qmp_world *w = *state;
	int monitor = qmp_world_connect(w, true);
	const char *heard;

	qmp_started(w->qmp);
	heard = qmp_world_say(w, monitor, "{\"execute\":\"qmp_capabilities\"}");
	qmp_assert_says(heard, "\"event\":\"NACRE_RUNNING\",\"data\":{\"monotonic-us\":{\"exec\":1,"
			       "\"memory\":3,\"devices\":4,\"kernel\":5,\"jail\":2,\"entry\":6}}");
	qmp_ended(w->qmp, QMP_GUEST_PANIC, "triple fault");
	heard = qmp_world_hear(w, monitor);
	qmp_assert_says(heard,
			"\"event\":\"GUEST_CRASHED\",\"data\":{\"reason\":\"triple fault\"}");
	qmp_assert_says(
		heard,
		"\"event\":\"SHUTDOWN\",\"data\":{\"guest\":true,\"reason\":\"guest-panic\"}");
	assert_false(w->closed);
	(void)close(monitor);
	(void)qmp_world_hear(w, -1);
	assert_true(w->closed);
}

static void test_events_go_to_all_and_resets_are_rationed(void **state)
{
	struct qmp_world *w = *state;
	int one = qmp_world_ready(w);
	int two = qmp_world_ready(w);
	const char *heard;

	for (int i = 0; i < 100; i++)
		qmp_was_reset(w->qmp, true);
	qmp_assert_says(qmp_world_hear(w, one), "RESET");
	heard = qmp_world_hear(w, two);
	qmp_assert_says(heard, "RESET");
	assert_null(strstr(strstr(heard, "RESET") + 5, "RESET"));
	(void)close(one);
	(void)close(two);
}

static void test_there_is_an_end_to_clients(void **state)
{
	struct qmp_world *w = *state;
	struct err err = ERR_INIT;
	int clients[QMP_MAX_CLIENTS];
	int pair[2];

	for (size_t i = 0; i < QMP_MAX_CLIENTS; i++)
		clients[i] = qmp_world_connect(w, true);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_true(qmp_add_monitor(w->qmp, pair[1], NULL, NULL, &err) < 0);
	for (size_t i = 0; i < QMP_MAX_CLIENTS; i++)
		(void)close(clients[i]);
	(void)close(pair[0]);
	(void)close(pair[1]);
}

static bool known_type(const char *type)
{
	static const char *const builtins[] = {"str", "int", "bool", "any"};
	char element[64];

	for (size_t i = 0; i < ARRAY_SIZE(builtins); i++) {
		if (!strcmp(builtins[i], type))
			return true;
	}
	if (type[0] != '[')
		return qmp_find_type(type) != NULL;
	(void)snprintf(element, sizeof(element), "%.*s", (int)strlen(type) - 2, type + 1);
	return known_type(element);
}

static void test_the_tables_are_closed(void **state UNUSED)
{
	for (size_t i = 0; i < qmp_ntypes; i++) {
		assert_int_equal((qmp_types[i].members != NULL) + (qmp_types[i].values != NULL) +
					 (qmp_types[i].or_str != NULL),
				 1);
		assert_true(!qmp_types[i].or_str || known_type(qmp_types[i].or_str));
		assert_ptr_equal(qmp_find_type(qmp_types[i].name), &qmp_types[i]);
		for (const struct qmp_member *m = qmp_types[i].members; m && m->name; m++)
			assert_true(known_type(m->type));
	}
	for (size_t i = 0; i < qmp_ncommands; i++) {
		assert_ptr_equal(qmp_find_command(qmp_commands[i].name), &qmp_commands[i]);
		assert_true(!qmp_commands[i].arg || known_type(qmp_commands[i].arg));
		assert_true(!qmp_commands[i].ret || known_type(qmp_commands[i].ret));
	}
	for (size_t i = 0; i < qmp_nevents; i++)
		assert_true(!qmp_events[i].data || known_type(qmp_events[i].data));
}

/* Every query of the table, by its own word about what it returns. */
static void test_answers_are_what_the_schema_says(void **state)
{
	struct qmp_world *w = *state;
	int client = qmp_world_ready(w);
	size_t queries = 0;

	for (size_t i = 0; i < qmp_ncommands; i++) {
		const struct qmp_command *c = &qmp_commands[i];
		AUTO_JSON struct json_object *answer = NULL;
		struct json_object *ret;
		struct err err = ERR_INIT;
		char request[128];

		if (strncmp(c->name, "query-", 6) != 0)
			continue;
		queries++;
		(void)snprintf(request, sizeof(request), "{\"execute\":\"%s\"}", c->name);
		answer = json_tokener_parse(qmp_world_say(w, client, request));
		assert_true(json_object_object_get_ex(answer, "return", &ret));
		if (qmp_check(c->ret, ret, c->name, &err) < 0)
			fail_msg("%s", err.text);
	}
	assert_true(queries > 10);
	(void)close(client);
}

/* What introspection mentions, it lists: by this a client finds its way. */
static void test_the_schema_is_closed(void **state)
{
	struct qmp_world *w = *state;
	int client = qmp_world_ready(w);
	AUTO_JSON struct json_object *answer =
		json_tokener_parse(qmp_world_say(w, client, "{\"execute\":\"query-qmp-schema\"}"));
	AUTO_JSON struct json_object *listed = json_object_new_object();
	struct json_object *schema = qj_get(answer, "return");
	static const char *const references[] = {"arg-type", "ret-type", "element-type"};

	assert_true(json_object_array_length(schema) > 50);
	for (size_t i = 0; i < json_object_array_length(schema); i++) {
		const char *name = qj_str(json_object_array_get_idx(schema, i), "name");

		assert_null(qj_get(listed, name));
		qj_put_bool(listed, name, true);
	}
	for (size_t i = 0; i < json_object_array_length(schema); i++) {
		struct json_object *e = json_object_array_get_idx(schema, i);
		struct json_object *members = qj_get(e, "members");

		for (size_t j = 0; j < ARRAY_SIZE(references); j++) {
			if (qj_str(e, references[j]))
				assert_non_null(qj_get(listed, qj_str(e, references[j])));
		}
		if (strcmp(qj_str(e, "meta-type"), "object") != 0 &&
		    strcmp(qj_str(e, "meta-type"), "alternate") != 0)
			continue;
		for (size_t j = 0; j < json_object_array_length(members); j++)
			assert_non_null(qj_get(
				listed, qj_str(json_object_array_get_idx(members, j), "type")));
	}
	(void)close(client);
}

static void test_check(void **state UNUSED)
{
	static const struct {
		const char *type, *value;
		bool fits;
	} cases[] = {
		{"str", "\"x\"", true},
		{"str", "1", false},
		{"str", "\"a\\u0000b\"", false},
		{"int", "1", true},
		{"int", "1.5", false},
		{"int", "\"1\"", false},
		{"bool", "true", true},
		{"bool", "0", false},
		{"any", "[]", true},
		{"[str]", "[]", true},
		{"[str]", "[\"a\",\"b\"]", true},
		{"[str]", "[\"a\",1]", false},
		{"[str]", "\"a\"", false},
		{"RunState", "\"running\"", true},
		{"RunState", "\"runnin\"", false},
		{"RunState", "1", false},
		{"TargetInfo", "{\"arch\":\"x\"}", true},
		{"TargetInfo", "{}", false},
		{"TargetInfo", "[]", false},
		{"TargetInfo", "null", false},
		{"TargetInfo", "{\"arch\":null}", false},
		{"TargetInfo", "{\"arch\":\"x\",\"more\":1}", false},
		{"BlockdevRef", "\"x\"", true},
		{"BlockdevRef", "{\"driver\":\"file\",\"filename\":\"x\"}", true},
		{"BlockdevRef", "{\"driver\":\"file\"}", false},
		{"BlockdevRef", "{}", false},
		{"BlockdevRef", "1", false},
		{"BlockdevRef", "null", false},
		{NULL, "{}", true},
		{NULL, "{\"x\":1}", false},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		AUTO_JSON struct json_object *value = json_tokener_parse(cases[i].value);
		struct err err = ERR_INIT;

		if ((qmp_check(cases[i].type, value, "x", &err) == 0) != cases[i].fits)
			fail_msg("%s as %s", cases[i].value, cases[i].type);
		assert_true(cases[i].fits == (err.text[0] == '\0'));
	}
}

#define WITH_WORLD(test) cmocka_unit_test_setup_teardown(test, qmp_world_setup, qmp_world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_WORLD(test_negotiation_comes_first_and_once),
		WITH_WORLD(test_requests),
		WITH_WORLD(test_a_request_may_come_in_pieces_or_in_company),
		WITH_WORLD(test_a_text_without_end_ends_the_client),
		WITH_WORLD(test_a_fast_client_waits),
		WITH_WORLD(test_a_client_that_does_not_read_costs_a_bounded_amount),
		WITH_WORLD(test_answers_wait_for_who_reads_late),
		WITH_WORLD(test_run_commands),
		WITH_WORLD(test_a_reset_may_be_the_end),
		WITH_WORLD(test_powerdown_needs_an_agent),
		WITH_WORLD(test_start_times),
		WITH_WORLD(test_powerdown_ends_in_a_shutdown),
		WITH_WORLD(test_threads_go_by_their_objects),
		WITH_WORLD(test_the_monitor_hears_what_it_missed),
		WITH_WORLD(test_events_go_to_all_and_resets_are_rationed),
		WITH_WORLD(test_there_is_an_end_to_clients),
		cmocka_unit_test(test_the_tables_are_closed),
		WITH_WORLD(test_answers_are_what_the_schema_says),
		WITH_WORLD(test_the_schema_is_closed),
		cmocka_unit_test(test_check),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
