/*
 * `delete`: called when a shim's connection is lost or a start failed. Idempotent, and done well within containerd's five seconds.
 * The sandbox's own id takes everything down by replaying its list; the id of another container of the pod only takes that
 * container out of a monitor that lives, or runs its poststop hooks after one that crashed.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <time.h>
#include <unistd.h>

#include "agent-proto/containerd.pb-c.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/own.h"
#include "base/str.h"
#include "runtime/hooks.h"
#include "runtime/monitor_client.h"
#include "runtime/resources.h"
#include "runtime/shim.h"
#include "runtime/state_dir.h"

#define STATUS_KILLED  137
#define ONE_TIMEOUT_MS 2000
#define LOST_MARK      "nacre-lost" /* in a bundle: its poststop hooks are still to be run */

/*
 * A monitor that ends in order has run everybody's hooks, and its broker takes the state directory along as the last thing. One that
 * crashed leaves the directory, until the sandbox's own delete: that marks the bundles of the others.
 */
static bool was_lost(const char *state_dir, const char *bundle)
{
	AUTO_FREE char *mark = str_printf("%s/" LOST_MARK, bundle);
	struct procid broker = {0};
	struct err ignored = ERR_INIT;

	if (!resources_find_process(state_dir, "broker", &broker)) {
		AUTO_FD int pidfd = procid_open(&broker);

		if (pidfd >= 0 && procid_wait(pidfd, ONE_TIMEOUT_MS))
			log_warn("'%s': its broker does not end", state_dir);
	}
	const bool left = state_dir_exists(state_dir, &ignored) == 0;
	const bool marked = mark && unlink(mark) == 0;

	return left || marked;
}

static void remove_one(const char *socket_path, const char *state_dir, const struct shim_args *args)
{
	AUTO_MONITOR_CLIENT struct monitor_client c = MONITOR_CLIENT_INIT;
	const char *id = args->id;
	struct err err = ERR_INIT;

	if (monitor_client_open(socket_path, &c, &err)) {
		if (was_lost(state_dir, args->bundle))
			hooks_poststop_of_bundle(id, args->bundle);
		return;
	}
	if (monitor_kill(&c, id, SIGKILL, true, &err) == 0 &&
	    monitor_wait(&c, id, ONE_TIMEOUT_MS, &err))
		log_warn("container %s: %s", id, err.text);
	/* Usually it is gone already: containerd deletes the task first. */
	if (monitor_delete(&c, id, NULL, &err) && err.code != ENOENT)
		log_warn("container %s: %s", id, err.text);
}

static void mark_if_member(const char *bundles, const char *id, const char *group)
{
	AUTO_FREE char *bundle = str_printf("%s/%s", bundles, id);
	AUTO_FREE char *mark = str_printf("%s/%s/" LOST_MARK, bundles, id);
	AUTO_FREE char *its_group = NULL;
	struct err err = ERR_INIT;

	if (!bundle || !mark || *id == '.' || strcmp(id, group) == 0 ||
	    shim_group(bundle, id, &its_group, &err) || strcmp(its_group, group) != 0)
		return;
	AUTO_FD int fd = open(mark, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY, 0600);

	if (fd < 0)
		log_warn("container %s: poststop hooks are not run: open '%s': %s", id, mark,
			 strerror(errno));
}

/* The bundles of a containerd namespace lie side by side, each under its container's id. */
static void mark_members(const struct shim_args *args)
{
	AUTO_FREE char *bundles = str_printf("%s/..", args->bundle);
	DIR *dir = bundles ? opendir(bundles) : NULL;
	const struct dirent *entry;

	while (dir && (entry = readdir(dir)) != NULL)
		mark_if_member(bundles, entry->d_name, args->id);
	if (dir)
		(void)closedir(dir);
}

/* A monitor that ended in order has taken its directory along, and run the hooks. */
static int remove_all(const char *state_dir, const struct shim_args *args, struct err *err)
{
	AUTO_FD int dir = -1;
	int rc = state_dir_open(state_dir, &dir, err);

	if (!rc)
		rc = state_dir_lock(state_dir, dir, err);
	if (rc == -ENOENT)
		return 0;
	if (!rc) {
		mark_members(args);
		rc = resources_replay(state_dir, err);
	}
	if (!rc)
		hooks_poststop_of_bundle(args->id, args->bundle);
	return rc;
}

static int print_response(struct err *err)
{
	Containerd__DeleteResponse r = CONTAINERD__DELETE_RESPONSE__INIT;
	Containerd__Timestamp when = CONTAINERD__TIMESTAMP__INIT;
	struct timespec now = {0};
	uint8_t packed[128];

	(void)clock_gettime(CLOCK_REALTIME, &now);
	when.seconds = now.tv_sec;
	when.nanos = (int32_t)now.tv_nsec;
	r.exit_status = STATUS_KILLED;
	r.exited_at = &when;
	BUG_ON(containerd__delete_response__get_packed_size(&r) > sizeof(packed));
	int rc =
		fd_write_full(STDOUT_FILENO, packed, containerd__delete_response__pack(&r, packed));
	return rc ? err_set(err, -rc, "print the answer") : 0;
}

int shim_delete(const struct shim_args *args, struct err *err)
{
	AUTO_FREE char *group = NULL;
	AUTO_FREE char *state_dir = NULL;
	AUTO_FREE char *socket_path = NULL;
	AUTO_FREE char *rootfs = str_printf("%s/rootfs", args->bundle);
	int rc = shim_group(args->bundle, args->id, &group, err);

	/* A bundle that cannot be read any more must not stop the cleaning. */
	if (rc) {
		group = strdup(args->id);
		rc = group ? 0 : err_set(err, ENOMEM, "delete");
	}
	if (!rc)
		rc = shim_socket_path(args, group, &socket_path, err);
	if (!rc)
		rc = shim_state_dir(args->namespace_, group, &state_dir, err);
	if (rc)
		return rc;
	if (strcmp(group, args->id) == 0)
		rc = remove_all(state_dir, args, err);
	else
		remove_one(socket_path, state_dir, args);
	if (rc)
		return rc;
	/* Nothing of ours is mounted there, but the contract is to leave it unmounted. */
	if (rootfs && umount2(rootfs, MNT_DETACH | UMOUNT_NOFOLLOW) && errno != EINVAL &&
	    errno != ENOENT)
		log_warn("unmount '%s': %s", rootfs, strerror(errno));
	return print_response(err);
}
