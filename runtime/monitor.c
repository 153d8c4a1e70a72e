/*
 * The monitor: one process per sandbox, one event loop, no threads. It owns the vmm and, by its broker, everything the sandbox holds
 * on the host, serves the Task service on its socket, and ends when it is shut down; a monitor that is killed takes its vmm with
 * it (end of file on the monitor socket), its broker and their mounts (they are in a namespace of the two), and `delete` does
 * the rest.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/listener.h"
#include "base/log.h"
#include "base/loop.h"
#include "runtime/broker.h"
#include "runtime/container.h"
#include "runtime/events.h"
#include "runtime/monitor_args.h"
#include "runtime/flags.h"
#include "runtime/resources.h"
#include "runtime/sandbox.h"
#include "runtime/task_service.h"
#include "runtime/unix_socket.h"

/* containerd has one connection a pod, on which a Wait for each of its processes stays open. */
#define MAX_REQUESTS 65536

struct monitor {
	struct monitor_args args;
	struct loop *loop;
	struct sandbox *sandbox;
	struct events *events;
	struct task_service service;
	struct task_client *clients;
	struct listener *listener;
	bool ending;
};

static void stop_loop(void *arg)
{
	struct monitor *m = arg;

	loop_stop(m->loop);
}

static void end_now(void *arg, const struct err *status)
{
	struct monitor *m = arg;

	(void)status;
	events_when_idle(m->events, stop_loop, m);
}

/* A caller that went away before its container came to anything leaves nothing behind. */
static void end_if_deserted(struct monitor *m)
{
	if (!m->args.single || m->clients || m->ending)
		return;
	for (const struct container *c = m->sandbox->containers; c; c = c->next)
		if (c->init && c->init->host_pid)
			return;
	m->ending = true;
	log_info("sandbox %s: nobody needs it any more", m->args.id);
	sandbox_stop(m->sandbox, end_now, m);
}

static void forget_client(struct monitor *m, struct task_client *client)
{
	for (struct task_client **at = &m->clients; *at; at = &(*at)->next) {
		if (*at == client) {
			*at = client->next;
			break;
		}
	}
	ttrpc_conn_destroy(client->conn);
	task_client_gone(client);
	free(client);
}

static struct task_client *client_of(struct monitor *m, const struct ttrpc_conn *conn)
{
	for (struct task_client *c = m->clients; c; c = c->next)
		if (c->conn == conn)
			return c;
	return NULL;
}

static void on_client_close(void *arg, struct ttrpc_conn *conn, const struct err *why)
{
	struct task_client *client = arg;
	struct monitor *m = client->service->arg;

	if (why->code)
		log_debug("a client's connection ended: %s", why->text);
	if (client_of(m, conn) != client)
		return;
	forget_client(m, client);
	end_if_deserted(m);
}

static int add_client(struct monitor *m, int fd, struct err *err)
{
	struct task_client *client = calloc(1, sizeof(*client));
	uid_t uid = 0;

	if (!client)
		return err_set(err, ENOMEM, "serve a client");
	client->service = &m->service;
	int rc = unix_peer(fd, &client->pid, &uid);
	if (!rc && uid != geteuid() && uid != 0)
		rc = -EPERM;
	if (rc) {
		free(client);
		return err_set(err, -rc, "serve a client");
	}
	const struct ttrpc_conn_params p = {
		.loop = m->loop,
		.fd = fd,
		.methods = task_methods,
		.arg = client,
		.limits = {.max_requests = MAX_REQUESTS},
		.on_close = on_client_close,
	};
	rc = ttrpc_conn_create(&p, &client->conn, err);
	if (rc) {
		free(client);
		return rc;
	}
	client->next = m->clients;
	m->clients = client;
	return 0;
}

static void on_connection(void *arg, int fd)
{
	struct monitor *m = arg;
	struct err err = ERR_INIT;
	AUTO_FD int conn = fd;

	if (add_client(m, conn, &err))
		log_warn("%s", err.text);
	else
		(void)TAKE_FD(&conn);
}

static void on_shutdown(void *arg)
{
	struct monitor *m = arg;

	m->ending = true;
	loop_stop(m->loop);
}

