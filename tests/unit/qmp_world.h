/* A QMP server with an engine that only notes what it is asked, and clients that talk to it over socket pairs. */
#ifndef NACRE_TESTS_UNIT_QMP_WORLD_H
#define NACRE_TESTS_UNIT_QMP_WORLD_H

#include <stdbool.h>
#include <stddef.h>

#include <json-c/json.h>

#include "base/loop.h"
#include "vmm/qmp/qmp.h"

struct qmp_world {
	struct loop *loop;
	struct qmp *qmp;
	struct backends backends;
	char calls[256];  /* what the engine was asked, a word each */
	int fail_with;    /* errno of the next call that can fail; 0: it works */
	bool agent;       /* the guest has one */
	bool not_entered; /* no vCPU has run yet */
	bool reset_is_end;
	bool closed; /* the monitor's client has gone */
	char *text;  /* what the last qmp_world_hear heard */
};

int qmp_world_setup(void **state);
int qmp_world_teardown(void **state);

/* A client; its end of the socket, not blocking. */
int qmp_world_connect(struct qmp_world *w, bool monitor);
/* The same, greeted and negotiated. */
int qmp_world_ready(struct qmp_world *w);
/* Sends, with a descriptor unless it is -1. */
void qmp_world_send(int client, const char *text, int fd);
/* Lets the server do what there is to do, and returns all that the client can read then: lent until the next time. */
const char *qmp_world_hear(struct qmp_world *w, int client);
/* Sends a command and hears the answer. */
const char *qmp_world_say(struct qmp_world *w, int client, const char *text);

/* The same with a descriptor of qmp_world_file. */
const char *qmp_world_say_with_fd(struct qmp_world *w, int client, const char *text);
/* A file of 4096 bytes. */
int qmp_world_file(void);
void qmp_assert_says(const char *heard, const char *part);

/* A talk from top to bottom; each line is answered with something that contains `part`. */
struct qmp_line {
	const char *say;
	const char *part;
	bool with_fd;
};
void qmp_world_talk(struct qmp_world *w, int client, const struct qmp_line *lines, size_t n);

#define EXEC(name)            "{\"execute\":\"" name "\"}"
#define EXEC_ARGS(name, args) "{\"execute\":\"" name "\",\"arguments\":{" args "}}"
#define OK                    "{\"return\":{}}\r\n"

#endif
