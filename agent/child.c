/* See child.h. Helpers are in the order in which child_run reaches them. */
#include "agent/child.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/child_channel.h"
#include "agent/credentials.h"
#include "agent/devices.h"
#include "agent/exec_path.h"
#include "agent/mounts.h"
#include "agent/pty.h"
#include "agent/rootfs.h"
#include "agent/seccomp.h"
#include "agent/start_hooks.h"
#include "agent/vsock_guard.h"
#include "base/fd.h"
#include "base/own.h"
#include "base/path.h"

/* What the steps leave for the end: the program and its terminal. */
struct child {
	const struct child_plan *plan;
	int pty_master, pty_slave;
	char *program;
	char **env;
};

static void reset_signals(void)
{
	sigset_t none;

	for (int signo = 1; signo < _NSIG; signo++)
		(void)signal(signo, SIG_DFL); /* SIGKILL, SIGSTOP and libc's own refuse */
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
}

/*
 * Closes all but the plan's descriptors at once: a child that waits at the exec barrier must not hold other processes'
 * pipes and streams open.
 */
static void close_others(const struct child_plan *plan)
{
	int keep[] = {plan->stdio[0], plan->stdio[1], plan->stdio[2], plan->channel,
		      plan->join_pidfd};

	fd_close_others(keep, ARRAY_SIZE(keep));
}

/* Descriptors 0, 1 and 2 are busy from here on; with a terminal they are replaced later. */
static int set_stdio(const struct child_plan *plan, struct err *err)
{
	int source[3];

	for (int i = 0; i < 3; i++) {
		int fd = plan->stdio[i] >= 0 ? plan->stdio[i] : open("/dev/null", O_RDWR);

		/* Away from 0..2 first: the plan's numbers, or a fresh one, may lie there. */
		source[i] = fcntl(fd, F_DUPFD_CLOEXEC, 3);
		if (source[i] < 0)
			return err_set(err, errno, "give the process its standard streams");
	}
	for (int i = 0; i < 3; i++) {
		if (dup2(source[i], i) < 0)
			return err_set(err, errno, "give the process its standard streams");
	}
	return 0;
}

static int enter_user_namespace(const struct child_plan *plan, struct err *err)
{
	const struct oci_namespace *user = oci_namespace(plan->spec, OCI_NS_USER);

	return user && !user->path[0] ? credentials_become_root(err) : 0;
}

static int set_hostname(const struct oci_spec *spec, struct err *err)
{
	const struct oci_namespace *uts = oci_namespace(spec, OCI_NS_UTS);

	if (!uts || uts->path[0])
		return 0; /* the guest's own name is not the container's to change */
	if (spec->hostname[0] && sethostname(spec->hostname, strlen(spec->hostname)) < 0)
		return err_set(err, errno, "set the host name '%s'", spec->hostname);
	if (spec->domainname[0] && setdomainname(spec->domainname, strlen(spec->domainname)) < 0)
		return err_set(err, errno, "set the domain name '%s'", spec->domainname);
	return 0;
}

/* "net.ipv4.ip_forward" or, where a name has dots in it, "net/ipv4/conf/eth0.1/forwarding" (sysctl(8)). */
static int set_sysctl(int proc_sys, const char *key, const char *value, struct err *err)
{
	AUTO_FREE char *path = strdup(key);
	AUTO_FD int fd = -1;

	if (!path)
		return err_set(err, ENOMEM, "sysctl '%s'", key);
	if (path[strcspn(path, "./")] == '.') {
		for (char *p = path; *p; p++)
			*p = *p == '.' ? '/' : *p == '/' ? '.' : *p;
	}
	fd = path_open_in_root(proc_sys, path, O_WRONLY, 0);
	if (fd < 0)
		return err_set(err, -fd, "sysctl '%s'", key);
	if (write(fd, value, strlen(value)) < 0)
		return err_set(err, errno, "sysctl '%s'", key);
	return 0;
}

