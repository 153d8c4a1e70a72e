/* The door of the agent's streams and the relay behind it, on socket pairs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent/relay.h"
#include "agent/stream_door.h"
#include "base/fd.h"
#include "base/loop.h"
#include "base/own.h"

static struct loop *loop_of(void **state)
{
	return *state;
}

static void turn(struct loop *loop)
{
	struct err err = ERR_INIT;

	for (int i = 0; i < 8; i++)
		assert_int_equal(loop_step(loop, 1, &err), 0);
}

static int setup(void **state)
{
	struct loop *loop = NULL;
	struct err err = ERR_INIT;
	int ret = loop_create(&loop, &err);

	(void)signal(SIGPIPE, SIG_IGN);
	*state = loop;
	return ret;
}

static int teardown(void **state)
{
	loop_destroy(*state);
	return 0;
}

/* --- the door ----------------------------------------------------------------------------------------------------- */

struct place {
	struct sockaddr_un at;
	socklen_t len;
};

static struct stream_door *open_door(struct loop *loop, bool host_only, struct place *place)
{
	struct stream_door *door = NULL;
	struct err err = ERR_INIT;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	/* An abstract name that the kernel makes up. */
	place->at = (struct sockaddr_un){.sun_family = AF_UNIX};
	assert_int_equal(bind(fd, (struct sockaddr *)&place->at, sizeof(sa_family_t)), 0);
	place->len = sizeof(place->at);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&place->at, &place->len), 0);
	assert_int_equal(listen(fd, 128), 0);
	assert_int_equal(stream_door_create(loop, fd, host_only, &door, &err), 0);
	return door;
}

static int visit(const struct place *place)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(connect(fd, (const struct sockaddr *)&place->at, place->len), 0);
	return fd;
}

static void on_arrived(void *arg, int fd)
{
	*(int *)arg = fd;
}

static bool was_closed(int fd)
{
	char byte;

	return recv(fd, &byte, 1, MSG_DONTWAIT) == 0;
}

#define TOKEN "0123456789abcdef0123456789abcdef"

static void test_tokens(void **state)
{
	static const struct {
		const char *name;
		const char *pieces[4];
		bool host_only, in, closed;
	} cases[] = {
		{"whole", {TOKEN}, false, true, false},
		{"in pieces", {"0", "123456789abcdef012345678", "9abcdef"}, false, true, false},
		{"with data behind", {TOKEN "data"}, false, true, false},
		{"first byte wrong", {"X123456789abcdef0123456789abcdef"}, false, false, true},
		{"last byte wrong", {"0123456789abcdef0123456789abcdeX"}, false, false, true},
		{"short", {"0123456789abcdef0123456789abcde"}, false, false, false},
		{"nothing", {NULL}, false, false, false},
		{"not from the host", {TOKEN}, true, false, true},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct place place;
		struct stream_door *door = open_door(loop_of(state), cases[i].host_only, &place);
		struct stream_ticket *ticket;
		struct err err = ERR_INIT;
		int arrived = -1, fd = visit(&place);

		assert_int_equal(stream_door_expect(door, (const uint8_t *)TOKEN, on_arrived,
						    &arrived, &ticket, &err),
				 0);
		turn(loop_of(state));
		for (size_t j = 0; j < 4 && cases[i].pieces[j]; j++) {
			size_t len = strlen(cases[i].pieces[j]);

			if (write(fd, cases[i].pieces[j], len) < 0)
				assert_int_equal(errno, EPIPE);
			turn(loop_of(state));
		}
		if ((arrived >= 0) != cases[i].in || was_closed(fd) != cases[i].closed)
			fail_msg("token case: %s", cases[i].name);
		(void)close(fd);
		turn(loop_of(state));
		own_close(&arrived);
		stream_door_destroy(door);
	}
}

