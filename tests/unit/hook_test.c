/* Hooks: shell scripts in a directory of the test's own, which write down what they saw. */
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
#include <sys/stat.h>
#include <time.h>

#include "base/log.h"
#include "base/loop.h"
#include "base/own.h"
#include "base/path.h"
#include "base/str.h"
#include "runtime/hooks.h"

#define HEAD                                                                                       \
	"{\"ociVersion\":\"1.2.0\",\"root\":{\"path\":\"r\"},\"annotations\":{\"k\":\"v\"},"       \
	"\"hooks\":"

struct world {
	struct loop *loop;
	struct hooks_list list;
	char dir[32];
	int log_fd;
	int answers;
	struct err last;
};

static int begin(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	struct err err = ERR_INIT;

	assert_non_null(w);
	(void)snprintf(w->dir, sizeof(w->dir), "/tmp/hook-test-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	AUTO_FREE char *log = str_printf("%s/log", w->dir);
	w->log_fd = open(log, O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0600);
	assert_true(w->log_fd >= 0);
	log_init(w->log_fd, LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
	assert_int_equal(loop_create(&w->loop, &err), 0);
	w->list.loop = w->loop;
	*state = w;
	return 0;
}

static int end(void **state)
{
	struct world *w = *state;
	struct err err = ERR_INIT;

	hooks_close(&w->list);
	loop_destroy(w->loop);
	log_init(STDERR_FILENO, LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
	own_close(&w->log_fd);
	assert_int_equal(path_remove_tree(AT_FDCWD, w->dir, &err), 0);
	free(w);
	return 0;
}

static void on_end(void *arg, const struct err *why)
{
	struct world *w = arg;

	w->answers++;
	w->last = *why;
}

/* The text of a file in the world; "" when there is none. */
static char *file_text(const struct world *w, const char *name)
{
	AUTO_FREE char *path = str_printf("%s/%s", w->dir, name);
	char *text = NULL;
	size_t len = 0;
	struct err err = ERR_INIT;

	return path_read(AT_FDCWD, path, 1 << 20, &text, &len, &err) ? strdup("") : text;
}

static struct oci_spec *spec_of(const char *hooks)
{
	AUTO_FREE char *text = str_printf("%s%s}", HEAD, hooks);
	struct oci_spec *spec = NULL;
	struct err err = ERR_INIT;

	if (oci_parse(text, strlen(text), "config.json", &spec, &err))
		fail_msg("%s", err.text);
	return spec;
}

static void run_until_end(struct world *w, const struct oci_spec *spec, enum hooks_moment moment)
{
	const struct hooks_subject s = {.spec = spec, .id = "c1", .bundle = w->dir, .pid = 4711};
	struct err err = ERR_INIT;

	w->answers = 0;
	hooks_run(&w->list, &s, moment, on_end, w);
	const time_t deadline = time(NULL) + 20;

	while (!w->answers && time(NULL) < deadline)
		assert_int_equal(loop_step(w->loop, 100, &err), 0);
	assert_int_equal(w->answers, 1);
	assert_null(w->list.first);
}

/* A hook that runs a line of shell in the bundle. */
#define SH(script) "{\"path\":\"/bin/sh\",\"args\":[\"sh\",\"-c\",\"" script "\"]}"
#define SH_TIMEOUT(script)                                                                         \
	"{\"path\":\"/bin/sh\",\"args\":[\"sh\",\"-c\",\"" script "\"],\"timeout\":1}"

static void test_order(void **state)
{
	static const struct {
		const char *name;
		enum hooks_moment moment;
		const char *marks;
	} cases[] = {
		{"create", HOOKS_CREATE, "1\n2\n3\n4\n"},
		{"poststart", HOOKS_POSTSTART, "6\n"},
		{"poststop", HOOKS_POSTSTOP, "7\n"},
	};
	struct world *w = *state;
	CLEANUP(own_oci_spec_destroy)
	struct oci_spec *spec =
		spec_of("{\"poststop\":[" SH("echo 7 >>marks") "],\"poststart\":[" SH(
			"echo 6 >>marks") "],"
					  "\"startContainer\":[" SH(
						  "echo 5 >>marks") "],"
								    "\"createContainer\":[" SH(
									    "echo 4 >>marks") "],"
											      "\"cr"
											      "eate"
											      "Runt"
											      "ime"
											      "\":"
											      "[" SH("sleep 0.2; echo 2 >>marks") "," SH(
												      "echo 3 >>marks") "],"
															"\"prestart\":[" SH(
																"echo 1 >>marks") "]}");

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		AUTO_FREE char *path = str_printf("%s/marks", w->dir);

		(void)unlink(path);
		run_until_end(w, spec, cases[i].moment);
		AUTO_FREE char *marks = file_text(w, "marks");
		if (w->last.code || strcmp(marks, cases[i].marks) != 0)
			fail_msg("%s: %s, %s", cases[i].name, marks, w->last.text);
	}
}

static void test_nothing_to_run(void **state)
{
	struct world *w = *state;

	run_until_end(w, NULL, HOOKS_CREATE);
	assert_int_equal(w->last.code, 0);
}

static void test_state_on_stdin(void **state)
{
	static const struct {
		const char *kind;
		enum hooks_moment moment;
		const char *status;
	} cases[] = {
		{"prestart", HOOKS_CREATE, "creating"},
		{"createContainer", HOOKS_CREATE, "creating"},
		{"poststart", HOOKS_POSTSTART, "running"},
		{"poststop", HOOKS_POSTSTOP, "stopped"},
	};
	struct world *w = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		AUTO_FREE char *hooks =
			str_printf("{\"%s\":[" SH("cat >state") "]}", cases[i].kind);
		CLEANUP(own_oci_spec_destroy) struct oci_spec *spec = spec_of(hooks);
		AUTO_FREE char *expected = str_printf(
			"{\"ociVersion\":\"1.2.0\",\"id\":\"c1\",\"status\":\"%s\",\"pid\":4711,"
			"\"bundle\":\"%s\",\"annotations\":{\"k\":\"v\"}}",
			cases[i].status, w->dir);

		run_until_end(w, spec, cases[i].moment);
		AUTO_FREE char *seen = file_text(w, "state");
		assert_string_equal(seen, expected);
	}
}

static void test_args_and_env_are_exact(void **state)
{
	static const char see[] = "#!/bin/sh\n"
				  "tr '\\0' '|' </proc/$$/cmdline >args\n"
				  "tr '\\0' '|' </proc/$$/environ >env\n"
				  "pwd >cwd\n";
	struct world *w = *state;
	AUTO_FREE char *script = str_printf("%s/see", w->dir);
	AUTO_FREE char *cwd_expected = str_printf("%s\n", w->dir);
	AUTO_FREE char *by_path = str_printf("{\"prestart\":[{\"path\":\"%s\"}]}", script);
	AUTO_FREE char *args_of_path = str_printf("/bin/sh|%s|", script);
	const struct {
		const char *name, *hooks, *args, *env;
	} cases[] = {
		{"given",
		 "{\"prestart\":[{\"path\":\"/bin/sh\",\"args\":[\"zero\",\"-c\",\". ./see\","
		 "\"a b\",\"\"],\"env\":[\"X=1\",\"Y=a b\"]}]}",
		 "zero|-c|. ./see|a b||", "X=1|Y=a b|"},
		{"absent", by_path, args_of_path, ""},
	};
	struct err err = ERR_INIT;

	assert_int_equal(path_write_atomic(AT_FDCWD, script, see, sizeof(see) - 1, 0755, &err), 0);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		CLEANUP(own_oci_spec_destroy) struct oci_spec *spec = spec_of(cases[i].hooks);

		run_until_end(w, spec, HOOKS_CREATE);
		AUTO_FREE char *args = file_text(w, "args");
		AUTO_FREE char *env = file_text(w, "env");
		AUTO_FREE char *cwd = file_text(w, "cwd");
		if (strcmp(args, cases[i].args) != 0 || strcmp(env, cases[i].env) != 0)
			fail_msg("%s: %s, %s", cases[i].name, args, env);
		assert_string_equal(cwd, cwd_expected);
	}
}

