/*
 * The vmm of a sandbox as its monitor sees it: one child process that is given every file it needs as a descriptor, whose
 * console and messages are read here, which is talked to by QMP (nacre-vmm(8)), and which ends at end of file on that
 * connection, whatever happens to us. A vmm that breaks the protocol or does not answer is ended.
 */
#ifndef NACRE_RUNTIME_VMM_PROCESS_H
#define NACRE_RUNTIME_VMM_PROCESS_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/compiler.h"
#include "base/err.h"
#include "base/loop.h"
#include "config/plan.h"
#include "runtime/qmp_client.h"
#include "runtime/start_record.h"

struct network;
struct vmm_process;

struct vmm_params {
	struct loop *loop;
	const char *vmm_path;
	const struct vm_config *vm;
	const char *
		shared_dir; /* what virtio-fs serves, and all that the vmm sees: a mount of its own */
	int net_ns_fd; /* the pod's network namespace, 0: ours; it and the next three are lent */
	int cgroup_fd; /* the sandbox's, 0: ours */
	int vsock_listen_fd; /* the host connects to guest ports here */
	int agent_fd;        /* the guest's agent dials this socket */
	int qmp_fd;          /* QMP for others is served to who connects here; -1: to nobody */
	const struct network *network; /* whose devices to make, NULL: none; lent for the call */
	/* The first vCPU has entered the guest; `times` is the event's data, NULL or of any content, lent. */
	void (*on_running)(void *arg, struct json_object *times);
	/* Somebody asked the guest to power down: by its agent, there is no other way. */
	void (*on_powerdown)(void *arg);
	/* vCPUs up to this one are to be on line, or those below it only; 1 to VM_MAX_VCPUS - 1. */
	void (*on_vcpu)(void *arg, uint32_t idx, bool online);
	/* The process has ended and all its output is read. `why` is one clause, lent for the call. */
	void (*on_end)(void *arg, const char *why);
	void *arg;
};

/* Tag under which the guest finds the shared tree. */
#define VMM_SHARED_TAG "nacre"

/* What vmm_start will need: -ENOENT with what to do when the kernel, the initramfs or the vmm is missing. */
int vmm_check_files(const char *vmm_path, const char *kernel_path, const char *initramfs_path,
		    struct err *err) MUST_CHECK;

int vmm_start(const struct vmm_params *p, struct vmm_process **out, struct err *err) MUST_CHECK;

/* Kills what still runs and reaps it; on_end is not called. NULL is fine. */
void vmm_destroy(struct vmm_process *v);
DEFINE_OWNER(vmm_destroy, struct vmm_process)

/* For commands to it; lent. */
struct qmp_client *vmm_qmp(const struct vmm_process *v);

/* What became of on_vcpu's wish for a vCPU off line; `why` NULL: it is. */
void vmm_vcpu_unplugged(struct vmm_process *v, uint32_t idx, const char *why);

/* What is known so far of the start, for who asks the vmm. */
void vmm_tell_start(struct vmm_process *v, const struct start_record *r);

pid_t vmm_pid(const struct vmm_process *v);
void vmm_kill(struct vmm_process *v);

/* Writes the kept console lines to the log, and as many of the newest as fit into `out`, "" when there are none. */
void vmm_quote_console(const struct vmm_process *v, char *out, size_t size);

#endif
