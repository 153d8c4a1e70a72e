/*
 * Calls to the agent (agent-proto/agent.proto) on the sandbox's control connection. The agent's answers are hostile: decoded
 * under a budget, numbers bounded. Each answer function is called exactly once, possibly before the call returns.
 */
#ifndef NACRE_RUNTIME_AGENT_CLIENT_H
#define NACRE_RUNTIME_AGENT_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"
#include "base/loop.h"
#include "base/own.h"
#include "runtime/start_record.h"
#include "runtime/stdio.h"

/* For most calls, and for a start, which may wait for streams and hooks in the guest (agent/proc.h). */
#define AGENT_TIMEOUT_MS       30000
#define AGENT_START_TIMEOUT_MS 45000

struct agent_client;

/* What an answer may hold; zero where the call has no such thing. */
struct agent_answer {
	uint32_t exit_status; /* 0..255 */
	bool oom_killed;
	bool output_lost;
	uint32_t signal;       /* 1..64; 0: it ended by itself */
	char kernel_said[256]; /* what the guest's kernel said meanwhile of a process's end */
	char kernel_release[96];
	struct guest_times times;
};

/* status->code 0: done. */
typedef void (*agent_fn)(void *arg, const struct err *status, const struct agent_answer *answer);

/*
 * The connection is gone, and pending calls have been answered; destroy it then or later. EPROTO, ENOBUFS: the agent broke the
 * rules; any other code: it is no longer there.
 */
typedef void (*agent_lost_fn)(void *arg, const struct err *why);

/* Owns fd from success on. */
int agent_client_create(struct loop *loop, int fd, agent_lost_fn on_lost, void *arg,
			struct agent_client **out, struct err *err) MUST_CHECK;
void agent_client_destroy(struct agent_client *a);
DEFINE_OWNER(agent_client_destroy, struct agent_client)

void agent_hello(struct agent_client *a, const char *hostname, uint32_t timeout_ms, agent_fn fn,
		 void *arg);
void agent_create_container(struct agent_client *a, const char *id, const char *spec_json,
			    const char *rootfs, const struct stdio *io, agent_fn fn, void *arg);
void agent_exec(struct agent_client *a, const char *id, const char *exec_id,
		const void *process_json, size_t len, const struct stdio *io, agent_fn fn,
		void *arg);
void agent_signal(struct agent_client *a, const char *id, const char *exec_id, uint32_t signo,
		  bool all, agent_fn fn, void *arg);
void agent_resize(struct agent_client *a, const char *id, const char *exec_id, uint32_t width,
		  uint32_t height, agent_fn fn, void *arg);

/* The agent's methods. The first ones only name a process and go by agent_process; exec_id "": the container's init. */
enum agent_verb {
	AGENT_START,
	AGENT_WAIT,
	AGENT_CLOSE_STDIN,
	AGENT_DELETE_PROCESS,
	AGENT_DELETE_CONTAINER,
	AGENT_PAUSE,
	AGENT_RESUME,
	AGENT_HELLO,
	AGENT_CREATE,
	AGENT_EXEC,
	AGENT_SIGNAL,
	AGENT_RESIZE,
	AGENT_NETWORK,
	AGENT_UPDATE,
	AGENT_ONLINE_VCPUS,
	AGENT_SHUTDOWN,
};
void agent_process(struct agent_client *a, enum agent_verb verb, const char *id,
		   const char *exec_id, agent_fn fn, void *arg);

/* A packed ConfigureNetworkRequest (runtime/network.h). */
void agent_configure_network(struct agent_client *a, const void *bytes, size_t len, agent_fn fn,
			     void *arg);

/* `resources_json`: an OCI "linux.resources" object; what it does not name stays. */
void agent_update(struct agent_client *a, const char *id, const void *resources_json, size_t len,
		  agent_fn fn, void *arg);

/* vCPUs 0 to count - 1 on line, the others off. */
void agent_online_vcpus(struct agent_client *a, uint32_t count, agent_fn fn, void *arg);

/* The goodbye: the agent answers, then ends the guest. */
void agent_shutdown(struct agent_client *a, uint32_t timeout_ms, agent_fn fn, void *arg);

#endif
