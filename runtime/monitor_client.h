/* A command line's connection to the monitor of a container: one blocking call after the other. */
#ifndef NACRE_RUNTIME_MONITOR_CLIENT_H
#define NACRE_RUNTIME_MONITOR_CLIENT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent-proto/containerd.pb-c.h"
#include "base/compiler.h"
#include "base/err.h"

struct monitor_client {
	int fd;
	uint32_t next_stream;
};

#define MONITOR_CLIENT_INIT                                                                        \
	{                                                                                          \
		.fd = -1, .next_stream = 1                                                         \
	}

void monitor_client_close(struct monitor_client *c);
#define AUTO_MONITOR_CLIENT CLEANUP(monitor_client_close)

/* -ENOENT or -ECONNREFUSED: there is no monitor any more. */
int monitor_client_open(const char *socket_path, struct monitor_client *out,
			struct err *err) MUST_CHECK;

/* Standard streams by name, as stdio_host.h says; `stub` is who will stand for the process. */
int monitor_create_task(struct monitor_client *c, const char *id, const char *bundle,
			const char *const stdio[3], bool terminal, pid_t stub,
			struct err *err) MUST_CHECK;
int monitor_start(struct monitor_client *c, const char *id, struct err *err) MUST_CHECK;
int monitor_kill(struct monitor_client *c, const char *id, uint32_t signo, bool all,
		 struct err *err) MUST_CHECK;
int monitor_state(struct monitor_client *c, const char *id, Containerd__Status *status, pid_t *pid,
		  struct err *err) MUST_CHECK;
int monitor_wait(struct monitor_client *c, const char *id, int timeout_ms,
		 struct err *err) MUST_CHECK;
/* *why, the caller's: the container ended badly, "" when nothing more is known than its status. */
int monitor_why(struct monitor_client *c, const char *id, char **why, struct err *err) MUST_CHECK;
int monitor_delete(struct monitor_client *c, const char *id, uint32_t *exit_status,
		   struct err *err) MUST_CHECK;
int monitor_resize(struct monitor_client *c, const char *id, uint32_t width, uint32_t height,
		   struct err *err) MUST_CHECK;
int monitor_pause(struct monitor_client *c, const char *id, bool pause, struct err *err) MUST_CHECK;
/* resources_json: OCI "linux.resources". */
int monitor_update(struct monitor_client *c, const char *id, const char *resources_json,
		   struct err *err) MUST_CHECK;
int monitor_shutdown(struct monitor_client *c, const char *id, bool now,
		     struct err *err) MUST_CHECK;

#endif
