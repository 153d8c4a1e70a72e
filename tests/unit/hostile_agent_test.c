/*
 * A guest whose agent is the attacker's. First the connection alone: what is sent, what the pending call hears, whether the
 * connection survives, what it may cost. Then a sandbox that boots such a guest: this program plays the vmm itself (started with
 * -kernel) and does on the agent's connection what the kernel's command line says.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent-proto/ttrpc.h"
#include "base/fd.h"
#include "base/loop.h"
#include "base/own.h"
#include "base/path.h"
#include "config/plan.h"
#include "runtime/agent_client.h"
#include "runtime/sandbox.h"
#include "tests/unit/broker_fixture.h"

#define REQUEST     1
#define RESPONSE    2
#define STREAM_DATA 3
#define FLOOD       4096 /* frames a turn */

/* The heap's growth by any misdeed: frames and decoding are bounded by 4 MiB each, unread answers by 16. */
#define HEAP_BYTES (32u << 20)

enum asked { HELLO, WAIT };

struct world {
	struct loop *loop;
	struct agent_client *agent;
	int peer; /* the agent's end; -1 when it has hung up */
	int answers, code, lost;
	uint32_t exit_status;
	char text[ERR_TEXT_BYTES], why[ERR_TEXT_BYTES];
};

static void turn(struct world *w)
{
	struct err err = ERR_INIT;

	for (int i = 0; i < 4; i++)
		assert_int_equal(loop_step(w->loop, 0, &err), 0);
}

/* All of it, unless the monitor hangs up meanwhile. */
static void say(struct world *w, const void *bytes, size_t len)
{
	const char *at = bytes;

	while (len > 0) {
		ssize_t n = send(w->peer, at, len, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno != EAGAIN)
			return;
		at += n > 0 ? n : 0;
		len -= n > 0 ? (size_t)n : 0;
		turn(w);
	}
}

static void header(uint8_t out[10], uint32_t len, uint32_t stream, uint8_t type)
{
	len = htonl(len);
	stream = htonl(stream);
	memcpy(out, &len, sizeof(len));
	memcpy(out + 4, &stream, sizeof(stream));
	out[8] = type;
	out[9] = 0;
}

static void say_frame(struct world *w, uint32_t stream, uint8_t type, const void *body, size_t len)
{
	AUTO_FREE uint8_t *frame = malloc(10 + len);

	assert_non_null(frame);
	header(frame, (uint32_t)len, stream, type);
	memcpy(frame + 10, body, len);
	say(w, frame, 10 + len);
}

#define SAY(w, stream, type, text) say_frame(w, stream, type, text, sizeof(text) - 1)

/* Having read all, or the socket would be reset rather than closed. */
static void hang_up(struct world *w)
{
	char request[4096];

	while (recv(w->peer, request, sizeof(request), MSG_DONTWAIT) > 0)
		;
	own_close(&w->peer);
	turn(w);
}

/* --- misdeeds ------------------------------------------------------------------------------------------------------ */

static void cut_off(struct world *w)
{
	SAY(w, 1, RESPONSE, "\x12\x01\x08");
}

static void no_protobuf(struct world *w)
{
	SAY(w, 1, RESPONSE, "\xff\xff\xff\xff");
}

static void other_version(struct world *w)
{
	SAY(w, 1, RESPONSE, "\x12\x02\x08\x63");
}

/* A kernel release of 1 MiB. */
static void huge_text(struct world *w)
{
	const uint32_t text = 1u << 20;
	AUTO_FREE uint8_t *body = malloc(text + 16);
	/* payload of 1 MiB and 6 bytes: version 1, the text */
	const uint8_t head[] = {0x12, 0x86, 0x80, 0x40, 0x08, 0x01, 0x1a, 0x80, 0x80, 0x40};

	assert_non_null(body);
	memset(body, 'A', text + 16);
	memcpy(body, head, sizeof(head));
	say_frame(w, 1, RESPONSE, body, sizeof(head) + text);
}

