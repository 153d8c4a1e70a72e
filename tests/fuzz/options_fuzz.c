/* Option texts: the input is cut at newlines into an argv; whatever parses is sound. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/own.h"
#include "vmm/options.h"

#define ARGS_MAX 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO_FREE char *text = strndup((const char *)data, size);
	AUTO_OPTIONS struct options options = {0};
	char *argv[ARGS_MAX + 1] = {0};
	struct err err = ERR_INIT;
	char *rest = text;
	int argc = 0;

	while (rest && argc < ARGS_MAX)
		argv[argc++] = strsep(&rest, "\n");
	if (options_parse(argc, argv, &options, &err) < 0)
		BUG_ON(err.code == 0 || err.text[0] == '\0');
	else if (!options.help && !options.version)
		BUG_ON(!options.kernel || options.vcpus == 0 || options.memory_mib == 0);
	return 0;
}
