/*
 * Creation and deletion of containers. Creation does everything that can fail on the host first (spec, mounts, streams), then
 * boots or joins the microVM, then asks the agent; whatever fails, container_abandon() takes back what was done.
 */
#include "runtime/container.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/own.h"
#include "base/path.h"
#include "base/str.h"
#include "runtime/agent_client.h"
#include "runtime/mount_points.h"
#include "runtime/sandbox.h"
#include "runtime/shared_tree.h"

#define STATUS_KILLED 137

/* An operation in flight: a create, an exec or a delete. */
struct container_call {
	struct container *c;
	struct process *p; /* NULL for a container's delete */
	process_fn fn;
	void *arg;
	struct err why; /* of a create that failed */
};

struct container *container_get(struct container *c)
{
	c->refs++;
	return c;
}

void container_put(struct container *c)
{
	if (!c || --c->refs)
		return;
	oci_spec_destroy(c->spec);
	container_plan_destroy(c->plan);
	free(c->id);
	free(c->bundle);
	free(c);
}

struct process *container_process(struct container *c, const char *exec_id)
{
	if (!exec_id || !*exec_id)
		return c->init;
	for (struct process *p = c->execs; p; p = p->next)
		if (strcmp(p->exec_id, exec_id) == 0)
			return p;
	return NULL;
}

bool container_has_running_exec(const struct container *c)
{
	for (const struct process *p = c->execs; p; p = p->next)
		if (p->state == PROCESS_RUNNING || p->starting)
			return true;
	return false;
}

void container_end_execs(struct container *c)
{
	for (struct process *p = c->execs; p; p = p->next)
		process_give_up(p, STATUS_KILLED);
}

void container_lost(struct container *c)
{
	struct process *init = c->init;

	for (struct process *p = c->execs; p; p = p->next)
		process_exited(p, STATUS_KILLED);
	if (init)
		process_exited(init, STATUS_KILLED);
}

static char *oom_marker(const struct container *c)
{
	return str_printf("%s/oom", c->bundle);
}

void container_oom(const struct container *c)
{
	AUTO_FREE char *path = oom_marker(c);
	AUTO_FD int fd = path ? open(path, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0644) : -1;

	if (fd < 0)
		log_warn("container %s: leave the oom marker: %s", c->id, strerror(errno));
	sandbox_tell_oom(c->sandbox, c);
}

/* Of an earlier container of this bundle. */
static void forget_oom(const struct container *c)
{
	AUTO_FREE char *path = oom_marker(c);

	if (path && unlink(path) && errno != ENOENT)
		log_warn("container %s: remove '%s': %s", c->id, path, strerror(errno));
}

static void forget_exec(struct process *p)
{
	for (struct process **at = &p->container->execs; *at; at = &(*at)->next) {
		if (*at == p) {
			*at = p->next;
			process_put(p);
			return;
		}
	}
}

void container_remove(struct container *c)
{
	struct process *init = c->init;

	sandbox_unlink(c->sandbox, c);
	while (c->execs)
		forget_exec(c->execs);
	if (c->shared)
		shared_tree_remove(c->sandbox->state_dir, c->plan);
	c->shared = false;
	if (c->plan)
		rootfs_unmount(c->plan->rootfs_host, c->nrootfs_mounts);
	c->nrootfs_mounts = 0;
	c->init = NULL;
	process_put(init);
	container_put(c);
}

static struct container_call *call_new(struct container *c, struct process *p, process_fn fn,
				       void *arg)
{
	struct container_call *call = malloc(sizeof(*call));

	if (call)
		*call = (struct container_call){.c = container_get(c),
						.p = p ? process_get(p) : NULL,
						.fn = fn,
						.arg = arg};
	return call;
}

static void call_end(struct container_call *call, const struct err *status)
{
	struct container_call done = *call;

	free(call);
	done.fn(done.arg, status);
	process_put(done.p);
	container_put(done.c);
}

static void ignore_answer(void *arg, const struct err *status, const struct agent_answer *answer)
{
	(void)arg;
	(void)status;
	(void)answer;
}

void container_run_hooks(struct container *c, enum hooks_moment moment, hooks_fn fn, void *arg)
{
	pid_t pid = c->stub_pid ? c->stub_pid : c->sandbox->vmm_pid;
	const struct hooks_subject s = {
		.spec = c->spec,
		.id = c->id,
		.bundle = c->bundle,
		.pid = moment == HOOKS_POSTSTOP ? 0 : pid,
	};

	hooks_run(&c->sandbox->container_hooks, &s, moment, fn, arg);
}

