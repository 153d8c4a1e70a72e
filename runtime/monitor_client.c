/* Blocking calls of the Task service, for command lines. */
#include "runtime/monitor_client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent-proto/ttrpc.h"
#include "base/own.h"
#include "base/str.h"
#include "runtime/task_call.h"
#include "runtime/task_service.h"
#include "runtime/unix_socket.h"

/* Longer than anything the monitor itself puts a deadline to. */
#define CALL_TIMEOUT_MS 60000

#define RESOURCES_TYPE "types.containerd.io/opencontainers/runtime-spec/1/LinuxResources"

void monitor_client_close(struct monitor_client *c)
{
	own_close(&c->fd);
}

int monitor_client_open(const char *socket_path, struct monitor_client *out, struct err *err)
{
	*out = (struct monitor_client)MONITOR_CLIENT_INIT;
	return unix_connect(socket_path, 0, &out->fd, err);
}

/* *reply (NULL: nothing is wanted) is the caller's, for protobuf_c_message_free_unpacked. */
static int call_of(struct monitor_client *c, const char *service, const char *method,
		   const ProtobufCMessage *request, int timeout_ms,
		   const ProtobufCMessageDescriptor *kind, void *reply, struct err *err)
{
	size_t len = protobuf_c_message_get_packed_size(request), answer_len = 0;
	AUTO_FREE uint8_t *packed = malloc(len ? len : 1);
	AUTO_FREE uint8_t *answer = NULL;

	if (!packed)
		return err_set(err, ENOMEM, "ask the monitor");
	(void)protobuf_c_message_pack(request, packed);
	int rc = ttrpc_call_blocking(c->fd, &c->next_stream, service, method, packed, len,
				     timeout_ms, &answer, &answer_len, err);
	if (rc || !kind)
		return rc;
	ProtobufCMessage *message = protobuf_c_message_unpack(kind, NULL, answer_len, answer);
	if (!message)
		return err_say(err, EPROTO, "the monitor's answer to %s cannot be read", method);
	*(ProtobufCMessage **)reply = message;
	return 0;
}

static int call(struct monitor_client *c, const char *method, const ProtobufCMessage *request,
		int timeout_ms, const ProtobufCMessageDescriptor *kind, void *reply,
		struct err *err)
{
	return call_of(c, TASK_SERVICE_V2, method, request, timeout_ms, kind, reply, err);
}

/* protobuf-c's messages are not const, but packing only reads. */
static char *lend(const char *s)
{
	return (char *)(uintptr_t)s;
}

int monitor_create_task(struct monitor_client *c, const char *id, const char *bundle,
			const char *const stdio[3], bool terminal, pid_t stub, struct err *err)
{
	char pid[16];
	Containerd__Any options = CONTAINERD__ANY__INIT;
	Containerd__CreateTaskRequest m = CONTAINERD__CREATE_TASK_REQUEST__INIT;

	m.id = lend(id);
	m.bundle = lend(bundle);
	m.stdin = lend(stdio[0]);
	m.stdout = lend(stdio[1]);
	m.stderr = lend(stdio[2]);
	m.terminal = terminal;
	options.type_url = lend(TASK_OPTIONS_STUB);
	options.value.len = (size_t)snprintf(pid, sizeof(pid), "%d", (int)stub);
	options.value.data = (uint8_t *)pid;
	m.options = &options;
	/* The boot's deadline is the configuration's, a hook's the bundle's: the monitor keeps them. */
	return call(c, "Create", &m.base, 0, NULL, NULL, err);
}

int monitor_start(struct monitor_client *c, const char *id, struct err *err)
{
	Containerd__StartRequest m = CONTAINERD__START_REQUEST__INIT;

	m.id = lend(id);
	/* As long as its hooks take. */
	return call(c, "Start", &m.base, 0, NULL, NULL, err);
}

int monitor_kill(struct monitor_client *c, const char *id, uint32_t signo, bool all,
		 struct err *err)
{
	Containerd__KillRequest m = CONTAINERD__KILL_REQUEST__INIT;

