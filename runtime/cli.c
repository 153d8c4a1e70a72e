/* Global options, the table of verbs, help, and the one place where an error of the command line is printed. */
#include "runtime/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/own.h"
#include "runtime/flags.h"
#include "runtime/state_dir.h"

#ifndef NACRE_COMMIT
#define NACRE_COMMIT "unknown"
#endif

#define OCI_SPEC_VERSION "1.2.0"

static const struct {
	const char *name;
	cli_verb fn;
	const char *args, *help;
} verbs[] = {
	{"create", cli_create, "[options] ID", "make a container in its own microVM"},
	{"start", cli_start, "ID", "start the process of a created container"},
	{"run", cli_run, "[options] ID", "create, start, wait and delete"},
	{"state", cli_state, "ID", "print the state of a container as JSON"},
	{"list", cli_list, "[options]", "list the containers"},
	{"kill", cli_kill, "[options] ID [SIGNAL]", "send a signal (TERM) to a container"},
	{"update", cli_update, "[options] ID", "change the limits of a container"},
	{"pause", cli_pause, "ID", "stop all processes of a container"},
	{"resume", cli_resume, "ID", "let them go on"},
	{"delete", cli_delete, "[options] ID", "remove a container and all it holds"},
	{"check", cli_check, "", "say whether this host can run containers, and why not"},
};

static void print_version(void)
{
	(void)printf("nacre version %s\ncommit: %s\nspec: %s\n", NACRE_VERSION, NACRE_COMMIT,
		     OCI_SPEC_VERSION);
}

static void print_help(FILE *out, const struct flag_def *defs)
{
	(void)fprintf(out, "nacre runs each container in a microVM of its own.\n\n"
			   "usage: nacre [global options] VERB [options] [arguments]\n\nverbs:\n");
	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
		(void)fprintf(out, "  %-7s %-22s %s\n", verbs[i].name, verbs[i].args,
			      verbs[i].help);
	(void)fprintf(out, "\nglobal options:\n");
	flags_help(out, defs);
	(void)fprintf(out, "\n`nacre VERB --help` prints the options of a verb.\n");
}

static int open_log(const struct cli *cli, struct err *err)
{
	const enum log_level level = cli->debug ? LOG_LEVEL_DEBUG : LOG_LEVEL_WARN;
	enum log_format format = LOG_FORMAT_TEXT;

	if (strcmp(cli->log_format, "json") == 0)
		format = LOG_FORMAT_JSON;
	else if (strcmp(cli->log_format, "text") != 0)
		return err_say(err, EINVAL, "--log-format is text or json, not '%s'",
			       cli->log_format);
	if (!cli->log_path) {
		log_init(STDERR_FILENO, level, format);
		return 0;
	}
	/* Lent to the log for the life of the process. */
	int fd = open(cli->log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0644);
	if (fd < 0)
		return err_set(err, errno, "open the log '%s'", cli->log_path);
	log_init(fd, level, format);
	return 0;
}

static int run_verb(struct cli *cli, int argc, char *const argv[], struct err *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
		if (strcmp(argv[0], verbs[i].name) == 0)
			return verbs[i].fn(cli, argc, argv, err);
	return err_say(err, EINVAL, "unknown command '%s': see nacre --help", argv[0]);
}

int cli_main(int argc, char *const argv[])
{
	struct cli cli = {.root = STATE_ROOT_DEFAULT, .log_format = "text"};
	struct err err = ERR_INIT;
	int next = argc;
	const struct flag_def defs[] = {
		{"root", 0, FLAG_STRING, &cli.root, "DIR",
		 "state of the containers (" STATE_ROOT_DEFAULT ")"},
		{"log", 0, FLAG_STRING, &cli.log_path, "FILE", "append the log here (stderr)"},
		{"log-format", 0, FLAG_STRING, &cli.log_format, "FORMAT", "text or json"},
		{"debug", 0, FLAG_BOOL, &cli.debug, NULL, "log more"},
		{"systemd-cgroup", 0, FLAG_IGNORED_BOOL, NULL, NULL, NULL},
		{"cgroup-manager", 0, FLAG_IGNORED_STRING, NULL, NULL, NULL},
		{"rootless", 0, FLAG_IGNORED_STRING, NULL, NULL, NULL},
		{"version", 'v', FLAG_BOOL, &cli.version, NULL, "print the version"},
		{"help", 'h', FLAG_BOOL, &cli.help, NULL, "print this"},
		{NULL, 0, FLAG_BOOL, NULL, NULL, NULL},
	};
	int rc = flags_parse(argc, argv, defs, &next, &err);

	if (!rc && cli.version) {
		print_version();
		return EXIT_SUCCESS;
	}
	if (!rc && cli.help) {
		print_help(stdout, defs);
		return EXIT_SUCCESS;
	}
	if (!rc && next >= argc) {
		print_help(stderr, defs);
		return EXIT_FAILURE;
	}
	if (!rc)
		rc = open_log(&cli, &err);
	if (!rc)
		rc = run_verb(&cli, argc - next, argv + next, &err);
	if (!rc)
		return cli.exit_status;
	if (cli.log_path)
		log_error("%s", err.text);
	(void)fprintf(stderr, "nacre: %s\n", err.text);
	return EXIT_FAILURE;
}