static void on_abandoned(void *arg, const struct err *status)
{
	struct container_call *call = arg;
	const struct err reason = call->why;

	(void)status; /* poststop hooks only warn */
	call_end(call, &reason);
}

/* A create that failed: `why` goes to the caller after the host is clean. */
static void container_abandon(struct container_call *call, const struct err *why)
{
	struct container *c = call->c;
	call->why = *why;
	if (call->p && call->p->in_guest)
		agent_process(c->sandbox->agent, AGENT_DELETE_CONTAINER, c->id, "", ignore_answer,
			      NULL);
	container_remove(c);
	sandbox_abandon_if_empty(c->sandbox);
	if (c->hooked)
		container_run_hooks(c, HOOKS_POSTSTOP, on_abandoned, call);
	else
		on_abandoned(call, why);
}

static void on_attached(void *arg, const struct err *status)
{
	struct container_call *call = arg;

	if (status->code) {
		container_abandon(call, status);
		return;
	}
	start_record_mark(&call->c->sandbox->start, START_CREATED);
	call_end(call, status);
}

static void on_guest_created(void *arg, const struct err *status, const struct agent_answer *answer)
{
	struct container_call *call = arg;

	(void)answer;
	if (status->code)
		container_abandon(call, status);
	else
		process_attach(call->p, on_attached, call);
}

static void on_create_hooks(void *arg, const struct err *status)
{
	struct container_call *call = arg;
	struct container *c = call->c;
	struct err err = *status;

	if (!err.code && c->sandbox->state != SANDBOX_READY)
		(void)err_say(&err, EIO, "the microVM ended while hooks ran: %s", c->sandbox->why);
	if (err.code)
		container_abandon(call, &err);
	else
		agent_create_container(c->sandbox->agent, c->id, c->plan->guest_spec_json,
				       c->plan->rootfs_name, call->p->io, on_guest_created, call);
}

static void on_booted(void *arg, const struct err *status)
{
	struct container_call *call = arg;
	struct container *c = call->c;

	if (status->code) {
		container_abandon(call, status);
		return;
	}
	c->hooked = true;
	container_run_hooks(c, HOOKS_CREATE, on_create_hooks, call);
}

static int load_spec(struct container *c, struct err *err)
{
	AUTO_FREE char *path = str_printf("%s/config.json", c->bundle);
	AUTO_FREE char *text = NULL;
	size_t len = 0;

	if (!path)
		return err_set(err, ENOMEM, "read the bundle");
	int rc = path_read(AT_FDCWD, path, OCI_MAX_SPEC_BYTES, &text, &len, err);
	if (!rc)
		rc = oci_parse(text, len, path, &c->spec, err);
	if (!rc)
		rc = oci_check(c->spec, err);
	if (!rc)
		rc = container_plan_make(c->id, c->bundle, text, len, c->spec, &c->plan, err);
	return rc;
}

static int host_side(struct container *c, const struct container_params *params,
		     struct process **init, struct err *err)
{
	int rc = load_spec(c, err);

	forget_oom(c);
	if (!rc)
		rc = sandbox_prepare(c->sandbox, err);
	if (!rc && params->nmounts) {
		rc = rootfs_mount_all(params->mounts, params->nmounts, c->plan->rootfs_host, err);
		c->nrootfs_mounts = rc ? 0 : params->nmounts;
	}
	if (!rc && access(c->plan->rootfs_host, F_OK))
		rc = err_set(err, errno, "rootfs '%s' of the bundle", c->plan->rootfs_host);
	if (!rc && c->plan->rootfs_readonly)
		rc = mount_points_make(c->spec, c->plan->rootfs_host, err);
	if (!rc) {
		rc = shared_tree_add(c->sandbox->state_dir, c->plan, err);
		c->shared = !rc;
	}
	if (!rc)
		rc = process_create(c, "", &params->io, init, err);
	return rc;
}

static int container_new(struct sandbox *s, const struct container_params *params,
			 struct container **out, struct err *err)
{
	int rc = container_id_check(params->id, err);

	if (rc)
		return rc;
	if (sandbox_container(s, params->id))
		return err_say(err, EEXIST, "container with given ID already exists");
	struct container *c = calloc(1, sizeof(*c));
	if (!c)
		return err_set(err, ENOMEM, "make a container");
	c->refs = 1;
	c->sandbox = s;
	c->stub_pid = params->stub_pid;
	c->id = strdup(params->id);
	c->bundle = strdup(params->bundle);
	if (!c->id || !c->bundle) {
		container_put(c);
		return err_set(err, ENOMEM, "make a container");
	}
	sandbox_link(s, c);
	*out = c;
	return 0;
}

