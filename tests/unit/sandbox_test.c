/*
 * Sandbox, containers, processes and the Task service over them, against an agent that is played (sandbox_world.h): every answer
 * comes when and as the test says, garbage too.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "agent-proto/agent.pb-c.h"
#include "agent-proto/containerd.pb-c.h"
#include "agent-proto/ttrpc.h"
#include "agent/proc.h"
#include "base/loop.h"
#include "base/own.h"
#include "base/path.h"
#include "base/str.h"
#include "runtime/agent_client.h"
#include "runtime/container.h"
#include "runtime/container_control.h"
#include "runtime/powerdown.h"
#include "runtime/sandbox.h"
#include "runtime/task_service.h"
#include "runtime/vcpus.h"
#include "tests/unit/broker_fixture.h"
#include "tests/unit/sandbox_world.h"

static void test_life(void **state)
{
	struct world *w = *state;
	struct container *c = world_container(w);

	world_start(w, c->init);
	assert_int_equal(c->init->state, PROCESS_RUNNING);
	process_start(c->init, world_on_started, w);
	assert_int_equal(w->code, EBUSY);
	container_delete(c, world_on_deleted, w);
	assert_int_equal(w->code, EBUSY);
	world_answer_exit(w, world_take(w, WAIT), 3);
	assert_int_equal(c->init->state, PROCESS_STOPPED);
	assert_int_equal(c->init->exit_status, 3);
	process_start(c->init, world_on_started, w);
	assert_int_equal(w->code, EBUSY);
	process_signal(c->init, SIGTERM, false, world_on_plain, w);
	assert_int_equal(w->code, ESRCH);
	container_delete(c, world_on_deleted, w);
	world_settle(w);
	world_answer_empty(w, DELETE);
	assert_null(w->sandbox->containers);
	assert_string_equal(w->story, "S!!X!!D");
}

/* CRI-O and podman look for the marker; it is there before anybody hears of the exit. */
static void test_oom_marker(void **state)
{
	struct world *w = *state;
	struct container *c = world_container(w);
	char dir[] = "/tmp/sandbox-test-XXXXXX";
	Nacre__Agent__V1__WaitResponse r = NACRE__AGENT__V1__WAIT_RESPONSE__INIT;
	uint8_t packed[32];
	struct err err = ERR_INIT;

	assert_non_null(mkdtemp(dir));
	broker_fixture_give(w->loop, c, dir, BUNDLE_CONFIG(""));
	AUTO_FREE char *marker = str_printf("%s/oom", dir);
	world_start(w, c->init);
	r.exit_status = 137;
	r.oom_killed = true;
	ttrpc_reply(world_take(w, WAIT), packed, nacre__agent__v1__wait_response__pack(&r, packed));
	world_settle(w);
	assert_string_equal(w->story, "SOX");
	assert_int_equal(access(marker, F_OK), 0);
	assert_int_equal(path_remove_tree(AT_FDCWD, dir, &err), 0);
}

/* The agent may tell of the exit before it answers the start; the world hears the start first. */
static void test_exit_before_start_is_answered(void **state)
{
	struct world *w = *state;
	struct container *c = world_container(w);

	process_start(c->init, world_on_started, w);
	world_settle(w);
	world_answer_exit(w, world_take(w, WAIT), 0);
	assert_string_equal(w->story, "");
	world_answer_empty(w, START);
	assert_string_equal(w->story, "SX");
}

static void test_init_exits_last(void **state)
{
	struct world *w = *state;
	struct container *c = world_container(w);
	struct ttrpc_request *init_wait = world_take(w, WAIT);

	world_start(w, c->init);
	c->execs = world_process(w, c, "e");
	world_start(w, c->execs);
	world_answer_exit(w, init_wait, 0);
	assert_string_equal(w->story, "SS");
	world_answer_exit(w, world_take(w, WAIT), 0);
	assert_string_equal(w->story, "SSxX");
}