static void test_token_once(void **state)
{
	struct place place;
	struct stream_door *door = open_door(loop_of(state), false, &place);
	struct stream_ticket *ticket, *second;
	struct err err = ERR_INIT;
	int arrived = -1, first = visit(&place), again = visit(&place);

	assert_int_equal(stream_door_expect(door, (const uint8_t *)TOKEN, on_arrived, &arrived,
					    &ticket, &err),
			 0);
	assert_int_equal(stream_door_expect(door, (const uint8_t *)TOKEN, on_arrived, &arrived,
					    &second, &err),
			 -EEXIST);
	assert_int_equal(write(first, TOKEN, 32), 32);
	turn(loop_of(state));
	assert_true(arrived >= 0);
	own_close(&arrived);
	assert_int_equal(write(again, TOKEN, 32), 32);
	turn(loop_of(state));
	assert_int_equal(arrived, -1);
	assert_true(was_closed(again));
	(void)close(first);
	(void)close(again);
	stream_door_destroy(door);
}

static void test_crowd(void **state)
{
	struct place place;
	struct stream_door *door = open_door(loop_of(state), false, &place);
	int fds[80], closed = 0;

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		fds[i] = visit(&place);
	for (int i = 0; i < 20; i++)
		turn(loop_of(state));
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		closed += was_closed(fds[i]);
	assert_int_equal(closed, 80 - 64);
	stream_door_destroy(door);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		(void)close(fds[i]);
}

/* --- the relay ---------------------------------------------------------------------------------------------------- */

struct ends {
	struct relay *relay;
	int from, to; /* the test's */
	int ended;
};

static void on_end(void *arg)
{
	((struct ends *)arg)->ended++;
}

static void open_relay(struct loop *loop, struct ends *e, enum relay_loss on_loss, bool nowhere)
{
	struct relay_params params = {
		.loop = loop, .on_loss = on_loss, .on_end = on_end, .arg = e, .to_fd = -1};
	struct err err = ERR_INIT;
	int in[2], out[2];

	*e = (struct ends){.from = -1, .to = -1};
	assert_int_equal(pipe2(in, O_CLOEXEC | O_NONBLOCK), 0);
	params.from_fd = in[0];
	e->from = in[1];
	if (!nowhere) {
		assert_int_equal(
			socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, out), 0);
		params.to_fd = out[0];
		e->to = out[1];
	}
	assert_int_equal(relay_create(&params, &e->relay, &err), 0);
}

static void close_relay(struct ends *e)
{
	relay_destroy(e->relay);
	own_close(&e->from);
	own_close(&e->to);
}

/* Writes as much as is taken. */
static size_t flood(struct loop *loop, struct ends *e)
{
	static const char block[4096] = {'x'};
	size_t sum = 0;

	for (int idle = 0; idle < 3;) {
		ssize_t n = write(e->from, block, sizeof(block));

		idle = n > 0 ? 0 : idle + 1;
		sum += n > 0 ? (size_t)n : 0;
		turn(loop);
	}
	return sum;
}

static size_t drain(struct loop *loop, int fd)
{
	char block[65536];
	size_t sum = 0;
	ssize_t n;

	do {
		turn(loop);
		n = read(fd, block, sizeof(block));
		sum += n > 0 ? (size_t)n : 0;
	} while (n > 0);
	return sum;
}

static void test_half_close(void **state)
{
	struct ends e;
	char got[8];

	open_relay(loop_of(state), &e, RELAY_DRAINS, false);
	assert_int_equal(write(e.from, "last", 4), 4);
	own_close(&e.from);
	turn(loop_of(state));
	assert_int_equal(e.ended, 1);
	assert_int_equal(read(e.to, got, sizeof(got)), 4);
	assert_int_equal(read(e.to, got, sizeof(got)), 0);
	close_relay(&e);
}

