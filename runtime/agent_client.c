/* Typed calls to the agent: pack, call, decode under a budget, answer. */
#include "runtime/agent_client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "agent-proto/agent.pb-c.h"
#include "agent-proto/ttrpc.h"
#include "base/log.h"
#include "base/str.h"
#include "runtime/guest_stream.h"
#include "runtime/vmm_process.h"

#define AGENT_SERVICE      "nacre.agent.v1.Agent"
#define AGENT_VERSION      1
#define AGENT_ANSWER_BYTES (256u << 10)
#define RANDOM_SEED_BYTES  64
#define SIGNAL_MAX         64

struct agent_client {
	struct ttrpc_conn *conn;
	agent_lost_fn on_lost;
	void *arg;
};

static int take_hello(const ProtobufCMessage *from, struct agent_answer *to)
{
	const Nacre__Agent__V1__HelloResponse *m = (const Nacre__Agent__V1__HelloResponse *)from;

	(void)snprintf(to->kernel_release, sizeof(to->kernel_release), "%s", m->kernel_release);
	to->times = (struct guest_times){
		.init_ns = m->init_ns, .ready_ns = m->ready_ns, .now_ns = m->now_ns};
	return m->protocol_version == AGENT_VERSION ? 0 : -EPROTO;
}

static int take_wait(const ProtobufCMessage *from, struct agent_answer *to)
{
	const Nacre__Agent__V1__WaitResponse *m = (const Nacre__Agent__V1__WaitResponse *)from;

	to->exit_status = m->exit_status & 0xff;
	to->oom_killed = m->oom_killed;
	to->output_lost = m->output_lost;
	to->signal = m->signal <= SIGNAL_MAX ? m->signal : 0;
	(void)snprintf(to->kernel_said, sizeof(to->kernel_said), "%s", m->kernel_said);
	str_make_harmless(to->kernel_said);
	return 0;
}

/* The agent's methods; `answer` NULL: nothing of it is wanted. */
static const struct agent_method {
	const char *name;
	uint32_t timeout_ms; /* 0: none, or the caller's */
	const ProtobufCMessageDescriptor *answer;
	int (*take)(const ProtobufCMessage *from, struct agent_answer *to);
} methods[] = {
	[AGENT_START] = {"StartProcess", AGENT_START_TIMEOUT_MS, NULL, NULL},
	[AGENT_WAIT] = {"WaitProcess", 0, &nacre__agent__v1__wait_response__descriptor, take_wait},
	[AGENT_CLOSE_STDIN] = {"CloseStdin", AGENT_TIMEOUT_MS, NULL, NULL},
	[AGENT_DELETE_PROCESS] = {"DeleteProcess", AGENT_TIMEOUT_MS, NULL, NULL},
	[AGENT_DELETE_CONTAINER] = {"DeleteContainer", AGENT_TIMEOUT_MS, NULL, NULL},
	[AGENT_PAUSE] = {"PauseContainer", AGENT_TIMEOUT_MS, NULL, NULL},
	[AGENT_RESUME] = {"ResumeContainer", AGENT_TIMEOUT_MS, NULL, NULL},
	[AGENT_HELLO] = {"Hello", 0, &nacre__agent__v1__hello_response__descriptor, take_hello},
	[AGENT_CREATE] = {"CreateContainer", AGENT_TIMEOUT_MS, NULL, NULL},
	[AGENT_EXEC] = {"ExecProcess", AGENT_TIMEOUT_MS, NULL, NULL},
	[AGENT_SIGNAL] = {"SignalProcess", AGENT_TIMEOUT_MS, NULL, NULL},
	[AGENT_RESIZE] = {"ResizePty", AGENT_TIMEOUT_MS, NULL, NULL},
	[AGENT_NETWORK] = {"ConfigureNetwork", AGENT_TIMEOUT_MS, NULL, NULL},
	[AGENT_UPDATE] = {"UpdateContainer", AGENT_TIMEOUT_MS, NULL, NULL},
	[AGENT_ONLINE_VCPUS] = {"OnlineVcpus", AGENT_TIMEOUT_MS, NULL, NULL},
	[AGENT_SHUTDOWN] = {"Shutdown", 0, NULL, NULL},
};

/* One call in flight. */
struct call {
	agent_fn fn;
	void *arg;
	const struct agent_method *method;
};

void agent_client_destroy(struct agent_client *a)
{
	if (!a)
		return;
	ttrpc_conn_destroy(a->conn);
	free(a);
}

static void on_close(void *arg, struct ttrpc_conn *conn, const struct err *why)
{
	struct agent_client *a = arg;

	(void)conn;
	struct err gone = *why;

	if (!gone.code)
		(void)err_say(&gone, ECONNRESET, "the agent closed its connection");
	a->on_lost(a->arg, &gone);
}

