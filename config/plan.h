/*
 * The plans: what policy decided, the shared vocabulary of everything that follows. vm_plan is the one place where the
 * OCI spec and Nacre's configuration become a microVM and a container in it.
 */
#ifndef NACRE_CONFIG_PLAN_H
#define NACRE_CONFIG_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"
#include "base/own.h"
#include "config/oci.h"

/* /etc/nacre/config.json and /etc/nacre/config.d/ *.json, later files win key by key. Comments are allowed. */
struct nacre_config {
	char *vmm_path;    /* libexec/nacre/vmm */
	char *kernel_path; /* share/nacre/kernel-<arch> */
	char *initramfs_path;
	char *kernel_params; /* appended to ours; "" by default */
	uint32_t default_vcpus;
	uint32_t max_vcpus;  /* 1..254 */
	uint32_t boot_vcpus; /* the kernel starts with no more, the agent adds the rest; 0: all */
	uint32_t hotplug_vcpus;      /* that an update or QMP can add later, 0..253 */
	uint64_t default_memory_mib; /* guest RAM when the spec gives no limit */
	uint64_t guest_overhead_mib; /* added to a memory limit: kernel and agent */
	uint64_t boot_timeout_ms;    /* exec of the vmm to the agent's hello */
	uint32_t spare_nics;         /* slots for interfaces that arrive after create */
	uint32_t spare_disks;        /* slots for disks that QMP plugs */
	int log_level;               /* enum log_level */
	bool qmp;                    /* a QMP socket for people in the state directory */
};

/* `dir` is normally "/etc/nacre"; a missing directory or file means the built-in values. Unknown keys are refused. */
int nacre_config_load(const char *dir, struct nacre_config **out, struct err *err) MUST_CHECK;
void nacre_config_destroy(struct nacre_config *config);
DEFINE_OWNER(nacre_config_destroy, struct nacre_config)

/* The smallest guest that gets as far as the agent, with room for one small process. */
#define VM_MIN_MEMORY_MIB 64
/* The least memory limit of a container that sizes its microVM. */
#define VM_MIN_LIMIT_MIB 32

/*
 * Together, and with what every microVM has, they fit into a guest's kernel command line, which names each device in 36 bytes
 * of 2048.
 */
#define VM_MAX_SPARE_NICS  16
#define VM_MAX_SPARE_DISKS 24

/* 8-bit APIC ids. */
#define VM_MAX_VCPUS 254

struct vm_config {
	uint32_t vcpus;      /* the container's */
	uint32_t boot_vcpus; /* on line when the kernel has booted; at most vcpus */
	uint32_t max_vcpus;  /* that the agent can bring on line; at least vcpus */
	uint32_t spare_nics, spare_disks;
	uint64_t memory_mib;
	char *kernel_path, *initramfs_path; /* owned */
	char *cmdline;                      /* kernel command line without the device part, owned */
};

/*
 * Sizes from the annotations of a pod (io.kubernetes.cri.sandbox-*) or the OCI resources; what is too small is refused with
 * the arithmetic in the error.
 */
int vm_plan(const struct nacre_config *config, const struct oci_spec *spec, struct vm_config **out,
	    struct err *err) MUST_CHECK;
void vm_config_destroy(struct vm_config *vm);
DEFINE_OWNER(vm_config_destroy, struct vm_config)

/*
 * A mount of the spec that needs a host path: bound into the shared tree by the runtime at `shared_name`, mounted from
 * there by the agent.
 */
struct shared_bind {
	char *host_path;   /* source on the host */
	char *shared_name; /* path below the shared tree: "<id>/mounts/<n>" */
	bool recursive;    /* rbind */
	bool readonly;
};

struct container_plan {
	char *id;
	char *rootfs_host; /* absolute */
	char *rootfs_name; /* path below the shared tree: "<id>/rootfs" */
	bool rootfs_readonly;
	struct shared_bind *binds;
	size_t nbinds;
	char *guest_spec_json; /* the spec for the agent: host-only parts removed, bind sources rewritten to shared names */
	bool terminal;
};

int container_plan_make(const char *id, const char *bundle, const char *spec_text, size_t spec_len,
			const struct oci_spec *spec, struct container_plan **out,
			struct err *err) MUST_CHECK;
void container_plan_destroy(struct container_plan *plan);
DEFINE_OWNER(container_plan_destroy, struct container_plan)

/* A container id as runc allows it: [A-Za-z0-9_+.-]{1,}, not "." or "..", at most 255 bytes here. */
int container_id_check(const char *id, struct err *err) MUST_CHECK;

#endif