static void test_back_pressure(void **state)
{
	struct ends e;
	size_t sent;

	open_relay(loop_of(state), &e, RELAY_DRAINS, false);
	sent = flood(loop_of(state), &e);
	/* A pipe, a buffer, a socket: not more, and nothing is lost. */
	assert_true(sent < 1u << 20);
	own_close(&e.from);
	assert_int_equal(drain(loop_of(state), e.to), sent);
	assert_int_equal(e.ended, 1);
	close_relay(&e);
}

static void test_loss(void **state)
{
	struct ends e;

	open_relay(loop_of(state), &e, RELAY_DRAINS, false);
	own_close(&e.to);
	for (int i = 0; i < 100; i++) {
		assert_int_equal(write(e.from, "x", 1), 1);
		turn(loop_of(state));
	}
	assert_int_equal(e.ended, 0);
	own_close(&e.from);
	turn(loop_of(state));
	assert_int_equal(e.ended, 1);
	close_relay(&e);

	open_relay(loop_of(state), &e, RELAY_ENDS, false);
	own_close(&e.to);
	assert_int_equal(write(e.from, "x", 1), 1);
	turn(loop_of(state));
	assert_int_equal(e.ended, 1);
	assert_int_equal(write(e.from, "x", 1), -1);
	close_relay(&e);
}

/* The host goes while it is waited for, and the process has more than one turn's worth to say. */
static void test_loss_in_a_flood(void **state)
{
	struct ends e;

	open_relay(loop_of(state), &e, RELAY_DRAINS, false);
	assert_true(fcntl(e.from, F_SETPIPE_SZ, 1 << 20) >= 1 << 20);
	assert_true(flood(loop_of(state), &e) > 1u << 20);
	own_close(&e.to);
	turn(loop_of(state));
	assert_int_equal(e.ended, 0);
	assert_int_equal(write(e.from, "x", 1), 1);
	own_close(&e.from);
	turn(loop_of(state));
	assert_int_equal(e.ended, 1);
	close_relay(&e);
}

static void test_nowhere(void **state)
{
	struct ends e;

	open_relay(loop_of(state), &e, RELAY_DRAINS, true);
	for (int i = 0; i < 100; i++) {
		assert_int_equal(write(e.from, "x", 1), 1);
		turn(loop_of(state));
	}
	own_close(&e.from);
	turn(loop_of(state));
	assert_int_equal(e.ended, 1);
	close_relay(&e);
}

/* A writer that lives on: what is there is delivered, the rest is not waited for. */
static void test_last_call(void **state)
{
	struct ends e;
	char got[8];
	size_t sent, received;

	open_relay(loop_of(state), &e, RELAY_DRAINS, false);
	assert_int_equal(write(e.from, "now", 3), 3);
	relay_finish(e.relay);
	assert_int_equal(e.ended, 1);
	assert_int_equal(read(e.to, got, sizeof(got)), 3);
	assert_int_equal(read(e.to, got, sizeof(got)), 0);
	close_relay(&e);

	/* ... and one that never stops writing is cut off (more fits into a pipe for root only). */
	open_relay(loop_of(state), &e, RELAY_DRAINS, false);
	if (fcntl(e.from, F_SETPIPE_SZ, 4 << 20) > 0) {
		sent = flood(loop_of(state), &e);
		assert_true(sent > 4u << 20);
		relay_finish(e.relay);
		received = drain(loop_of(state), e.to);
		assert_int_equal(e.ended, 1);
		assert_true(received > 1u << 20 && received < 2u << 20);
	}
	close_relay(&e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_tokens, setup, teardown),
		cmocka_unit_test_setup_teardown(test_token_once, setup, teardown),
		cmocka_unit_test_setup_teardown(test_crowd, setup, teardown),
		cmocka_unit_test_setup_teardown(test_half_close, setup, teardown),
		cmocka_unit_test_setup_teardown(test_back_pressure, setup, teardown),
		cmocka_unit_test_setup_teardown(test_loss, setup, teardown),
		cmocka_unit_test_setup_teardown(test_loss_in_a_flood, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nowhere, setup, teardown),
		cmocka_unit_test_setup_teardown(test_last_call, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