/* Two bytes on the wire ask for a structure each. */
static void many_fields(struct world *w)
{
	AUTO_FREE uint8_t *body = malloc(TTRPC_MAX_BODY);

	assert_non_null(body);
	for (size_t i = 0; i < TTRPC_MAX_BODY; i += 2) {
		body[i] = 0x28;
		body[i + 1] = 0;
	}
	say_frame(w, 1, RESPONSE, body, TTRPC_MAX_BODY);
}

static void past_the_limit(struct world *w)
{
	AUTO_FREE uint8_t *body = calloc(1, 2 * (size_t)TTRPC_MAX_BODY);

	assert_non_null(body);
	say_frame(w, 1, RESPONSE, body, 2 * (size_t)TTRPC_MAX_BODY);
}

/* Announces 4 GiB, sends 32 MiB of them. */
static void endless(struct world *w)
{
	AUTO_FREE uint8_t *piece = calloc(1, 1u << 20);
	uint8_t h[10];

	assert_non_null(piece);
	header(h, UINT32_MAX, 1, RESPONSE);
	say(w, h, sizeof(h));
	for (int i = 0; i < 32; i++)
		say(w, piece, 1u << 20);
	hang_up(w);
}

static void terminal_escapes(struct world *w)
{
	SAY(w, 1, RESPONSE,
	    "\x0a\x0c\x08\x09\x12\x08"
	    "a\x1b[2J\x07\xffz");
}

static void refusal_without_a_word(struct world *w)
{
	SAY(w, 1, RESPONSE, "\x0a\x02\x08\x0d");
}

static void unasked(struct world *w)
{
	SAY(w, 99, RESPONSE, "");
}

static void even_stream(struct world *w)
{
	SAY(w, 2, RESPONSE, "");
}

static void answers_twice(struct world *w)
{
	for (int i = 0; i < FLOOD; i++)
		SAY(w, 1, RESPONSE, "\x12\x02\x08\x01");
}

static void status_out_of_range(struct world *w)
{
	SAY(w, 1, RESPONSE, "\x12\x06\x08\x85\xfe\xff\xff\x0f");
}

static void hangs_up(struct world *w)
{
	hang_up(w);
}

static void hangs_up_in_a_header(struct world *w)
{
	say(w, "\0\0\0", 3);
	hang_up(w);
}

static void unknown_types(struct world *w)
{
	for (int i = 0; i < FLOOD; i++)
		SAY(w, (uint32_t)i, (uint8_t)(STREAM_DATA + i % 250), "data");
	SAY(w, 1, RESPONSE, "\x12\x02\x08\x01");
}

/* Asks the monitor, which serves nothing, and takes none of the answers. */
static void asks_and_does_not_listen(struct world *w)
{
	static const char body[] = "\x0a\x01S\x12\x01M";
	uint8_t frames[64][10 + sizeof(body) - 1];

	for (uint32_t stream = 1; !w->lost && stream < (4u << 20);) {
		for (size_t i = 0; i < ARRAY_SIZE(frames); i++, stream += 2) {
			header(frames[i], sizeof(body) - 1, stream, REQUEST);
			memcpy(frames[i] + 10, body, sizeof(body) - 1);
		}
		say(w, frames, sizeof(frames));
	}
}

/* --- the connection alone ------------------------------------------------------------------------------------------ */

static void on_lost(void *arg, const struct err *why)
{
	struct world *w = arg;

	w->lost++;
	(void)snprintf(w->why, sizeof(w->why), "%s", why->text);
}

static void on_answer(void *arg, const struct err *status, const struct agent_answer *answer)
{
	struct world *w = arg;

	w->answers++;
	w->code = status->code;
	w->exit_status = answer->exit_status;
	(void)snprintf(w->text, sizeof(w->text), "%s", status->text);
}

static struct world *world_new(enum asked asked)
{
	struct world *w = calloc(1, sizeof(*w));
	struct err err = ERR_INIT;
	int fds[2];

