/*
 * The service's methods: decode, hand over, answer; what is asked is explained in agent-proto/agent.proto. Those of containers
 * and processes are here, those of the guest as a whole in service_machine.c.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "agent-proto/agent.pb-c.h"
#include "agent/agent_internal.h"
#include "agent/service_machine.h"
#include "base/own.h"

#define SERVICE "nacre.agent.v1.Agent"

/* A request's body and what protobuf-c makes of it. */
#define DECODE_BUDGET_BYTES (4 * (size_t)TTRPC_MAX_BODY)

/* The common end of a call that answers Empty or an error. */
static void on_empty(void *arg, const struct err *why)
{
	struct call *call = arg;

	if (why->code)
		reply_error(call->req, why);
	else
		reply_empty(call->req);
	call_destroy(call);
}

static pid_t pid_of_call(const struct call *call)
{
	struct containers *set = &call->agent->containers;
	struct err ignored = ERR_INIT;
	struct proc *p;

	if (containers_find_process(set, call->id, call->exec_id, &p, &ignored) < 0)
		return 0;
	return proc_pid(p);
}

/* ... and of one that answers a StartResponse, whose only field CreateContainerResponse has as well. */
static void on_pid(void *arg, const struct err *why)
{
	struct call *call = arg;
	Nacre__Agent__V1__StartResponse out = NACRE__AGENT__V1__START_RESPONSE__INIT;

	out.pid = (uint32_t)pid_of_call(call);
	if (why->code)
		reply_error(call->req, why);
	else
		reply(call->req, &out.base);
	call_destroy(call);
}

static int get_token(ProtobufCBinaryData field, const uint8_t **out, struct err *err)
{
	if (field.len != 0 && field.len != STREAM_TOKEN_BYTES)
		return err_say(err, EINVAL, "a stream token has %d bytes, not %zu",
			       STREAM_TOKEN_BYTES, field.len);
	*out = field.len ? field.data : NULL;
	return 0;
}

static int get_tokens(const Nacre__Agent__V1__Stdio *stdio, const uint8_t *tokens[3],
		      struct err *err)
{
	int ret;

	for (int i = 0; i < 3; i++)
		tokens[i] = NULL;
	if (!stdio)
		return 0;
	ret = get_token(stdio->stdin_token, &tokens[0], err);
	if (ret == 0)
		ret = get_token(stdio->stdout_token, &tokens[1], err);
	if (ret == 0)
		ret = get_token(stdio->stderr_token, &tokens[2], err);
	return ret;
}

/* --- the methods ------------------------------------------------------------------------------------------------ */

static void create_container(struct agent *agent, struct ttrpc_request *req,
			     const Nacre__Agent__V1__CreateContainerRequest *in)
{
	struct container_params params = {
		.id = in->id,
		.spec_json = (const char *)in->spec_json.data,
		.spec_len = in->spec_json.len,
		.rootfs = in->rootfs,
	};
	struct err err = ERR_INIT;
	struct call *call;

	if (get_tokens(in->stdio, params.tokens, &err) < 0) {
		ttrpc_fail_err(req, &err);
		return;
	}
	call = call_create(agent, req, in->id, "");
	if (call)
		containers_create(&agent->containers, &params, on_pid, call);
}

static void exec_process(struct agent *agent, struct ttrpc_request *req,
			 const Nacre__Agent__V1__ExecProcessRequest *in)
{
	const uint8_t *tokens[3];
	struct err err = ERR_INIT;
	struct call *call;

	if (get_tokens(in->stdio, tokens, &err) < 0) {
		ttrpc_fail_err(req, &err);
		return;
	}
	call = call_create(agent, req, in->container_id, in->exec_id);
	if (call)
		containers_exec(&agent->containers, in->container_id, in->exec_id,
				(const char *)in->process_json.data, in->process_json.len, tokens,
				on_pid, call);
}

/* Finds the process a request is about, or answers that there is none. */
static struct proc *want_process(struct agent *agent, struct ttrpc_request *req, const char *id,
				 const char *exec_id)
{
	struct err err = ERR_INIT;
	struct proc *p;

	if (containers_find_process(&agent->containers, id, exec_id, &p, &err) == 0)
		return p;
	ttrpc_fail_err(req, &err);
	return NULL;
}

static void start_process(struct agent *agent, struct ttrpc_request *req,
			  const Nacre__Agent__V1__ProcessRequest *in)
{
	struct proc *p = want_process(agent, req, in->container_id, in->exec_id);
	struct call *call = p ? call_create(agent, req, in->container_id, in->exec_id) : NULL;

	if (call)
		proc_start(p, on_pid, call);
}

