/* See landlock.h. The structure is the kernel's of version 6; older ones take a shorter beginning of it. */
#include "vmm/landlock.h"

#include <errno.h>
#include <linux/landlock.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/own.h"

struct ruleset {
	uint64_t files;
	uint64_t network; /* since version 4: bit 0 bind, bit 1 connect TCP */
	uint64_t scoped;  /* since version 6: bit 0 abstract unix sockets, bit 1 signals */
};

/* How many rights to files a version knows: version n had to give each right it added a new bit. */
static const unsigned int file_bits[] = {0, 13, 14, 15, 15, 16};

static uint64_t known_files(unsigned int version)
{
	const unsigned int last = ARRAY_SIZE(file_bits) - 1;

	return (UINT64_C(1) << file_bits[version < last ? version : last]) - 1;
}

static size_t known_bytes(unsigned int version)
{
	if (version < 4)
		return offsetof(struct ruleset, network);
	return version < 6 ? offsetof(struct ruleset, scoped) : sizeof(struct ruleset);
}

int landlock_forbid(uint64_t file_rights, struct err *err)
{
	long version =
		syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	struct ruleset rules = {.network = 3, .scoped = 3};

	if (version < 1)
		return 0;
	rules.files = file_rights & known_files((unsigned int)version);
	AUTO_FD int fd = (int)syscall(SYS_landlock_create_ruleset, &rules,
				      known_bytes((unsigned int)version), 0);
	if (fd < 0 || syscall(SYS_landlock_restrict_self, fd, 0) < 0)
		return err_set(err, errno, "give up rights by Landlock");
	return 0;
}
