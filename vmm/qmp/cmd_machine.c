/* What the machine is, and how it came to run. */
#include <errno.h>
#include <stddef.h>

#include "vmm/qmp/internal.h"

int qmp_query_kvm(struct qmp_call *call, struct err *err UNUSED)
{
	call->ret = json_object_new_object();
	qj_put_bool(call->ret, "enabled", true);
	qj_put_bool(call->ret, "present", true);
	return 0;
}

int qmp_query_target(struct qmp_call *call, struct err *err UNUSED)
{
	call->ret = json_object_new_object();
	qj_put_str(call->ret, "arch", QMP_TARGET);
	return 0;
}

int qmp_query_machines(struct qmp_call *call, struct err *err UNUSED)
{
	struct json_object *machine;

	call->ret = json_object_new_array();
	machine = qj_append_object(call->ret);
	qj_put_str(machine, "name", "microvm");
	qj_put_bool(machine, "is-default", true);
	qj_put_int(machine, "cpu-max", arch_max_vcpus());
	qj_put_bool(machine, "hotpluggable-cpus", true);
	qj_put_bool(machine, "numa-mem-supported", false);
	qj_put_bool(machine, "deprecated", false);
	return 0;
}

int qmp_query_name(struct qmp_call *call, struct err *err UNUSED)
{
	call->ret = json_object_new_object();
	if (call->qmp->engine.name)
		qj_put_str(call->ret, "name", call->qmp->engine.name);
	return 0;
}

int qmp_query_uuid(struct qmp_call *call, struct err *err UNUSED)
{
	const char *uuid = call->qmp->engine.uuid;

	call->ret = json_object_new_object();
	qj_put_str(call->ret, "UUID", uuid ? uuid : "00000000-0000-0000-0000-000000000000");
	return 0;
}

/*
 * The phases of a start, in the order in which they happen. The engine knows its own; of what came before it, and of what goes
 * on in the guest, it knows what the monitor has told.
 */
#define OURS(field) true, offsetof(struct qmp_start_times, field)
static const struct phase {
	const char *name;
	bool ours;
	size_t at; /* in struct qmp_start_times */
} phases[] = {
	{"monitor", false, 0},       {"spawn", false, 0},           {"exec", OURS(exec_us)},
	{"memory", OURS(memory_us)}, {"devices", OURS(devices_us)}, {"kernel", OURS(kernel_us)},
	{"jail", OURS(jail_us)},     {"entry", OURS(entry_us)},     {"linux", false, 0},
	{"init", false, 0},          {"ready", false, 0},           {"agent", false, 0},
	{"created", false, 0},       {"started", false, 0},
};

_Static_assert(ARRAY_SIZE(phases) == QMP_START_PHASES, "what the monitor tells has a place each");

/* What is not over yet is left out. */
struct json_object *qmp_start_times(struct qmp *qmp)
{
	const struct qmp_start_times t = qmp->engine.ops->start_times(qmp->engine.self);
	struct json_object *times = json_object_new_object();
	struct json_object *over = qj_put_object(times, "monotonic-us");

	for (size_t i = 0; i < ARRAY_SIZE(phases); i++) {
		const uint64_t us = phases[i].ours
					    ? *(const uint64_t *)((const char *)&t + phases[i].at)
					    : qmp->told_us[i];

		if (us)
			qj_put_int(over, phases[i].name, (int64_t)us);
	}
	return times;
}

int qmp_query_start_times(struct qmp_call *call, struct err *err UNUSED)
{
	call->ret = qmp_start_times(call->qmp);
	return 0;
}

int qmp_nacre_start_times(struct qmp_call *call, struct err *err)
{
	struct json_object *told = qj_get(call->args, "monotonic-us");

	if (!qmp_client_is_monitor(call->client))
		return err_say(err, EPERM, "who has started the engine can say that: the monitor");
	for (size_t i = 0; i < ARRAY_SIZE(phases); i++) {
		const int64_t us = phases[i].ours ? 0 : qj_int(told, phases[i].name, 0);

		if (us > 0)
			call->qmp->told_us[i] = (uint64_t)us;
	}
	return 0;
}
