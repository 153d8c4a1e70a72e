/* The record of a start: the first mark counts, the vmm's event is taken for what it is worth, the file is written once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "base/path.h"
#include "base/str.h"
#include "config/json.h"
#include "runtime/start_record.h"

static void test_first_mark_counts(void **state)
{
	struct start_record r = {0};

	(void)state;
	start_record_mark(&r, START_AGENT);
	uint64_t first = r.us[START_AGENT];
	assert_true(first > 0);
	r.us[START_AGENT] = 7;
	start_record_mark(&r, START_AGENT);
	assert_int_equal(r.us[START_AGENT], 7);
}

static void test_events(void **state)
{
	static const struct {
		const char *data;
		uint64_t exec, entry;
	} cases[] = {
		{"{\"monotonic-us\":{\"exec\":5,\"entry\":9}}", 5, 9},
		{"{\"monotonic-us\":{\"exec\":\"soon\",\"entry\":9}}", 0, 9},
		{"{\"monotonic-us\":{\"exec\":-1,\"entry\":9}}", 0, 9},
		{"{\"monotonic-us\":{\"agent\":3}}", 0, 0},
		{"{\"monotonic-us\":[1]}", 0, 0},
		{"[1]", 0, 0},
		{"null", 0, 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		AUTO_JSON struct json_object *data = json_tokener_parse(cases[i].data);
		struct start_record r = {0};

		start_record_merge(&r, data);
		assert_int_equal(r.us[START_EXEC], cases[i].exec);
		assert_int_equal(r.us[START_ENTRY], cases[i].entry);
		assert_int_equal(r.us[START_AGENT], 0);
	}
}

/* Its own phases the vmm knows better. */
static void test_for_vmm(void **state)
{
	const struct start_record r = {.us = {[START_MONITOR] = 1,
					      [START_EXEC] = 2,
					      [START_ENTRY] = 3,
					      [START_LINUX] = 4,
					      [START_CREATED] = 5}};
	AUTO_JSON struct json_object *data = start_record_for_vmm(&r);

	(void)state;
	assert_string_equal(json_object_to_json_string_ext(data, JSON_C_TO_STRING_PLAIN),
			    "{\"monotonic-us\":{\"monitor\":1,\"linux\":4,\"created\":5}}");
}

/* The agent's answer came at 5 s of the host, at 2 s of the guest: its clock began at 3 s. */
static void test_guest_clock(void **state)
{
	static const struct {
		const char *name;
		struct guest_times times;
		uint64_t kernel_us, init_us, ready_us;
	} cases[] = {
		{"good", {500000000, 1000000000, 2000000000}, 3000000, 3500000, 4000000},
		{"all at once", {2000000000, 2000000000, 2000000000}, 3000000, 5000000, 5000000},
		{"an old agent", {0, 1000000000, 2000000000}, 0, 0, 0},
		{"ready before init", {500000000, 400000000, 2000000000}, 0, 0, 0},
		{"ready after the answer", {500000000, 2000000001, 2000000000}, 0, 0, 0},
		{"older than the host", {1, 2, 5000000000}, 0, 0, 0},
		{"far future", {1, 2, UINT64_MAX}, 0, 0, 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct start_record r = {.us = {[START_AGENT] = 5000000}};

		start_record_guest(&r, &cases[i].times);
		if (r.us[START_LINUX] != cases[i].kernel_us ||
		    r.us[START_INIT] != cases[i].init_us || r.us[START_READY] != cases[i].ready_us)
			fail_msg("%s", cases[i].name);
	}
}

static void test_text(void **state)
{
	const struct start_record r = {.us = {[START_SPAWN] = 10, [START_STARTED] = 20}};
	AUTO_FREE char *text = start_record_text(&r);

	(void)state;
	assert_string_equal(text,
			    "{\"version\":1,\"monotonic_us\":{\"spawn\":10,\"started\":20}}\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_first_mark_counts),
		cmocka_unit_test(test_events),
		cmocka_unit_test(test_for_vmm),
		cmocka_unit_test(test_guest_clock),
		cmocka_unit_test(test_text),
	};

	return cmocka_run_group_tests_name("start_record", tests, NULL, NULL);
}
