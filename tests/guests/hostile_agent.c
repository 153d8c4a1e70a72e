/*
 * An agent that is the attacker's: pid 1 of a real guest in place of nacre-agent (tests/integration/hostile-agent.bats). It speaks
 * agent.proto's frames byte by byte, with nothing of the project's own client or server in between. What it does wrong is said
 * by the kernel's command line (misdeed=WORD) up to its greeting, then by a word among the process's arguments, and once that runs
 * by the signals it is sent. Otherwise it answers every call as if it had done what was asked, and no process ever exits.
 */
#include <errno.h>
#include <linux/vm_sockets.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/compiler.h"
#include "base/fd.h"

#define PORT         1024
#define HEADER_BYTES 10
#define MAX_REQUEST  (4u << 20)
#define RESPONSE     2
#define NAME_AT                                                                                    \
	24 /* of the method: field 1 is the service's name of 20 bytes, then tag and length */
#define TOKEN_BYTES    32
#define MAX_STREAMS    48
#define FLOOD_BYTES    (4u << 20) /* on each stream */
#define FLOOD_CONNECTS 4096
#define MAX_OPEN       128
#define CONSOLE_BYTES  2048
#define PATIENCE_MS    20000

struct request {
	uint32_t stream;
	char method[32];
	uint8_t *body;
	uint32_t len;
};

struct agent {
	int control, door;
	bool floods;              /* the process created last will */
	int streams[MAX_STREAMS]; /* of all processes */
	size_t nstreams;
};

static NORETURN void end_guest(void)
{
	(void)reboot(RB_AUTOBOOT);
	_exit(1);
}

static void say(struct agent *a, const void *bytes, size_t len)
{
	/* The monitor has hung up: nothing is left to do. */
	if (fd_write_full(a->control, bytes, len) < 0)
		end_guest();
}

static void put32(uint8_t *at, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		at[i] = (uint8_t)(v >> (24 - 8 * i));
}

static uint32_t get32(const uint8_t *at)
{
	return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static void say_header(struct agent *a, uint32_t stream, uint32_t len)
{
	uint8_t h[HEADER_BYTES] = {[8] = RESPONSE};

	put32(h, len);
	put32(h + 4, stream);
	say(a, h, sizeof(h));
}

static void respond(struct agent *a, uint32_t stream, const char *body, size_t len)
{
	say_header(a, stream, (uint32_t)len);
	say(a, body, len);
}

#define RESPOND(a, stream, text) respond(a, stream, text, sizeof(text) - 1)

static void answer(struct agent *a, const struct request *r)
{
	RESPOND(a, r->stream, "");
}

/* --- misdeeds in place of an answer ------------------------------------------------------------------------------- */

static void be_mute(struct agent *a UNUSED, const struct request *r UNUSED)
{
}

static void be_garbled(struct agent *a, const struct request *r)
{
	RESPOND(a, r->stream, "\xff\xff\xff\xff");
}

/* A refusal with words for a terminal. */
static void refuse(struct agent *a, const struct request *r)
{
	RESPOND(a, r->stream,
		"\x0a\x0c\x08\x09\x12\x08"
		"no\x1b[2J\x07!");
}

static void say_zeros(struct agent *a, size_t len)
{
	static const uint8_t zeros[65536];

	for (; len > sizeof(zeros); len -= sizeof(zeros))
		say(a, zeros, sizeof(zeros));
	say(a, zeros, len);
}

static void be_huge(struct agent *a, const struct request *r)
{
	say_header(a, r->stream, 8u << 20);
	say_zeros(a, 8u << 20);
}

/* A frame of 4 GiB that stops after some, and swallows every answer to come. */
static void be_endless(struct agent *a, const struct request *r)
{
	say_header(a, r->stream, UINT32_MAX);
	say_zeros(a, 16u << 20);
}

static void answer_unasked(struct agent *a, const struct request *r UNUSED)
{
	RESPOND(a, 0xfffff1, "");
}

/* Half a header is on its way when the machine is gone. */
static void die(struct agent *a, const struct request *r UNUSED)
{
	say(a, "\0\0\0\4\0", 5);
	end_guest();
}

/* --- floods ---------------------------------------------------------------------------------------------------------- */

/* To a port of some CID, without waiting for the answer. */
static int begin_connect(uint32_t i)
{
	static const uint32_t cids[] = {
		VMADDR_CID_HOST, VMADDR_CID_HOST, VMADDR_CID_HOST, 1, 0, 77};
	const struct sockaddr_vm to = {
		.svm_family = AF_VSOCK,
		.svm_cid = cids[i % ARRAY_SIZE(cids)],
		.svm_port = i % 2   ? PORT + i
			    : i % 4 ? i * 0x100001u
				    : PORT,
	};
	int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd >= 0)
		(void)connect(fd, (const struct sockaddr *)&to, sizeof(to));
	return fd;
}