int agent_client_create(struct loop *loop, int fd, agent_lost_fn on_lost, void *arg,
			struct agent_client **out, struct err *err)
{
	CLEANUP(own_agent_client_destroy) struct agent_client *a = calloc(1, sizeof(*a));

	if (!a)
		return err_set(err, ENOMEM, "talk to the agent");
	a->on_lost = on_lost;
	a->arg = arg;
	const struct ttrpc_conn_params p = {
		.loop = loop,
		.fd = fd,
		.arg = a,
		.on_close = on_close,
	};
	int rc = ttrpc_conn_create(&p, &a->conn, err);
	if (rc)
		return rc;
	*out = TAKE_PTR(&a);
	return 0;
}

static int decode(const struct agent_method *method, const uint8_t *payload, size_t len,
		  struct agent_answer *out)
{
	struct proto_budget *budget = proto_budget_create(AGENT_ANSWER_BYTES);
	struct ProtobufCAllocator *alloc = budget ? proto_budget_alloc(budget) : NULL;
	ProtobufCMessage *m =
		budget ? protobuf_c_message_unpack(method->answer, alloc, len, payload) : NULL;

	int rc = m ? method->take(m, out) : -EPROTO;

	if (m)
		protobuf_c_message_free_unpacked(m, alloc);
	proto_budget_destroy(budget);
	return rc;
}

static void on_answer(void *arg, const struct err *status, const uint8_t *payload, size_t len)
{
	struct call *c = arg;
	struct agent_answer answer = {0};
	struct err err = *status;

	if (!err.code && c->method->answer && decode(c->method, payload, len, &answer))
		(void)err_say(&err, EPROTO, "the agent's answer to %s cannot be read",
			      c->method->name);
	if (err.code && !err.text[0])
		(void)err_say(&err, err.code, "the agent refused %s without a word",
			      c->method->name);
	c->fn(c->arg, &err, &answer);
	free(c);
}

/* timeout_ms 0: the method's own. */
static void call_packed(struct agent_client *a, enum agent_verb verb, const void *packed,
			size_t len, uint32_t timeout_ms, agent_fn fn, void *arg)
{
	const struct agent_method *method = &methods[verb];
	struct err err = ERR_INIT;
	const struct agent_answer none = {0};
	struct call *c = a && packed ? malloc(sizeof(*c)) : NULL;

	if (!c) {
		(void)err_say(&err, a ? ENOMEM : ENOTCONN, "the agent cannot be asked to %s",
			      method->name);
		fn(arg, &err, &none);
		return;
	}
	*c = (struct call){fn, arg, method};
	ttrpc_call(a->conn, AGENT_SERVICE, method->name, packed, len,
		   timeout_ms ? timeout_ms : method->timeout_ms, on_answer, c);
}

static void call(struct agent_client *a, enum agent_verb verb, const ProtobufCMessage *msg,
		 uint32_t timeout_ms, agent_fn fn, void *arg)
{
	size_t len = protobuf_c_message_get_packed_size(msg);
	AUTO_FREE uint8_t *packed = malloc(len ? len : 1);

	if (packed)
		(void)protobuf_c_message_pack(msg, packed);
	call_packed(a, verb, packed, len, timeout_ms, fn, arg);
}

void agent_hello(struct agent_client *a, const char *hostname, uint32_t timeout_ms, agent_fn fn,
		 void *arg)
{
	Nacre__Agent__V1__HelloRequest m = NACRE__AGENT__V1__HELLO_REQUEST__INIT;
	uint8_t seed[RANDOM_SEED_BYTES];
	struct timespec now = {0};
	char name[65], tag[] = VMM_SHARED_TAG;

	(void)clock_gettime(CLOCK_REALTIME, &now);
	m.protocol_version = AGENT_VERSION;
	m.realtime_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
	ssize_t n = getrandom(seed, sizeof(seed), 0);
	m.random_seed.data = seed;
	m.random_seed.len = n > 0 ? (size_t)n : 0;
	(void)snprintf(name, sizeof(name), "%s", hostname);
	m.hostname = name;
	m.shared_tag = tag;
	call(a, AGENT_HELLO, &m.base, timeout_ms, fn, arg);
}

static ProtobufCBinaryData token_of(const struct stdio *io, enum stdio_stream which)
{
	const uint8_t *token = stdio_token(io, which);

	/* protobuf-c's messages are not const, but packing only reads. */
	return (ProtobufCBinaryData){.len = token ? STREAM_TOKEN_BYTES : 0,
				     .data = (uint8_t *)(uintptr_t)token};
}

