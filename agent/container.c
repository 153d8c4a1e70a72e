/* See container.h. Making, finding, signalling; removal is container_remove.c's. */
#include "agent/container.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/cgroup.h"
#include "agent/container_internal.h"
#include "agent/proc_clone.h"
#include "base/log.h"
#include "base/own.h"

static void exec_destroy(struct exec *e)
{
	proc_destroy(e->process);
	oci_process_destroy(e->spec);
	free(e->id);
	free(e);
}

void container_free(struct container *c)
{
	struct err gone = ERR_INIT;

	if (!c)
		return;
	(void)err_say(&gone, ECANCELED, "the container was deleted");
	container_stop_freezing(c, &gone);
	while (c->execs) {
		struct exec *e = c->execs;

		c->execs = e->next;
		exec_destroy(e);
	}
	proc_destroy(c->init);
	loop_remove(c->empty_source);
	loop_remove(c->deadline);
	own_close(&c->events_fd);
	if (c->cgroup_fd >= 0 && cgroup_remove(c->set->cgroup_fd, c->id) < 0)
		log_warn("the cgroup of container %s is left behind", c->id);
	own_close(&c->cgroup_fd);
	oci_spec_destroy(c->spec);
	free(c->id);
	free(c);
}

struct container *container_find(struct containers *set, const char *id)
{
	for (struct container *c = set->first; c; c = c->next) {
		if (strcmp(c->id, id) == 0)
			return c;
	}
	return NULL;
}

int container_find_or_say(struct containers *set, const char *id, struct container **out,
			  struct err *err)
{
	*out = container_find(set, id);
	return *out ? 0 : err_say(err, ENOENT, "container \"%s\" does not exist", id);
}

static struct exec *find_exec(struct container *c, const char *exec_id)
{
	for (struct exec *e = c->execs; e; e = e->next) {
		if (strcmp(e->id, exec_id) == 0)
			return e;
	}
	return NULL;
}

int containers_find_process(struct containers *set, const char *id, const char *exec_id,
			    struct proc **out, struct err *err)
{
	struct container *c;
	struct exec *e;
	int ret = container_find_or_say(set, id, &c, err);

	if (ret < 0)
		return ret;
	e = exec_id[0] ? find_exec(c, exec_id) : NULL;
	*out = exec_id[0] ? (e ? e->process : NULL) : c->init;
	if (!*out)
		return err_say(err, ENOENT, "process \"%s\" of container \"%s\" does not exist",
			       exec_id, id);
	return 0;
}

/* --- creating ------------------------------------------------------------------------------------------------- */

static void on_failed_removed(void *arg, const struct err *why)
{
	struct failed_create *f = arg;

	(void)why; /* the first error is the one that helps */
	f->fn(f->arg, &f->why);
	free(f);
}

static void on_created(void *arg, const struct err *why)
{
	struct container *c = arg;
	struct failed_create *f;

	if (why->code == 0 || c->removing) {
		c->create.fn(c->create.arg, why);
		return;
	}
	f = malloc(sizeof(*f));
	if (!f) {
		c->create.fn(c->create.arg, why);
		return;
	}
	*f = (struct failed_create){c->create.fn, c->create.arg, *why};
	containers_remove(c->set, c->id, on_failed_removed, f);
}

static int launch_init(struct container *c, const struct container_params *params, struct err *err)
{
	const struct child_plan plan = {
		.spec = c->spec,
		.process = &c->spec->process,
		.nofile = c->set->nofile,
		.id = c->id,
		.rootfs = params->rootfs,
		.shared_dir = c->set->shared_dir,
		.join_pidfd = -1,
	};
	const struct proc_params process = {
		.loop = c->set->loop,
		.door = c->set->door,
		.cgroup_fd = c->cgroup_fd,
		.kernel = &c->set->kernel,
		.plan = &plan,
		.tokens = {params->tokens[0], params->tokens[1], params->tokens[2]},
		.on_created = on_created,
		.arg = c,
	};

	return proc_create(&process, &c->init, err);
}

static int parse(struct container *c, const struct container_params *params, struct err *err)
{
	int ret = oci_parse(params->spec_json, params->spec_len, "config.json", &c->spec, err);

	if (ret == 0)
		ret = oci_check(c->spec, err);
	if (ret == 0 && (!c->spec->has_process || c->spec->process.args.n == 0))
		ret = err_say(err, EINVAL, "process.args is empty: there is nothing to execute");
	return ret;
}

