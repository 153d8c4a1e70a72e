/* What the files of QMP share. */
#ifndef NACRE_VMM_QMP_INTERNAL_H
#define NACRE_VMM_QMP_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/listener.h"
#include "vmm/arch/arch.h"
#include "vmm/backends.h"
#include "vmm/qmp/fds.h"
#include "vmm/qmp/json.h"
#include "vmm/qmp/qmp.h"
#include "vmm/qmp/schema.h"

/* QEMU's SysEmuTarget, and its name for a vCPU of the host's model. */
#define QMP_TARGET      "x86_64"
#define QMP_VCPU_DRIVER "host-x86_64-cpu"

struct qmp_client;

/* QapiErrorClass of QEMU. */
enum qmp_error_class { QMP_GENERIC_ERROR, QMP_COMMAND_NOT_FOUND, QMP_DEVICE_NOT_FOUND };

/* One command under way. */
struct qmp_call {
	struct qmp *qmp;
	struct qmp_client *client;
	struct json_object *args;         /* checked */
	struct json_object *ret;          /* the handler's answer; NULL: {} */
	enum qmp_error_class error_class; /* of its error; generic at first */
	bool announce; /* tell the client, after the answer, that the guest runs */
};

/* An event of a limited kind that waits for its time. */
struct qmp_held_event {
	struct qmp *qmp;
	struct json_object *message;
	struct loop_source *timer;
	uint64_t last_ms; /* 0: never sent */
};

/* What device_add made. */
struct qmp_plugged {
	char id[BACKEND_ID_BYTES];
	int64_t vcpu;     /* its index; -1: it is a device in a slot */
	bool leaving;     /* a vCPU: the agent has been asked to bring it off line */
	bool takes_drive; /* the drive of the same name goes with it */
};
#define QMP_MAX_PLUGGED 320

#define QMP_START_PHASES 14

struct qmp_listener {
	struct qmp *qmp;
	const char *chardev;
	int fd;
	struct listener *listener;
};

struct qmp {
	struct loop *loop;
	struct qmp_engine engine;
	enum qmp_state state;
	bool started;       /* the guest has run */
	bool powering_down; /* by system_powerdown: a reset is how the agent ends the guest */
	uint64_t told_us[QMP_START_PHASES]; /* by the monitor, its own phases; 0: not yet */
	struct qmp_plugged plugged[QMP_MAX_PLUGGED];
	size_t nplugged;
	unsigned int unnamed; /* devices that came without an id, ever */
	struct qmp_client *clients[QMP_MAX_CLIENTS];
	struct qmp_listener listeners[QMP_MAX_LISTENERS];
	size_t nlisteners;
	struct qmp_held_event *held; /* one for each of qmp_events */
	void (*on_monitor_close)(void *arg);
	void *monitor_arg;
};

/* --- client.c --------------------------------------------------------------------------------------------------- */
/*
 * Takes a place in qmp->clients and sends the greeting. `fd` is the client's from success on. `chardev` is whose listener it
 * came by; NULL: it is the monitor.
 */
int qmp_client_create(struct qmp *qmp, int fd, const char *chardev, struct err *err) MUST_CHECK;
/* Is a client of that listener there? */
bool qmp_has_client(const struct qmp *qmp, const char *chardev);
void qmp_client_destroy(struct qmp_client *client);
bool qmp_client_negotiated(const struct qmp_client *client);
void qmp_client_negotiate(struct qmp_client *client);
bool qmp_client_is_monitor(const struct qmp_client *client);
struct qmp_fds *qmp_client_fds(struct qmp_client *client); /* lent */
/* Sends one message. Lost, with a log line, when the client has too much unread. */
void qmp_client_send(struct qmp_client *client, struct json_object *message);
/* Writes what it can; true when nothing is left. For qmp_drain. */
bool qmp_client_flush(struct qmp_client *client, int *fd);

/* --- dispatch.c ------------------------------------------------------------------------------------------------- */
/* Carries out one request and sends the answer. */
void qmp_dispatch(struct qmp *qmp, struct qmp_client *client, struct json_object *request);
void qmp_send_error(struct qmp_client *client, struct json_object *id,
		    enum qmp_error_class error_class, const char *text);