static void fill_stdio(Nacre__Agent__V1__Stdio *m, const struct stdio *io)
{
	nacre__agent__v1__stdio__init(m);
	m->stdin_token = token_of(io, STDIO_IN);
	m->stdout_token = token_of(io, STDIO_OUT);
	m->stderr_token = token_of(io, STDIO_ERR);
}

static char *unconst(const char *s)
{
	return (char *)(uintptr_t)s;
}

void agent_create_container(struct agent_client *a, const char *id, const char *spec_json,
			    const char *rootfs, const struct stdio *io, agent_fn fn, void *arg)
{
	Nacre__Agent__V1__CreateContainerRequest m =
		NACRE__AGENT__V1__CREATE_CONTAINER_REQUEST__INIT;
	Nacre__Agent__V1__Stdio streams;

	fill_stdio(&streams, io);
	m.id = unconst(id);
	m.spec_json.data = (uint8_t *)unconst(spec_json);
	m.spec_json.len = strlen(spec_json);
	m.rootfs = unconst(rootfs);
	m.stdio = &streams;
	call(a, AGENT_CREATE, &m.base, 0, fn, arg);
}

void agent_exec(struct agent_client *a, const char *id, const char *exec_id,
		const void *process_json, size_t len, const struct stdio *io, agent_fn fn,
		void *arg)
{
	Nacre__Agent__V1__ExecProcessRequest m = NACRE__AGENT__V1__EXEC_PROCESS_REQUEST__INIT;
	Nacre__Agent__V1__Stdio streams;

	fill_stdio(&streams, io);
	m.container_id = unconst(id);
	m.exec_id = unconst(exec_id);
	m.process_json.data = (uint8_t *)unconst(process_json);
	m.process_json.len = len;
	m.stdio = &streams;
	call(a, AGENT_EXEC, &m.base, 0, fn, arg);
}

void agent_signal(struct agent_client *a, const char *id, const char *exec_id, uint32_t signo,
		  bool all, agent_fn fn, void *arg)
{
	Nacre__Agent__V1__SignalRequest m = NACRE__AGENT__V1__SIGNAL_REQUEST__INIT;

	m.container_id = unconst(id);
	m.exec_id = unconst(exec_id);
	m.signal = signo;
	m.all = all;
	call(a, AGENT_SIGNAL, &m.base, 0, fn, arg);
}

void agent_resize(struct agent_client *a, const char *id, const char *exec_id, uint32_t width,
		  uint32_t height, agent_fn fn, void *arg)
{
	Nacre__Agent__V1__ResizeRequest m = NACRE__AGENT__V1__RESIZE_REQUEST__INIT;

	m.container_id = unconst(id);
	m.exec_id = unconst(exec_id);
	m.width = width;
	m.height = height;
	call(a, AGENT_RESIZE, &m.base, 0, fn, arg);
}

void agent_update(struct agent_client *a, const char *id, const void *resources_json, size_t len,
		  agent_fn fn, void *arg)
{
	Nacre__Agent__V1__UpdateContainerRequest m =
		NACRE__AGENT__V1__UPDATE_CONTAINER_REQUEST__INIT;

	m.container_id = unconst(id);
	m.resources_json.data = (uint8_t *)unconst(resources_json);
	m.resources_json.len = len;
	call(a, AGENT_UPDATE, &m.base, 0, fn, arg);
}

void agent_online_vcpus(struct agent_client *a, uint32_t count, agent_fn fn, void *arg)
{
	Nacre__Agent__V1__OnlineVcpusRequest m = NACRE__AGENT__V1__ONLINE_VCPUS_REQUEST__INIT;

	m.count = count;
	call(a, AGENT_ONLINE_VCPUS, &m.base, 0, fn, arg);
}

void agent_process(struct agent_client *a, enum agent_verb verb, const char *id,
		   const char *exec_id, agent_fn fn, void *arg)
{
	Nacre__Agent__V1__ProcessRequest m = NACRE__AGENT__V1__PROCESS_REQUEST__INIT;

	m.container_id = unconst(id);
	m.exec_id = unconst(exec_id);
	call(a, verb, &m.base, 0, fn, arg);
}

void agent_configure_network(struct agent_client *a, const void *bytes, size_t len, agent_fn fn,
			     void *arg)
{
	call_packed(a, AGENT_NETWORK, bytes, len, 0, fn, arg);
}

void agent_shutdown(struct agent_client *a, uint32_t timeout_ms, agent_fn fn, void *arg)
{
	Nacre__Agent__V1__Empty m = NACRE__AGENT__V1__EMPTY__INIT;

	call(a, AGENT_SHUTDOWN, &m.base, timeout_ms, fn, arg);
}
