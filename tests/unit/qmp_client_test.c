/* The monitor's QMP client against a peer that is played here: the good one's script, and what a bad one could say instead. */
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
#include <unistd.h>

#include "base/fd.h"
#include "base/loop.h"
#include "base/own.h"
#include "base/str.h"
#include "runtime/qmp_client.h"

#define GREETING "{\"QMP\": {\"version\": {}, \"capabilities\": []}}\r\n"
#define AGREED   "{\"return\": {}, \"id\": 0}\r\n"

struct world {
	struct loop *loop;
	struct qmp_client *c;
	int peer;
	char said[4096]; /* by the client */
	int fd;          /* that came along, -1 */
	char story
		[128]; /* what the client told us: "+code" for an answer, "e:NAME" for an event, "x" for the end */
	struct err last; /* of the last answer or the end */
	int value;       /* of the last result */
};

static void tell(struct world *w, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void tell(struct world *w, const char *fmt, ...)
{
	size_t n = strlen(w->story);
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(w->story + n, sizeof(w->story) - n, fmt, args);
	va_end(args);
}

static void on_event(void *arg, const char *name, struct json_object *data)
{
	struct world *w = arg;
	struct json_object *v = NULL;

	tell(w, "e:%s ", name);
	if (data && json_object_object_get_ex(data, "n", &v))
		w->value = json_object_get_int(v);
}

static void on_close(void *arg, const struct err *why)
{
	struct world *w = arg;

	w->last = *why;
	tell(w, "x ");
}

static void on_reply(void *arg, const struct err *status, struct json_object *result)
{
	struct world *w = arg;
	struct json_object *v = NULL;

	w->last = *status;
	tell(w, "+%d ", status->code);
	if (result && json_object_object_get_ex(result, "n", &v))
		w->value = json_object_get_int(v);
}

static void turn(struct world *w)
{
	struct err err = ERR_INIT;

	for (int i = 0; i < 8; i++)
		assert_int_equal(loop_step(w->loop, 0, &err), 0);
}

static void say(struct world *w, const char *text)
{
	assert_int_equal(fd_write_full(w->peer, text, strlen(text)), 0);
	turn(w);
}

static void listen_in(struct world *w)
{
	char bytes[1024];
	size_t n = 1, used = strlen(w->said);
	int fd = -1;
	ssize_t got;

	while ((got = fd_recv(w->peer, bytes, sizeof(bytes), &fd, &n)) > 0) {
		assert_true(used + (size_t)got < sizeof(w->said));
		memcpy(w->said + used, bytes, (size_t)got);
		used += (size_t)got;
		w->said[used] = '\0';
		if (n == 1)
			w->fd = fd;
		n = 1;
	}
}

static int begin_with(void **state, uint32_t greeting_timeout_ms)
{
	struct world *w = calloc(1, sizeof(*w));
	struct err err = ERR_INIT;
	int fds[2];

	assert_non_null(w);
	w->fd = -1;
	assert_int_equal(loop_create(&w->loop, &err), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	assert_int_equal(fd_set_nonblock(fds[1], true), 0);
	w->peer = fds[1];
	const struct qmp_client_params p = {.loop = w->loop,
					    .fd = fds[0],
					    .greeting_timeout_ms = greeting_timeout_ms,
					    .on_event = on_event,
					    .on_close = on_close,
					    .arg = w};
	assert_int_equal(qmp_client_create(&p, &w->c, &err), 0);
	*state = w;
	return 0;
}

static int begin(void **state)
{
	return begin_with(state, 0);
}

static int end(void **state)
{
	struct world *w = *state;

	qmp_client_destroy(w->c);
	loop_destroy(w->loop);
	own_close(&w->peer);
	own_close(&w->fd);
	free(w);
	return 0;
}

static void test_order(void **state)
{
	struct world *w = *state;

	qmp_client_call(w->c, "query-status", NULL, -1, 0, on_reply, w);
	turn(w);
	listen_in(w);
	assert_string_equal(w->said, "");
	say(w, GREETING);
	listen_in(w);
	assert_string_equal(w->said, "{\"execute\":\"qmp_capabilities\",\"id\":0}\n");
	w->said[0] = '\0';
	say(w, AGREED);
	listen_in(w);
	assert_string_equal(w->said, "{\"execute\":\"query-status\",\"id\":1}\n");
	say(w,
	    "{\"event\": \"STOP\", \"timestamp\": {}}\n{\"event\": \"E\", \"data\": {\"n\": 7}}\n");
	assert_int_equal(w->value, 7);
	say(w, "{\"return\": {\"n\": 5}, \"id\"");
	assert_string_equal(w->story, "e:STOP e:E ");
	say(w, ": 1}\r\n");
	assert_string_equal(w->story, "e:STOP e:E +0 ");
	assert_int_equal(w->value, 5);
}

static void negotiate(struct world *w)
{
	say(w, GREETING);
	say(w, AGREED);
	listen_in(w);
	w->said[0] = '\0';
}

static void test_errors(void **state)
{
	static const struct {
		const char *answer;
		int code;
		const char *words;
	} cases[] = {
		{"{\"error\": {\"class\": \"GenericError\", \"desc\": \"no\"}, \"id\": 1}\n", EIO,
		 "device_add: no"},
		{"{\"error\": {\"class\": \"CommandNotFound\", \"desc\": \"\"}, \"id\": 1}\n",
		 ENOSYS, "device_add: no reason given"},
		{"{\"error\": {\"class\": \"DeviceNotFound\"}, \"id\": 1}\n", ENODEV,
		 "device_add: no reason given"},
		{"{\"error\": 3, \"id\": 1}\n", EIO, "device_add: no reason given"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct world *w = NULL;

		(void)begin((void **)&w);
		negotiate(w);
		qmp_client_call(w->c, "device_add", json_object_new_object(), -1, 0, on_reply, w);
		say(w, cases[i].answer);
		assert_int_equal(w->last.code, cases[i].code);
		assert_string_equal(w->last.text, cases[i].words);
		(void)end((void **)&w);
	}
}

/* One case differs from the good talk in one line; each ends the connection, with the call answered first. */
static void test_broken_peer(void **state)
{
	static const struct {
		const char *name, *greeting, *agreed, *then, *story;
	} cases[] = {
		{"good", GREETING, AGREED, "{\"return\": {}, \"id\": 1}\n", "+0 "},
		{"no greeting", "{\"return\": {}}\n", NULL, NULL, "+71 x "},
		{"greets with an array", "[]\n", NULL, NULL, "+71 x "},
		{"event before the greeting", "{\"event\": \"E\"}\n", NULL, NULL, "+71 x "},
		{"not JSON", "hello\n", NULL, NULL, "+71 x "},
		{"two values in a line", GREETING, "{}{}\n", NULL, "+71 x "},
		{"refuses capabilities", GREETING, "{\"error\": {}, \"id\": 0}\n", NULL, "+5 x "},
		{"answers what was not sent", GREETING, "{\"return\": {}, \"id\": 1}\n", NULL,
		 "+71 x "},
		{"answers twice", GREETING, AGREED AGREED, NULL, "+71 x "},
		{"no id", GREETING, AGREED, "{\"return\": {}}\n", "+71 x "},
		{"id of text", GREETING, AGREED, "{\"return\": {}, \"id\": \"1\"}\n", "+71 x "},
		{"negative id", GREETING, AGREED, "{\"return\": {}, \"id\": -1}\n", "+71 x "},
		{"unknown id", GREETING, AGREED, "{\"return\": {}, \"id\": 2}\n", "+71 x "},
		{"deep", GREETING, AGREED,
		 "{\"event\":\"E\",\"data\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["
		 "[[[[["
		 "[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]"
		 "]]]]]]]"
		 "]]]]]]]]]}\n",
		 "+71 x "},
		{"data of no object", GREETING, AGREED,
		 "{\"event\":\"E\",\"data\":3}\n{\"return\":{},\"id\":1}\n", "e:E +0 "},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const char *lines[] = {cases[i].greeting, cases[i].agreed, cases[i].then};
		struct world *w = NULL;

		(void)begin((void **)&w);
		if (cases[i].agreed && cases[i].then) {
			say(w, lines[0]);
			say(w, lines[1]);
		}
		qmp_client_call(w->c, "stop", NULL, -1, 0, on_reply, w);
		for (size_t j = cases[i].then ? 2 : 0; j < ARRAY_SIZE(lines) && lines[j]; j++)
			say(w, lines[j]);
		if (strcmp(w->story, cases[i].story) != 0)
			fail_msg("%s: %s", cases[i].name, w->story);
		(void)end((void **)&w);
	}
}

static void test_endless_line(void **state)
{
	struct world *w = *state;
	char bytes[4096];
	size_t sent = 0;

	memset(bytes, ' ', sizeof(bytes));
	for (int i = 0; i < 64 && !*w->story; i++) {
		ssize_t n = send(w->peer, bytes, sizeof(bytes), MSG_DONTWAIT | MSG_NOSIGNAL);

		sent += n > 0 ? (size_t)n : 0;
		turn(w);
	}
	assert_string_equal(w->story, "x ");
	assert_int_equal(w->last.code, EPROTO);
	assert_true(sent <= QMP_LINE_MAX_BYTES + 2 * sizeof(bytes));
}

static void test_hangs_up(void **state)
{
	struct world *w = *state;

	negotiate(w);
	qmp_client_call(w->c, "stop", NULL, -1, 0, on_reply, w);
	own_close(&w->peer);
	turn(w);
	assert_string_equal(w->story, "+104 x ");
	qmp_client_call(w->c, "stop", NULL, -1, 0, on_reply, w);
	assert_string_equal(w->story, "+104 x +107 ");
}

/* Silence ends it too: the loop runs until the deadline, whenever that is. */
static void test_silence(void **state)
{
	struct err err = ERR_INIT;
	struct world *w = NULL;

	(void)state;
	(void)begin_with((void **)&w, 1);
	while (!*w->story)
		assert_int_equal(loop_step(w->loop, 5000, &err), 0);
	assert_string_equal(w->story, "x ");
	assert_string_equal(w->last.text, "the vmm did not greet in time");
	(void)end((void **)&w);

	(void)begin((void **)&w);
	negotiate(w);
	qmp_client_call(w->c, "cont", NULL, -1, 0, on_reply, w);
	qmp_client_call(w->c, "stop", NULL, -1, 1, on_reply, w);
	while (!*w->story)
		assert_int_equal(loop_step(w->loop, 5000, &err), 0);
	assert_string_equal(w->story, "+110 +110 x ");
	assert_string_equal(w->last.text, "the vmm did not answer stop in time");
	(void)end((void **)&w);
}

static void test_descriptor_goes_along(void **state)
{
	struct world *w = *state;
	struct json_object *arguments = json_object_new_object();
	struct stat sent, got;
	AUTO_FD int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	json_object_object_add(arguments, "fdname", json_object_new_string("disk"));
	qmp_client_call(w->c, "getfd", arguments, fd, 0, on_reply, w);
	assert_int_equal(fstat(fd, &sent), 0);
	own_close(&fd); /* it was lent for the call only */
	say(w, GREETING);
	say(w, AGREED);
	listen_in(w);
	assert_non_null(strstr(w->said,
			       "{\"execute\":\"getfd\",\"arguments\":{\"fdname\":\"disk\"},"
			       "\"id\":1}\n"));
	assert_true(w->fd >= 0);
	assert_int_equal(fstat(w->fd, &got), 0);
	assert_int_equal(got.st_rdev, sent.st_rdev);
}

/* A peer that does not read costs so many calls and no more, and never a wait. */
static void test_peer_does_not_read(void **state)
{
	struct world *w = *state;
	AUTO_FREE char *big = malloc(32768);
	int answered = 0;

	assert_non_null(big);
	memset(big, 'a', 32767);
	big[32767] = '\0';
	negotiate(w);
	for (int i = 0; i <= QMP_MAX_CALLS; i++) {
		struct json_object *arguments = json_object_new_object();

		json_object_object_add(arguments, "x", json_object_new_string(big));
		qmp_client_call(w->c, "x", arguments, -1, 0, on_reply, w);
		answered += *w->story != '\0';
	}
	assert_int_equal(answered, 1);
	assert_string_equal(w->story, "+16 ");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_order, begin, end),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_broken_peer),
		cmocka_unit_test_setup_teardown(test_endless_line, begin, end),
		cmocka_unit_test_setup_teardown(test_hangs_up, begin, end),
		cmocka_unit_test(test_silence),
		cmocka_unit_test_setup_teardown(test_descriptor_goes_along, begin, end),
		cmocka_unit_test_setup_teardown(test_peer_does_not_read, begin, end),
	};

	(void)signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests_name("qmp client", tests, NULL, NULL);
}