	assert_non_null(w);
	assert_int_equal(loop_create(&w->loop, &err), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	w->peer = fds[1];
	assert_int_equal(agent_client_create(w->loop, fds[0], on_lost, w, &w->agent, &err), 0);
	if (asked == HELLO)
		agent_hello(w->agent, "h", 0, on_answer, w);
	else
		agent_process(w->agent, AGENT_WAIT, "c", "", on_answer, w);
	return w;
}

static void world_free(struct world *w)
{
	agent_client_destroy(w->agent);
	own_close(&w->peer);
	loop_destroy(w->loop);
	free(w);
}

static size_t heap_bytes(void)
{
	struct mallinfo2 info = mallinfo2();

	return info.uordblks + info.hblkhd;
}

/* A connection that was not closed still carries an honest answer. */
static void check_alive(struct world *w, const char *name)
{
	int before = w->answers;

	agent_process(w->agent, AGENT_START, "c", "", on_answer, w);
	SAY(w, 3, RESPONSE, "");
	if (w->answers != before + 1 || w->code)
		fail_msg("%s: the next call was not answered: %s", name, w->text);
}

static void test_connection(void **state)
{
	static const struct {
		const char *name;
		enum asked asked;
		void (*act)(struct world *w);
		int code;
		const char *words; /* in what the call hears */
		const char *why;   /* in why the connection ended; NULL: it lives */
	} cases[] = {
		{"hello, cut off", HELLO, cut_off, EPROTO, "answer to Hello cannot be read", NULL},
		{"no protobuf", HELLO, no_protobuf, EPROTO, "not a ttrpc response", NULL},
		{"another version", HELLO, other_version, EPROTO, "answer to Hello", NULL},
		{"a huge text", HELLO, huge_text, EPROTO, "answer to Hello cannot be read", NULL},
		{"many fields", HELLO, many_fields, EPROTO, "not a ttrpc response", NULL},
		{"past the limit", HELLO, past_the_limit, ENOBUFS, "is larger than", NULL},
		{"endless", HELLO, endless, ECONNRESET, "in the middle", "in the middle"},
		{"escapes", WAIT, terminal_escapes, EBUSY, "a?[2J??z", NULL},
		{"refused, no word", WAIT, refusal_without_a_word, EIO, "without a word", NULL},
		{"unasked", WAIT, unasked, ECONNRESET, "never opened", "never opened"},
		{"even stream", WAIT, even_stream, ECONNRESET, "never opened", "never opened"},
		{"hello twice", HELLO, answers_twice, 0, "", NULL},
		{"status out of range", WAIT, status_out_of_range, 0, "", NULL},
		{"hangs up", WAIT, hangs_up, ECONNRESET, "ended before", "closed its connection"},
		{"hangs up in a header", WAIT, hangs_up_in_a_header, ECONNRESET, "in the middle",
		 "in the middle"},
		{"unknown types", HELLO, unknown_types, 0, "", NULL},
		{"asks, does not listen", WAIT, asks_and_does_not_listen, ECONNRESET, "lets",
		 "bytes of answers lie"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct world *w = world_new(cases[i].asked);
		const size_t heap = heap_bytes();

		cases[i].act(w);
		turn(w);
		if (w->answers != 1 || w->code != cases[i].code || !strstr(w->text, cases[i].words))
			fail_msg("%s: %d answers, code %d, '%s'", cases[i].name, w->answers,
				 w->code, w->text);
		if (w->lost != !!cases[i].why || (w->lost && !strstr(w->why, cases[i].why)))
			fail_msg("%s: lost %d times, '%s'", cases[i].name, w->lost, w->why);
		if (w->exit_status > 255)
			fail_msg("%s: exit status %u", cases[i].name, w->exit_status);
		if (heap_bytes() > heap + HEAP_BYTES)
			fail_msg("%s: %zu bytes more", cases[i].name, heap_bytes() - heap);
		if (!cases[i].why)
			check_alive(w, cases[i].name);
		world_free(w);
	}
}

/* --- a sandbox that boots it ---------------------------------------------------------------------------------------- */

#define SPEC                                                                                       \
	"{\"ociVersion\":\"1.2.0\",\"root\":{\"path\":\"r\"},\"process\":{\"cwd\":\"/"             \
	"\",\"args\":[\"a\"],"                                                                     \
	"\"user\":{\"uid\":0,\"gid\":0}},\"linux\":{}}"

static const struct guest {
	const char *name;
	const char *bytes; /* on the agent's connection, after Hello has come */
	size_t len;
	const char *words; /* in the one error */
} guests[] = {
	{"unasked", "\0\0\0\0\0\0\0\x63\x02\0", 10, "broke the rules"},
	{"garbled", "\0\0\0\4\0\0\0\1\2\0\xff\xff\xff\xff", 14, "not a ttrpc response"},
	{"version", "\0\0\0\4\0\0\0\1\2\0\x12\x02\x08\x63", 14, "Hello cannot be read"},
	{"refuses", "\0\0\0\6\0\0\0\1\2\0\x0a\x04\x08\x09\x12\0", 16, "without a word"},
};

/* The vmm: lives until it is killed. */
static int play_vmm(int argc, char **argv)
{
	char hello[16];
	int fd = -1;

	for (int i = 1; i < argc; i++) {
		const char *at = strstr(argv[i], "agent-fd=");

		if (at)
			fd = (int)strtol(at + strlen("agent-fd="), NULL, 10);
	}
	if (fd < 0 || fd_read_full(fd, hello, sizeof(hello)) < 0)
		return 1;
	for (int i = 1; i < argc; i++)
		for (size_t k = 0; k < ARRAY_SIZE(guests); k++)
			if (strstr(argv[i], guests[k].name) &&
			    fd_write_full(fd, guests[k].bytes, guests[k].len) < 0)
				return 1;
	(void)pause();
	return 0;
}

struct boot {
	struct loop *loop;
	int answers;
	struct err status;
};

static void on_boot(void *arg, const struct err *status)
{
	struct boot *b = arg;

	b->answers++;
	b->status = *status;
	loop_stop(b->loop);
}

static void boot_one(const struct guest *guest, const char *dir)
{
	CLEANUP(own_loop_destroy) struct loop *loop = NULL;
	CLEANUP(own_oci_spec_destroy) struct oci_spec *spec = NULL;
	CLEANUP(own_sandbox_destroy) struct sandbox *s = NULL;
	const struct sandbox_hooks hooks = {0};
	struct err err = ERR_INIT;

	assert_int_equal(loop_create(&loop, &err), 0);
	struct boot b = {.loop = loop};
	assert_int_equal(oci_parse(SPEC, sizeof(SPEC) - 1, "config.json", &spec, &err), 0);
	assert_int_equal(sandbox_create(loop, "sb", dir, &hooks, &s, &err), 0);
	s->broker = broker_fixture_start(loop, dir, "", NULL);
	assert_int_equal(mkdir(s->export_dir, 0700), 0);
	assert_int_equal(nacre_config_load("/nonexistent", &s->config, &err), 0);
	free(s->config->vmm_path);
	s->config->vmm_path = strdup("/proc/self/exe");
	free(s->config->kernel_params);
	s->config->kernel_params = strdup(guest->name);
	sandbox_boot(s, spec, 0, on_boot, &b);
	if (!b.answers)
		assert_int_equal(loop_run(loop, &err), 0);
	if (b.answers != 1 || !b.status.code || !strstr(b.status.text, guest->words))
		fail_msg("%s: %d answers, '%s'", guest->name, b.answers, b.status.text);
	assert_null(s->vmm);
	assert_int_equal(s->state, SANDBOX_ENDED);
}

static void test_boot(void **state)
{
	struct err err = ERR_INIT;

	(void)state;
	if (geteuid() != 0) {
		print_message("needs root\n");
		skip();
	}
	for (size_t i = 0; i < ARRAY_SIZE(guests); i++) {
		char dir[] = "/tmp/hostile-agent-XXXXXX";

		assert_non_null(mkdtemp(dir));
		boot_one(&guests[i], dir);
		assert_int_equal(path_remove_tree(AT_FDCWD, dir, &err), 0);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_connection),
		cmocka_unit_test(test_boot),
	};

	if (argc > 1 && strcmp(argv[1], "-kernel") == 0)
		return play_vmm(argc, argv);
	(void)signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
