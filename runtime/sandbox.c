/* A sandbox as an object: what it holds, and what the host must have before its first container. */
#include "runtime/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "runtime/agent_client.h"
#include "runtime/broker.h"
#include "runtime/container.h"
#include "runtime/kvm_probe.h"
#include "runtime/network.h"
#include "runtime/powerdown.h"
#include "runtime/resources.h"
#include "runtime/sandbox_life.h"
#include "runtime/shared_tree.h"
#include "runtime/state_dir.h"
#include "runtime/vmm_process.h"

#define KILL_TIMEOUT_MS 30000 /* a killed process may wait for a slow disk of the host */

struct container *sandbox_container(struct sandbox *s, const char *id)
{
	for (struct container *c = s->containers; c; c = c->next)
		if (strcmp(c->id, id) == 0)
			return c;
	return NULL;
}

void sandbox_link(struct sandbox *s, struct container *c)
{
	c->next = s->containers;
	s->containers = c;
}

void sandbox_unlink(struct sandbox *s, struct container *c)
{
	for (struct container **at = &s->containers; *at; at = &(*at)->next) {
		if (*at == c) {
			*at = c->next;
			return;
		}
	}
}

void sandbox_tell_times(struct sandbox *s)
{
	if (s->vmm && s->config->qmp)
		vmm_tell_start(s->vmm, &s->start);
}

void sandbox_tell_created(struct sandbox *s)
{
	if (s->start.us[START_CREATED])
		return;
	start_record_mark(&s->start, START_CREATED);
	sandbox_tell_times(s);
}

void sandbox_tell_started(struct sandbox *s)
{
	struct err err = ERR_INIT;

	if (s->start.saved)
		return;
	start_record_mark(&s->start, START_STARTED);
	sandbox_tell_times(s);
	s->start.saved = true;
	AUTO_FREE char *text = start_record_text(&s->start);

	if (!text)
		(void)err_set(&err, ENOMEM, "write the record of the start");
	else if (broker_record(s->broker, text, &err) == 0)
		return;
	log_warn("%s", err.text);
}

void sandbox_tell_exit(struct sandbox *s, const struct process *p)
{
	if (s->hooks.on_exit)
		s->hooks.on_exit(s->hooks.arg, p);
	powerdown_look(s);
}

void sandbox_tell_oom(struct sandbox *s, const struct container *c)
{
	if (s->hooks.on_oom)
		s->hooks.on_oom(s->hooks.arg, c);
}

static int open_host(void *arg, const char *name, bool input, struct stdio_host *out,
		     struct err *err)
{
	const struct sandbox *s = arg;

	return broker_open_stream(s->broker, name, input, out, err);
}

static int connect_guest(void *arg, int *fd, struct err *err)
{
	const struct sandbox *s = arg;

	return broker_connect_guest(s->broker, fd, err);
}

int sandbox_create(struct loop *loop, const char *id, const char *state_dir,
		   const struct sandbox_hooks *hooks, struct sandbox **out, struct err *err)
{
	CLEANUP(own_sandbox_destroy) struct sandbox *s = calloc(1, sizeof(*s));

	if (!s)
		return err_set(err, ENOMEM, "make a sandbox");
	s->loop = loop;
	s->hooks = *hooks;
	s->kill_timeout_ms = KILL_TIMEOUT_MS;
	s->ways = (struct stdio_ways){open_host, connect_guest, s};
	start_record_mark(&s->start, START_MONITOR);
	s->id = strdup(id);
	s->state_dir = strdup(state_dir);
	s->export_dir = str_printf("%s/%s", state_dir, STATE_EXPORT_DIR);
	if (!s->id || !s->state_dir || !s->export_dir)
		return err_set(err, ENOMEM, "make a sandbox");
	*out = TAKE_PTR(&s);
	return 0;
}

void sandbox_destroy(struct sandbox *s)
{
	if (!s)
		return;
	struct err gone = ERR_INIT;

	(void)err_say(&gone, ECANCELED, "the sandbox is being removed");
	s->state = SANDBOX_ENDED;
	broker_close_hooks(s->broker);
	loop_remove(s->stop_timer);
	loop_remove(s->powerdown_timer);
	sandbox_drop_vmm(s);
	sandbox_tell_waiters(&s->boot_waiters, &gone);
	sandbox_tell_waiters(&s->stop_waiters, &gone);
	while (s->containers)
		container_remove(s->containers);
	/* It takes the rest down, the directory last, and has the rights to. */
	if (s->broker)
		broker_stop(s->broker);
	else
		resources_end(s->state_dir);
	nacre_config_destroy(s->config);
	free(s->export_dir);
	vm_config_destroy(s->vm);
	free(s->state_dir);
	free(s->id);
	free(s);
}

/* A KVM that emulates guest kernels looks like any other and then boots nothing. */
static int check_kvm(struct err *err)
{
	char words[KVM_PROBE_WORDS];
	int rc = kvm_probe_run(STATE_ROOT_DEFAULT, words, err);

	if (rc != -ENOENT)
		return rc;
	log_warn("%s: starting the microVM unasked", err->text);
	*err = (struct err)ERR_INIT;
	return 0;
}

static int load_config(struct sandbox *s, struct err *err)
{
	const char *config_dir = getenv("NACRE_CONFIG_DIR");
	int rc = s->config ? 0
			   : nacre_config_load(config_dir ? config_dir : "/etc/nacre", &s->config,
					       err);

	if (!rc && !s->debug)
		log_set_level((enum log_level)s->config->log_level);
	return rc;
}

static void on_broker_lost(void *arg)
{
	struct sandbox *s = arg;

	sandbox_end_because(s, "its broker ended");
}

static int start_broker(struct sandbox *s, int host_mount_ns_fd, struct err *err)
{
	const struct broker_params p = {
		.loop = s->loop,
		.sandbox_id = s->id,
		.state_dir = s->state_dir,
		.events = s->events ? s->events : "",
		.host_mount_ns_fd = host_mount_ns_fd,
		.on_lost = on_broker_lost,
		.arg = s,
	};
	struct procid id = {0};
	int rc = broker_start(&p, &s->broker, err);

	if (!rc)
		rc = procid_of(broker_pid(s->broker), &id, err);
	if (!rc)
		rc = resources_add_process(s->state_dir, "broker", &id, err);
	return rc;
}

/* Hooks are run where nacre was called: that namespace is opened before it is left. */
static int make_tree_and_broker(struct sandbox *s, struct err *err)
{
	AUTO_FD int home = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);

	if (home < 0)
		return err_set(err, errno, "open the mount namespace");
	int rc = shared_tree_enter_namespace(err);
	if (!rc)
		rc = shared_tree_make(s->state_dir, err);
	if (!rc)
		rc = start_broker(s, home, err);
	if (rc && !s->broker)
		shared_tree_unmake(s->state_dir);
	return rc;
}

int sandbox_prepare(struct sandbox *s, struct err *err)
{
	if (s->state == SANDBOX_STOPPING || s->state == SANDBOX_ENDED)
		return err_say(err, EBUSY, "the microVM of this sandbox has ended: %s", s->why);
	if (s->broker)
		return 0;
	int rc = load_config(s, err);
	if (!rc)
		rc = vmm_check_files(s->config->vmm_path, s->config->kernel_path,
				     s->config->initramfs_path, err);
	if (!rc)
		rc = check_kvm(err);
	return rc ? rc : make_tree_and_broker(s, err);
}
