/* `nacre start`, `pause`, `resume`, `kill` and `delete`. */
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "runtime/cli.h"
#include "runtime/cli_args.h"
#include "runtime/lifecycle.h"
#include "runtime/monitor_client.h"
#include "runtime/signal_names.h"

typedef int (*deed_fn)(struct monitor_client *c, const char *id, struct err *err);

/* For commands that have an id, no options, and ask its monitor one thing. */
static int ask_monitor(struct cli *cli, int argc, char *const argv[], deed_fn deed, struct err *err)
{
	static const struct flag_def no_options[] = {{NULL, 0, FLAG_BOOL, NULL, NULL, NULL}};
	AUTO_MONITOR_CLIENT struct monitor_client c = MONITOR_CLIENT_INIT;
	char *const *words = NULL;
	int nwords = 0;
	int rc = cli_args(argc, argv, no_options, 1, 1, &words, &nwords, err);

	if (rc)
		return rc < 0 ? rc : 0;
	rc = lifecycle_connect(cli->root, words[0], &c, err);
	return rc ? rc : deed(&c, words[0], err);
}

int cli_start(struct cli *cli, int argc, char *const argv[], struct err *err)
{
	int rc = ask_monitor(cli, argc, argv, monitor_start, err);

	if (rc == -ECONNREFUSED)
		return err_say(err, EBUSY, "cannot start a container that has stopped");
	return rc;
}

static int do_pause(struct monitor_client *c, const char *id, struct err *err)
{
	return monitor_pause(c, id, true, err);
}

int cli_pause(struct cli *cli, int argc, char *const argv[], struct err *err)
{
	return ask_monitor(cli, argc, argv, do_pause, err);
}

static int do_resume(struct monitor_client *c, const char *id, struct err *err)
{
	return monitor_pause(c, id, false, err);
}

int cli_resume(struct cli *cli, int argc, char *const argv[], struct err *err)
{
	return ask_monitor(cli, argc, argv, do_resume, err);
}

int cli_kill(struct cli *cli, int argc, char *const argv[], struct err *err)
{
	bool all = false;
	uint32_t signo = SIGTERM;
	char *const *words = NULL;
	int nwords = 0;
	const struct flag_def defs[] = {
		{"all", 'a', FLAG_BOOL, &all, NULL, "to every process of the container"},
		{NULL, 0, FLAG_BOOL, NULL, NULL, NULL},
	};
	int rc = cli_args(argc, argv, defs, 1, 2, &words, &nwords, err);

	if (rc)
		return rc < 0 ? rc : 0;
	if (nwords == 2)
		rc = signal_by_name(words[1], &signo, err);
	return rc ? rc : lifecycle_kill(cli->root, words[0], signo, all, err);
}

int cli_delete(struct cli *cli, int argc, char *const argv[], struct err *err)
{
	bool force = false;
	char *const *words = NULL;
	int nwords = 0;
	const struct flag_def defs[] = {
		{"force", 'f', FLAG_BOOL, &force, NULL, "kill it first; absent is fine"},
		{NULL, 0, FLAG_BOOL, NULL, NULL, NULL},
	};
	int rc = cli_args(argc, argv, defs, 1, 1, &words, &nwords, err);

	if (rc)
		return rc < 0 ? rc : 0;
	return lifecycle_delete(cli->root, words[0], force, err);
}
