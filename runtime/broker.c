/* The broker's start and end. */
#include "runtime/broker.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "base/fd.h"
#include "base/log.h"
#include "runtime/broker_ask.h"
#include "runtime/broker_state.h"

/* What a mount or the removal of a tree may take on a slow disk. */
#define ANSWER_TIMEOUT_S 60

pid_t broker_pid(const struct broker *b)
{
	return b->pid;
}

/* The monitor's end of the socket closes by its death, too: that is for what this signal does not reach. */
static void end_with_parent(pid_t parent)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) || getppid() != parent)
		_exit(EXIT_FAILURE);
}

NORETURN static void run_child(const struct broker_params *p, int sock, pid_t parent)
{
	int keep[] = {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO,
		      sock,         log_fd(),      p->host_mount_ns_fd};
	struct broker_state s = {
		.sandbox_id = p->sandbox_id, .state_dir = p->state_dir, .events = p->events};
	struct err err = ERR_INIT;
	sigset_t all;

	end_with_parent(parent);
	/* Whoever signals a whole session means the monitor, which ends us in order. */
	(void)sigfillset(&all);
	(void)sigprocmask(SIG_BLOCK, &all, NULL);
	(void)prctl(PR_SET_NAME, "nacre-broker");
	fd_close_others(keep, ARRAY_SIZE(keep));
	if (loop_create(&s.loop, &err)) {
		log_error("broker: %s", err.text);
		_exit(EXIT_FAILURE);
	}
	s.hooks.loop = s.loop;
	s.hooks.host_mount_ns_fd = p->host_mount_ns_fd;
	broker_serve(&s, sock);
	_exit(EXIT_SUCCESS);
}

static void on_child(void *arg, pid_t pid, int status)
{
	struct broker *b = arg;

	(void)pid;
	log_error("the broker ended with status %d", status);
	b->pid = 0;
	b->child = NULL;
	own_close(&b->sock);
	b->p.on_lost(b->p.arg);
}

void broker_stop(struct broker *b)
{
	struct err err = ERR_INIT;

	if (!b)
		return;
	broker_close_hooks(b);
	if (broker_ask_plain(b, BROKER_END, 0, 0, &err))
		log_warn("%s", err.text);
	own_close(&b->sock);
	if (b->pid) {
		loop_kill_child(b->child);
		while (waitpid(b->pid, NULL, 0) < 0 && errno == EINTR)
			;
		loop_remove(b->child);
	}
	free(b);
}

static int open_sockets(int pair[2], struct err *err)
{
	const struct timeval timeout = {.tv_sec = ANSWER_TIMEOUT_S};
	const int room = 2 * (int)BROKER_MAX_BYTES;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return err_set(err, errno, "make the broker's socket");
	if (setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) ||
	    setsockopt(pair[0], SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)) ||
	    setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room))) {
		(void)close(pair[0]);
		(void)close(pair[1]);
		return err_set(err, errno, "prepare the broker's socket");
	}
	return 0;
}

int broker_start(const struct broker_params *p, struct broker **out, struct err *err)
{
	CLEANUP(own_broker_stop) struct broker *b = calloc(1, sizeof(*b));
	const pid_t parent = getpid();
	int pair[2];

	if (!b)
		return err_set(err, ENOMEM, "start the broker");
	b->p = *p;
	b->sock = -1;
	b->share_ms = BROKER_SHARE_MS;
	int rc = open_sockets(pair, err);
	if (rc)
		return rc;
	AUTO_FD int theirs = pair[1];
	b->sock = pair[0];
	b->pid = fork();
	if (b->pid < 0) {
		b->pid = 0;
		return err_set(err, errno, "start the broker");
	}
	if (b->pid == 0)
		run_child(p, theirs, parent);
	rc = loop_add_child(p->loop, b->pid, on_child, b, &b->child, err);
	if (rc)
		return rc;
	*out = TAKE_PTR(&b);
	return 0;
}
