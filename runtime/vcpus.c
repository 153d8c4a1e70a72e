/* See vcpus.h. Whoever caused it is not kept waiting: a vCPU takes the guest's kernel tens of milliseconds. */
#include "runtime/vcpus.h"

#include <inttypes.h>

#include "base/log.h"
#include "runtime/agent_client.h"
#include "runtime/container.h"
#include "runtime/sandbox.h"

#define DEFAULT_PERIOD_US 100000 /* cgroup-v2.rst, cpu.max */
#define MILLI_VCPU        1000

static void on_answer(void *arg, const struct err *status, const struct agent_answer *answer)
{
	struct sandbox *s = arg;

	(void)answer;
	if (status->code)
		log_guest(&s->peer_limit, "sandbox %s: %s", s->id, status->text);
}

static void bring_on_line(struct sandbox *s, uint32_t count)
{
	if (s->state != SANDBOX_READY || count == s->vcpus)
		return;
	log_debug("sandbox %s: %" PRIu32 " vCPUs", s->id, count);
	s->vcpus = count;
	agent_online_vcpus(s->agent, count, on_answer, s);
}

void vcpus_after_boot(struct sandbox *s)
{
	s->vcpus = s->vm->boot_vcpus;
	bring_on_line(s, s->vm->vcpus);
}

void vcpus_plug(struct sandbox *s, uint32_t idx, bool online)
{
	const uint32_t count = online ? idx + 1 : idx;

	if (count < 1 || !s->vm || count > s->vm->max_vcpus)
		log_warn("sandbox %s: the vmm speaks of a vCPU %" PRIu32 " that it has not", s->id,
			 idx);
	else if (online ? count > s->vcpus : count < s->vcpus)
		bring_on_line(s, count);
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
	bring_on_line(s, (uint32_t)wanted);
}
