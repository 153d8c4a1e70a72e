/* See proc_clone.h. */
#include "agent/proc_clone.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/own.h"
#include "base/path.h"
#include "base/str.h"

#define STAT_BYTES          4096
#define FORKED_WITHOUT_EXEC 0x40 /* PF_FORKNOEXEC, include/linux/sched.h */

/* A container shares the guest's network (the pod's), and what it has by path or not at all. */
static const struct {
	enum oci_namespace_type type;
	int flag;
} table[] = {
	{OCI_NS_PID, CLONE_NEWPID},   {OCI_NS_IPC, CLONE_NEWIPC},   {OCI_NS_UTS, CLONE_NEWUTS},
	{OCI_NS_USER, CLONE_NEWUSER}, {OCI_NS_TIME, CLONE_NEWTIME},
};

int proc_namespaces(const struct oci_spec *spec)
{
	int flags = CLONE_NEWNS | CLONE_NEWCGROUP;

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		const struct oci_namespace *ns = oci_namespace(spec, table[i].type);

		if (ns && !ns->path[0])
			flags |= table[i].flag;
	}
	return flags;
}

/* The cgroup namespace is made by the child itself, see there. */
static pid_t clone_child(const struct child_plan *plan, int flags, int cgroup_fd, int *pidfd)
{
	struct clone_args args = {
		.flags = (unsigned)flags | CLONE_PIDFD | CLONE_INTO_CGROUP,
		.pidfd = (uintptr_t)pidfd,
		.exit_signal = SIGCHLD,
		.cgroup = (unsigned)cgroup_fd,
	};
	pid_t pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));

	if (pid == 0)
		child_run(plan);
	return pid;
}

/*
 * An exec must be born in the container's pid namespace, which setns(2) grants to later children only: the agent steps in
 * for the length of one clone. It has one thread.
 */
static pid_t clone_into_pid_namespace(const struct child_plan *plan, int cgroup_fd, int *pidfd,
				      struct err *err)
{
	AUTO_FD int own = open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC);
	pid_t pid;
	int code;

	if (own < 0)
		return err_set(err, errno, "open the agent's pid namespace");
	if (setns(plan->join_pidfd, CLONE_NEWPID) < 0)
		return err_set(err, errno, "join the container's pid namespace");
	pid = clone_child(plan, 0, cgroup_fd, pidfd);
	code = errno;
	BUG_ON(setns(own, CLONE_NEWPID) < 0);
	return pid < 0 ? err_set(err, code, "make the process") : pid;
}

int proc_clone(const struct child_plan *plan, int cgroup_fd, pid_t *pid, int *pidfd,
	       struct err *err)
{
	bool join = plan->join_pidfd >= 0;
	int fd = -1;
	pid_t child;

	if (join && (plan->join_namespaces & CLONE_NEWPID)) {
		child = clone_into_pid_namespace(plan, cgroup_fd, &fd, err);
	} else {
		int flags = join ? 0 : proc_namespaces(plan->spec) & ~CLONE_NEWCGROUP;

		child = clone_child(plan, flags, cgroup_fd, &fd);
		if (child < 0)
			return err_set(err, errno, "make the process");
	}
	if (child < 0)
		return (int)child;
	*pid = child;
	*pidfd = fd;
	return 0;
}

static int write_map(pid_t pid, const char *file, const struct oci_id_mapping *maps, size_t n,
		     struct err *err)
{
	AUTO_STRBUF struct strbuf text = STRBUF_INIT;
	char path[64];

	for (size_t i = 0; i < n; i++) {
		int ret = strbuf_addf(&text, "%u %u %u\n", maps[i].container_id, maps[i].host_id,
				      maps[i].size);
		if (ret < 0)
			return err_set(err, -ret, "make '%s'", file);
	}
	(void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
	return path_poke(AT_FDCWD, path, n ? text.data : "0 0 4294967295\n", err);
}

int proc_prepare(const struct child_plan *plan, pid_t pid, struct err *err)
{
	const struct oci_spec *spec = plan->spec;
	char path[64], score[16];
	int ret = 0;

	if (plan->join_pidfd < 0 && (proc_namespaces(spec) & CLONE_NEWUSER)) {
		ret = write_map(pid, "uid_map", spec->uid_mappings, spec->nuid_mappings, err);
		if (ret == 0)
			ret = write_map(pid, "gid_map", spec->gid_mappings, spec->ngid_mappings,
					err);
	}
	if (ret < 0 || !plan->process->has_oom_score_adj)
		return ret;
	(void)snprintf(path, sizeof(path), "/proc/%d/oom_score_adj", (int)pid);
	(void)snprintf(score, sizeof(score), "%d", plan->process->oom_score_adj);
	return path_poke(AT_FDCWD, path, score, err);
}

/* Field 9 of proc_pid_stat(5), after the name in parentheses, which may hold anything. */
bool proc_has_executed(pid_t pid)
{
	AUTO_FREE char *text = NULL;
	struct err ignored = ERR_INIT;
	char path[64];
	unsigned long flags;

	(void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	if (path_read(AT_FDCWD, path, STAT_BYTES, &text, NULL, &ignored) < 0)
		return true;
	const char *at = strrchr(text, ')');

	if (!at || sscanf(at, ") %*c %*d %*d %*d %*d %*d %lu", &flags) != 1)
		return true;
	return !(flags & FORKED_WITHOUT_EXEC);
}