static void test_failures(void **state)
{
	static const struct {
		const char *name, *hooks, *text;
		enum hooks_moment moment;
		int code;
	} cases[] = {
		{"good", "{\"createRuntime\":[" SH("exit 0") "]}", "", HOOKS_CREATE, 0},
		{"status and the first line",
		 "{\"createRuntime\":[" SH("true") "," SH(
			 "echo; echo no such bridge >&2; echo more >&2; exit 3") "]}",
		 "error running createRuntime hook #1: /bin/sh: exit status 3, stderr: no such "
		 "bridge",
		 HOOKS_CREATE, ECHILD},
		{"silent", "{\"prestart\":[" SH("exit 1") "]}",
		 "error running prestart hook #0: /bin/sh: exit status 1", HOOKS_CREATE, ECHILD},
		{"killed", "{\"poststart\":[" SH("kill -9 $$") "]}",
		 "error running poststart hook #0: /bin/sh: exit status 137", HOOKS_POSTSTART,
		 ECHILD},
		{"control bytes", "{\"prestart\":[" SH("printf '\\\\033[2Jx' >&2; exit 1") "]}",
		 "error running prestart hook #0: /bin/sh: exit status 1, stderr: ?[2Jx",
		 HOOKS_CREATE, ECHILD},
		{"no such program", "{\"createContainer\":[{\"path\":\"/nonexistent/h\"}]}",
		 "error running createContainer hook #0: start '/nonexistent/h': No such file or "
		 "directory",
		 HOOKS_CREATE, ENOENT},
		{"too slow", "{\"createRuntime\":[" SH_TIMEOUT("sleep 60 & sleep 61") "]}",
		 "error running createRuntime hook #0: /bin/sh: not done within 1 s, killed",
		 HOOKS_CREATE, ETIMEDOUT},
		{"after the end it is a warning", "{\"poststop\":[" SH("exit 1") "]}", "",
		 HOOKS_POSTSTOP, 0},
	};
	struct world *w = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		CLEANUP(own_oci_spec_destroy) struct oci_spec *spec = spec_of(cases[i].hooks);

		run_until_end(w, spec, cases[i].moment);
		if (w->last.code != cases[i].code || strcmp(w->last.text, cases[i].text) != 0)
			fail_msg("%s: %d, %s", cases[i].name, w->last.code, w->last.text);
	}
	AUTO_FREE char *log = file_text(w, "log");
	assert_non_null(strstr(log, "error running poststop hook #0: /bin/sh: exit status 1"));
}