static void signal_process(struct agent *agent, struct ttrpc_request *req,
			   const Nacre__Agent__V1__SignalRequest *in)
{
	struct err err = ERR_INIT;
	struct proc *p;
	int ret;

	if (in->signal > (uint32_t)SIGRTMAX) {
		ttrpc_fail(req, TTRPC_INVALID_ARGUMENT, "there is no signal %u", in->signal);
		return;
	}
	p = want_process(agent, req, in->container_id, in->exec_id);
	if (!p)
		return;
	if (in->all)
		ret = containers_signal_all(&agent->containers, in->container_id, (int)in->signal,
					    &err);
	else
		ret = proc_signal(p, (int)in->signal, &err);
	if (ret < 0)
		ttrpc_fail_err(req, &err);
	else
		reply_empty(req);
}

static void on_exit_known(void *arg, const struct proc_exit *exit, const struct err *why)
{
	struct call *call = arg;
	Nacre__Agent__V1__WaitResponse out = NACRE__AGENT__V1__WAIT_RESPONSE__INIT;
	char kernel_said[KERNEL_WORDS_BYTES];

	if (exit) {
		out.exit_status = exit->status;
		out.exited_at_ns = exit->at_ns;
		out.oom_killed = exit->oom_killed;
		out.signal = exit->signal;
		out.output_lost = exit->output_lost;
		(void)snprintf(kernel_said, sizeof(kernel_said), "%s", exit->kernel_said);
		out.kernel_said = kernel_said;
		reply(call->req, &out.base);
	} else {
		reply_error(call->req, why);
	}
	call_destroy(call);
}

static void wait_process(struct agent *agent, struct ttrpc_request *req,
			 const Nacre__Agent__V1__ProcessRequest *in)
{
	struct proc *p = want_process(agent, req, in->container_id, in->exec_id);
	struct call *call = p ? call_create(agent, req, in->container_id, in->exec_id) : NULL;

	if (call)
		proc_wait(p, on_exit_known, call);
}

static void resize_pty(struct agent *agent, struct ttrpc_request *req,
		       const Nacre__Agent__V1__ResizeRequest *in)
{
	struct proc *p = want_process(agent, req, in->container_id, in->exec_id);
	struct err err = ERR_INIT;

	if (!p)
		return;
	if (proc_resize(p, in->width, in->height, &err) < 0)
		ttrpc_fail_err(req, &err);
	else
		reply_empty(req);
}

static void close_stdin(struct agent *agent, struct ttrpc_request *req,
			const Nacre__Agent__V1__ProcessRequest *in)
{
	struct proc *p = want_process(agent, req, in->container_id, in->exec_id);

	if (!p)
		return;
	proc_close_stdin(p);
	reply_empty(req);
}

static void delete_process(struct agent *agent, struct ttrpc_request *req,
			   const Nacre__Agent__V1__ProcessRequest *in)
{
	struct err err = ERR_INIT;

	if (!in->exec_id[0])
		ttrpc_fail(req, TTRPC_FAILED_PRECONDITION,
			   "a container's own process goes with it: DeleteContainer");
	else if (containers_forget_exec(&agent->containers, in->container_id, in->exec_id, &err) <
		 0)
		ttrpc_fail_err(req, &err);
	else
		reply_empty(req);
}

static void delete_container(struct agent *agent, struct ttrpc_request *req,
			     const Nacre__Agent__V1__ProcessRequest *in)
{
	struct call *call = call_create(agent, req, in->container_id, "");

	if (call)
		containers_remove(&agent->containers, in->container_id, on_empty, call);
}

struct pid_list {
	uint32_t *pids;
	size_t n;
	bool failed;
};

static void add_pid(void *arg, pid_t pid)
{
	struct pid_list *list = arg;
	uint32_t *grown = realloc(list->pids, (list->n + 1) * sizeof(*grown));

	if (!grown) {
		list->failed = true;
		return;
	}
	list->pids = grown;
	list->pids[list->n++] = (uint32_t)pid;
}

static void pids(struct agent *agent, struct ttrpc_request *req,
		 const Nacre__Agent__V1__ProcessRequest *in)
{
	Nacre__Agent__V1__PidsResponse out = NACRE__AGENT__V1__PIDS_RESPONSE__INIT;
	struct pid_list list = {0};
	struct err err = ERR_INIT;
	int ret = containers_each_pid(&agent->containers, in->container_id, add_pid, &list, &err);

	if (ret == 0 && list.failed)
		ret = err_set(&err, ENOMEM, "list the processes");
	out.pids = list.pids;
	out.n_pids = list.n;
	if (ret < 0)
		ttrpc_fail_err(req, &err);
	else
		reply(req, &out.base);
	free(list.pids);
}

