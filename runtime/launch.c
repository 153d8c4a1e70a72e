/* Making a container, step by step; undo() is the only way back. */
#include "runtime/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#include "base/log.h"
#include "base/own.h"
#include "base/path.h"
#include "base/str.h"
#include "config/oci.h"
#include "runtime/hooks.h"
#include "config/json.h"
#include "runtime/monitor_args.h"
#include "runtime/monitor_client.h"
#include "runtime/network_ns.h"
#include "runtime/pty.h"
#include "runtime/resources.h"
#include "runtime/state_dir.h"
#include "runtime/stub.h"
#include "runtime/unix_socket.h"

struct launching {
	const struct launch_params *p;
	struct oci_spec *spec;
	char *bundle, *state_dir, *socket_path;
	int dir; /* of the state: by it undo knows what was made here */
	int listener, log, slave, stub_control, net_ns;
	struct monitor_client client;
	pid_t monitor, stub;
	bool created; /* in the guest; its hooks have run */
};

static void launching_done(struct launching *l)
{
	oci_spec_destroy(l->spec);
	free(l->bundle);
	free(l->state_dir);
	free(l->socket_path);
	own_close(&l->dir);
	own_close(&l->listener);
	own_close(&l->log);
	own_close(&l->slave);
	own_close(&l->stub_control);
	own_close(&l->net_ns);
	monitor_client_close(&l->client);
}
#define AUTO_LAUNCHING CLEANUP(launching_done)

static int read_bundle(struct launching *l, struct err *err)
{
	l->bundle = realpath(l->p->bundle, NULL);
	if (!l->bundle)
		return err_set(err, errno, "bundle '%s'", l->p->bundle);
	AUTO_FREE char *path = str_printf("%s/config.json", l->bundle);
	AUTO_FREE char *text = NULL;
	size_t len = 0;

	if (!path)
		return err_set(err, ENOMEM, "read the bundle");
	int rc = path_read(AT_FDCWD, path, OCI_MAX_SPEC_BYTES, &text, &len, err);
	if (rc)
		return err_wrap(err, "'%s' is not a bundle", l->bundle);
	rc = oci_parse(text, len, path, &l->spec, err);
	return rc ? rc : oci_check(l->spec, err);
}

static int check_terminal(const struct launching *l, struct err *err)
{
	const bool wanted = l->spec->process.terminal;

	if (l->p->console_socket && !wanted)
		return err_say(err, EINVAL,
			       "cannot use console socket if the container has no terminal: "
			       "process.terminal in config.json is false");
	if (wanted && !l->p->console_socket && l->p->detached)
		return err_say(err, EINVAL,
			       "cannot allocate tty if nacre will detach without setting console "
			       "socket: give --console-socket");
	if (wanted && !l->p->console_socket && !isatty(STDIN_FILENO))
		return err_say(err, ENOTTY,
			       "the container wants a terminal, but standard input is none");
	return 0;
}

static int make_state(struct launching *l, struct err *err)
{
	int rc = state_dir_path(l->p->root, l->p->id, &l->state_dir, err);
	if (rc)
		return rc;
	l->socket_path = str_printf("%s/%s", l->state_dir, STATE_MONITOR_SOCK);
	AUTO_FREE char *log_path = str_printf("%s/monitor.log", l->state_dir);
	if (!l->socket_path || !log_path)
		return err_set(err, ENOMEM, "make a container");
	rc = state_dir_make(l->state_dir, err);
	if (rc)
		return rc;
	rc = state_dir_open(l->state_dir, &l->dir, err);
	if (rc)
		return rc;
	l->log = open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (l->log < 0)
		return err_set(err, errno, "open '%s'", log_path);
	return unix_listen(l->socket_path, &l->listener, err);
}

static int make_terminal(struct launching *l, struct err *err)
{
	AUTO_FD int master = -1;
	char name[PTY_NAME_BYTES];

	if (!l->p->console_socket)
		return 0;
	int rc = pty_open(l->spec->process.console_width, l->spec->process.console_height, &master,
			  &l->slave, name, err);
	return rc ? rc : pty_send(l->p->console_socket, master, name, err);
}

static int start_monitor(struct launching *l, struct err *err)
{
	const bool pty = l->slave >= 0;
	const int ends[] = {pty ? l->slave : STDIN_FILENO, pty ? l->slave : STDOUT_FILENO,
			    STDERR_FILENO};
	int stdio[ARRAY_SIZE(ends)];
	const struct monitor_args args = {
		.id = l->p->id,
		.state_dir = l->state_dir,
		.namespace_ = "",
		.events = "",
		.address = "",
		.debug = l->p->debug,
		.single = true,
	};
	/* A closed one is not named to the monitor later; its number is filled all the same. */
	for (size_t i = 0; i < ARRAY_SIZE(ends); i++)
		stdio[i] = fcntl(ends[i], F_GETFD) < 0 ? l->log : ends[i];
	/* Without a standard error of its own, a terminal's container must not hold ours. */
	const size_t nstdio = l->spec->process.terminal ? 2 : 3;
	int rc = monitor_spawn(&args, l->listener, l->log, stdio, nstdio, &l->monitor, err);

	own_close(&l->listener);
	return rc ? rc : monitor_client_open(l->socket_path, &l->client, err);
}

