/* See sandbox_world.h. */
#include "tests/unit/sandbox_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "agent-proto/agent.pb-c.h"
#include "runtime/agent_client.h"

void world_tell(struct world *w, char what)
{
	size_t n = strlen(w->story);

	assert_true(n + 1 < sizeof(w->story));
	w->story[n] = what;
}

static void keep(struct world *w, enum method m, struct ttrpc_request *req)
{
	assert_null(w->asked[m]);
	w->asked[m] = req;
}

#define KEEP(name, method)                                                                         \
	static void name(void *arg, struct ttrpc_request *req, const uint8_t *p, size_t len)       \
	{                                                                                          \
		(void)p;                                                                           \
		(void)len;                                                                         \
		keep(arg, method, req);                                                            \
	}

KEEP(on_exec, EXEC)
KEEP(on_start, START)
KEEP(on_wait, WAIT)
KEEP(on_delete, DELETE)
KEEP(on_delete_exec, DELETE_EXEC)
KEEP(on_resize, RESIZE)
KEEP(on_pause, PAUSE)
KEEP(on_resume, RESUME)
KEEP(on_update, UPDATE)
KEEP(on_goodbye, SHUTDOWN)

static void on_vcpus(void *arg, struct ttrpc_request *req, const uint8_t *p, size_t len)
{
	struct world *w = arg;
	Nacre__Agent__V1__OnlineVcpusRequest *m =
		nacre__agent__v1__online_vcpus_request__unpack(NULL, len, p);

	assert_non_null(m);
	w->vcpus = m->count;
	nacre__agent__v1__online_vcpus_request__free_unpacked(m, NULL);
	keep(w, VCPUS, req);
}

static void on_signal(void *arg, struct ttrpc_request *req, const uint8_t *p, size_t len)
{
	struct world *w = arg;
	Nacre__Agent__V1__SignalRequest *m = nacre__agent__v1__signal_request__unpack(NULL, len, p);

	assert_non_null(m);
	w->signo = m->signal;
	nacre__agent__v1__signal_request__free_unpacked(m, NULL);
	keep(w, SIGNAL, req);
}

static const struct ttrpc_method agent_methods[] = {
	{"nacre.agent.v1.Agent", "ExecProcess", on_exec},
	{"nacre.agent.v1.Agent", "StartProcess", on_start},
	{"nacre.agent.v1.Agent", "WaitProcess", on_wait},
	{"nacre.agent.v1.Agent", "SignalProcess", on_signal},
	{"nacre.agent.v1.Agent", "DeleteContainer", on_delete},
	{"nacre.agent.v1.Agent", "DeleteProcess", on_delete_exec},
	{"nacre.agent.v1.Agent", "ResizePty", on_resize},
	{"nacre.agent.v1.Agent", "PauseContainer", on_pause},
	{"nacre.agent.v1.Agent", "ResumeContainer", on_resume},
	{"nacre.agent.v1.Agent", "UpdateContainer", on_update},
	{"nacre.agent.v1.Agent", "OnlineVcpus", on_vcpus},
	{"nacre.agent.v1.Agent", "Shutdown", on_goodbye},
	{NULL, NULL, NULL},
};

static void on_exit_hook(void *arg, const struct process *p)
{
	world_tell(arg, process_is_init(p) ? 'X' : 'x');
}

static void on_oom_hook(void *arg, const struct container *c)
{
	(void)c;
	world_tell(arg, 'O');
}

static void on_lost(void *arg, const struct err *why)
{
	(void)arg;
	(void)why;
}

static void on_close(void *arg, struct ttrpc_conn *conn, const struct err *why)
{
	(void)arg;
	(void)conn;
	(void)why;
}

static void on_client_close(void *arg, struct ttrpc_conn *conn, const struct err *why)
{
	(void)conn;
	(void)why;
	task_client_gone(arg);
}

static void on_shutdown(void *arg)
{
	world_tell(arg, 'E');
}

void world_settle(struct world *w)
{
	struct err err = ERR_INIT;

	for (int i = 0; i < 20; i++)
		assert_int_equal(loop_step(w->loop, 0, &err), 0);
}

