/*
 * One program, two faces and their helpers: the name it is called by decides between containerd's shim and the OCI command line,
 * two first words name roles that this program starts of itself.
 */
#include <libgen.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/cli.h"
#include "runtime/monitor_args.h"
#include "runtime/shim.h"
#include "runtime/stub.h"

static const struct {
	const char *word;
	int (*run)(int argc, char *const argv[]);
} roles[] = {
	{MONITOR_VERB, monitor_main},
	{STUB_VERB, stub_main},
};

int main(int argc, char *argv[])
{
	const char *slash = argc > 0 ? strrchr(argv[0], '/') : NULL;
	const char *name = slash ? slash + 1 : (argc > 0 ? argv[0] : "");

	if (argc > 1)
		for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++)
			if (strcmp(argv[1], roles[i].word) == 0)
				return roles[i].run(argc - 1, argv + 1);
	if (strncmp(name, "containerd-shim-", strlen("containerd-shim-")) == 0)
		return shim_main(argc, argv);
	return cli_main(argc, argv);
}