/* --- event.c ---------------------------------------------------------------------------------------------------- */
int qmp_events_init(struct qmp *qmp, struct err *err) MUST_CHECK;
void qmp_events_done(struct qmp *qmp);
/* To all clients that have negotiated. Takes `data`, which the table describes; NULL: none. */
void qmp_emit(struct qmp *qmp, const char *name, struct json_object *data);
/* To one client: what it missed. */
void qmp_send_running(struct qmp *qmp, struct qmp_client *client);

/* --- what several commands say ------------------------------------------------------------------------------------ */
struct json_object *qmp_version(void);
struct json_object *qmp_start_times(struct qmp *qmp);
const char *qmp_state_name(enum qmp_state state);
/* The plugged vCPU of that index, or NULL. */
struct qmp_plugged *qmp_plugged_vcpu(struct qmp *qmp, int64_t idx);
/* What device_add made is no more: DEVICE_DELETED. */
void qmp_forget_plugged(struct qmp *qmp, struct qmp_plugged *entry);
/* The data of events about a device. */
struct json_object *qmp_device_data(const char *id);
/* device_add and device_del of vCPUs (cmd_cpu.c): who does it is the guest's agent, whom the monitor asks. */
int qmp_vcpu_plug(struct qmp_call *call, const char *id, int64_t *idx, struct err *err) MUST_CHECK;
int qmp_vcpu_unplug(struct qmp_call *call, struct qmp_plugged *vcpu, struct err *err) MUST_CHECK;
/* An integer, or a string that is one: device properties come as both. -1 when it is absent. */
int qmp_number(struct qmp_call *call, const char *key, int64_t max, int64_t *out,
	       struct err *err) MUST_CHECK;

/* --- the handlers, by file ------------------------------------------------------------------------------------------ */
#define QMP_HANDLER(name) int name(struct qmp_call *call, struct err *err)
/* introspect.c */
QMP_HANDLER(qmp_query_version);
QMP_HANDLER(qmp_query_commands);
QMP_HANDLER(qmp_query_events);
QMP_HANDLER(qmp_query_schema);
/* cmd_run.c */
QMP_HANDLER(qmp_capabilities);
QMP_HANDLER(qmp_quit);
QMP_HANDLER(qmp_stop);
QMP_HANDLER(qmp_cont);
QMP_HANDLER(qmp_system_reset);
QMP_HANDLER(qmp_system_powerdown);
QMP_HANDLER(qmp_query_status);
/* cmd_machine.c */
QMP_HANDLER(qmp_query_kvm);
QMP_HANDLER(qmp_query_target);
QMP_HANDLER(qmp_query_machines);
QMP_HANDLER(qmp_query_name);
QMP_HANDLER(qmp_query_uuid);
QMP_HANDLER(qmp_query_start_times);
QMP_HANDLER(qmp_nacre_start_times);
/* cmd_cpu.c */
QMP_HANDLER(qmp_query_cpus);
QMP_HANDLER(qmp_query_cpus_fast);
QMP_HANDLER(qmp_query_hotpluggable_cpus);
QMP_HANDLER(qmp_nacre_vcpu_unplugged);
/* cmd_fd.c */
QMP_HANDLER(qmp_add_fd);
QMP_HANDLER(qmp_remove_fd);
QMP_HANDLER(qmp_query_fdsets);
QMP_HANDLER(qmp_getfd);
QMP_HANDLER(qmp_closefd);
/* cmd_block.c */
QMP_HANDLER(qmp_blockdev_add);
QMP_HANDLER(qmp_blockdev_del);
/* cmd_block_query.c */
QMP_HANDLER(qmp_query_block);
QMP_HANDLER(qmp_query_blockstats);
QMP_HANDLER(qmp_query_iothreads);
/* cmd_net.c */
QMP_HANDLER(qmp_netdev_add);
QMP_HANDLER(qmp_netdev_del);
/* cmd_chardev.c */
QMP_HANDLER(qmp_chardev_add);
QMP_HANDLER(qmp_chardev_remove);
QMP_HANDLER(qmp_query_chardev);
/* cmd_device.c */
QMP_HANDLER(qmp_device_add);
QMP_HANDLER(qmp_device_del);

#endif