/* Whether the host took it; a connection to ourselves is none of the host's. */
static bool was_taken(int fd)
{
	struct sockaddr_vm peer = {0};
	socklen_t len = sizeof(peer);

	return getpeername(fd, (struct sockaddr *)&peer, &len) == 0 &&
	       peer.svm_cid == VMADDR_CID_HOST;
}

/* True when every connection was refused. */
static bool flood_connects(void)
{
	struct pollfd set[MAX_OPEN];
	bool refused = true;

	for (uint32_t i = 0; i < FLOOD_CONNECTS; i += MAX_OPEN) {
		for (uint32_t k = 0; k < MAX_OPEN; k++)
			set[k] = (struct pollfd){.fd = begin_connect(i + k), .events = POLLOUT};
		(void)poll(set, MAX_OPEN, 100);
		for (uint32_t k = 0; k < MAX_OPEN; k++) {
			refused = refused && !was_taken(set[k].fd);
			(void)close(set[k].fd);
		}
	}
	return refused;
}

/* What the stream takes now; true when it has had its share, or takes no more. */
static bool pour(int fd, size_t *left)
{
	static const uint8_t zeros[65536];
	ssize_t n = send(fd, zeros, *left < sizeof(zeros) ? *left : sizeof(zeros),
			 MSG_NOSIGNAL | MSG_DONTWAIT);

	if (n < 0)
		return errno != EAGAIN;
	*left -= (size_t)n;
	return *left == 0;
}

/* On all streams at once, that of standard input too, which nobody reads. */
static void flood_streams(const struct agent *a)
{
	struct pollfd set[MAX_STREAMS];
	size_t left[MAX_STREAMS], done = 0;

	for (size_t i = 0; i < a->nstreams; i++) {
		set[i] = (struct pollfd){.fd = a->streams[i], .events = POLLOUT};
		left[i] = FLOOD_BYTES;
	}
	while (done < a->nstreams && poll(set, a->nstreams, PATIENCE_MS) > 0)
		for (size_t i = 0; i < a->nstreams; i++)
			if (set[i].revents && pour(set[i].fd, &left[i])) {
				set[i].fd = -1;
				done++;
			}
}

/* --- the calls -------------------------------------------------------------------------------------------------------- */

static void on_create(struct agent *a, const struct request *r)
{
	a->floods = memmem(r->body, r->len, "do-flood", 8);
	if (!memmem(r->body, r->len, "do-mute", 7))
		answer(a, r);
}

/* Nothing is to be seen of the output when the host took a connection. */
static void on_start(struct agent *a, const struct request *r)
{
	const bool pours = a->floods && flood_connects();

	answer(a, r);
	if (pours)
		flood_streams(a);
}

static const struct {
	char signo;
	void (*fn)(struct agent *a, const struct request *r);
} signals[] = {
	{SIGHUP, be_garbled},  {SIGUSR1, refuse},         {SIGUSR2, be_huge},
	{SIGALRM, be_endless}, {SIGQUIT, answer_unasked},
};

static void on_signal(struct agent *a, const struct request *r)
{
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++) {
		const char field[] = {0x18, signals[i].signo};

		if (memmem(r->body, r->len, field, sizeof(field))) {
			signals[i].fn(a, r);
			return;
		}
	}
	answer(a, r);
}

static void on_shutdown(struct agent *a, const struct request *r)
{
	answer(a, r);
	end_guest();
}

