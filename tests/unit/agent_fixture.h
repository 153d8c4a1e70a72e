/*
 * An agent beside its tests: a forked process that serves on a socket pair, with a busybox root filesystem, in a mount
 * namespace of its own. Needs root; agent_fixture_possible says whether it can be.
 */
#ifndef NACRE_TESTS_AGENT_FIXTURE_H
#define NACRE_TESTS_AGENT_FIXTURE_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent-proto/agent.pb-c.h"
#include "base/err.h"
#include "base/str.h"

#define FIXTURE_SHARED "/run/shared"
#define FIXTURE_ROOTFS FIXTURE_SHARED "/c/rootfs"

struct agent_fixture {
	pid_t pid;
	int control;
	uint32_t next_stream;
	int cgroup_fd;
	char cgroup[64];
	char door[64];
	unsigned tokens; /* made so far */
};

bool agent_fixture_possible(void);
/* cmocka group set-up and tear-down: *state is the fixture. */
int agent_fixture_setup(void **state);
int agent_fixture_teardown(void **state);

/* One call; *answer (may be NULL) is the caller's. 0 or -errno with the agent's words. */
int agent_call(struct agent_fixture *f, const char *method, const ProtobufCMessage *in,
	       const ProtobufCMessageDescriptor *out_type, ProtobufCMessage **out, struct err *err);

/* Fills a fresh token. */
void agent_token(struct agent_fixture *f, uint8_t token[32]);
/* A connection to the door that has shown `token`. */
int agent_stream(struct agent_fixture *f, const uint8_t token[32]);

struct run {
	const char *id;
	const char *
		process; /* members of "process" besides args, cwd and env; "" for none, else ends with a comma */
	const char *
		spec; /* members of config.json besides the usual; "" for none, else ends with a comma */
	const char *args; /* JSON array */
	const char *cwd;  /* NULL: "/" */
	const void *in;   /* stdin, NULL: not wanted */
	size_t in_len;
	bool stop_reading; /* close stdout after its first byte */
};

struct run_result {
	struct err create, start;
	uint32_t status;
	struct strbuf out, err;
};

/* Create, start, feed, read to the end, wait, delete. */
void agent_run_container(struct agent_fixture *f, const struct run *run, struct run_result *result);
/* The same for an exec in a running container; `run->id` is the container's. */
void agent_run_exec(struct agent_fixture *f, const struct run *run, struct run_result *result);
void run_result_done(struct run_result *result);

/* Parts of the above. */
int agent_create(struct agent_fixture *f, const struct run *run,
		 const Nacre__Agent__V1__Stdio *stdio, struct err *err);
int agent_simple(struct agent_fixture *f, const char *method, const char *id, const char *exec_id,
		 struct err *err);
int agent_wait(struct agent_fixture *f, const char *id, const char *exec_id, uint32_t *status,
	       struct err *err);
int agent_signal(struct agent_fixture *f, const char *id, const char *exec_id, int signo, bool all,
		 struct err *err);

#endif
