/* See landlock.h. What the kernel's header of Debian 12 does not know yet is named here. */
#include "vmm/landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/own.h"

/* The first version that has them. */
enum { VERSION_REFER = 2, VERSION_NETWORK = 4, VERSION_SCOPED = 6 };

#define NETWORK_ALL    3 /* bit 0 bind, bit 1 connect TCP */
#define SCOPED_UNIX    1 /* abstract unix sockets */
#define SCOPED_SIGNALS 2

#define QUERY_ERRATA    2U /* LANDLOCK_CREATE_RULESET_ERRATA, which older headers lack */
#define ERRATUM_SIGNALS 2U /* bit n - 1 is erratum n */

/* How many rights to files a version knows: version n had to give each right it added a new bit. */
static const unsigned int file_bits[] = {0, 13, 14, 15, 15, 16};

static uint64_t known_files(unsigned int version)
{
	const unsigned int last = ARRAY_SIZE(file_bits) - 1;

	return (UINT64_C(1) << file_bits[version < last ? version : last]) - 1;
}

struct landlock_plan landlock_plan(unsigned int version, unsigned int errata, uint64_t file_rights)
{
	const bool keeps_refer = !(file_rights & LANDLOCK_ACCESS_FS_REFER);
	struct landlock_plan plan = {0};

	if (version == 0 || (keeps_refer && version < VERSION_REFER))
		return plan;
	plan.keeps_refer = keeps_refer;
	plan.rules.files = (file_rights | LANDLOCK_ACCESS_FS_REFER) & known_files(version);
	plan.bytes = offsetof(struct landlock_rules, network);
	if (version >= VERSION_NETWORK) {
		plan.rules.network = NETWORK_ALL;
		plan.bytes = offsetof(struct landlock_rules, scoped);
	}
	if (version >= VERSION_SCOPED) {
		plan.rules.scoped = SCOPED_UNIX;
		plan.bytes = sizeof(plan.rules);
		/* At first it kept signals from other threads of the process, too: no vCPU could be brought out of its guest. */
		if (errata & ERRATUM_SIGNALS)
			plan.rules.scoped |= SCOPED_SIGNALS;
	}
	return plan;
}

/* Mounts below the root are covered, also later ones: the kernel looks for rules from a directory upwards, through all mounts. */
static int allow_refer(int ruleset, struct err *err)
{
	AUTO_FD int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	const struct landlock_path_beneath_attr rule = {
		.allowed_access = LANDLOCK_ACCESS_FS_REFER,
		.parent_fd = root,
	};

	if (root < 0 ||
	    syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0)
		return err_set(err, errno, "keep renames by Landlock");
	return 0;
}

static unsigned int query(unsigned int what)
{
	long answer = syscall(SYS_landlock_create_ruleset, NULL, 0, what);

	return answer < 0 ? 0 : (unsigned int)answer;
}

unsigned int landlock_version(void)
{
	return query(LANDLOCK_CREATE_RULESET_VERSION);
}

int landlock_forbid(uint64_t file_rights, struct err *err)
{
	const struct landlock_plan plan =
		landlock_plan(landlock_version(), query(QUERY_ERRATA), file_rights);
	int rc = 0;

	if (plan.bytes == 0)
		return 0;
	AUTO_FD int fd = (int)syscall(SYS_landlock_create_ruleset, &plan.rules, plan.bytes, 0);
	if (fd < 0)
		return err_set(err, errno, "a ruleset of Landlock");
	if (plan.keeps_refer)
		rc = allow_refer(fd, err);
	if (rc == 0 && syscall(SYS_landlock_restrict_self, fd, 0) < 0)
		rc = err_set(err, errno, "give up rights by Landlock");
	return rc;
}
