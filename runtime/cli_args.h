/* What every verb's command line has in common. */
#ifndef NACRE_RUNTIME_CLI_ARGS_H
#define NACRE_RUNTIME_CLI_ARGS_H

#include "base/compiler.h"
#include "base/err.h"
#include "runtime/flags.h"

/*
 * Parses the verb's options and checks that min..max words follow; *words points at them, *nwords counts them. Returns 1
 * when the help was asked for and printed: the verb has nothing more to do.
 */
int cli_args(int argc, char *const argv[], const struct flag_def *defs, int min, int max,
	     char *const **words, int *nwords, struct err *err) MUST_CHECK;

#endif
