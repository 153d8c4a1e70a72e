/*
 * A sandbox: one microVM and the containers in it. Owned by one monitor, which serves it to either face. States:
 *
 *	NEW -> BOOTING -> READY -> STOPPING -> ENDED
 *
 * BOOTING begins with the vmm's start and ends with the agent's hello or the boot deadline. From every state a vmm that ends
 * leads to ENDED, where every process has exited; ENDED is final.
 */
#ifndef NACRE_RUNTIME_SANDBOX_H
#define NACRE_RUNTIME_SANDBOX_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/compiler.h"
#include "base/err.h"
#include "base/log.h"
#include "base/loop.h"
#include "config/plan.h"
#include "runtime/hooks.h"
#include "runtime/process.h"
#include "runtime/start_record.h"
#include "runtime/vcpus.h"

struct agent_client;
struct broker;
struct container;
struct network;
struct sandbox_waiter;
struct vmm_process;

enum sandbox_state {
	SANDBOX_NEW,
	SANDBOX_BOOTING,
	SANDBOX_READY,
	SANDBOX_STOPPING,
	SANDBOX_ENDED,
};

/* What the owner hears of; both are called before anybody who waits is answered. */
struct sandbox_hooks {
	void (*on_exit)(void *arg, const struct process *p);
	void (*on_oom)(void *arg, const struct container *c);
	void *arg;
};

struct sandbox {
	struct loop *loop;
	char *id;
	char *state_dir;
	const char *events; /* containerd's socket, "" or NULL: none; lent */
	struct nacre_config *config;
	struct sandbox_hooks hooks;
	enum sandbox_state state;
	bool debug;           /* log all, whatever the configuration says */
	char *export_dir;     /* the shared tree as the vmm sees it */
	struct vm_config *vm; /* what was booted */
	struct vcpus vcpus;
	struct vmm_process *vmm;
	pid_t vmm_pid; /* kept after its end: it stood for the processes */
	struct agent_client *agent;
	struct network *network; /* from the vmm's start to its end */
	struct container *containers;
	struct sandbox_waiter *boot_waiters, *stop_waiters;
	struct loop_source *stop_timer;
	struct loop_source *powerdown_timer; /* runs while containers have their grace */
	uint32_t kill_timeout_ms; /* from SIGKILL to a container's end; then the microVM is ended */
	struct broker *broker;    /* from the first prepare on */
	struct stdio_ways ways;   /* of streams, by the broker */
	struct start_record start;
	struct log_limit peer_limit; /* what guest and vmm can make us say */
	char why[ERR_TEXT_BYTES];    /* the microVM ended, "" before */
	char crash
		[ERR_TEXT_BYTES]; /* what to tell whoever lost a container by it; "": it did not crash */
};

/* `config_dir` is normally /etc/nacre. It is read at the first prepare. */
int sandbox_create(struct loop *loop, const char *id, const char *state_dir,
		   const struct sandbox_hooks *hooks, struct sandbox **out,
		   struct err *err) MUST_CHECK;
/* Kills the vmm if it lives, takes down what the host holds, the state directory last. */
void sandbox_destroy(struct sandbox *s);
DEFINE_OWNER(sandbox_destroy, struct sandbox)

/* What the host must have before a container: configuration, mount namespace, shared tree. Once; cheap afterwards. */
int sandbox_prepare(struct sandbox *s, struct err *err) MUST_CHECK;

/*
 * fn when the guest's agent has said hello; boots the microVM, sized by `spec` and in its or `stub`'s network
 * namespace (0: no stub), when nobody has.
 */
void sandbox_boot(struct sandbox *s, const struct oci_spec *spec, pid_t stub, process_fn fn,
		  void *arg);

/* Ends the microVM: goodbye, deadline, SIGKILL. fn when it is gone; at once when there is none. */
void sandbox_stop(struct sandbox *s, process_fn fn, void *arg);

/* Containers by id; link takes a reference over, unlink leaves it to the caller. */
struct container *sandbox_container(struct sandbox *s, const char *id);
void sandbox_link(struct sandbox *s, struct container *c);
void sandbox_unlink(struct sandbox *s, struct container *c);

/* A microVM whose only container could not be created is of no use. */
void sandbox_abandon_if_empty(struct sandbox *s);

/* The record of the start, as far as it is known, to the vmm, where others than the monitor can ask for it. */
void sandbox_tell_times(struct sandbox *s);
/* A container is created, a process runs: the first ones count for the record, and the process completes it. */
void sandbox_tell_created(struct sandbox *s);
void sandbox_tell_started(struct sandbox *s);
void sandbox_tell_exit(struct sandbox *s, const struct process *p);
void sandbox_tell_oom(struct sandbox *s, const struct container *c);

#endif