/* The caller hears of it when the container runs no more. */
static void test_failing_poststart_stops(void **state)
{
	struct world *w = *state;
	struct container *c = world_container(w);
	char dir[] = "/tmp/sandbox-test-XXXXXX";
	struct err err = ERR_INIT;

	assert_non_null(mkdtemp(dir));
	broker_fixture_give(
		w->loop, c, dir,
		BUNDLE_CONFIG(",\"hooks\":{\"poststart\":[{\"path\":\"/bin/false\"}]}"));
	world_start(w, c->init);
	container_delete(c, world_on_plain, w);
	assert_int_equal(w->code, EBUSY);
	while (!w->asked[SIGNAL])
		assert_int_equal(loop_step(w->loop, 5000, &err), 0);
	assert_int_equal(w->signo, SIGKILL);
	world_answer_empty(w, SIGNAL);
	assert_string_equal(w->story, "!");
	world_answer_exit(w, world_take(w, WAIT), 137);
	assert_string_equal(w->story, "!X!");
	assert_int_equal(w->code, ECHILD);
	assert_int_equal(c->init->state, PROCESS_STOPPED);
	assert_int_equal(path_remove_tree(AT_FDCWD, dir, &err), 0);
}

/* An exec that fails is gone from the host at once; from the guest it has to be taken only where it may have come to be. */
static void test_failed_exec(void **state)
{
	static const struct {
		enum ttrpc_code code;
		int want;
		bool deleted;
	} cases[] = {
		{TTRPC_NOT_FOUND, ENOENT, false},
		{TTRPC_DEADLINE_EXCEEDED, ETIMEDOUT, true},
	};
	static const char json[] = "{}";
	const struct process_io io = {.terminal = false};
	struct world *w = *state;
	struct container *c = world_container(w);

	world_start(w, c->init);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		container_exec(c, "e", json, strlen(json), &io, world_on_plain, w);
		world_settle(w);
		ttrpc_fail(world_take(w, EXEC), cases[i].code, "no");
		world_settle(w);
		assert_int_equal(w->code, cases[i].want);
		assert_null(c->execs);
		assert_int_equal(w->asked[DELETE_EXEC] != NULL, cases[i].deleted);
	}
	world_answer_empty(w, DELETE_EXEC);
}

/* The host must not give up a start that the agent still goes on with: it would run, and nobody know of it. */
static void test_start_deadlines(void **state)
{
	(void)state;
	assert_true(AGENT_START_TIMEOUT_MS > PROC_CONNECT_TIMEOUT_MS + PROC_START_TIMEOUT_MS);
}

static void test_created_can_be_deleted(void **state)
{
	struct world *w = *state;
	struct container *c = world_container(w);

	container_delete(c, world_on_deleted, w);
	container_delete(c, world_on_deleted, w);
	assert_int_equal(w->code, EBUSY);
	world_settle(w);
	world_answer_empty(w, DELETE);
	assert_string_equal(w->story, "!XD");
	assert_null(w->sandbox->containers);
}

static void test_hostile_answers(void **state)
{
	static const struct {
		const char *name;
		const char *payload;
		size_t len;
		uint32_t status;
	} cases[] = {
		{"good", "\x08\x05", 2, 5},
		{"status out of range", "\x08\x85\x02", 3, 5},
		{"empty is zero", "", 0, 0},
		{"cut off", "\x08", 1, 137},
		{"not protobuf", "\xff\xff\xff\xff", 4, 137},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct world *w = NULL;

		(void)world_begin((void **)&w);
		struct container *c = world_container(w);
		world_start(w, c->init);
		ttrpc_reply(world_take(w, WAIT), cases[i].payload, cases[i].len);
		world_settle(w);
		if (c->init->exit_status != cases[i].status || c->init->state != PROCESS_STOPPED)
			fail_msg("%s: %u", cases[i].name, c->init->exit_status);
		(void)world_end((void **)&w);
	}
	(void)state;
}

static void test_kill_ends_it(void **state)
{
	struct world *w = *state;
	struct container *c = world_container(w);

	world_start(w, c->init);
	w->sandbox->kill_timeout_ms = 1;
	process_signal(c->init, SIGKILL, true, world_on_plain, w);
	while (w->sandbox->state == SANDBOX_READY)
		assert_int_equal(loop_step(w->loop, 5000, NULL), 0);
}

static void test_lost_guest(void **state)
{
	struct world *w = *state;
	struct container *c = world_container(w);

	world_start(w, c->init);
	memset(w->asked, 0, sizeof(w->asked));
	ttrpc_conn_destroy(w->agent);
	w->agent = NULL;
	world_settle(w);
	assert_int_equal(c->init->exit_status, 137);
	assert_string_equal(w->story, "SX");
}