static int set_sysctls(const struct oci_spec *spec, struct err *err)
{
	AUTO_FD int proc_sys = -1;
	int ret = 0;

	if (spec->sysctl_keys.n == 0)
		return 0;
	proc_sys = open("/proc/sys", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (proc_sys < 0)
		return err_set(err, errno, "open '/proc/sys'");
	for (size_t i = 0; i < spec->sysctl_keys.n && ret == 0; i++)
		ret = set_sysctl(proc_sys, spec->sysctl_keys.v[i], spec->sysctl_values.v[i], err);
	return ret;
}

static int open_terminal(struct child *c, int root_fd, bool console, struct err *err)
{
	const struct oci_process *process = c->plan->process;
	int ret;

	if (!process->terminal)
		return 0;
	ret = pty_open_pair(root_fd, &c->pty_master, &c->pty_slave, err);
	if (ret < 0)
		return ret;
	if (process->console_width &&
	    pty_resize(c->pty_master, process->console_width, process->console_height) < 0)
		return err_set(err, errno, "set the size of the terminal");
	if (console)
		ret = pty_bind_console(root_fd, c->pty_slave, err);
	return ret;
}

static int fill_root(struct child *c, int shared_fd, int root_fd, struct err *err)
{
	const struct oci_spec *spec = c->plan->spec;
	int ret = 0;

	for (size_t i = 0; i < spec->nmounts && ret == 0; i++)
		ret = mount_from_spec(&spec->mounts[i], shared_fd, root_fd, err);
	if (ret == 0)
		ret = devices_make(spec, root_fd, err);
	if (ret == 0)
		ret = open_terminal(c, root_fd, true, err);
	if (ret == 0)
		ret = rootfs_hide(spec, root_fd, err);
	/* As runc does: a working directory that is not there is made. */
	return ret < 0 ? ret : path_mkdirs_in_root(root_fd, c->plan->process->cwd, 0755, NULL, err);
}

static int build_container(struct child *c, struct err *err)
{
	const struct oci_spec *spec = c->plan->spec;
	/* Opened here: only mounts of our own namespace can be cloned. */
	AUTO_FD int shared_fd = open(c->plan->shared_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	AUTO_FD int root_fd = -1;
	int ret;

	if (shared_fd < 0)
		return err_set(err, errno, "open the shared tree '%s'", c->plan->shared_dir);
	/* The namespace's root is the cgroup of who makes it: after clone3 has put us into the container's. */
	if (unshare(CLONE_NEWCGROUP) < 0)
		return err_set(err, errno, "make a cgroup namespace");
	ret = enter_user_namespace(c->plan, err);
	if (ret == 0)
		ret = set_hostname(spec, err);
	if (ret == 0)
		ret = rootfs_attach(shared_fd, c->plan->rootfs, &root_fd, err);
	if (ret == 0)
		ret = set_sysctls(spec, err);
	if (ret == 0)
		ret = fill_root(c, shared_fd, root_fd, err);
	return ret < 0 ? ret : rootfs_enter(spec, root_fd, err);
}

static int join_container(struct child *c, struct err *err)
{
	AUTO_FD int root_fd = -1;
	int ret;

	if (setns(c->plan->join_pidfd, c->plan->join_namespaces) < 0)
		return err_set(err, errno, "join the container's namespaces");
	ret = enter_user_namespace(c->plan, err);
	if (ret < 0)
		return ret;
	root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root_fd < 0)
		return err_set(err, errno, "open '/'");
	return open_terminal(c, root_fd, false, err);
}

/* /dev/stdout and the like can be opened again by the user only if the pipe or terminal is the user's. */
static int own_stdio(const struct oci_user *user, struct err *err)
{
	for (int fd = 0; fd <= 2; fd++) {
		struct stat st;

		if (fstat(fd, &st) < 0)
			return err_set(err, errno, "stat descriptor %d", fd);
		if (!S_ISFIFO(st.st_mode) && !isatty(fd))
			continue;
		if (st.st_uid == user->uid || fchown(fd, user->uid, (gid_t)-1) == 0)
			continue;
		/* A user namespace has no power over what belongs to ids outside of it (runc lets it be, too). */
		if (errno != EPERM && errno != EINVAL)
			return err_set(err, errno, "chown descriptor %d", fd);
	}
	return 0;
}

static int enter_directory(const char *cwd, bool entered, struct err *err)
{
	char why[64];
	char *real = NULL;

	if (!entered && chdir(cwd) < 0)
		return err_say(err, errno, "chdir to cwd (\"%s\") set in config.json failed: %s",
			       cwd, errno_words(errno, why, sizeof(why)));
	/* A directory outside of the root would be the way out of it: getcwd(2) calls it unreachable. */
	real = getcwd(NULL, 0);
	if (!real || real[0] != '/') {
		free(real);
		return err_say(err, EPERM,
			       "current working directory is outside of container "
			       "mount namespace root");
	}
	free(real);
	return 0;
}

static int become_user(struct child *c, struct err *err)
{
	const struct oci_process *process = c->plan->process;
	/* As runc does: where only root may go it is root who goes, and where only the user may, the user. */
	const bool entered = chdir(process->cwd) == 0;
	int ret = own_stdio(&process->user, err);

	if (ret == 0 && process->args.n == 0)
		ret = err_say(err, EINVAL, "process.args is empty: there is nothing to execute");
	if (ret == 0)
		ret = exec_environment(process, &c->env, err);
	if (ret == 0)
		ret = credentials_take(process, err);
	if (ret == 0)
		ret = enter_directory(process->cwd, entered, err);
	if (ret == 0)
		ret = exec_path_find(process->args.v[0], env_get(c->env, "PATH"), &c->program, err);
	if (ret == 0)
		ret = vsock_guard_load(err);
	if (ret == 0)
		ret = seccomp_apply(&c->plan->spec->seccomp, err);
	return ret < 0 ? ret : credentials_seal(process, err);
}

static int prepare(struct child *c, struct err *err)
{
	const struct child_plan *plan = c->plan;
	int ret;

	ret = set_stdio(plan, err);
	if (ret < 0)
		return ret;
	if (plan->nofile.rlim_max && setrlimit(RLIMIT_NOFILE, &plan->nofile) < 0)
		return err_set(err, errno, "set the limit of descriptors");
	if (setsid() < 0)
		return err_set(err, errno, "setsid");
	(void)umask(0);
	ret = plan->join_pidfd >= 0 ? join_container(c, err) : build_container(c, err);
	if (ret == 0 && c->pty_slave >= 0)
		ret = pty_become_stdio(c->pty_slave, err);
	if (ret == 0)
		ret = become_user(c, err);
	return ret;
}

NORETURN void child_run(const struct child_plan *plan)
{
	struct child c = {.plan = plan, .pty_master = -1, .pty_slave = -1};
	struct err err = ERR_INIT;
	char why[64];

	reset_signals();
	close_others(plan);
	if (child_channel_wait_go(plan->channel) < 0)
		_exit(1);
	if (prepare(&c, &err) < 0 || child_channel_ready(plan->channel, c.pty_master) < 0) {
		child_channel_failed(plan->channel, &err);
		_exit(1);
	}
	own_close(&c.pty_master);
	if (child_channel_wait_go(plan->channel) < 0)
		_exit(1);
	if (plan->join_pidfd < 0 && start_hooks_run(plan->spec, plan->id, &err) < 0) {
		child_channel_failed(plan->channel, &err);
		_exit(1);
	}
	/* All are born close-on-exec; one that was not would be the way to the guest (CVE-2024-21626). */
	(void)close_range(3, ~0u, CLOSE_RANGE_CLOEXEC);
	(void)execve(c.program, plan->process->args.v, c.env);
	(void)err_say(&err, errno, "exec %s: %s", c.program, errno_words(errno, why, sizeof(why)));
	child_channel_failed(plan->channel, &err);
	_exit(1);
}
