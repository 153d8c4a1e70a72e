/* Signal names, from the C library's own list; the real-time ones are written relative to their ends. */
#include "runtime/signal_names.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <strings.h>

#include "base/str.h"

static bool by_abbreviation(const char *name, uint32_t *out)
{
	for (int signo = 1; signo < NSIG; signo++) {
		const char *abbrev = sigabbrev_np(signo);

		if (abbrev && strcasecmp(abbrev, name) == 0) {
			*out = (uint32_t)signo;
			return true;
		}
	}
	return false;
}

static bool realtime(const char *name, uint32_t *out)
{
	const int min = SIGRTMIN, max = SIGRTMAX;
	uint64_t offset = 0;

	if (strncasecmp(name, "RTMIN", 5) == 0 &&
	    (!name[5] ||
	     (name[5] == '+' && !str_to_u64(name + 6, 0, (uint64_t)(max - min), &offset)))) {
		*out = (uint32_t)min + (uint32_t)offset;
		return true;
	}
	if (strncasecmp(name, "RTMAX", 5) == 0 &&
	    (!name[5] ||
	     (name[5] == '-' && !str_to_u64(name + 6, 0, (uint64_t)(max - min), &offset)))) {
		*out = (uint32_t)max - (uint32_t)offset;
		return true;
	}
	return false;
}

int signal_by_name(const char *word, uint32_t *out, struct err *err)
{
	uint64_t number = 0;
	uint32_t signo = 0;

	if (!str_to_u64(word, 1, NSIG - 1, &number)) {
		*out = (uint32_t)number;
		return 0;
	}
	const char *name = strncasecmp(word, "SIG", 3) == 0 ? word + 3 : word;
	if (!by_abbreviation(name, &signo) && !realtime(name, &signo))
		return err_say(err, EINVAL, "unknown signal \"%s\"", word);
	*out = signo;
	return 0;
}