static void update_container(struct agent *agent, struct ttrpc_request *req,
			     const Nacre__Agent__V1__UpdateContainerRequest *in)
{
	struct err err = ERR_INIT;

	if (containers_update(&agent->containers, in->container_id,
			      (const char *)in->resources_json.data, in->resources_json.len,
			      &err) < 0)
		ttrpc_fail_err(req, &err);
	else
		reply_empty(req);
}

static void pause_container(struct agent *agent, struct ttrpc_request *req,
			    const Nacre__Agent__V1__ProcessRequest *in)
{
	struct call *call = call_create(agent, req, in->container_id, "");

	if (call)
		containers_pause(&agent->containers, in->container_id, on_empty, call);
}

static void resume_container(struct agent *agent, struct ttrpc_request *req,
			     const Nacre__Agent__V1__ProcessRequest *in)
{
	struct err err = ERR_INIT;

	if (containers_resume(&agent->containers, in->container_id, &err) < 0)
		ttrpc_fail_err(req, &err);
	else
		reply_empty(req);
}

/* --- dispatch ----------------------------------------------------------------------------------------------------- */

/* on_NAME: the ttrpc handler that decodes a TYPE under a budget and calls NAME with it. */
#define METHOD(name, type, prefix)                                                                 \
	static void on_##name(void *arg, struct ttrpc_request *req, const uint8_t *payload,        \
			      size_t len)                                                          \
	{                                                                                          \
		struct proto_budget *budget = proto_budget_create(DECODE_BUDGET_BYTES);            \
		Nacre__Agent__V1__##type *in =                                                     \
			budget ? nacre__agent__v1__##prefix##__unpack(proto_budget_alloc(budget),  \
								      len, payload)                \
			       : NULL;                                                             \
                                                                                                   \
		if (in) {                                                                          \
			name(arg, req, in);                                                        \
			nacre__agent__v1__##prefix##__free_unpacked(in,                            \
								    proto_budget_alloc(budget));   \
		} else {                                                                           \
			ttrpc_fail(req, TTRPC_INVALID_ARGUMENT, "not a " #type);                   \
		}                                                                                  \
		proto_budget_destroy(budget);                                                      \
	}

METHOD(service_hello, HelloRequest, hello_request)
METHOD(create_container, CreateContainerRequest, create_container_request)
METHOD(exec_process, ExecProcessRequest, exec_process_request)
METHOD(start_process, ProcessRequest, process_request)
METHOD(signal_process, SignalRequest, signal_request)
METHOD(wait_process, ProcessRequest, process_request)
METHOD(resize_pty, ResizeRequest, resize_request)
METHOD(close_stdin, ProcessRequest, process_request)
METHOD(delete_process, ProcessRequest, process_request)
METHOD(delete_container, ProcessRequest, process_request)
METHOD(pids, ProcessRequest, process_request)
METHOD(service_configure_network, ConfigureNetworkRequest, configure_network_request)
METHOD(update_container, UpdateContainerRequest, update_container_request)
METHOD(pause_container, ProcessRequest, process_request)
METHOD(resume_container, ProcessRequest, process_request)
METHOD(service_online_vcpus, OnlineVcpusRequest, online_vcpus_request)
METHOD(service_goodbye, Empty, empty)

static const struct ttrpc_method methods[] = {
	{SERVICE, "Hello", on_service_hello},
	{SERVICE, "CreateContainer", on_create_container},
	{SERVICE, "ExecProcess", on_exec_process},
	{SERVICE, "StartProcess", on_start_process},
	{SERVICE, "SignalProcess", on_signal_process},
	{SERVICE, "WaitProcess", on_wait_process},
	{SERVICE, "ResizePty", on_resize_pty},
	{SERVICE, "CloseStdin", on_close_stdin},
	{SERVICE, "DeleteProcess", on_delete_process},
	{SERVICE, "DeleteContainer", on_delete_container},
	{SERVICE, "Pids", on_pids},
	{SERVICE, "ConfigureNetwork", on_service_configure_network},
	{SERVICE, "UpdateContainer", on_update_container},
	{SERVICE, "PauseContainer", on_pause_container},
	{SERVICE, "ResumeContainer", on_resume_container},
	{SERVICE, "OnlineVcpus", on_service_online_vcpus},
	{SERVICE, "Shutdown", on_service_goodbye},
	{NULL, NULL, NULL},
};

const struct ttrpc_method *service_methods(void)
{
	return methods;
}
