/* See container_control.h. The guest does it; here is what the host must know before and remember after. */
#include "runtime/container_control.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "runtime/agent_client.h"
#include "runtime/container.h"
#include "runtime/sandbox.h"
#include "runtime/vcpus.h"

#define MIB (1024ULL * 1024)

struct control_call {
	struct container *c; /* a counted reference */
	struct oci_resources *update, *merged;
	bool pause;
	process_fn fn;
	void *arg;
};

static void control_end(struct control_call *call, const struct err *status)
{
	call->fn(call->arg, status);
	oci_resources_destroy(call->update);
	oci_resources_destroy(call->merged);
	container_put(call->c);
	free(call);
}

/* NULL: answered, there was no memory. */
static struct control_call *control_begin(struct container *c, process_fn fn, void *arg)
{
	struct control_call *call = calloc(1, sizeof(*call));
	struct err err = ERR_INIT;

	if (!call) {
		(void)err_set(&err, ENOMEM, "ask the agent");
		fn(arg, &err);
		return NULL;
	}
	call->c = container_get(c);
	call->fn = fn;
	call->arg = arg;
	return call;
}

static int check_alive(const struct container *c, struct err *err)
{
	if (c->deleting || !c->init || c->init->exit_known || c->init->state == PROCESS_CREATING)
		return err_say(err, EBUSY, "container not running");
	return 0;
}

static int check_memory(const struct sandbox *s, const struct oci_resources *update,
			struct err *err)
{
	const uint64_t most_mib = s->vm->memory_mib - s->config->guest_overhead_mib;

	if (update->memory_limit_bytes <= 0 ||
	    (uint64_t)update->memory_limit_bytes <= most_mib * MIB)
		return 0;
	return err_say(err, EINVAL,
		       "memory limit of %llu MiB is more than this microVM was made for: %llu MiB "
		       "beside kernel and agent; make the container anew to raise it",
		       (unsigned long long)update->memory_limit_bytes / MIB,
		       (unsigned long long)most_mib);
}

static void on_updated(void *arg, const struct err *status, const struct agent_answer *answer)
{
	struct control_call *call = arg;
	struct oci_resources *r = &call->c->spec->resources;

	(void)answer;
	if (!status->code) {
		struct oci_resources old = *r;

		*r = *call->merged;
		*call->merged = old;
		vcpus_follow_quotas(call->c->sandbox);
	}
	control_end(call, status);
}

void container_update(struct container *c, const void *resources_json, size_t len, process_fn fn,
		      void *arg)
{
	struct control_call *call = control_begin(c, fn, arg);
	struct err err = ERR_INIT;

	if (!call)
		return;
	int rc = check_alive(c, &err);
	if (!rc)
		rc = oci_resources_parse(resources_json, len, "resources", &call->update, &err);
	if (!rc)
		rc = check_memory(c->sandbox, call->update, &err);
	if (!rc)
		rc = oci_resources_merge(&c->spec->resources, call->update, &call->merged, &err);
	if (rc)
		control_end(call, &err);
	else
		agent_update(c->sandbox->agent, c->id, resources_json, len, on_updated, call);
}

static void on_paused(void *arg, const struct err *status, const struct agent_answer *answer)
{
	struct control_call *call = arg;

	(void)answer;
	if (!status->code)
		call->c->paused = call->pause;
	control_end(call, status);
}

void container_pause(struct container *c, bool pause, process_fn fn, void *arg)
{
	struct control_call *call = control_begin(c, fn, arg);
	struct err err = ERR_INIT;

	if (!call)
		return;
	call->pause = pause;
	int rc = check_alive(c, &err);
	if (!rc && c->init->state != PROCESS_RUNNING)
		rc = err_say(&err, EBUSY, "container not running");
	if (!rc && c->paused == pause)
		rc = err_say(&err, EBUSY,
			     pause ? "container already paused" : "container not paused");
	if (rc)
		control_end(call, &err);
	else
		agent_process(c->sandbox->agent, pause ? AGENT_PAUSE : AGENT_RESUME, c->id, "",
			      on_paused, call);
}
