/* What the machine is, and how it came to run. */
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

struct json_object *qmp_start_times(struct qmp *qmp)
{
	const struct qmp_start_times t = qmp->engine.ops->start_times(qmp->engine.self);
	struct json_object *times = json_object_new_object();
	struct json_object *phases = qj_put_object(times, "monotonic-us");

	qj_put_int(phases, "exec", (int64_t)t.exec_us);
	qj_put_int(phases, "jail", (int64_t)t.jail_us);
	qj_put_int(phases, "memory", (int64_t)t.memory_us);
	qj_put_int(phases, "devices", (int64_t)t.devices_us);
	qj_put_int(phases, "kernel", (int64_t)t.kernel_us);
	qj_put_int(phases, "entry", (int64_t)t.entry_us);
	return times;
}

int qmp_query_start_times(struct qmp_call *call, struct err *err UNUSED)
{
	call->ret = qmp_start_times(call->qmp);
	return 0;
}
