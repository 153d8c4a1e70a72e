/* vCPUs. Those beyond the ones on line at the start are described to the guest, and brought on line by its agent. */
#include "vmm/qmp/internal.h"

static void put_path(struct json_object *o, const char *key, uint32_t idx)
{
	char path[48];

	(void)snprintf(path, sizeof(path), "/machine/unattached/device[%u]", idx);
	qj_put_str(o, key, path);
}

/* One core a vCPU, as the guest is told. */
static void put_props(struct json_object *o, uint32_t idx)
{
	struct json_object *props = qj_put_object(o, "props");

	qj_put_int(props, "socket-id", 0);
	qj_put_int(props, "core-id", idx);
	qj_put_int(props, "thread-id", 0);
}

int qmp_query_cpus(struct qmp_call *call, struct err *err UNUSED)
{
	const struct qmp_engine *engine = &call->qmp->engine;

	call->ret = json_object_new_array();
	for (uint32_t i = 0; i < engine->vcpus; i++) {
		struct json_object *cpu = qj_append_object(call->ret);

		qj_put_int(cpu, "CPU", i);
		qj_put_bool(cpu, "current", i == 0);
		qj_put_bool(cpu, "halted", call->qmp->state != QMP_RUNNING);
		put_path(cpu, "qom_path", i);
		qj_put_int(cpu, "thread_id", engine->ops->vcpu_tid(engine->self, i));
		qj_put_str(cpu, "arch", "x86");
	}
	return 0;
}

int qmp_query_cpus_fast(struct qmp_call *call, struct err *err UNUSED)
{
	const struct qmp_engine *engine = &call->qmp->engine;

	call->ret = json_object_new_array();
	for (uint32_t i = 0; i < engine->vcpus; i++) {
		struct json_object *cpu = qj_append_object(call->ret);

		qj_put_int(cpu, "cpu-index", i);
		put_path(cpu, "qom-path", i);
		qj_put_int(cpu, "thread-id", engine->ops->vcpu_tid(engine->self, i));
		put_props(cpu, i);
		qj_put_str(cpu, "target", QMP_TARGET);
	}
	return 0;
}

int qmp_query_hotpluggable_cpus(struct qmp_call *call, struct err *err UNUSED)
{
	const struct qmp_engine *engine = &call->qmp->engine;

	call->ret = json_object_new_array();
	for (uint32_t i = engine->max_vcpus; i > 0; i--) {
		struct json_object *cpu = qj_append_object(call->ret);

		qj_put_str(cpu, "type", QMP_VCPU_DRIVER);
		qj_put_int(cpu, "vcpus-count", 1);
		put_props(cpu, i - 1);
		if (i - 1 < engine->vcpus)
			put_path(cpu, "qom-path", i - 1);
	}
	return 0;
}