/* A signal to the monitor is a request to end the sandbox in order. */
static void on_signal(void *arg, int signo)
{
	struct monitor *m = arg;

	log_info("sandbox %s: signal %d, ending it", m->args.id, signo);
	m->ending = true;
	sandbox_stop(m->sandbox, end_now, m);
}

static int connect_events(void *arg, int *fd, struct err *err)
{
	const struct monitor *m = arg;

	return broker_connect_events(m->sandbox->broker, fd, err);
}

static int setup(struct monitor *m, struct err *err)
{
	const struct sandbox_hooks hooks = {task_on_exit, task_on_oom, &m->service};
	sigset_t end;

	(void)signal(SIGPIPE, SIG_IGN);
	int rc = loop_create(&m->loop, err);
	if (!rc)
		rc = sandbox_create(m->loop, m->args.id, m->args.state_dir, &hooks, &m->sandbox,
				    err);
	if (rc)
		return rc;
	m->sandbox->debug = m->args.debug;
	m->sandbox->events = m->args.events;
	if (*m->args.events)
		rc = events_create(m->loop, connect_events, m, m->args.namespace_, &m->events, err);
	if (rc)
		return rc;
	m->service = (struct task_service){
		.sandbox = m->sandbox,
		.events = m->events,
		.on_shutdown = on_shutdown,
		.arg = m,
	};
	(void)sigemptyset(&end);
	(void)sigaddset(&end, SIGTERM);
	(void)sigaddset(&end, SIGINT);
	rc = loop_add_signals(m->loop, &end, on_signal, m, NULL, err);
	if (!rc)
		rc = listener_create(m->loop, MONITOR_FD_LISTEN, on_connection, m, &m->listener,
				     err);
	return rc;
}

/* In the order of dependence: nobody is called back into what is gone. */
static void teardown(struct monitor *m)
{
	while (m->clients)
		forget_client(m, m->clients);
	listener_destroy(m->listener);
	if (m->sandbox)
		sandbox_destroy(m->sandbox);
	else
		resources_end(m->args.state_dir);
	events_destroy(m->events);
	loop_destroy(m->loop);
}

static int parse_args(int argc, char *const argv[], struct monitor_args *args, struct err *err)
{
	int next = 0;
	const struct flag_def defs[] = {
		{"id", 0, FLAG_STRING, &args->id, NULL, NULL},
		{"state", 0, FLAG_STRING, &args->state_dir, NULL, NULL},
		{"namespace", 0, FLAG_STRING, &args->namespace_, NULL, NULL},
		{"events", 0, FLAG_STRING, &args->events, NULL, NULL},
		{"address", 0, FLAG_STRING, &args->address, NULL, NULL},
		{"debug", 0, FLAG_BOOL, &args->debug, NULL, NULL},
		{"single", 0, FLAG_BOOL, &args->single, NULL, NULL},
		{NULL, 0, FLAG_BOOL, NULL, NULL, NULL},
	};
	int rc = flags_parse(argc, argv, defs, &next, err);

	if (!rc && (!args->id || !args->state_dir || !args->namespace_ || !args->events))
		rc = err_say(err, EINVAL, "a monitor is started by nacre itself");
	return rc;
}

int monitor_main(int argc, char *const argv[])
{
	struct monitor m = {0};
	struct err err = ERR_INIT;
	int rc = parse_args(argc, argv, &m.args, &err);

	/* What we were given came through exec without the flag; the vmm gets its own list. */
	(void)syscall(SYS_close_range, 3, ~0U, CLOSE_RANGE_CLOEXEC);
	(void)prctl(PR_SET_NAME, "nacre-monitor");
	if (!rc) {
		log_init(MONITOR_FD_LOG, m.args.debug ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO,
			 LOG_FORMAT_TEXT);
		rc = setup(&m, &err);
	}
	if (!rc)
		rc = loop_run(m.loop, &err);
	if (rc)
		log_error("monitor: %s", err.text);
	if (m.args.state_dir)
		teardown(&m);
	return rc ? EXIT_FAILURE : EXIT_SUCCESS;
}