static void test_a_failure_ends_create_but_not_poststop(void **state)
{
	struct world *w = *state;
	CLEANUP(own_oci_spec_destroy)
	struct oci_spec *spec = spec_of("{\"createRuntime\":[" SH("exit 1") "," SH(
		"echo late >>marks") "],"
				     "\"poststop\":[" SH("exit 1") "," SH(
					     "echo done >>marks") "]}");

	run_until_end(w, spec, HOOKS_CREATE);
	run_until_end(w, spec, HOOKS_POSTSTOP);
	AUTO_FREE char *marks = file_text(w, "marks");
	assert_string_equal(marks, "done\n");
}

/* The timeout is for the whole group. */
static void test_timeout_kills_the_group(void **state)
{
	struct world *w = *state;
	CLEANUP(own_oci_spec_destroy)
	struct oci_spec *spec = spec_of(
		"{\"prestart\":[" SH_TIMEOUT("sh -c 'sleep 2; echo alive >marks' & wait") "]}");
	struct err err = ERR_INIT;

	run_until_end(w, spec, HOOKS_CREATE);
	assert_int_equal(w->last.code, ETIMEDOUT);
	for (int i = 0; i < 13; i++)
		assert_int_equal(loop_step(w->loop, 100, &err), 0);
	AUTO_FREE char *marks = file_text(w, "marks");
	assert_string_equal(marks, "");
}

