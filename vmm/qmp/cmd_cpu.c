/* vCPUs. Those beyond the ones on line at the start are described to the guest, and brought on line by its agent. */
#include "vmm/qmp/internal.h"

#include "base/log.h"

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
	qj_put_int(props, "die-id", 0);
	qj_put_int(props, "core-id", idx);
	qj_put_int(props, "thread-id", 0);
}

struct qmp_plugged *qmp_plugged_vcpu(struct qmp *qmp, int64_t idx)
{
	for (size_t i = 0; i < qmp->nplugged; i++) {
		if (qmp->plugged[i].vcpu == idx)
			return &qmp->plugged[i];
	}
	return NULL;
}

/* On line, as far as we know: the agent has been asked for the plugged ones. */
static bool is_online(struct qmp *qmp, uint32_t idx)
{
	return idx < qmp->engine.vcpus || qmp_plugged_vcpu(qmp, idx);
}

/* An element for each vCPU on line, filled by `describe`. */
static void list_cpus(struct qmp_call *call,
		      void (*describe)(struct qmp_call *call, struct json_object *cpu,
				       uint32_t idx))
{
	call->ret = json_object_new_array();
	for (uint32_t i = 0; i < call->qmp->engine.max_vcpus; i++) {
		if (is_online(call->qmp, i))
			describe(call, qj_append_object(call->ret), i);
	}
}

static pid_t thread_of(const struct qmp_call *call, uint32_t idx)
{
	const struct qmp_engine *engine = &call->qmp->engine;

	return engine->ops->vcpu_tid(engine->self, idx);
}

static void describe_cpu(struct qmp_call *call, struct json_object *cpu, uint32_t idx)
{
	qj_put_int(cpu, "CPU", idx);
	qj_put_bool(cpu, "current", idx == 0);
	qj_put_bool(cpu, "halted", call->qmp->state != QMP_RUNNING);
	put_path(cpu, "qom_path", idx);
	qj_put_int(cpu, "thread_id", thread_of(call, idx));
	put_props(cpu, idx);
	qj_put_str(cpu, "arch", "x86");
}

int qmp_query_cpus(struct qmp_call *call, struct err *err UNUSED)
{
	list_cpus(call, describe_cpu);
	return 0;
}

static void describe_cpu_fast(struct qmp_call *call, struct json_object *cpu, uint32_t idx)
{
	qj_put_int(cpu, "cpu-index", idx);
	put_path(cpu, "qom-path", idx);
	qj_put_int(cpu, "thread-id", thread_of(call, idx));
	put_props(cpu, idx);
	qj_put_str(cpu, "target", QMP_TARGET);
}

int qmp_query_cpus_fast(struct qmp_call *call, struct err *err UNUSED)
{
	list_cpus(call, describe_cpu_fast);
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
		if (is_online(call->qmp, i - 1))
			put_path(cpu, "qom-path", i - 1);
	}
	return 0;
}

static int need_agent(const struct qmp *qmp, struct err *err)
{
	if (qmp->engine.ops->has_agent(qmp->engine.self))
		return 0;
	return err_say(
		err, ENOTSUP,
		"vCPUs go on and off line by the agent of Nacre, and none runs in this guest: "
		"write to /sys/devices/system/cpu/cpuN/online in it");
}

static void say_vcpu(struct qmp *qmp, const char *event, const char *id, int64_t idx)
{
	struct json_object *data = json_object_new_object();

	qj_put_str(data, "id", id);
	qj_put_int(data, "cpu-index", idx);
	qmp_emit(qmp, event, data);
}

int qmp_vcpu_plug(struct qmp_call *call, const char *id, int64_t *idx, struct err *err)
{
	struct qmp *qmp = call->qmp;
	static const char *const only_one[] = {"socket-id", "die-id", "thread-id"};
	int64_t core = -1, zero;
	int rc = need_agent(qmp, err);

	if (rc == 0)
		rc = qmp_number(call, "core-id", qmp->engine.max_vcpus - 1, &core, err);
	for (size_t i = 0; rc == 0 && i < ARRAY_SIZE(only_one); i++)
		rc = qmp_number(call, only_one[i], 0, &zero, err);
	if (rc < 0)
		return rc;
	if (core < 0)
		return err_say(
			err, EINVAL,
			"device_add: a vCPU needs 'core-id': query-hotpluggable-cpus has them");
	if (is_online(qmp, (uint32_t)core))
		return err_say(err, EBUSY, "the vCPU of core-id %lld is on line already",
			       (long long)core);
	if (!is_online(qmp, (uint32_t)core - 1))
		return err_say(err, EINVAL,
			       "vCPUs come in order: the one of core-id %lld is not there yet",
			       (long long)core - 1);
	say_vcpu(qmp, "NACRE_VCPU_PLUG", id, core);
	*idx = core;
	return 0;
}

int qmp_vcpu_unplug(struct qmp_call *call, struct qmp_plugged *vcpu, struct err *err)
{
	struct qmp *qmp = call->qmp;
	int rc = need_agent(qmp, err);

	if (rc < 0)
		return rc;
	if (vcpu->leaving)
		return err_say(err, EBUSY, "the guest is taking '%.64s' off line already",
			       vcpu->id);
	if (qmp_plugged_vcpu(qmp, vcpu->vcpu + 1))
		return err_say(err, EINVAL,
			       "vCPUs go in order: the one of core-id %lld is still there",
			       (long long)vcpu->vcpu + 1);
	vcpu->leaving = true;
	say_vcpu(qmp, "NACRE_VCPU_UNPLUG", vcpu->id, vcpu->vcpu);
	return 0;
}

int qmp_nacre_vcpu_unplugged(struct qmp_call *call, struct err *err)
{
	struct qmp *qmp = call->qmp;
	const char *why = qj_str(call->args, "error");
	struct qmp_plugged *vcpu;

	if (!qmp_client_is_monitor(call->client))
		return err_say(err, EPERM, "who had the agent asked can say that: the monitor");
	vcpu = qmp_plugged_vcpu(qmp, json_object_get_int64(qj_get(call->args, "cpu-index")));
	if (!vcpu || !vcpu->leaving)
		return err_say(err, ENOENT, "nobody wants that vCPU off line");
	if (!why) {
		qmp_forget_plugged(qmp, vcpu);
		return 0;
	}
	vcpu->leaving = false;
	log_warn("the vCPU '%.64s' stays on line: %.200s", vcpu->id, why);
	qmp_emit(qmp, "DEVICE_UNPLUG_GUEST_ERROR", qmp_device_data(vcpu->id));
	return 0;
}