static void on_rpc(void *arg, const struct err *status, const uint8_t *payload, size_t len)
{
	struct world *w = arg;

	w->answers++;
	w->answer_code = status->code;
	Containerd__StateResponse *r =
		status->code ? NULL : containerd__state_response__unpack(NULL, len, payload);
	if (r)
		w->status = r->status;
	containerd__state_response__free_unpacked(r, NULL);
}

/* All requests here begin with the id: one text serves for all. */
static void rpc(struct world *w, const char *service, const char *method, const char *id)
{
	Containerd__StateRequest m = CONTAINERD__STATE_REQUEST__INIT;
	uint8_t packed[64];

	m.id = (char *)(uintptr_t)id;
	size_t len = containerd__state_request__pack(&m, packed);
	ttrpc_call(w->caller, service, method, packed, len, 0, on_rpc, w);
	world_settle(w);
}

static void test_task_service(void **state)
{
	static const struct {
		const char *method, *id;
		int code;
	} cases[] = {
		{"Connect", "c", 0},    {"Connect", "unknown", 0}, {"Pids", "c", 0},
		{"Pids", "x", ENOENT},  {"State", "c", 0},         {"State", "x", ENOENT},
		{"Start", "x", ENOENT}, {"Kill", "x", ENOENT},     {"Delete", "x", ENOENT},
		{"Wait", "x", ENOENT},  {"Exec", "x", ENOENT},     {"Exec", "c", EINVAL},
		{"CloseIO", "c", 0},    {"Shutdown", "c", 0},      {"Pause", "c", EBUSY},
		{"Resume", "c", EBUSY}, {"Update", "c", EINVAL},   {"Pause", "x", ENOENT},
		{"Stats", "c", ENOSYS},
	};
	struct world *w = *state;
	struct container *c = world_container(w);

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const char *service = i % 2 ? TASK_SERVICE_V2 : TASK_SERVICE_V3;
		int before = w->answers;

		rpc(w, service, cases[i].method, cases[i].id);
		if (w->answers != before + 1 || (w->answer_code != cases[i].code &&
						 !(cases[i].code == ENOSYS && w->answer_code)))
			fail_msg("%s %s: %d answers, code %d", cases[i].method, cases[i].id,
				 w->answers - before, w->answer_code);
	}
	/* A Wait holds up nobody. */
	int before = w->answers;
	rpc(w, TASK_SERVICE_V2, "Wait", "c");
	assert_int_equal(w->answers, before);
	rpc(w, TASK_SERVICE_V2, "State", "c");
	assert_int_equal(w->status, CONTAINERD__STATUS__CREATED);
	world_start(w, c->init);
	world_answer_exit(w, world_take(w, WAIT), 7);
	assert_int_equal(w->answers, before + 2);
	/* Shutdown was not meant while the container was there. */
	assert_string_equal(w->story, "SX");
}

static void test_stub_takes_its_workload_along(void **state)
{
	struct world *w = *state;
	struct container *c = world_container(w);

	rpc(w, NACRE_MONITOR_SERVICE, "Attach", "c");
	assert_int_equal(w->answer_code, 0);
	assert_int_equal(process_host_pid(c->init), 4711);
	rpc(w, NACRE_MONITOR_SERVICE, "Attach", "c");
	assert_int_equal(w->answer_code, EEXIST);
	world_start(w, c->init);
	ttrpc_conn_destroy(w->caller);
	w->caller = NULL;
	world_settle(w);
	assert_int_equal(w->signo, SIGKILL);
	world_answer_empty(w, SIGNAL);
}

static void test_pause(void **state)
{
	struct world *w = *state;
	struct container *c = world_container(w);

	world_start(w, c->init);
	rpc(w, TASK_SERVICE_V2, "Resume", "c");
	assert_int_equal(w->answer_code, EBUSY);
	rpc(w, TASK_SERVICE_V2, "Pause", "c");
	rpc(w, TASK_SERVICE_V2, "State", "c");
	assert_int_equal(w->status, CONTAINERD__STATUS__RUNNING); /* until the agent says so */
	world_answer_empty(w, PAUSE);
	assert_int_equal(w->answer_code, 0);
	rpc(w, TASK_SERVICE_V2, "State", "c");
	assert_int_equal(w->status, CONTAINERD__STATUS__PAUSED);
	container_exec(c, "e", "{}", 2, &(const struct process_io){0}, world_on_plain, w);
	assert_int_equal(w->code, EBUSY);
	rpc(w, TASK_SERVICE_V2, "Pause", "c");
	assert_int_equal(w->answer_code, EBUSY);
	rpc(w, TASK_SERVICE_V2, "Resume", "c");
	ttrpc_fail(world_take(w, RESUME), TTRPC_INTERNAL, "no");
	world_settle(w);
	assert_true(c->paused);
	rpc(w, TASK_SERVICE_V2, "Resume", "c");
	world_answer_empty(w, RESUME);
	assert_false(c->paused);
	/* One that ended while it was paused is stopped. */
	rpc(w, TASK_SERVICE_V2, "Pause", "c");
	world_answer_empty(w, PAUSE);
	world_answer_exit(w, world_take(w, WAIT), 137);
	rpc(w, TASK_SERVICE_V2, "State", "c");
	assert_int_equal(w->status, CONTAINERD__STATUS__STOPPED);
}

