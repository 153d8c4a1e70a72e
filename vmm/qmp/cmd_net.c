/* Network back ends: a tap by the names of its descriptors (getfd), or by its own where a path still leads to it. */
#include "vmm/qmp/internal.h"

#include <errno.h>
#include <string.h>

#include "vmm/open.h"
#include "vmm/tap.h"

/* "a:b:c", each a name of getfd; taken one by one. */
static int take_names(struct qmp_call *call, const char *names, struct backend *netdev,
		      struct err *err)
{
	while (*names) {
		size_t len = strcspn(names, ":");
		char name[QMP_FD_NAME_MAX + 1];
		int fd;

		if (netdev->ntaps == DEV_NET_MAX_PAIRS)
			return err_say(err, EINVAL, "netdev_add: a tap has at most %d queues",
				       DEV_NET_MAX_PAIRS);
		(void)snprintf(name, sizeof(name), "%.*s", (int)len, names);
		fd = qmp_fds_take_name(qmp_client_fds(call->client), name);
		if (fd < 0)
			return err_say(
				err, ENOENT,
				"netdev_add: no descriptor has the name '%s': getfd gives it one",
				name);
		netdev->tap_fds[netdev->ntaps++] = fd;
		names += len + (names[len] == ':');
	}
	return 0;
}

static int open_tap(struct qmp_call *call, struct backend *netdev, struct err *err)
{
	const char *ifname = qj_str(call->args, "ifname");
	int64_t queues = qj_int(call->args, "queues", 1);
	int rc;

	if (!ifname)
		return take_names(call, qj_str(call->args, qj_get(call->args, "fd") ? "fd" : "fds"),
				  netdev, err);
	rc = open_allowed(&call->qmp->engine.backends->fdsets, ifname, "netdev_add", err);
	if (rc < 0)
		return rc;
	rc = tap_open(ifname, (unsigned int)queues, netdev->tap_fds, err);
	if (rc == 0)
		netdev->ntaps = (unsigned int)queues;
	return rc;
}

static bool is_script(const char *script)
{
	return script && *script && strcmp(script, "no") != 0;
}

static int check(struct json_object *args, struct err *err)
{
	int64_t queues = qj_int(args, "queues", 1);

	if ((qj_get(args, "ifname") != NULL) + (qj_get(args, "fd") != NULL) +
		    (qj_get(args, "fds") != NULL) !=
	    1)
		return err_say(err, EINVAL, "netdev_add: one of ifname, fd and fds is needed");
	if (queues < 1 || queues > DEV_NET_MAX_PAIRS)
		return err_say(err, EINVAL, "netdev_add: a tap has 1 to %d queues",
			       DEV_NET_MAX_PAIRS);
	if (qj_bool(args, "vhost", false) || qj_bool(args, "vhostforce", false) ||
	    qj_get(args, "vhostfd") || qj_get(args, "vhostfds"))
		return err_say(err, ENOTSUP,
			       "netdev_add: the engine moves packets itself: vhost is off");
	if (is_script(qj_str(args, "script")) || is_script(qj_str(args, "downscript")))
		return err_say(err, ENOTSUP, "netdev_add: scripts are not run: script is \"no\"");
	return 0;
}

int qmp_netdev_add(struct qmp_call *call, struct err *err)
{
	struct backends *backends = call->qmp->engine.backends;
	const char *ifname = qj_str(call->args, "ifname");
	struct backend *netdev = NULL;
	int rc = check(call->args, err);

	if (rc == 0)
		rc = backends_add(backends, BACKEND_NETDEV, qj_str(call->args, "id"),
				  ifname ? ifname : "", &netdev, err);
	if (rc < 0)
		return rc;
	netdev->type = "tap";
	rc = open_tap(call, netdev, err);
	if (rc < 0)
		backends_drop(backends, netdev);
	return rc;
}

int qmp_netdev_del(struct qmp_call *call, struct err *err)
{
	const char *id = qj_str(call->args, "id");
	struct backends *backends = call->qmp->engine.backends;
	struct backend *netdev = backends_find(backends, BACKEND_NETDEV, id);

	if (netdev)
		return backends_remove(backends, netdev, err);
	call->error_class = QMP_DEVICE_NOT_FOUND;
	return err_say(err, ENOENT, "there is no netdev '%.64s'", id);
}
