/*
 * The OCI command line, `nacre`: global options, a table of verbs, and the edge at which errors are printed. A verb returns 0 or
 * -errno with the sentence in err; `run` also sets the exit status.
 */
#ifndef NACRE_RUNTIME_CLI_H
#define NACRE_RUNTIME_CLI_H

#include <stdbool.h>

#include "base/compiler.h"
#include "base/err.h"

struct cli {
	const char *root; /* state directories' parent */
	const char *log_path, *log_format;
	bool debug, help, version;
	int exit_status; /* when the verb succeeded */
};

/* argv[0] is the verb's name. */
typedef int (*cli_verb)(struct cli *cli, int argc, char *const argv[], struct err *err);

int cli_create(struct cli *cli, int argc, char *const argv[], struct err *err);
int cli_run(struct cli *cli, int argc, char *const argv[], struct err *err);
int cli_start(struct cli *cli, int argc, char *const argv[], struct err *err);
int cli_state(struct cli *cli, int argc, char *const argv[], struct err *err);
int cli_list(struct cli *cli, int argc, char *const argv[], struct err *err);
int cli_kill(struct cli *cli, int argc, char *const argv[], struct err *err);
int cli_delete(struct cli *cli, int argc, char *const argv[], struct err *err);
int cli_update(struct cli *cli, int argc, char *const argv[], struct err *err);
int cli_pause(struct cli *cli, int argc, char *const argv[], struct err *err);
int cli_resume(struct cli *cli, int argc, char *const argv[], struct err *err);
int cli_check(struct cli *cli, int argc, char *const argv[], struct err *err);

/* Exit status of the program. */
int cli_main(int argc, char *const argv[]);

#endif
