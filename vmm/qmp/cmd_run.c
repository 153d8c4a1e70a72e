/* The negotiation, and the commands that let the guest run, stand still, begin anew and end. */
#include "vmm/qmp/internal.h"

#include <errno.h>

int qmp_capabilities(struct qmp_call *call, struct err *err)
{
	struct json_object *enable = qj_get(call->args, "enable");

	if (enable && json_object_array_length(enable) > 0)
		return err_say(err, EINVAL,
			       "the greeting offered no capabilities, so none can be enabled");
	qmp_client_negotiate(call->client);
	/* The monitor connects before the guest runs, and may have been slower than its start. */
	call->announce = qmp_client_is_monitor(call->client);
	return 0;
}

int qmp_quit(struct qmp_call *call, struct err *err UNUSED)
{
	call->qmp->engine.ops->quit(call->qmp->engine.self);
	return 0;
}

int qmp_stop(struct qmp_call *call, struct err *err)
{
	struct qmp *qmp = call->qmp;
	int rc;

	if (qmp->state != QMP_RUNNING)
		return 0;
	rc = qmp->engine.ops->stop(qmp->engine.self, err);
	if (rc < 0)
		return rc;
	qmp->state = QMP_PAUSED;
	qmp_emit(qmp, "STOP", NULL);
	return 0;
}

int qmp_cont(struct qmp_call *call, struct err *err)
{
	struct qmp *qmp = call->qmp;
	enum qmp_state former = qmp->state;
	int rc;

	if (former == QMP_RUNNING)
		return 0;
	if (former != QMP_PAUSED && former != QMP_PRELAUNCH)
		return err_say(err, EINVAL, "the guest has ended");
	rc = qmp->engine.ops->cont(qmp->engine.self, err);
	if (rc < 0)
		return rc;
	qmp->state = QMP_RUNNING;
	qmp_emit(qmp, "RESUME", NULL);
	if (!qmp->started)
		qmp_started(qmp);
	return 0;
}

int qmp_system_reset(struct qmp_call *call, struct err *err)
{
	struct qmp *qmp = call->qmp;
	int rc = qmp->engine.ops->reset(qmp->engine.self, err);

	if (rc < 0)
		return rc;
	if (rc == 0)
		qmp_was_reset(qmp, false);
	return 0;
}

int qmp_system_powerdown(struct qmp_call *call, struct err *err)
{
	struct qmp *qmp = call->qmp;

	if (!qmp->engine.ops->has_agent(qmp->engine.self))
		return err_say(
			err, ENOTSUP,
			"the machine has no power button, and no agent of Nacre runs in this guest "
			"that could be asked: shut it down from inside, or use quit");
	qmp->powering_down = true;
	qmp_emit(qmp, "POWERDOWN", NULL);
	return 0;
}

int qmp_query_status(struct qmp_call *call, struct err *err UNUSED)
{
	call->ret = json_object_new_object();
	qj_put_bool(call->ret, "running", call->qmp->state == QMP_RUNNING);
	qj_put_bool(call->ret, "singlestep", false);
	qj_put_str(call->ret, "status", qmp_state_name(call->qmp->state));
	return 0;
}
