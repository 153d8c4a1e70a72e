/*
 * Containers that exist. A container whose monitor is gone is stopped: there is nobody left to run it, and what it held is on the
 * list in its state directory.
 */
#include "runtime/lifecycle.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#include "base/log.h"
#include "base/own.h"
#include "base/str.h"
#include "runtime/hooks.h"
#include "runtime/resources.h"
#include "runtime/state_dir.h"

#define KILLED_TIMEOUT_MS  15000 /* longer than output is waited for */
#define MONITOR_TIMEOUT_MS 5000

const char *lifecycle_status_name(Containerd__Status status)
{
	switch (status) {
	case CONTAINERD__STATUS__CREATED:
		return "created";
	case CONTAINERD__STATUS__RUNNING:
		return "running";
	case CONTAINERD__STATUS__STOPPED:
		return "stopped";
	case CONTAINERD__STATUS__PAUSED:
	case CONTAINERD__STATUS__PAUSING:
		return "paused";
	case CONTAINERD__STATUS__UNKNOWN:
	case _CONTAINERD__STATUS_IS_INT_SIZE:
		break;
	}
	return "unknown";
}

int lifecycle_connect(const char *root, const char *id, struct monitor_client *out, struct err *err)
{
	AUTO_FREE char *dir = NULL;
	int rc = state_dir_path(root, id, &dir, err);

	if (!rc)
		rc = state_dir_exists(dir, err);
	if (rc)
		return rc;
	AUTO_FREE char *path = str_printf("%s/%s", dir, STATE_MONITOR_SOCK);
	if (!path)
		return err_set(err, ENOMEM, "reach container '%s'", id);
	rc = monitor_client_open(path, out, err);
	if (rc == -ENOENT || rc == -ECONNREFUSED)
		return err_say(err, ECONNREFUSED, "container not running");
	return rc;
}

int lifecycle_state(const char *root, const char *id, Containerd__Status *status, pid_t *pid,
		    struct err *err)
{
	AUTO_MONITOR_CLIENT struct monitor_client c = MONITOR_CLIENT_INIT;
	int rc = lifecycle_connect(root, id, &c, err);

	if (!rc)
		rc = monitor_state(&c, id, status, pid, err);
	if (rc == -ECONNREFUSED || rc == -ECONNRESET || rc == -EPIPE) {
		*status = CONTAINERD__STATUS__STOPPED;
		*pid = 0;
		return 0;
	}
	if (!rc && *status == CONTAINERD__STATUS__STOPPED)
		*pid = 0;
	return rc;
}

int lifecycle_kill(const char *root, const char *id, uint32_t signo, bool all, struct err *err)
{
	AUTO_MONITOR_CLIENT struct monitor_client c = MONITOR_CLIENT_INIT;
	int rc = lifecycle_connect(root, id, &c, err);

	if (!rc)
		rc = monitor_kill(&c, id, signo, all, err);
	if (rc && (strstr(err->text, "already finished") || rc == -ECONNRESET))
		return err_say(err, ESRCH, "container not running");
	return rc;
}

/* Makes sure nothing runs any more, as far as the caller allows. */
static int settle(struct monitor_client *c, const char *id, bool force, struct err *err)
{
	Containerd__Status status = CONTAINERD__STATUS__UNKNOWN;
	struct err ignored = ERR_INIT;
	pid_t pid = 0;
	int rc = monitor_state(c, id, &status, &pid, err);

	if (rc || (status != CONTAINERD__STATUS__RUNNING && status != CONTAINERD__STATUS__PAUSED))
		return rc;
	if (!force)
		return err_say(err, EBUSY, "cannot delete container %s that is not stopped: %s", id,
			       lifecycle_status_name(status));
	/* It may end by itself meanwhile: the wait decides. */
	if (monitor_kill(c, id, SIGKILL, true, &ignored))
		log_debug("kill before delete: %s", ignored.text);
	return monitor_wait(c, id, KILLED_TIMEOUT_MS, err);
}

/* The container itself, and its poststop hooks, are gone when *deleted is set. The orderly way: the monitor takes everything down and ends. */
static int ask_monitor(struct monitor_client *c, const char *dir, const char *id, bool force,
		       bool *deleted, struct err *err)
{
	struct procid monitor = {0};
	const bool known = !resources_find_process(dir, "monitor", &monitor);
	AUTO_FD int pidfd = known ? procid_open(&monitor) : -1;
	int rc = settle(c, id, force, err);

	if (rc)
		return rc;
	rc = monitor_delete(c, id, NULL, err);
	*deleted = !rc;
	if (!rc)
		rc = monitor_shutdown(c, id, false, err);
	monitor_client_close(c);
	if (!rc && pidfd >= 0 && procid_wait(pidfd, MONITOR_TIMEOUT_MS))
		log_warn("container %s: its monitor does not end", id);
	return rc;
}

/* The list, once nobody in order is left to take it down. */
static int clean_up(const char *dir, const char *id, bool deleted, struct err *err)
{
	CLEANUP(own_container_state_destroy) struct container_state *state = NULL;
	struct err unknown = ERR_INIT;

	/* Without state it was never created. */
	if (!deleted && container_state_load(dir, &state, &unknown))
		log_debug("container %s: %s", id, unknown.text);
	int rc = resources_replay(dir, err);
	if (!rc && state)
		hooks_poststop_of_bundle(id, state->bundle);
	return rc;
}

int lifecycle_delete(const char *root, const char *id, bool force, struct err *err)
{
	AUTO_FREE char *dir = NULL;
	AUTO_FD int held = -1;
	AUTO_MONITOR_CLIENT struct monitor_client c = MONITOR_CLIENT_INIT;
	bool deleted = false;
	int rc = state_dir_path(root, id, &dir, err);

	if (!rc)
		rc = state_dir_open(dir, &held, err);
	if (!rc)
		rc = state_dir_lock(dir, held, err);
	if (rc)
		return rc == -ENOENT && force ? 0 : rc;
	rc = lifecycle_connect(root, id, &c, err);
	if (!rc) {
		rc = ask_monitor(&c, dir, id, force, &deleted, err);
		/* A monitor that cannot do it is no reason to stop when told to force, nor is one that is gone. */
		if (rc && !force && rc != -ECONNRESET && rc != -EPIPE)
			return rc;
		if (rc)
			log_debug("container %s: %s", id, err->text);
	}
	return state_dir_is(dir, held) ? clean_up(dir, id, deleted, err) : 0;
}