static void test_bad_manners(void **state)
{
	static const struct {
		const char *name, *script;
	} cases[] = {
		{"a child that holds the output open", "sleep 60 & echo $! >child"},
		{"a child that writes for ever", "yes & echo $! >child"},
		{"standard input is not read", "exec <&-; sleep 0.1"},
		{"much output",
		 "i=0; while [ $i -lt 3000 ]; do echo $i 0123456789012345678901234567; "
		 "i=$((i+1)); done"},
		{"output closed", "exec >&- 2>&-; sleep 0.1"},
	};
	struct world *w = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		AUTO_FREE char *hooks = str_printf("{\"prestart\":[{\"path\":\"/bin/sh\",\"args\":["
						   "\"sh\",\"-c\",\"%s\"]}]}",
						   cases[i].script);
		CLEANUP(own_oci_spec_destroy) struct oci_spec *spec = spec_of(hooks);

		run_until_end(w, spec, HOOKS_CREATE);
		if (w->last.code)
			fail_msg("%s: %s", cases[i].name, w->last.text);
		AUTO_FREE char *child = file_text(w, "child");
		if (*child)
			(void)kill((pid_t)strtol(child, NULL, 10), SIGKILL);
	}
	AUTO_FREE char *log = file_text(w, "log");
	assert_true(strlen(log) < 16384);
	assert_non_null(strstr(log, "the rest is left out"));
}

static void test_close_ends_a_row(void **state)
{
	struct world *w = *state;
	CLEANUP(own_oci_spec_destroy)
	struct oci_spec *spec =
		spec_of("{\"prestart\":[" SH("sleep 60") "," SH("echo x >marks") "]}");
	const struct hooks_subject s = {.spec = spec, .id = "c1", .bundle = w->dir};

	hooks_run(&w->list, &s, HOOKS_CREATE, on_end, w);
	assert_int_equal(w->answers, 0);
	hooks_close(&w->list);
	assert_int_equal(w->answers, 1);
	assert_int_equal(w->last.code, ECANCELED);
	hooks_run(&w->list, &s, HOOKS_CREATE, on_end, w);
	assert_int_equal(w->answers, 2);
	assert_int_equal(w->last.code, ECANCELED);
}

static void test_poststop_of_bundle(void **state)
{
	struct world *w = *state;
	AUTO_FREE char *path = str_printf("%s/config.json", w->dir);
	const char *text = HEAD "{\"poststop\":[" SH("cat >state") "]}}";
	struct err err = ERR_INIT;

	hooks_poststop_of_bundle("c1", w->dir);
	assert_int_equal(path_write_atomic(AT_FDCWD, path, text, strlen(text), 0600, &err), 0);
	hooks_poststop_of_bundle("c1", w->dir);
	AUTO_FREE char *seen = file_text(w, "state");
	assert_non_null(strstr(seen, "\"status\":\"stopped\",\"bundle\""));
	AUTO_FREE char *log = file_text(w, "log");
	assert_non_null(strstr(log, "poststop hooks are not run"));
}

#define WITH_WORLD(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_WORLD(test_order),
		WITH_WORLD(test_nothing_to_run),
		WITH_WORLD(test_state_on_stdin),
		WITH_WORLD(test_args_and_env_are_exact),
		WITH_WORLD(test_failures),
		WITH_WORLD(test_a_failure_ends_create_but_not_poststop),
		WITH_WORLD(test_timeout_kills_the_group),
		WITH_WORLD(test_bad_manners),
		WITH_WORLD(test_close_ends_a_row),
		WITH_WORLD(test_poststop_of_bundle),
	};

	(void)signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
