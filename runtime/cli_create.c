/* `nacre create` and `nacre run`: both launch; run then starts, waits and deletes. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>

#include "base/log.h"
#include "base/loop.h"
#include "base/own.h"
#include "base/str.h"
#include "runtime/cli.h"
#include "runtime/cli_args.h"
#include "runtime/launch.h"
#include "runtime/lifecycle.h"
#include "runtime/monitor_client.h"
#include "runtime/pty.h"

struct create_options {
	struct launch_params launch;
	bool detach, keep;
};

/* preserve-fds of 0 asks for nothing; more cannot be given to a guest. */
static int check_preserve_fds(const char *count, struct err *err)
{
	if (!count || strcmp(count, "0") == 0)
		return 0;
	return err_say(err, ENOTSUP,
		       "--preserve-fds %s: descriptors of the host cannot be passed into a microVM",
		       count);
}

/* Returns 1 when only help was wanted. */
static int parse(struct cli *cli, int argc, char *const argv[], bool run, struct create_options *o,
		 struct err *err)
{
	const char *preserve_fds = NULL, *pidfd_socket = NULL;
	char *const *words = NULL;
	int nwords = 0;
	*o = (struct create_options){
		.launch = {.root = cli->root, .bundle = ".", .debug = cli->debug}};
	const struct flag_def defs[] = {
		{"bundle", 'b', FLAG_STRING, &o->launch.bundle, "DIR",
		 "directory with config.json (.)"},
		{"console-socket", 0, FLAG_STRING, &o->launch.console_socket, "PATH",
		 "unix socket that gets the terminal's master"},
		{"pid-file", 0, FLAG_STRING, &o->launch.pid_file, "FILE",
		 "write the pid that stands for the container here"},
		{"preserve-fds", 0, FLAG_STRING, &preserve_fds, NULL, NULL},
		{"pidfd-socket", 0, FLAG_STRING, &pidfd_socket, NULL, NULL},
		{"no-pivot", 0, FLAG_IGNORED_BOOL, NULL, NULL, NULL},
		{"no-new-keyring", 0, FLAG_IGNORED_BOOL, NULL, NULL, NULL},
		{"no-subreaper", 0, FLAG_IGNORED_BOOL, NULL, NULL, NULL},
		/* The rest is for run alone. */
		{run ? "detach" : NULL, 'd', FLAG_BOOL, &o->detach, NULL,
		 "do not wait for its end"},
		{"keep", 0, FLAG_BOOL, &o->keep, NULL, "do not delete it after its end"},
		{NULL, 0, FLAG_BOOL, NULL, NULL, NULL},
	};
	int rc = cli_args(argc, argv, defs, 1, 1, &words, &nwords, err);
	if (rc)
		return rc;
	if (pidfd_socket)
		return err_say(err, ENOTSUP, "--pidfd-socket is not supported");
	o->launch.id = words[0];
	o->launch.detached = !run || o->detach;
	return check_preserve_fds(preserve_fds, err);
}

int cli_create(struct cli *cli, int argc, char *const argv[], struct err *err)
{
	struct create_options o;
	struct launched made = {0};
	int rc = parse(cli, argc, argv, false, &o, err);

	if (rc)
		return rc < 0 ? rc : 0;
	return launch(&o.launch, &made, err);
}

/* `run` in the foreground: the terminal and the signals are passed on until the stub ends. */
struct foreground {
	struct loop *loop;
	const struct create_options *o;
	struct monitor_client client;
	struct launched made;
	bool raw;
	struct termios saved;
	int status;
};

static void pass_size(struct foreground *f)
{
	struct winsize size = {0};
	struct err err = ERR_INIT;

	if (!f->made.terminal || ioctl(STDIN_FILENO, TIOCGWINSZ, &size) || !size.ws_col ||
	    !size.ws_row)
		return;
	if (monitor_resize(&f->client, f->o->launch.id, size.ws_col, size.ws_row, &err))
		log_debug("window size: %s", err.text);
}

static void on_signal(void *arg, int signo)
{
	struct foreground *f = arg;

	if (signo == SIGWINCH)
		pass_size(f);
	else
		(void)kill(f->made.stub, signo);
}

static void on_stub_end(void *arg, pid_t pid, int status)
{
	struct foreground *f = arg;

	(void)pid;
	f->status = status;
	loop_stop(f->loop);
}

static int foreground_begin(struct foreground *f, struct err *err)
{
	static const int passed_on[] = {SIGHUP,  SIGINT,  SIGQUIT, SIGTERM,
					SIGUSR1, SIGUSR2, SIGWINCH};
	sigset_t set;

	(void)sigemptyset(&set);
	for (size_t i = 0; i < ARRAY_SIZE(passed_on); i++)
		(void)sigaddset(&set, passed_on[i]);
	int rc = loop_create(&f->loop, err);
	if (!rc)
		rc = loop_add_signals(f->loop, &set, on_signal, f, NULL, err);
	if (!rc)
		rc = loop_add_child(f->loop, f->made.stub, on_stub_end, f, NULL, err);
	if (!rc && f->made.terminal) {
		rc = pty_make_raw(STDIN_FILENO, &f->saved, err);
		f->raw = !rc;
	}
	if (!rc)
		pass_size(f);
	return rc;
}

static void foreground_end(struct foreground *f)
{
	if (f->raw)
		(void)tcsetattr(STDIN_FILENO, TCSANOW, &f->saved);
	monitor_client_close(&f->client);
	loop_destroy(f->loop);
}

static int run_launched(struct cli *cli, struct foreground *f, struct err *err)
{
	int rc = lifecycle_connect(cli->root, f->o->launch.id, &f->client, err);

	if (!rc && !f->o->detach)
		rc = foreground_begin(f, err);
	if (!rc)
		rc = monitor_start(&f->client, f->o->launch.id, err);
	if (!rc && !f->o->detach)
		rc = loop_run(f->loop, err);
	return rc;
}

/* Asked before the delete: the monitor's log goes with the state directory. */
static char *why_it_ended(struct foreground *f)
{
	struct err err = ERR_INIT;
	char *why = NULL;

	if (!f->status)
		return NULL;
	if (monitor_why(&f->client, f->o->launch.id, &why, &err))
		return str_printf("its monitor does not say why it ended with %d: %s", f->status,
				  err.text);
	return why;
}

static void tell_why(const struct cli *cli, const char *id, const char *why)
{
	if (cli->log_path)
		log_error("container %s: %s", id, why);
	(void)fprintf(stderr, "nacre: container %s: %s\n", id, why);
}

int cli_run(struct cli *cli, int argc, char *const argv[], struct err *err)
{
	struct create_options o;
	struct foreground f = {.o = &o, .client = MONITOR_CLIENT_INIT};
	struct err late = ERR_INIT;
	int rc = parse(cli, argc, argv, true, &o, err);

	if (rc)
		return rc < 0 ? rc : 0;
	rc = launch(&o.launch, &f.made, err);
	if (rc)
		return rc;
	rc = run_launched(cli, &f, err);
	AUTO_FREE char *why = rc ? NULL : why_it_ended(&f);

	foreground_end(&f);
	if (why && *why)
		tell_why(cli, o.launch.id, why);
	if (!rc && (o.detach || o.keep)) {
		cli->exit_status = f.status;
		return 0;
	}
	if (lifecycle_delete(cli->root, o.launch.id, true, &late))
		log_error("%s", late.text);
	cli->exit_status = f.status;
	return rc;
}