static void connect_agent(struct world *w)
{
	struct err err = ERR_INIT;
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	assert_int_equal(agent_client_create(w->loop, fds[0], on_lost, w, &w->sandbox->agent, &err),
			 0);
	const struct ttrpc_conn_params p = {.loop = w->loop,
					    .fd = fds[1],
					    .methods = agent_methods,
					    .arg = w,
					    .on_close = on_close};
	assert_int_equal(ttrpc_conn_create(&p, &w->agent, &err), 0);
}

static void connect_caller(struct world *w)
{
	struct err err = ERR_INIT;
	int fds[2];

	w->service =
		(struct task_service){.sandbox = w->sandbox, .on_shutdown = on_shutdown, .arg = w};
	w->client = calloc(1, sizeof(*w->client));
	assert_non_null(w->client);
	w->client->service = &w->service;
	w->client->pid = 4711;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	const struct ttrpc_conn_params serve = {.loop = w->loop,
						.fd = fds[0],
						.methods = task_methods,
						.arg = w->client,
						.on_close = on_client_close};
	const struct ttrpc_conn_params call = {
		.loop = w->loop, .fd = fds[1], .arg = w, .on_close = on_close};
	assert_int_equal(ttrpc_conn_create(&serve, &w->client->conn, &err), 0);
	assert_int_equal(ttrpc_conn_create(&call, &w->caller, &err), 0);
}

int world_begin(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	struct err err = ERR_INIT;
	const struct sandbox_hooks hooks = {
		.on_exit = on_exit_hook, .on_oom = on_oom_hook, .arg = w};

	assert_non_null(w);
	assert_int_equal(loop_create(&w->loop, &err), 0);
	assert_int_equal(sandbox_create(w->loop, "sb", "/nonexistent", &hooks, &w->sandbox, &err),
			 0);
	w->sandbox->state = SANDBOX_READY;
	w->sandbox->vmm_pid = 99;
	connect_agent(w);
	connect_caller(w);
	*state = w;
	return 0;
}

int world_end(void **state)
{
	struct world *w = *state;

	ttrpc_conn_destroy(w->caller);
	ttrpc_conn_destroy(w->client->conn);
	task_client_gone(w->client);
	free(w->client);
	sandbox_destroy(w->sandbox);
	ttrpc_conn_destroy(w->agent);
	loop_destroy(w->loop);
	free(w);
	return 0;
}

void world_on_plain(void *arg, const struct err *status)
{
	struct world *w = arg;

	w->code = status->code;
	if (status->code)
		world_tell(w, '!');
}

void world_on_started(void *arg, const struct err *status)
{
	world_on_plain(arg, status);
	if (!status->code)
		world_tell(arg, 'S');
}

void world_on_deleted(void *arg, const struct err *status)
{
	world_on_plain(arg, status);
	if (!status->code)
		world_tell(arg, 'D');
}

struct process *world_process(struct world *w, struct container *c, const char *exec_id)
{
	const struct process_io io = {.terminal = false};
	struct process *p = NULL;
	struct err err = ERR_INIT;

	assert_int_equal(process_create(c, exec_id, &io, &p, &err), 0);
	process_attach(p, world_on_plain, w);
	world_settle(w);
	assert_int_equal(p->state, PROCESS_CREATED);
	return p;
}

/* A container as container_create leaves it, without mounts. */
struct container *world_container(struct world *w)
{
	struct container *c = calloc(1, sizeof(*c));

	assert_non_null(c);
	c->refs = 1;
	c->sandbox = w->sandbox;
	c->id = strdup("c");
	c->bundle = strdup("/b");
	sandbox_link(w->sandbox, c);
	c->init = world_process(w, c, "");
	return c;
}

struct ttrpc_request *world_take(struct world *w, enum method m)
{
	struct ttrpc_request *req = w->asked[m];

	assert_non_null(req);
	w->asked[m] = NULL;
	return req;
}

void world_answer_empty(struct world *w, enum method m)
{
	ttrpc_reply(world_take(w, m), "", 0);
	world_settle(w);
}

void world_answer_exit(struct world *w, struct ttrpc_request *req, uint32_t status)
{
	Nacre__Agent__V1__WaitResponse r = NACRE__AGENT__V1__WAIT_RESPONSE__INIT;
	uint8_t packed[32];

	r.exit_status = status;
	ttrpc_reply(req, packed, nacre__agent__v1__wait_response__pack(&r, packed));
	world_settle(w);
}

void world_start(struct world *w, struct process *p)
{
	process_start(p, world_on_started, w);
	world_settle(w);
	world_answer_empty(w, START);
}
