/* A job runs beside its caller, is waited for, and its word comes back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>

#include "base/own.h"
#include "vmm/job.h"

#define PATIENCE_MS 20000 /* only a fault lasts that long */

struct work {
	int go_fd; /* -1: go on at once */
	int rc;
	bool done;
};

static int work(void *arg, struct err *err)
{
	struct work *w = arg;
	struct pollfd go = {.fd = w->go_fd, .events = POLLIN};

	if (w->go_fd >= 0 && poll(&go, 1, PATIENCE_MS) != 1)
		return err_say(err, ETIMEDOUT, "nobody let it go on");
	w->done = true;
	return w->rc < 0 ? err_say(err, -w->rc, "it went wrong") : 0;
}

static void test_results(void **state)
{
	static const struct {
		int rc;
		const char *text;
	} cases[] = {{0, ""}, {-EIO, "it went wrong"}};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct work w = {.go_fd = -1, .rc = cases[i].rc};
		struct err err = ERR_INIT;
		struct job *job = NULL;

		assert_int_equal(job_begin(work, &w, &job, &err), 0);
		assert_non_null(job);
		assert_int_equal(job_end(&job, &err), cases[i].rc);
		assert_string_equal(err.text, cases[i].text);
		assert_int_equal(err.code, -cases[i].rc);
		assert_true(w.done);
		assert_null(job);
	}
}

/* Only the caller lets the job go on, after begin has returned. */
static void test_runs_beside_the_caller(void **state)
{
	AUTO_FD int go_fd = eventfd(0, EFD_CLOEXEC);
	struct work w = {.go_fd = go_fd};
	struct job *job = NULL;

	(void)state;
	assert_int_equal(job_begin(work, &w, &job, NULL), 0);
	assert_int_equal(eventfd_write(go_fd, 1), 0);
	assert_int_equal(job_end(&job, NULL), 0);
	assert_true(w.done);
}

static void test_no_job_is_no_failure(void **state)
{
	struct job *job = NULL;

	(void)state;
	assert_int_equal(job_end(&job, NULL), 0);
}

static void test_failure_without_a_reader(void **state)
{
	struct work w = {.go_fd = -1, .rc = -ENOMEM};
	struct job *job = NULL;

	(void)state;
	assert_int_equal(job_begin(work, &w, &job, NULL), 0);
	assert_int_equal(job_end(&job, NULL), -ENOMEM);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_results),
		cmocka_unit_test(test_runs_beside_the_caller),
		cmocka_unit_test(test_no_job_is_no_failure),
		cmocka_unit_test(test_failure_without_a_reader),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