	m.id = lend(id);
	m.signal = signo;
	m.all = all;
	return call(c, "Kill", &m.base, CALL_TIMEOUT_MS, NULL, NULL, err);
}

int monitor_state(struct monitor_client *c, const char *id, Containerd__Status *status, pid_t *pid,
		  struct err *err)
{
	Containerd__StateRequest m = CONTAINERD__STATE_REQUEST__INIT;
	AUTO_MESSAGE Containerd__StateResponse *r = NULL;

	m.id = lend(id);
	int rc = call(c, "State", &m.base, CALL_TIMEOUT_MS, &containerd__state_response__descriptor,
		      &r, err);
	if (rc)
		return rc;
	*status = r->status;
	*pid = (pid_t)r->pid;
	return 0;
}

int monitor_wait(struct monitor_client *c, const char *id, int timeout_ms, struct err *err)
{
	Containerd__WaitRequest m = CONTAINERD__WAIT_REQUEST__INIT;

	m.id = lend(id);
	return call(c, "Wait", &m.base, timeout_ms, NULL, NULL, err);
}

int monitor_why(struct monitor_client *c, const char *id, char **why, struct err *err)
{
	Containerd__WaitRequest m = CONTAINERD__WAIT_REQUEST__INIT;
	AUTO_MESSAGE Containerd__WhyResponse *r = NULL;

	m.id = lend(id);
	int rc = call_of(c, NACRE_MONITOR_SERVICE, "Why", &m.base, CALL_TIMEOUT_MS,
			 &containerd__why_response__descriptor, &r, err);
	if (rc)
		return rc;
	*why = strdup(r->why);
	if (*why)
		str_make_harmless(*why); /* a monitor faces the guest and may have become its */
	return *why ? 0 : err_set(err, ENOMEM, "ask the monitor");
}

int monitor_delete(struct monitor_client *c, const char *id, uint32_t *exit_status, struct err *err)
{
	Containerd__DeleteRequest m = CONTAINERD__DELETE_REQUEST__INIT;
	AUTO_MESSAGE Containerd__DeleteResponse *r = NULL;

	m.id = lend(id);
	int rc = call(c, "Delete", &m.base, 0, &containerd__delete_response__descriptor, &r, err);
	if (rc)
		return rc;
	if (exit_status)
		*exit_status = r->exit_status;
	return 0;
}

int monitor_resize(struct monitor_client *c, const char *id, uint32_t width, uint32_t height,
		   struct err *err)
{
	Containerd__ResizePtyRequest m = CONTAINERD__RESIZE_PTY_REQUEST__INIT;

	m.id = lend(id);
	m.width = width;
	m.height = height;
	return call(c, "ResizePty", &m.base, CALL_TIMEOUT_MS, NULL, NULL, err);
}

int monitor_pause(struct monitor_client *c, const char *id, bool pause, struct err *err)
{
	Containerd__PauseRequest m =
		CONTAINERD__PAUSE_REQUEST__INIT; /* Resume's has the same field */

	m.id = lend(id);
	return call(c, pause ? "Pause" : "Resume", &m.base, CALL_TIMEOUT_MS, NULL, NULL, err);
}

int monitor_update(struct monitor_client *c, const char *id, const char *resources_json,
		   struct err *err)
{
	Containerd__UpdateTaskRequest m = CONTAINERD__UPDATE_TASK_REQUEST__INIT;
	Containerd__Any resources = CONTAINERD__ANY__INIT;

	resources.type_url = lend(RESOURCES_TYPE);
	resources.value.data = (uint8_t *)lend(resources_json);
	resources.value.len = strlen(resources_json);
	m.id = lend(id);
	m.resources = &resources;
	return call(c, "Update", &m.base, CALL_TIMEOUT_MS, NULL, NULL, err);
}

int monitor_shutdown(struct monitor_client *c, const char *id, bool now, struct err *err)
{
	Containerd__ShutdownRequest m = CONTAINERD__SHUTDOWN_REQUEST__INIT;

	m.id = lend(id);
	m.now = now;
	return call(c, "Shutdown", &m.base, CALL_TIMEOUT_MS, NULL, NULL, err);
}
