/* How a process's end is told of, against an agent that is played (sandbox_world.h). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "agent-proto/agent.pb-c.h"
#include "base/log.h"
#include "base/own.h"
#include "tests/unit/sandbox_world.h"

/* A bad end leaves a line in the log, unless it is what somebody outside asked for. */
static void test_bad_end_is_logged(void **state)
{
	static const char fault[] = "python3[83]: segfault at 0 ip 00007f error 4 in libc.so.6";
	static const struct {
		const char *name;
		uint32_t sent; /* by us, before */
		uint32_t status, signal;
		bool oom, terminal;
		const char *kernel;
		const char *words; /* in the log; NULL: nothing is said */
	} cases[] = {
		{"good", 0, 0, 0, false, false, "", NULL},
		{"its own status", 0, 139, 0, false, false, "", NULL},
		{"a fault", 0, 139, SIGSEGV, false, false, fault,
		 "container c: '' was ended by signal 11 (SEGV), which was not sent from outside; "
		 "the "
		 "guest's kernel: python3[83]: segfault at 0 ip"},
		{"of which the kernel says nothing", 0, 134, SIGABRT, false, false, "",
		 "signal 6 (ABRT), which was not sent from outside\""},
		{"of a shell's child", 0, 139, 0, false, false, fault,
		 "'' ended with 139; the guest's"},
		{"killed inside", 0, 137, SIGKILL, false, false, "", "signal 9 (KILL)"},
		{"killed by us", SIGKILL, 137, SIGKILL, false, false, "", NULL},
		{"killed by us otherwise", SIGTERM, 137, SIGKILL, false, false, "", "(KILL)"},
		{"out of memory", 0, 137, SIGKILL, true, false, "",
		 "container c: the guest killed '' for want of memory"},
		{"Ctrl-C", 0, 130, SIGINT, false, true, "", NULL},
		{"no Ctrl-C", 0, 130, SIGINT, false, false, "", "(INT)"},
		{"real-time", 0, 192, 64, false, false, "", "signal 64 (real-time)"},
		{"no signal at all", 0, 1, 65, false, false, "", NULL},
		{"escapes", 0, 139, SIGSEGV, false, false, "a\x1b[2J\n\xc2\x9b", "a?[2J???\""},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		Nacre__Agent__V1__WaitResponse r = NACRE__AGENT__V1__WAIT_RESPONSE__INIT;
		AUTO_FREE char *kernel = strdup(cases[i].kernel);
		AUTO_FD int log = memfd_create("log", MFD_CLOEXEC);
		struct world *w = NULL;
		uint8_t packed[400];
		char text[2048] = "";

		(void)world_begin((void **)&w);
		struct container *c = world_container(w);
		c->init->terminal = cases[i].terminal;
		world_start(w, c->init);
		if (cases[i].sent) {
			process_signal(c->init, cases[i].sent, true, world_on_plain, w);
			world_settle(w);
			world_answer_empty(w, SIGNAL);
		}
		r.exit_status = cases[i].status;
		r.signal = cases[i].signal;
		r.oom_killed = cases[i].oom;
		r.kernel_said = kernel;
		log_init(log, LOG_LEVEL_WARN, LOG_FORMAT_TEXT);
		ttrpc_reply(world_take(w, WAIT), packed,
			    nacre__agent__v1__wait_response__pack(&r, packed));
		world_settle(w);
		log_init(STDERR_FILENO, LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
		assert_true(pread(log, text, sizeof(text) - 1, 0) >= 0);
		if (cases[i].words ? !strstr(text, cases[i].words) : *text)
			fail_msg("%s: the log says '%s'", cases[i].name, text);
		(void)world_end((void **)&w);
	}
	(void)state;
}

static void on_why(void *arg, const struct err *status, const uint8_t *payload, size_t len)
{
	char *out = arg;
	Containerd__WhyResponse *r =
		status->code ? NULL : containerd__why_response__unpack(NULL, len, payload);

	assert_non_null(r);
	(void)snprintf(out, ERR_TEXT_BYTES, "%s", r->why);
	containerd__why_response__free_unpacked(r, NULL);
}

static void check_why(struct world *w, const char *want)
{
	Containerd__WaitRequest m = CONTAINERD__WAIT_REQUEST__INIT;
	char id[] = "c", why[ERR_TEXT_BYTES] = "no answer";
	uint8_t packed[16];

	m.id = id;
	size_t len = containerd__wait_request__pack(&m, packed);
	ttrpc_call(w->caller, NACRE_MONITOR_SERVICE, "Why", packed, len, 0, on_why, why);
	world_settle(w);
	assert_string_equal(why, want);
}

/* It is not the process's fault, and no reason for its status. */
static void test_lost_output_is_logged(void **state)
{
	struct world *w = *state;
	AUTO_FD int log = memfd_create("log", MFD_CLOEXEC);
	char text[1024] = "";

	world_start(w, world_container(w)->init);
	log_init(log, LOG_LEVEL_WARN, LOG_FORMAT_TEXT);
	ttrpc_reply(world_take(w, WAIT), "\x28\x01", 2);
	world_settle(w);
	log_init(STDERR_FILENO, LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
	assert_true(pread(log, text, sizeof(text) - 1, 0) >= 0);
	assert_non_null(strstr(text, "container c: the end of the output of '' is lost"));
	check_why(w, "");
}

/* A wait that is refused for now is asked again: the process runs, and 137 would be a lie. */
static void test_wait_again(void **state)
{
	struct world *w = *state;
	struct container *c = world_container(w);
	struct err err = ERR_INIT;

	world_start(w, c->init);
	ttrpc_fail(world_take(w, WAIT), TTRPC_RESOURCE_EXHAUSTED, "too many requests at once");
	world_settle(w);
	assert_int_equal(c->init->state, PROCESS_RUNNING);
	while (!w->asked[WAIT])
		assert_int_equal(loop_step(w->loop, 5000, &err), 0);
	world_answer_exit(w, world_take(w, WAIT), 3);
	assert_int_equal(c->init->state, PROCESS_STOPPED);
	assert_int_equal(c->init->exit_status, 3);
}

/* The agent's hanging up is only the first sign of a crash: who asks at the exit is to hear why. */
static void test_end_waits_for_the_reason(void **state)
{
	struct world *w = *state;
	struct container *c = world_container(w);

	world_start(w, c->init);
	w->sandbox->vmm = (struct vmm_process *)w; /* there is one, and it is not looked at */
	memset(w->asked, 0, sizeof(w->asked));
	ttrpc_conn_destroy(w->agent);
	w->agent = NULL;
	world_settle(w);
	assert_int_equal(c->init->state, PROCESS_RUNNING);
	w->sandbox->vmm = NULL;
	container_lost(c);
	world_settle(w);
	assert_int_equal(c->init->state, PROCESS_STOPPED);
	assert_int_equal(c->init->exit_status, 137);
}

/* Who has no log asks. */
static void test_why(void **state)
{
	struct world *w = *state;
	Nacre__Agent__V1__WaitResponse r = NACRE__AGENT__V1__WAIT_RESPONSE__INIT;
	uint8_t packed[32];

	world_start(w, world_container(w)->init);
	check_why(w, "");
	(void)snprintf(w->sandbox->crash, sizeof(w->sandbox->crash), "the microVM crashed: x");
	check_why(w, "the microVM crashed: x");
	r.exit_status = 139;
	r.signal = SIGSEGV;
	ttrpc_reply(world_take(w, WAIT), packed, nacre__agent__v1__wait_response__pack(&r, packed));
	world_settle(w);
	check_why(w, "'' was ended by signal 11 (SEGV), which was not sent from outside");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bad_end_is_logged),
		cmocka_unit_test_setup_teardown(test_why, world_begin, world_end),
		cmocka_unit_test_setup_teardown(test_wait_again, world_begin, world_end),
		cmocka_unit_test_setup_teardown(test_end_waits_for_the_reason, world_begin,
						world_end),
		cmocka_unit_test_setup_teardown(test_lost_output_is_logged, world_begin, world_end),
	};

	(void)signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