static void update(struct world *w, struct container *c, const char *json)
{
	container_update(c, json, strlen(json), world_on_plain, w);
	world_settle(w);
}

/* What the guest was told is remembered only when it agreed, and the vCPUs follow the sum of the quotas. */
static void test_update(void **state)
{
	static const char spec[] = "{\"linux\":{\"resources\":{\"cpu\":{\"quota\":100000}}}}";
	struct world *w = *state;
	struct container *c = world_container(w);
	struct err err = ERR_INIT;

	assert_int_equal(oci_parse(spec, strlen(spec), "config.json", &c->spec, &err), 0);
	assert_int_equal(nacre_config_load("/nonexistent", &w->sandbox->config, &err), 0);
	w->sandbox->vm = calloc(1, sizeof(*w->sandbox->vm));
	assert_non_null(w->sandbox->vm);
	*w->sandbox->vm =
		(struct vm_config){.vcpus = 1, .boot_vcpus = 1, .max_vcpus = 3, .memory_mib = 164};
	w->sandbox->vcpus = (struct vcpus){.online = 1, .by_quota = 1};
	world_start(w, c->init);

	update(w, c, "{\"memory\":{\"limit\":104857601}}");
	assert_int_equal(w->code, EINVAL);
	assert_null(w->asked[UPDATE]);
	update(w, c, "{\"memory\":{\"limit\":104857600}}");
	world_answer_empty(w, UPDATE);
	assert_int_equal(w->code, 0);
	assert_int_equal(c->spec->resources.memory_limit_bytes, 104857600);
	assert_null(w->asked[VCPUS]);

	update(w, c, "{\"cpu\":{\"quota\":200001}}");
	ttrpc_fail(world_take(w, UPDATE), TTRPC_INTERNAL, "no");
	world_settle(w);
	assert_int_equal(c->spec->resources.cpu_quota_us, 100000);
	update(w, c, "{\"cpu\":{\"quota\":100001}}");
	world_answer_empty(w, UPDATE);
	world_answer_empty(w, VCPUS);
	assert_int_equal(w->vcpus, 2);
	update(w, c, "{\"cpu\":{\"quota\":9223372036854775807,\"period\":1}}");
	world_answer_empty(w, UPDATE);
	world_answer_empty(w, VCPUS);
	assert_int_equal(w->vcpus, 3);
	update(w, c, "{\"cpu\":{\"quota\":-1}}");
	world_answer_empty(w, UPDATE);
	world_answer_empty(w, VCPUS);
	assert_int_equal(w->vcpus, 1);
	update(w, c, "[]");
	assert_int_equal(w->code, EINVAL);
}

/* The vmm may say anything: only vCPUs that are there are brought on line. */
static void test_vcpu_plug(void **state)
{
	static const struct {
		uint32_t idx;
		bool online;
		uint32_t count; /* asked of the agent, 0: nothing */
	} cases[] = {
		{1, true, 2},  {1, true, 0},  {3, true, 4},  {4, true, 0},  {UINT32_MAX, true, 0},
		{3, false, 3}, {3, false, 0}, {0, false, 0}, {1, false, 1},
	};
	struct world *w = *state;

	w->sandbox->vm = calloc(1, sizeof(*w->sandbox->vm));
	assert_non_null(w->sandbox->vm);
	*w->sandbox->vm = (struct vm_config){.vcpus = 1, .boot_vcpus = 1, .max_vcpus = 4};
	w->sandbox->vcpus = (struct vcpus){.online = 1, .by_quota = 1};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		vcpus_plug(w->sandbox, cases[i].idx, cases[i].online);
		world_settle(w);
		if (!!w->asked[VCPUS] != !!cases[i].count)
			fail_msg("case %zu", i);
		if (!cases[i].count)
			continue;
		assert_int_equal(w->vcpus, cases[i].count);
		world_answer_empty(w, VCPUS);
	}
}

