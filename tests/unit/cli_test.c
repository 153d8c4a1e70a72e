/* The command lines of both faces: options by table, signal names, and small texts that are parsed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>

#include "base/own.h"
#include "runtime/console_ring.h"
#include "runtime/flags.h"
#include "runtime/procid.h"
#include "runtime/rootfs_mount.h"
#include "runtime/signal_names.h"

static void test_flags(void **state)
{
	static const struct {
		const char *name;
		const char *argv[6];
		int rc;
		const char *bundle;
		bool force;
		int next;
	} cases[] = {
		{"nothing", {"verb"}, 0, "", false, 1},
		{"long", {"verb", "--bundle", "b", "id"}, 0, "b", false, 3},
		{"long with equals", {"verb", "--bundle=b", "id"}, 0, "b", false, 2},
		{"short", {"verb", "-b", "b", "-f", "id"}, 0, "b", true, 4},
		{"Go's single dash", {"verb", "-bundle", "b", "-force", "id"}, 0, "b", true, 4},
		{"the last one counts", {"verb", "-b", "x", "-b=y"}, 0, "y", false, 4},
		{"flag is true", {"verb", "--force=true"}, 0, "", true, 2},
		{"flag is false", {"verb", "-f", "--force=false"}, 0, "", false, 3},
		{"flag is neither", {"verb", "--force=maybe"}, -EINVAL, "", false, 7},
		{"value missing", {"verb", "--bundle"}, -EINVAL, "", false, 7},
		{"unknown", {"verb", "--bundles", "b"}, -EINVAL, "", false, 7},
		{"prefix only", {"verb", "--bund", "b"}, -EINVAL, "", false, 7},
		{"ends at two dashes", {"verb", "-f", "--", "-b"}, 0, "", true, 3},
		{"ends at a word", {"verb", "id", "-f"}, 0, "", false, 1},
		{"a dash is a word", {"verb", "-", "-f"}, 0, "", false, 1},
		{"ignored ones are read", {"verb", "--old", "x", "--older", "id"}, 0, "", false, 4},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const char *bundle = "";
		bool force = false;
		int argc = 0, next = 7;
		struct err err = ERR_INIT;
		const struct flag_def defs[] = {
			{"bundle", 'b', FLAG_STRING, &bundle, NULL, NULL},
			{"force", 'f', FLAG_BOOL, &force, NULL, NULL},
			{"old", 0, FLAG_IGNORED_STRING, NULL, NULL, NULL},
			{"older", 0, FLAG_IGNORED_BOOL, NULL, NULL, NULL},
			{NULL, 0, FLAG_BOOL, NULL, NULL, NULL},
		};

		while (argc < 6 && cases[i].argv[argc])
			argc++;
		int rc = flags_parse(argc, (char *const *)(uintptr_t)cases[i].argv, defs, &next,
				     &err);
		if (rc != cases[i].rc || strcmp(bundle, cases[i].bundle) != 0 ||
		    force != cases[i].force || next != cases[i].next)
			fail_msg("%s: rc %d bundle '%s' force %d next %d (%s)", cases[i].name, rc,
				 bundle, force, next, err.text);
	}
}

static void test_signal_names(void **state)
{
	static const struct {
		const char *word;
		int rc;
		uint32_t signo;
	} cases[] = {
		{"TERM", 0, SIGTERM},
		{"SIGTERM", 0, SIGTERM},
		{"sigkill", 0, SIGKILL},
		{"9", 0, 9},
		{"64", 0, 64},
		{"65", -EINVAL, 7},
		{"0", -EINVAL, 7},
		{"-9", -EINVAL, 7},
		{"", -EINVAL, 7},
		{"SIG", -EINVAL, 7},
		{"TERMX", -EINVAL, 7},
		{"RTMIN", 0, 34},
		{"SIGRTMIN+3", 0, 37},
		{"RTMAX-1", 0, 63},
		{"RTMIN+99", -EINVAL, 7},
		{"RTMIN3", -EINVAL, 7},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint32_t signo = 7;
		struct err err = ERR_INIT;

		if (signal_by_name(cases[i].word, &signo, &err) != cases[i].rc ||
		    signo != cases[i].signo)
			fail_msg("'%s' gave %u (%s)", cases[i].word, signo, err.text);
	}
}

#define FIELDS_4_TO_21 " 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18"

static void test_proc_stat(void **state)
{
	static const struct {
		const char *text;
		int rc;
		uint64_t ticks;
	} cases[] = {
		{"12 (sh) S" FIELDS_4_TO_21 " 4242 9 9\n", 0, 4242},
		{"12 (a) b) (c) S" FIELDS_4_TO_21 " 17 9\n", 0, 17},
		{"12 (sh) S" FIELDS_4_TO_21 " 18446744073709551615\n", 0, UINT64_MAX},
		{"12 (sh) S" FIELDS_4_TO_21 " 18446744073709551616\n", -EINVAL, 7},
		{"12 (sh) S" FIELDS_4_TO_21 " x\n", -EINVAL, 7},
		{"12 (sh) S" FIELDS_4_TO_21 "\n", -EINVAL, 7},
		{"12 (sh", -EINVAL, 7},
		{"12 (sh)", -EINVAL, 7},
		{"", -EINVAL, 7},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint64_t ticks = 7;

		if (procid_parse_stat(cases[i].text, &ticks) != cases[i].rc ||
		    ticks != cases[i].ticks)
			fail_msg("case %zu", i);
	}
}

/* A number that was given to another process names nobody. */
static void test_procid_of_another(void **state)
{
	struct procid self = {0};
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(procid_of(getpid(), &self, &err), 0);
	AUTO_FD int fd = procid_open(&self);
	assert_true(fd >= 0);
	self.start_ticks++;
	assert_int_equal(procid_open(&self), -ESRCH);
	/* ... and is not killed: we are still here to say so. */
	assert_int_equal(procid_kill(&self, 10), 0);
	assert_int_equal(procid_open(&(struct procid){.pid = -1}), -ESRCH);
}

