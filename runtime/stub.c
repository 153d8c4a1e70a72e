/* The stub: attach, say so, wait, exit alike. */
#include "runtime/stub.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "agent-proto/containerd.pb-c.h"
#include "agent-proto/ttrpc.h"
#include "base/fd.h"
#include "base/loop.h"
#include "base/spawn.h"
#include "runtime/flags.h"
#include "runtime/task_service.h"
#include "runtime/unix_socket.h"

enum { STUB_FD_CONTROL = 3, STUB_FD_TTY = 4 };

#define STATUS_LOST 137 /* 128 + SIGKILL: what becomes of a workload whose monitor is gone */
#define READY       "ready"
#define GO          "g"

struct stub {
	const char *id, *socket_path;
	bool tty;
	struct loop *loop;
	struct ttrpc_conn *conn;
	int ready_fd;
	int status;
};

/* What a caller may send to the pid it knows; the rest keeps its own meaning. */
static const int passed_on[] = {SIGHUP,  SIGINT,  SIGQUIT, SIGTERM,
				SIGUSR1, SIGUSR2, SIGCONT, SIGALRM};

static void call(struct stub *s, const char *service, const char *method,
		 const ProtobufCMessage *message, ttrpc_answer fn)
{
	uint8_t packed[1024];

	if (protobuf_c_message_get_packed_size(message) > sizeof(packed))
		return;
	size_t len = protobuf_c_message_pack(message, packed);

	ttrpc_call(s->conn, service, method, packed, len, 0, fn, s);
}

static char *lend(const char *text)
{
	return (char *)(uintptr_t)text;
}

static void ignore_answer(void *arg, const struct err *status, const uint8_t *payload, size_t len)
{
	(void)arg;
	(void)status;
	(void)payload;
	(void)len;
}

static void pass_size(struct stub *s)
{
	Containerd__ResizePtyRequest m = CONTAINERD__RESIZE_PTY_REQUEST__INIT;
	struct winsize size = {0};

	if (!s->tty || ioctl(STUB_FD_TTY, TIOCGWINSZ, &size) || !size.ws_col || !size.ws_row)
		return;
	m.id = lend(s->id);
	m.width = size.ws_col;
	m.height = size.ws_row;
	call(s, TASK_SERVICE_V2, "ResizePty", &m.base, ignore_answer);
}

static void on_signal(void *arg, int signo)
{
	struct stub *s = arg;
	Containerd__KillRequest m = CONTAINERD__KILL_REQUEST__INIT;

	if (signo == SIGWINCH) {
		pass_size(s);
		return;
	}
	m.id = lend(s->id);
	m.signal = (uint32_t)signo;
	call(s, TASK_SERVICE_V2, "Kill", &m.base, ignore_answer);
}

static void on_exited(void *arg, const struct err *status, const uint8_t *payload, size_t len)
{
	struct stub *s = arg;
	Containerd__WaitResponse *m =
		status->code ? NULL : containerd__wait_response__unpack(NULL, len, payload);

	if (m)
		s->status = (int)(m->exit_status & 0xff);
	containerd__wait_response__free_unpacked(m, NULL);
	loop_stop(s->loop);
}

/* The first word to the parent: READY, or why not. */
static void report(struct stub *s, const char *text)
{
	if (s->ready_fd >= 0 && fd_write_full(s->ready_fd, text, strlen(text)))
		s->status = EXIT_FAILURE;
	own_close(&s->ready_fd);
}

static void on_attached(void *arg, const struct err *status, const uint8_t *payload, size_t len)
{
	struct stub *s = arg;
	Containerd__WaitRequest m = CONTAINERD__WAIT_REQUEST__INIT;

	(void)payload;
	(void)len;
	if (status->code) {
		report(s, status->text);
		s->status = EXIT_FAILURE;
		loop_stop(s->loop);
		return;
	}
	report(s, READY);
	pass_size(s);
	m.id = lend(s->id);
	call(s, TASK_SERVICE_V2, "Wait", &m.base, on_exited);
}

static void on_close(void *arg, struct ttrpc_conn *conn, const struct err *why)
{
	struct stub *s = arg;

	(void)conn;
	(void)why;
	loop_stop(s->loop);
}

