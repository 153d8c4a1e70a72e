/* See vcpus.h. Whoever caused it is not kept waiting: a vCPU takes the guest's kernel tens of milliseconds. */
#include "runtime/vcpus.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/own.h"
#include "runtime/agent_client.h"
#include "runtime/container.h"
#include "runtime/sandbox.h"
#include "runtime/vmm_process.h"

#define DEFAULT_PERIOD_US 100000 /* cgroup-v2.rst, cpu.max */
#define MILLI_VCPU        1000

/* A vCPU that QMP wants off line. */
struct unplug {
	struct sandbox *sandbox;
	uint32_t idx;
};

static void on_answer(void *arg, const struct err *status, const struct agent_answer *answer)
{
	struct sandbox *s = arg;

	(void)answer;
	if (!status->code)
		return;
	s->vcpus.online = 0;
	log_guest(&s->peer_limit, "sandbox %s: %s", s->id, status->text);
}

static void say_unplugged(const struct sandbox *s, uint32_t idx, const char *why)
{
	if (s->vmm)
		vmm_vcpu_unplugged(s->vmm, idx, why);
}

static void on_unplugged(void *arg, const struct err *status, const struct agent_answer *answer)
{
	AUTO_FREE struct unplug *u = arg;

	on_answer(u->sandbox, status, answer);
	say_unplugged(u->sandbox, u->idx, status->code ? status->text : NULL);
}

static uint32_t target(const struct sandbox *s)
{
	return s->vcpus.by_quota > s->vcpus.by_qmp ? s->vcpus.by_quota : s->vcpus.by_qmp;
}

/* `fn` has `arg` for good, also when there is nothing to ask. */
static void follow(struct sandbox *s, agent_fn fn, void *arg)
{
	const uint32_t count = target(s);

	if (s->state != SANDBOX_READY || count == s->vcpus.online) {
		fn(arg, &(const struct err)ERR_INIT, NULL);
		return;
	}
	log_debug("sandbox %s: %" PRIu32 " vCPUs", s->id, count);
	s->vcpus.online = count;
	agent_online_vcpus(s->agent, count, fn, arg);
}

void vcpus_after_boot(struct sandbox *s)
{
	s->vcpus.online = s->vm->boot_vcpus;
	s->vcpus.by_quota = s->vm->vcpus;
	follow(s, on_answer, s);
}

static void plug(struct sandbox *s, uint32_t idx)
{
	if (s->vcpus.by_qmp < idx + 1)
		s->vcpus.by_qmp = idx + 1;
	follow(s, on_answer, s);
}

static void unplug(struct sandbox *s, uint32_t idx)
{
	struct unplug *u = NULL;

	if (s->vcpus.by_quota > idx) {
		say_unplugged(s, idx, "the containers' CPU quotas need it");
		return;
	}
	if (s->vcpus.by_qmp > idx)
		s->vcpus.by_qmp = idx;
	u = malloc(sizeof(*u));
	if (!u) {
		say_unplugged(s, idx, "out of memory");
		return;
	}
	*u = (struct unplug){.sandbox = s, .idx = idx};
	follow(s, on_unplugged, u);
}

void vcpus_plug(struct sandbox *s, uint32_t idx, bool online)
{
	if (idx < 1 || !s->vm || idx >= s->vm->max_vcpus)
		log_guest(&s->peer_limit,
			  "sandbox %s: the vmm speaks of a vCPU %" PRIu32 " that it has not", s->id,
			  idx);
	else if (online)
		plug(s, idx);
	else
		unplug(s, idx);
}

/* In thousandths, rounded up; 0 without a quota. */
static uint64_t wanted_by(const struct oci_resources *r)
{
	const uint64_t period = r->cpu_period_us ? r->cpu_period_us : DEFAULT_PERIOD_US;

	if (r->cpu_quota_us <= 0)
		return 0;
	if ((uint64_t)r->cpu_quota_us / period >= VM_MAX_VCPUS)
		return (uint64_t)VM_MAX_VCPUS * MILLI_VCPU;
	unsigned __int128 milli = (unsigned __int128)(uint64_t)r->cpu_quota_us * MILLI_VCPU;

	return (uint64_t)((milli + period - 1) / period);
}

void vcpus_follow_quotas(struct sandbox *s)
{
	uint64_t wanted = 0;

	for (const struct container *c = s->containers; c; c = c->next)
		if (c->spec)
			wanted += wanted_by(&c->spec->resources);
	wanted = (wanted + MILLI_VCPU - 1) / MILLI_VCPU;
	if (wanted < s->vm->vcpus)
		wanted = s->vm->vcpus;
	if (wanted > s->vm->max_vcpus)
		wanted = s->vm->max_vcpus;
	s->vcpus.by_quota = (uint32_t)wanted;
	follow(s, on_answer, s);
}
