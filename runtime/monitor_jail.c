/* See monitor_jail.h. Capabilities first: the bounding set takes one to be emptied. */
#include "runtime/monitor_jail.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "base/caps.h"
#include "base/syscall_list.h"

#define KIND    0 /* of its only thread */
#define MONITOR (1u << KIND)

static const struct syscall_rule rules[] = {
#define ALLOW(who, call, why)         RULE_ALLOW(who, call)
#define ALLOW_IF(who, call, why, ...) RULE_ALLOW_IF(who, call, __VA_ARGS__)
#define REFUSE(who, call, why)        RULE_REFUSE(who, call)
#include "runtime/monitor.def"
};

int monitor_jail_seccomp(struct err *err)
{
	return syscall_list_enter(rules, ARRAY_SIZE(rules), KIND, "the monitor", err);
}

int monitor_jail_enter(struct err *err)
{
	int rc = caps_bound(0, err);

	if (!rc)
		rc = caps_set(0, err);
	if (!rc && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		rc = err_set(err, errno, "set no_new_privs");
	return rc ? rc : monitor_jail_seccomp(err);
}