static void greet_from_elsewhere(struct agent *a, const struct request *r)
{
	RESPOND(a, r->stream, "\x12\x02\x08\x63");
}

/* Says much on the console, of the kind that a terminal would obey, and then dies. */
static void shout_and_die(struct agent *a, const struct request *r)
{
	for (size_t n = 0; n < CONSOLE_BYTES; n += 16)
		(void)!write(STDOUT_FILENO,
			     n % 512 ? "\x1b[2J\x07 shouted \xff"
				     : "\n\r\v\f\n\r\v\f\n\r\v\f\n\r\v\f",
			     16);
	die(a, r);
}

static const struct {
	const char *word;
	void (*fn)(struct agent *a, const struct request *r);
} greetings[] = {
	{"silent", be_mute},
	{"version", greet_from_elsewhere},
	{"shout", shout_and_die},
};

static void on_hello(struct agent *a, const struct request *r)
{
	const char *word = getenv("misdeed");

	for (size_t i = 0; word && i < ARRAY_SIZE(greetings); i++)
		if (strcmp(word, greetings[i].word) == 0) {
			greetings[i].fn(a, r);
			return;
		}
	RESPOND(a, r->stream, "\x12\x02\x08\x01");
}

static const struct {
	const char *method;
	void (*fn)(struct agent *a, const struct request *r);
} calls[] = {
	{"Hello", on_hello},      {"CreateContainer", on_create}, {"StartProcess", on_start},
	{"WaitProcess", be_mute}, {"SignalProcess", on_signal},   {"Shutdown", on_shutdown},
};

static void dispatch(struct agent *a, const struct request *r)
{
	for (size_t i = 0; i < ARRAY_SIZE(calls); i++)
		if (strcmp(calls[i].method, r->method) == 0) {
			calls[i].fn(a, r);
			return;
		}
	answer(a, r);
}

static void serve_call(struct agent *a)
{
	static uint8_t body[MAX_REQUEST];
	struct request r = {.body = body};
	uint8_t h[HEADER_BYTES];

	if (fd_read_full(a->control, h, sizeof(h)) != sizeof(h))
		end_guest();
	r.len = get32(h);
	r.stream = get32(h + 4);
	if (r.len > sizeof(body) || fd_read_full(a->control, body, r.len) != (ssize_t)r.len)
		end_guest();
	if (r.len > NAME_AT && body[NAME_AT - 1] < sizeof(r.method) &&
	    NAME_AT + (uint32_t)body[NAME_AT - 1] <= r.len)
		memcpy(r.method, body + NAME_AT, body[NAME_AT - 1]);
	dispatch(a, &r);
}

/* Whatever the token is. */
static void accept_stream(struct agent *a)
{
	int fd = accept4(a->door, NULL, NULL, SOCK_CLOEXEC);
	uint8_t token[TOKEN_BYTES];

	if (fd < 0)
		return;
	if (a->nstreams == MAX_STREAMS || fd_read_full(fd, token, sizeof(token)) != sizeof(token))
		(void)close(fd);
	else
		a->streams[a->nstreams++] = fd;
}

static bool join_host(struct agent *a)
{
	struct sockaddr_vm here = {
		.svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_ANY, .svm_port = PORT};
	struct sockaddr_vm host = {
		.svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_HOST, .svm_port = PORT};

	a->door = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);
	a->control = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);
	return a->door >= 0 && a->control >= 0 &&
	       bind(a->door, (const struct sockaddr *)&here, sizeof(here)) == 0 &&
	       listen(a->door, MAX_STREAMS) == 0 &&
	       connect(a->control, (const struct sockaddr *)&host, sizeof(host)) == 0;
}

int main(void)
{
	struct agent a = {.floods = false};

	if (!join_host(&a)) {
		(void)printf("hostile agent: no host: %s\n", strerror(errno));
		end_guest();
	}
	for (;;) {
		struct pollfd set[2] = {{.fd = a.control, .events = POLLIN},
					{.fd = a.door, .events = POLLIN}};

		if (poll(set, 2, -1) < 0)
			continue;
		/* A process's streams first: its start comes right behind them. */
		if (set[1].revents)
			accept_stream(&a);
		else if (set[0].revents)
			serve_call(&a);
	}
}