/* The id becomes the name of a directory. */
static int check_id(const char *id, struct err *err)
{
	if (!id[0] || id[0] == '.' || strchr(id, '/') || strlen(id) > 255)
		return err_say(err, EINVAL, "\"%s\" is not a container id", id);
	return 0;
}

static int build(struct container *c, const struct container_params *params, struct err *err)
{
	int ret = check_id(params->id, err);

	if (ret < 0)
		return ret;
	if (container_find(c->set, params->id))
		return err_say(err, EEXIST, "container \"%s\" exists already", params->id);
	if (!c->set->shared_dir)
		return err_say(err, ENODEV, "there is no shared tree to take a root from");
	c->id = strdup(params->id);
	if (!c->id)
		return err_set(err, ENOMEM, "make the container");
	ret = parse(c, params, err);
	if (ret == 0)
		ret = cgroup_create(c->set->cgroup_fd, c->id, &c->spec->resources, &c->cgroup_fd,
				    err);
	return ret < 0 ? ret : launch_init(c, params, err);
}

void containers_create(struct containers *set, const struct container_params *params, proc_fn fn,
		       void *arg)
{
	struct container *c = calloc(1, sizeof(*c));
	struct err why = ERR_INIT;

	if (!c) {
		(void)err_set(&why, ENOMEM, "make the container");
		fn(arg, &why);
		return;
	}
	c->set = set;
	c->cgroup_fd = -1;
	c->events_fd = -1;
	c->create.fn = fn;
	c->create.arg = arg;
	if (build(c, params, &why) < 0) {
		container_free(c);
		fn(arg, &why);
		return;
	}
	c->next = set->first;
	set->first = c;
}

/* --- exec ----------------------------------------------------------------------------------------------------- */

static void unlink_exec(struct container *c, struct exec *e)
{
	struct exec **at = &c->execs;

	while (*at != e)
		at = &(*at)->next;
	*at = e->next;
}

static void on_exec_created(void *arg, const struct err *why)
{
	struct exec *e = arg;
	struct question_of create = e->create;
	struct err copy = *why;

	if (copy.code != 0 && copy.code != ECANCELED) {
		unlink_exec(e->container, e);
		exec_destroy(e);
	}
	create.fn(create.arg, &copy);
}

static int launch_exec(struct exec *e, const uint8_t *const tokens[3], struct err *err)
{
	struct container *c = e->container;
	const struct child_plan plan = {
		.spec = c->spec,
		.process = e->spec,
		.nofile = c->set->nofile,
		.join_pidfd = proc_pidfd(c->init),
		.join_namespaces = proc_namespaces(c->spec),
	};
	const struct proc_params process = {
		.loop = c->set->loop,
		.door = c->set->door,
		.cgroup_fd = c->cgroup_fd,
		.kernel = &c->set->kernel,
		.plan = &plan,
		.tokens = {tokens[0], tokens[1], tokens[2]},
		.on_created = on_exec_created,
		.arg = e,
	};

	return proc_create(&process, &e->process, err);
}

static int build_exec(struct exec *e, const char *exec_id, const char *json, size_t len,
		      const uint8_t *const tokens[3], struct err *err)
{
	int ret;

	if (!exec_id[0])
		return err_say(err, EINVAL, "an exec needs an id");
	if (find_exec(e->container, exec_id))
		return err_say(err, EEXIST, "exec \"%s\" exists already", exec_id);
	if (proc_has_exited(e->container->init) || e->container->removing)
		return err_say(err, EBUSY, "cannot exec in a container that has stopped");
	if (e->container->paused)
		return err_say(err, EBUSY, "cannot exec in a paused container");
	e->id = strdup(exec_id);
	if (!e->id)
		return err_set(err, ENOMEM, "make the exec");
	ret = oci_process_parse(json, len, "process", &e->spec, err);
	if (ret == 0 && e->spec->args.n == 0)
		ret = err_say(err, EINVAL, "process.args is empty: there is nothing to execute");
	return ret < 0 ? ret : launch_exec(e, tokens, err);
}

