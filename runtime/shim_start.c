/*
 * `start`: one monitor per pod. The first container of a group makes it, the others are told the same address. What is printed
 * is the plain address, the one form every containerd since 1.6 and CRI-O understand.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/own.h"
#include "base/path.h"
#include "base/str.h"
#include "runtime/monitor_args.h"
#include "runtime/resources.h"
#include "runtime/shim.h"
#include "runtime/state_dir.h"
#include "runtime/unix_socket.h"

/* The bundle's log fifo, or /dev/null when nobody reads it. */
static int open_log(struct err *err)
{
	int fd = open("log", O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);

	if (fd < 0)
		fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	return fd < 0 ? err_set(err, errno, "open the log") : fd;
}

static bool is_served(const char *socket_path)
{
	AUTO_FD int fd = -1;

	return unix_connect(socket_path, 0, &fd, NULL) == 0;
}

static int remove_state(const char *state_dir, struct err *err)
{
	AUTO_FD int dir = -1;
	int rc = state_dir_open(state_dir, &dir, err);

	if (!rc)
		rc = state_dir_lock(state_dir, dir, err);
	if (!rc)
		rc = resources_replay(state_dir, err);
	return rc == -ENOENT ? 0 : rc;
}

/* A state directory whose monitor does not answer is a leftover. */
static int make_state(const char *state_dir, struct err *err)
{
	int rc = state_dir_make(state_dir, err);

	if (rc != -EEXIST)
		return rc;
	rc = remove_state(state_dir, err);
	return rc ? rc : state_dir_make(state_dir, err);
}

static int listen_on(const char *state_dir, const char *socket_path, int *listener, struct err *err)
{
	AUTO_FREE char *dir = strdup(socket_path);

	if (!dir)
		return err_set(err, ENOMEM, "listen for containerd");
	*strrchr(dir, '/') = '\0';
	int rc = path_mkdirs(AT_FDCWD, dir, 0700, err);
	if (!rc)
		rc = resources_add_file(state_dir, socket_path, err);
	if (rc)
		return rc;
	if (unlink(socket_path) && errno != ENOENT)
		return err_set(err, errno, "remove the old socket '%s'", socket_path);
	return unix_listen(socket_path, listener, err);
}

static int start_monitor(const struct shim_args *args, const char *group, const char *state_dir,
			 const char *socket_path, struct err *err)
{
	const char *events = getenv("TTRPC_ADDRESS");
	AUTO_FD int listener = -1;
	AUTO_FD int log = open_log(err);
	pid_t pid = 0;

	if (log < 0)
		return log;
	int rc = listen_on(state_dir, socket_path, &listener, err);
	if (rc)
		return rc;
	const struct monitor_args monitor = {
		.id = group,
		.state_dir = state_dir,
		.namespace_ = args->namespace_,
		.events = events ? events : "",
		.address = args->address,
		.debug = args->debug,
	};
	return monitor_spawn(&monitor, listener, log, NULL, 0, &pid, err);
}

static int tell(const char *socket_path, struct err *err)
{
	AUTO_FREE char *address = str_printf("unix://%s", socket_path);

	if (!address)
		return err_set(err, ENOMEM, "tell the address");
	/* containerd 1.6, 1.7 and CRI-O find us again by this file. */
	int rc = path_write_atomic(AT_FDCWD, "address", address, strlen(address), 0600, err);
	if (rc)
		return rc;
	rc = fd_write_full(STDOUT_FILENO, address, strlen(address));
	return rc ? err_set(err, -rc, "print the address") : 0;
}

int shim_start(const struct shim_args *args, struct err *err)
{
	AUTO_FREE char *group = NULL;
	AUTO_FREE char *state_dir = NULL;
	AUTO_FREE char *socket_path = NULL;
	struct err ignored = ERR_INIT;
	int rc = shim_group(".", args->id, &group, err);

	if (!rc)
		rc = shim_socket_path(args, group, &socket_path, err);
	if (!rc)
		rc = shim_state_dir(args->namespace_, group, &state_dir, err);
	if (rc)
		return rc;
	if (is_served(socket_path))
		return tell(socket_path, err);
	if (strcmp(group, args->id) != 0)
		return err_say(err, EBUSY, "the sandbox '%s' of container '%s' does not run", group,
			       args->id);
	rc = make_state(state_dir, err);
	if (rc)
		return rc;
	rc = start_monitor(args, group, state_dir, socket_path, err);
	if (!rc)
		rc = tell(socket_path, err);
	if (rc && remove_state(state_dir, &ignored))
		log_error("%s", ignored.text);
	return rc;
}