/* What runs gets a SIGTERM, and the guest ends when it has ended, not before; pressing twice is pressing once. */
static void test_powerdown(void **state)
{
	struct world *w = *state;
	struct container *c = world_container(w);
	struct ttrpc_request *init_wait = world_take(w, WAIT);

	world_start(w, c->init);
	c->execs = world_process(w, c, "e");
	world_start(w, c->execs);
	powerdown_begin(w->sandbox);
	powerdown_begin(w->sandbox);
	world_settle(w);
	assert_int_equal(w->signo, SIGTERM);
	world_answer_empty(w, SIGNAL);
	world_answer_exit(w, world_take(w, WAIT), 0);
	assert_string_equal(w->story, "SSx");
	assert_null(w->asked[SHUTDOWN]);
	assert_int_equal(w->sandbox->state, SANDBOX_READY);
	world_answer_exit(w, init_wait, 143);
	assert_string_equal(w->story, "SSxX");
	assert_int_equal(w->sandbox->state, SANDBOX_STOPPING);
	world_answer_empty(w, SHUTDOWN);
}

/* Nobody to wait for, and somebody who does not listen: the timer is not waited for here, only that there is one. */
static void test_powerdown_ends(void **state)
{
	struct world *w = *state;
	struct container *c = world_container(w);

	world_start(w, c->init);
	powerdown_begin(w->sandbox);
	world_settle(w);
	ttrpc_fail(world_take(w, SIGNAL), TTRPC_INTERNAL, "no");
	world_settle(w);
	assert_non_null(w->sandbox->powerdown_timer);
	assert_null(w->asked[SHUTDOWN]);
	assert_int_equal(loop_arm(w->sandbox->powerdown_timer, 1), 0);
	while (!w->asked[SHUTDOWN])
		world_settle(w);
	assert_null(w->sandbox->powerdown_timer);
	world_answer_empty(w, SHUTDOWN);
}

/* Refused for want of a kernel, again and again: what the first try took is not taken twice (leak checkers see it). */
static void test_prepare_fails_twice(void **state)
{
	static const char text[] = "{\"kernel\": \"/nonexistent\", \"log_level\": \"error\"}";
	struct world *w = *state;
	char dir[] = "/tmp/sandbox-test-XXXXXX";
	struct err err = ERR_INIT;

	assert_non_null(mkdtemp(dir));
	AUTO_FREE char *file = str_printf("%s/config.json", dir);
	assert_int_equal(path_write_atomic(AT_FDCWD, file, text, strlen(text), 0600, &err), 0);
	assert_int_equal(setenv("NACRE_CONFIG_DIR", dir, 1), 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(sandbox_prepare(w->sandbox, &err), -ENOENT);
		assert_non_null(strstr(err.text, "/nonexistent"));
	}
	assert_int_equal(unsetenv("NACRE_CONFIG_DIR"), 0);
	assert_int_equal(path_remove_tree(AT_FDCWD, dir, &err), 0);
}

#define WITH_WORLD(test) cmocka_unit_test_setup_teardown(test, world_begin, world_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_WORLD(test_life),
		WITH_WORLD(test_exit_before_start_is_answered),
		WITH_WORLD(test_oom_marker),
		WITH_WORLD(test_init_exits_last),
		WITH_WORLD(test_failing_poststart_stops),
		WITH_WORLD(test_created_can_be_deleted),
		WITH_WORLD(test_failed_exec),
		cmocka_unit_test(test_start_deadlines),
		cmocka_unit_test(test_hostile_answers),
		WITH_WORLD(test_lost_guest),
		WITH_WORLD(test_kill_ends_it),
		WITH_WORLD(test_task_service),
		WITH_WORLD(test_stub_takes_its_workload_along),
		WITH_WORLD(test_pause),
		WITH_WORLD(test_update),
		WITH_WORLD(test_vcpu_plug),
		WITH_WORLD(test_powerdown),
		WITH_WORLD(test_powerdown_ends),
		WITH_WORLD(test_prepare_fails_twice),
	};

	(void)signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
