/* What every verb's command line has in common. */
#include "runtime/cli_args.h"

#include <errno.h>
#include <string.h>

static bool asks_for_help(int argc, char *const argv[])
{
	for (int i = 1; i < argc && argv[i][0] == '-'; i++)
		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
			return true;
	return false;
}

int cli_args(int argc, char *const argv[], const struct flag_def *defs, int min, int max,
	     char *const **words, int *nwords, struct err *err)
{
	int next = argc;

	if (asks_for_help(argc, argv)) {
		(void)printf("usage: nacre %s\n", argv[0]);
		flags_help(stdout, defs);
		return 1;
	}
	int rc = flags_parse(argc, argv, defs, &next, err);
	if (rc)
		return rc;
	if (argc - next < min || argc - next > max)
		return err_say(err, EINVAL,
			       "\"nacre %s\" needs %s%d argument%s: see nacre %s --help", argv[0],
			       min == max ? "" : "at least ", min, min == 1 ? "" : "s", argv[0]);
	*words = argv + next;
	*nwords = argc - next;
	return 0;
}