static void test_mount_words(void **state)
{
	static const struct {
		const char *options[6];
		int rc;
		unsigned long flags;
		const char *data;
	} cases[] = {
		{{NULL}, 0, 0, ""},
		{{"ro", "nosuid"}, 0, MS_RDONLY | MS_NOSUID, ""},
		{{"ro", "rw"}, 0, 0, ""},
		{{"rbind", "rprivate"}, 0, MS_BIND | MS_REC, ""},
		{{"index=off", "ro", "lowerdir=/a:/b"}, 0, MS_RDONLY, "index=off,lowerdir=/a:/b"},
		{{"loop"}, -ENOTSUP, 7, NULL},
		{{"X-containerd.mkdir.path=/x"}, -ENOTSUP, 7, NULL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct mount_words w = {.flags = 7};
		struct err err = ERR_INIT;
		size_t n = 0;

		while (cases[i].options[n])
			n++;
		assert_int_equal(mount_words_parse(cases[i].options, n, &w, &err), cases[i].rc);
		assert_int_equal(w.flags, cases[i].flags);
		if (cases[i].data)
			assert_string_equal(w.data, cases[i].data);
		free(w.data);
	}
}

static void feed(struct console_ring *ring, const char *text)
{
	console_ring_feed(ring, text, strlen(text));
}

static void test_console_ring(void **state)
{
	struct console_ring *ring = calloc(1, sizeof(*ring));
	char quote[200], small[12];

	(void)state;
	assert_non_null(ring);
	console_ring_quote(ring, quote, sizeof(quote));
	assert_string_equal(quote, "");
	feed(ring, "one\r\n\ntw");
	feed(ring, "o\x1b[31m\xff\nthr");
	console_ring_quote(ring, quote, sizeof(quote));
	assert_string_equal(quote, "one | two?[31m? | thr");
	console_ring_quote(ring, small, sizeof(small));
	assert_string_equal(small, "thr");
	for (int i = 0; i < 10; i++)
		feed(ring, "0123456789abcdef0123456789abcdef0123456789abcdef");
	feed(ring, "\n");
	/* Longer lines are cut, not broken into several. */
	assert_int_equal(strlen(console_ring_line(ring, 2)), CONSOLE_LINE_BYTES - 1);
	for (int i = 0; i < CONSOLE_LINES; i++)
		feed(ring, "last\n");
	assert_string_equal(console_ring_line(ring, 0), "last");
	assert_string_equal(console_ring_line(ring, CONSOLE_LINES - 1), "last");
	assert_null(console_ring_line(ring, CONSOLE_LINES));
	free(ring);
}

/* What a panic was about is told, however long its trace is. */
static void test_console_panic(void **state)
{
	struct console_ring *ring = calloc(1, sizeof(*ring));
	char quote[62], small[20];

	(void)state;
	assert_non_null(ring);
	feed(ring, "Kernel panic - of x\n");
	console_ring_quote(ring, quote, sizeof(quote));
	assert_string_equal(quote, "Kernel panic - of x");
	for (int i = 0; i < 2 * CONSOLE_LINES; i++)
		feed(ring, "trace\n");
	feed(ring, "end Kernel panic - of x\nlast\n");
	console_ring_quote(ring, quote, sizeof(quote));
	assert_string_equal(quote, "Kernel panic - of x | ... | end Kernel panic - of x | last");
	/* Where there is no room for it, the newest lines have it. */
	console_ring_quote(ring, small, sizeof(small));
	assert_string_equal(small, "last");
	free(ring);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_flags),         cmocka_unit_test(test_signal_names),
		cmocka_unit_test(test_proc_stat),     cmocka_unit_test(test_procid_of_another),
		cmocka_unit_test(test_mount_words),   cmocka_unit_test(test_console_ring),
		cmocka_unit_test(test_console_panic),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