/* The name of the descriptor the monitor has in place of ours; one that is closed here is not wanted there. */
static const char *stdio_name(int fd, char name[16])
{
	if (fcntl(fd, F_GETFD) < 0)
		return "";
	(void)snprintf(name, 16, "fd://%d", MONITOR_FD_STDIO + fd);
	return name;
}

static int create_in_guest(struct launching *l, struct err *err)
{
	const bool terminal = l->spec->process.terminal;
	char in[16], out[16], error[16];
	const char *names[] = {stdio_name(STDIN_FILENO, in), stdio_name(STDOUT_FILENO, out),
			       terminal ? "" : stdio_name(STDERR_FILENO, error)};

	int rc =
		monitor_create_task(&l->client, l->p->id, l->bundle, names, terminal, l->stub, err);

	l->created = !rc;
	return rc;
}

static char *annotations_json(const struct oci_spec *spec)
{
	AUTO_JSON struct json_object *o = json_object_new_object();

	for (size_t i = 0; o && i < spec->annotation_keys.n; i++)
		json_object_object_add(o, spec->annotation_keys.v[i],
				       json_object_new_string(spec->annotation_values.v[i]));
	const char *text = o ? json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN) : NULL;
	return strdup(text ? text : "{}");
}

static int write_files(const struct launching *l, struct err *err)
{
	char created[40], pid[16];
	struct timespec now = {0};
	struct tm tm = {0};

	(void)clock_gettime(CLOCK_REALTIME, &now);
	(void)gmtime_r(&now.tv_sec, &tm);
	size_t at = strftime(created, sizeof(created), "%Y-%m-%dT%H:%M:%S", &tm);
	(void)snprintf(created + at, sizeof(created) - at, ".%09ldZ", now.tv_nsec);
	AUTO_FREE char *annotations = annotations_json(l->spec);
	AUTO_FREE char *rootfs = l->spec->root_path[0] == '/'
					 ? strdup(l->spec->root_path)
					 : str_printf("%s/%s", l->bundle, l->spec->root_path);
	if (!annotations || !rootfs)
		return err_set(err, ENOMEM, "write the container's state");
	char id[256];
	(void)snprintf(id, sizeof(id), "%s", l->p->id);
	const struct container_state state = {
		.id = id,
		.bundle = l->bundle,
		.rootfs = rootfs,
		.oci_version = l->spec->oci_version,
		.created = created,
		.annotations_json = annotations,
		.pid = l->stub,
	};
	int rc = container_state_save(l->state_dir, &state, err);
	if (rc || !l->p->pid_file)
		return rc;
	int n = snprintf(pid, sizeof(pid), "%d", (int)l->stub);
	return path_write_atomic(AT_FDCWD, l->p->pid_file, pid, (size_t)n, 0644, err);
}

static void reap(pid_t pid)
{
	while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}

/* Keeps the error that led here. */
static void undo(struct launching *l)
{
	struct err ignored = ERR_INIT;

	if (l->stub > 0)
		(void)kill(l->stub, SIGKILL);
	reap(l->stub);
	monitor_client_close(&l->client);
	if (l->dir < 0)
		return;
	/* The list has the monitor, which takes the rest along. */
	int rc = state_dir_lock(l->state_dir, l->dir, &ignored);
	if (!rc)
		rc = resources_replay(l->state_dir, &ignored);
	if (rc && rc != -ENOENT)
		log_warn("%s", ignored.text);
	reap(l->monitor);
	if (l->created)
		hooks_poststop_of_bundle(l->p->id, l->bundle);
}

static int steps(struct launching *l, struct err *err)
{
	int rc = read_bundle(l, err);

	if (!rc)
		rc = check_terminal(l, err);
	if (!rc)
		rc = network_ns_open(oci_namespace(l->spec, OCI_NS_NETWORK)->path, &l->net_ns, err);
	if (!rc)
		rc = make_state(l, err);
	if (!rc)
		rc = make_terminal(l, err);
	if (!rc)
		rc = start_monitor(l, err);
	if (!rc)
		rc = stub_spawn(l->p->id, l->socket_path, l->net_ns, l->slave, &l->stub,
				&l->stub_control, err);
	if (!rc)
		rc = create_in_guest(l, err);
	if (!rc)
		rc = stub_attach(l->stub_control, err);
	if (!rc)
		rc = write_files(l, err);
	return rc;
}

int launch(const struct launch_params *p, struct launched *out, struct err *err)
{
	AUTO_LAUNCHING struct launching l = {
		.p = p,
		.dir = -1,
		.listener = -1,
		.log = -1,
		.slave = -1,
		.stub_control = -1,
		.net_ns = -1,
		.client = MONITOR_CLIENT_INIT,
	};
	int rc = steps(&l, err);

	if (rc) {
		undo(&l);
		return rc;
	}
	out->stub = l.stub;
	out->terminal = l.spec->process.terminal && !p->console_socket;
	return 0;
}
