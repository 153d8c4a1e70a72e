/*
 * What the host calls our threads. A jailed engine is alone in a pid namespace and knows its threads by other numbers than who
 * controls it, for whom QMP names them (query-cpus: to pin them, to account for them). The kernel tells both in
 * /proc/self/task/N/status (proc(5), NSpid), which the jail takes away: it is read before, when all threads have started.
 *
 * Threads: the main one.
 */
#ifndef NACRE_VMM_TASKS_H
#define NACRE_VMM_TASKS_H

#include <stddef.h>
#include <sys/types.h>

#include "base/compiler.h"
#include "base/err.h"

struct task_name {
	pid_t ours, hosts;
};

/* All zeros knows no thread. */
struct tasks {
	struct task_name *names;
	size_t n;
};

/* `dir_fd`: /proc/self/task, opened where the host's /proc was still mounted; lent. Threads that have ended meanwhile are not named. */
int tasks_read(struct tasks *tasks, int dir_fd, struct err *err) MUST_CHECK;
void tasks_done(struct tasks *tasks);

/* `tid` itself when it is not known: then both call it the same. */
pid_t tasks_host(const struct tasks *tasks, pid_t tid);

/* The first and the last number of the line "NSpid:" in the text of a status file; -EINVAL when there is none. Pure. */
int tasks_parse_status(const char *text, struct task_name *out) MUST_CHECK;

#endif