void container_create(struct sandbox *s, const struct container_params *params, process_fn fn,
		      void *arg)
{
	struct err err = ERR_INIT;
	struct container *c = NULL;

	if (container_new(s, params, &c, &err)) {
		fn(arg, &err);
		return;
	}
	int rc = host_side(c, params, &c->init, &err);
	struct container_call *call = rc ? NULL : call_new(c, c->init, fn, arg);

	if (!rc && !call)
		rc = err_set(&err, ENOMEM, "make a container");
	if (rc) {
		container_remove(c);
		sandbox_abandon_if_empty(s);
		fn(arg, &err);
		return;
	}
	sandbox_boot(s, c->spec, c->stub_pid, on_booted, call);
}

static void on_exec_attached(void *arg, const struct err *status)
{
	struct container_call *call = arg;
	struct container *c = call->c;

	if (status->code) {
		if (call->p->in_guest)
			agent_process(c->sandbox->agent, AGENT_DELETE_PROCESS, c->id,
				      call->p->exec_id, ignore_answer, NULL);
		forget_exec(call->p);
	}
	call_end(call, status);
}

static void on_exec_created(void *arg, const struct err *status, const struct agent_answer *answer)
{
	struct container_call *call = arg;

	(void)answer;
	if (status->code)
		on_exec_attached(call, status);
	else
		process_attach(call->p, on_exec_attached, call);
}

static int exec_check(const struct container *c, const char *exec_id, struct err *err)
{
	if (container_id_check(exec_id, err))
		return -err->code;
	if (c->init->state != PROCESS_RUNNING || c->deleting)
		return err_say(err, EBUSY, "cannot exec in a container that is not running");
	if (c->paused)
		return err_say(err, EBUSY, "cannot exec in a paused container");
	for (const struct process *p = c->execs; p; p = p->next)
		if (strcmp(p->exec_id, exec_id) == 0)
			return err_say(err, EEXIST, "exec '%s' already exists", exec_id);
	return 0;
}

void container_exec(struct container *c, const char *exec_id, const void *json, size_t len,
		    const struct process_io *io, process_fn fn, void *arg)
{
	struct err err = ERR_INIT;
	struct process *p = NULL;
	int rc = exec_check(c, exec_id, &err);

	if (!rc)
		rc = process_create(c, exec_id, io, &p, &err);
	struct container_call *call = rc ? NULL : call_new(c, p, fn, arg);

	if (!call) {
		if (!rc)
			(void)err_set(&err, ENOMEM, "make a process");
		process_put(p);
		fn(arg, &err);
		return;
	}
	p->next = c->execs;
	c->execs = p;
	agent_exec(c->sandbox->agent, c->id, exec_id, json, len, p->io, on_exec_created, call);
}

static void on_poststop(void *arg, const struct err *status)
{
	const struct err fine = ERR_INIT;

	(void)status; /* they only warn */
	call_end(arg, &fine);
}

static void on_guest_deleted(void *arg, const struct err *status, const struct agent_answer *answer)
{
	struct container_call *call = arg;
	const struct err fine = ERR_INIT;

	(void)answer;
	/* The guest may be gone or misbehave: the host lets go all the same. */
	if (status->code && status->code != ENOENT)
		log_info("container %s: the agent did not delete it: %s", call->c->id,
			 status->text);
	process_give_up(call->p, STATUS_KILLED);
	if (!process_is_init(call->p)) {
		forget_exec(call->p);
		call_end(call, &fine);
		return;
	}
	container_remove(call->c);
	container_run_hooks(call->c, HOOKS_POSTSTOP, on_poststop, call);
}

static void delete_process(struct process *p, enum agent_verb verb, process_fn fn, void *arg)
{
	struct container *c = p->container;
	struct err err = ERR_INIT;

	if (c->deleting || p->state == PROCESS_CREATING || p->starting)
		(void)err_say(&err, EBUSY, "the container is busy with another request");
	else if (p->state == PROCESS_RUNNING)
		(void)err_say(&err, EBUSY, "cannot delete a running process");
	struct container_call *call = err.code ? NULL : call_new(c, p, fn, arg);

	if (!call) {
		if (!err.code)
			(void)err_set(&err, ENOMEM, "delete a process");
		fn(arg, &err);
		return;
	}
	if (process_is_init(p))
		c->deleting = true;
	agent_process(c->sandbox->agent, verb, c->id, p->exec_id, on_guest_deleted, call);
}

void container_delete(struct container *c, process_fn fn, void *arg)
{
	delete_process(c->init, AGENT_DELETE_CONTAINER, fn, arg);
}

void container_delete_exec(struct process *p, process_fn fn, void *arg)
{
	delete_process(p, AGENT_DELETE_PROCESS, fn, arg);
}