static int attach(struct stub *s, struct err *err)
{
	Containerd__WaitRequest m = CONTAINERD__WAIT_REQUEST__INIT;
	AUTO_FD int fd = -1;
	sigset_t set;

	(void)sigemptyset(&set);
	for (size_t i = 0; i < ARRAY_SIZE(passed_on); i++)
		(void)sigaddset(&set, passed_on[i]);
	(void)sigaddset(&set, SIGWINCH);
	int rc = loop_add_signals(s->loop, &set, on_signal, s, NULL, err);
	if (!rc)
		rc = unix_connect(s->socket_path, SOCK_NONBLOCK, &fd, err);
	if (rc)
		return rc;
	const struct ttrpc_conn_params p = {
		.loop = s->loop,
		.fd = fd,
		.arg = s,
		.on_close = on_close,
	};
	rc = ttrpc_conn_create(&p, &s->conn, err);
	if (rc)
		return rc;
	(void)TAKE_FD(&fd);
	if (s->tty && ioctl(STUB_FD_TTY, TIOCSCTTY, 0))
		return err_set(err, errno, "take the terminal");
	m.id = lend(s->id);
	call(s, NACRE_MONITOR_SERVICE, "Attach", &m.base, on_attached);
	return 0;
}

/* False when whoever started us has given the container up. */
static bool may_go_on(void)
{
	char go = 0;

	return fd_read_full(STUB_FD_CONTROL, &go, 1) == 1;
}

int stub_main(int argc, char *const argv[])
{
	struct stub s = {.ready_fd = STUB_FD_CONTROL, .status = STATUS_LOST};
	struct err err = ERR_INIT;
	int next = 0;
	const struct flag_def defs[] = {
		{"id", 0, FLAG_STRING, &s.id, NULL, NULL},
		{"socket", 0, FLAG_STRING, &s.socket_path, NULL, NULL},
		{"tty", 0, FLAG_BOOL, &s.tty, NULL, NULL},
		{NULL, 0, FLAG_BOOL, NULL, NULL, NULL},
	};
	int rc = flags_parse(argc, argv, defs, &next, &err);

	if (!rc && (!s.id || !s.socket_path))
		rc = err_say(&err, EINVAL, "a stub is started by nacre itself");
	(void)prctl(PR_SET_NAME, "nacre-stub");
	(void)signal(SIGPIPE, SIG_IGN);
	if (!rc)
		rc = loop_create(&s.loop, &err);
	if (!rc && !may_go_on())
		return s.status;
	if (!rc)
		rc = attach(&s, &err);
	if (!rc)
		rc = loop_run(s.loop, &err);
	if (rc) {
		report(&s, err.text);
		s.status = EXIT_FAILURE;
	}
	ttrpc_conn_destroy(s.conn);
	loop_destroy(s.loop);
	return s.status;
}

int stub_attach(int control, struct err *err)
{
	char text[ERR_TEXT_BYTES];
	if (send(control, GO, 1, MSG_NOSIGNAL) < 0)
		return err_set(err, errno, "wake the stub");
	ssize_t n = fd_read_full(control, text, sizeof(text) - 1);
	if (n < 0)
		return err_set(err, (int)-n, "wait for the stub");
	text[n] = '\0';
	if (strcmp(text, READY) == 0)
		return 0;
	return err_say(err, EIO, "the stub did not start: %s", n ? text : "it ended");
}

int stub_spawn(const char *id, const char *socket_path, int net_ns_fd, int tty, pid_t *pid,
	       int *control, struct err *err)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		return err_set(err, errno, "make a socket for the stub");
	AUTO_FD int ours = pair[0];
	AUTO_FD int theirs = pair[1];
	const struct spawn_fd fds[] = {{theirs, STUB_FD_CONTROL}, {tty, STUB_FD_TTY}};
	const char *argv[] = {"nacre",
			      STUB_VERB,
			      "--id",
			      id,
			      "--socket",
			      socket_path,
			      tty >= 0 ? "--tty=true" : "--tty=false",
			      NULL};
	const struct spawn spec = {
		.path = "/proc/self/exe",
		.argv = (char *const *)(uintptr_t)argv,
		.fds = fds,
		.nfds = tty >= 0 ? 2 : 1,
		.new_session = true,
		.net_ns_fd = net_ns_fd,
		.cwd = "/",
	};
	int rc = spawn_start(&spec, pid, NULL, err);
	if (rc)
		return rc;
	*control = TAKE_FD(&ours);
	return 0;
}