void containers_exec(struct containers *set, const char *id, const char *exec_id,
		     const char *process_json, size_t len, const uint8_t *const tokens[3],
		     proc_fn fn, void *arg)
{
	struct err why = ERR_INIT;
	struct container *c;
	struct exec *e;

	if (container_find_or_say(set, id, &c, &why) < 0) {
		fn(arg, &why);
		return;
	}
	e = calloc(1, sizeof(*e));
	if (!e) {
		(void)err_set(&why, ENOMEM, "make the exec");
		fn(arg, &why);
		return;
	}
	e->container = c;
	e->create = (struct question_of){fn, arg};
	if (build_exec(e, exec_id, process_json, len, tokens, &why) < 0) {
		exec_destroy(e);
		fn(arg, &why);
		return;
	}
	e->next = c->execs;
	c->execs = e;
}

int containers_forget_exec(struct containers *set, const char *id, const char *exec_id,
			   struct err *err)
{
	struct container *c;
	struct exec *e;
	int ret = container_find_or_say(set, id, &c, err);

	if (ret < 0)
		return ret;
	e = find_exec(c, exec_id);
	if (!e)
		return err_say(err, ENOENT, "exec \"%s\" of container \"%s\" does not exist",
			       exec_id, id);
	if (!proc_has_exited(e->process) && proc_was_started(e->process))
		return err_say(err, EBUSY, "cannot delete a running process");
	unlink_exec(c, e);
	exec_destroy(e);
	return 0;
}

/* --- all processes --------------------------------------------------------------------------------------------- */

struct signal_all {
	int signo;
	int failed;
};

static void signal_one(void *arg, pid_t pid)
{
	struct signal_all *all = arg;

	/* Listed a moment ago, and pids are not reused that fast: no pidfd for each. */
	if (kill(pid, all->signo) < 0 && errno != ESRCH)
		all->failed = errno;
}

int containers_signal_all(struct containers *set, const char *id, int signo, struct err *err)
{
	struct signal_all all = {.signo = signo};
	struct container *c;
	int ret = container_find_or_say(set, id, &c, err);

	if (ret < 0)
		return ret;
	if (signo == SIGKILL)
		return cgroup_kill(c->cgroup_fd, err);
	ret = cgroup_each_pid(c->cgroup_fd, signal_one, &all, err);
	if (ret == 0 && all.failed)
		ret = err_set(err, all.failed, "send signal %d", signo);
	return ret;
}

int containers_each_pid(struct containers *set, const char *id, void (*fn)(void *arg, pid_t pid),
			void *arg, struct err *err)
{
	struct container *c;
	int ret = container_find_or_say(set, id, &c, err);

	return ret < 0 ? ret : cgroup_each_pid(c->cgroup_fd, fn, arg, err);
}

/* Lent; NULL: an orphan, or one that was given up. */
static struct proc *find_alive(struct containers *set, pid_t pid)
{
	for (struct container *c = set->first; c; c = c->next) {
		if (c->init && proc_pid(c->init) == pid && !proc_has_exited(c->init))
			return c->init;
		for (struct exec *e = c->execs; e; e = e->next) {
			if (proc_pid(e->process) == pid && !proc_has_exited(e->process))
				return e->process;
		}
	}
	return NULL;
}

/* The next child that has ended, not collected yet; 0: none. What it says last may make its container go. */
static pid_t next_dead(struct containers *set)
{
	siginfo_t info = {0};

	if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid == 0)
		return 0;
	struct proc *p = find_alive(set, info.si_pid);

	if (p)
		proc_dies(p);
	return info.si_pid;
}

static bool reaped_in(struct container *c, pid_t pid, int status)
{
	struct err why = ERR_INIT;

	if (proc_pid(c->init) == pid && !proc_has_exited(c->init)) {
		/* Without a pid namespace of its own the others would live on (runc does the same). */
		if (cgroup_kill(c->cgroup_fd, &why) < 0)
			log_warn("container %s: %s", c->id, why.text);
		proc_reaped(c->init, status);
		return true;
	}
	for (struct exec *e = c->execs; e; e = e->next) {
		if (proc_pid(e->process) != pid || proc_has_exited(e->process))
			continue;
		proc_reaped(e->process, status);
		return true;
	}
	return false;
}

void containers_reap(struct containers *set)
{
	int status;
	pid_t pid;

	while ((pid = next_dead(set)) > 0 && waitpid(pid, &status, WNOHANG) == pid) {
		for (struct container *c = set->first; c; c = c->next) {
			if (reaped_in(c, pid, status))
				break;
		}
	}
	containers_finish_removals(set);
}
