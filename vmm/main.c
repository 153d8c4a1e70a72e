/*
 * The vmm: one microVM, from its command line to its end. Ends with 0 when the guest ended by reset or shutdown, when the
 * monitor went away or when it was told to; with 1 when it could not start or KVM could not go on.
 */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/own.h"
#include "vmm/control.h"
#include "vmm/daemon.h"
#include "vmm/machine_config.h"
#include "vmm/options.h"

/* Before anything else: what goes wrong belongs there. */
static int open_log(const struct options *o, struct err *err)
{
	int fd, rc;

	if (o->log_stdout)
		log_init(STDOUT_FILENO, LOG_LEVEL_INFO, LOG_FORMAT_COLON);
	if (!o->log_path)
		return 0;
	rc = machine_config_open_early(o, o->log_path, O_WRONLY | O_CREAT | O_APPEND, "-D", &fd,
				       err);
	if (rc < 0)
		return rc;
	log_init(fd, LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
	return 0;
}

/* *out: the file to take away at the end, by a name that holds from everywhere; a jailed engine reaches it no more. */
static int write_pid(const struct options *options, char **out, struct err *err)
{
	const char *path = options->pid_path;
	AUTO_FD int fd = -1;
	int rc;

	if (!path)
		return 0;
	rc = machine_config_open_early(options, path, O_WRONLY | O_CREAT | O_TRUNC, "-pidfile", &fd,
				       err);
	if (rc < 0)
		return rc;
	if (dprintf(fd, "%d\n", (int)getpid()) < 0)
		return err_set(err, errno, "-pidfile: write '%s'", path);
	*out = options->jail_root || fdset_is_name(path) ? NULL : realpath(path, NULL);
	return 0;
}

static int run(const struct options *options, uint64_t exec_us)
{
	CLEANUP(own_control_destroy) struct control *control = NULL;
	AUTO_FREE char *pid_file = NULL;
	AUTO_FD int ready = -1;
	struct err err = ERR_INIT;
	int status = 0;
	int rc = options->daemonize ? daemon_begin(&ready, &err) : 0;

	if (rc == 0)
		rc = open_log(options, &err);
	if (rc == 0)
		rc = write_pid(options, &pid_file, &err);
	if (rc == 0)
		rc = control_create(options, exec_us, &control, &err);
	if (rc == 0 && options->daemonize)
		rc = daemon_ready(&ready, &err);
	if (rc == 0)
		rc = control_run(control, &status, &err);
	if (pid_file)
		(void)unlink(pid_file);
	if (rc == 0)
		return status;
	log_error("%s%s%s", options->name ? options->name : "", options->name ? ": " : "",
		  err.text);
	return 1;
}

/*
 * glibc gives each thread that allocates an arena, and beyond eight of them asks how many processors there are: by
 * sched_getaffinity(2), which no thread may call once it is sealed. Few arenas also cost little memory.
 */
static void limit_arenas(void)
{
	(void)mallopt(M_ARENA_MAX, 4);
}

/* A file that was asked for is not made for that. */
static int refuse(const struct options *options, const struct err *err)
{
	(void)fprintf(options->log_stdout ? stdout : stderr, "vmm: %s\n", err->text);
	return 1;
}

int main(int argc, char **argv)
{
	uint64_t exec_us = clock_now_us();
	AUTO_OPTIONS struct options options = {0};
	struct err err = ERR_INIT;

	limit_arenas();
	log_prepare();
	if (options_parse(argc, argv, &options, &err) < 0)
		return refuse(&options, &err);
	if (options.help) {
		options_help(stdout);
		return 0;
	}
	if (options.version) {
		(void)printf("nacre vmm %s\n", NACRE_VERSION);
		return 0;
	}
	return run(&options, exec_us);
}
