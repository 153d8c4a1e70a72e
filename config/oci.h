/*
 * The OCI runtime specification's config.json (runtime-spec 1.2), from bytes to structs. Shared by host and guest: the
 * runtime reads what it must decide on, the agent what it must do. oci_parse only turns text into structs (it refuses what
 * has the wrong type, with the JSON path and, for broken JSON, line and column); oci_check says whether the result can be
 * run by us, and is the place where unknown required things are refused. No side effects.
 *
 * Everything hangs off the struct oci_spec and is freed by oci_spec_destroy. Strings are never NULL unless a comment says
 * so; absent lists have n = 0.
 */
#ifndef NACRE_CONFIG_OCI_H
#define NACRE_CONFIG_OCI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"
#include "base/own.h"

#define OCI_MAX_SPEC_BYTES (4u << 20)

struct oci_strings {
	char **v; /* v[n] is NULL, so that it can be an argv or envp */
	size_t n;
};

struct oci_rlimit {
	int resource; /* RLIMIT_* */
	uint64_t soft, hard;
};

struct oci_user {
	uint32_t uid, gid;
	uint32_t umask;
	bool has_umask;
	uint32_t *additional_gids;
	size_t nadditional_gids;
};

/* Bit n is capability number n (linux/capability.h). */
struct oci_caps {
	bool present;
	uint64_t bounding, effective, inheritable, permitted, ambient;
};

struct oci_process {
	bool terminal;
	uint16_t console_width, console_height; /* 0: not given */
	char *cwd;
	struct oci_strings args, env;
	struct oci_user user;
	struct oci_caps caps;
	struct oci_rlimit *rlimits;
	size_t nrlimits;
	bool no_new_privileges;
	bool has_oom_score_adj;
	int oom_score_adj;
};

struct oci_mount {
	char *destination;
	char *type;   /* "" when absent */
	char *source; /* "" when absent */
	struct oci_strings options;
};

enum oci_namespace_type {
	OCI_NS_PID,
	OCI_NS_NETWORK,
	OCI_NS_MOUNT,
	OCI_NS_IPC,
	OCI_NS_UTS,
	OCI_NS_USER,
	OCI_NS_CGROUP,
	OCI_NS_TIME,
};

struct oci_namespace {
	enum oci_namespace_type type;
	char *path; /* "" when a new one is asked for */
};

struct oci_id_mapping {
	uint32_t container_id, host_id, size;
};

struct oci_device {
	char *path;
	char type; /* 'c', 'b', 'u', 'p' */
	int64_t major, minor;
	uint32_t mode; /* permission bits, 0666 when absent */
	uint32_t uid, gid;
};

struct oci_device_rule {
	bool allow;
	char type;            /* 'a', 'c', 'b' */
	int64_t major, minor; /* -1: any */
	bool read, write, mknod;
};

/* Resource values: -1 (0 of shares and period, "" of sets) means not given, OCI_UNLIMITED that no limit is asked for. */
#define OCI_UNLIMITED (-2)

struct oci_resources {
	int64_t memory_limit_bytes, memory_reservation_bytes, memory_swap_bytes;
	uint64_t cpu_shares;
	int64_t cpu_quota_us;
	uint64_t cpu_period_us;
	char *cpuset_cpus, *cpuset_mems; /* "" when absent */
	int64_t pids_limit;
	struct oci_device_rule *devices;
	size_t ndevices;
	/* cgroup v2 files by name, applied last */
	struct oci_strings unified_keys, unified_values;
};

struct oci_seccomp_arg {
	uint32_t index;
	uint64_t value, value_two;
	uint32_t op; /* enum scmp_compare */
};

struct oci_seccomp_rule {
	struct oci_strings names;
	uint32_t action; /* SCMP_ACT_* value, errno already merged in */
	struct oci_seccomp_arg *args;
	size_t nargs;
};

struct oci_seccomp {
	bool present;
	uint32_t default_action;          /* SCMP_ACT_* */
	struct oci_strings architectures; /* "SCMP_ARCH_X86_64" ... */
	uint32_t filter_flags;            /* SECCOMP_FILTER_FLAG_* */
	struct oci_seccomp_rule *rules;
	size_t nrules;
	char *listener_path; /* "" when absent */
};

struct oci_hook {
	char *path;
	struct oci_strings args, env;
	int64_t timeout_s; /* 0: none */
};

enum oci_hook_kind {
	OCI_HOOK_PRESTART,
	OCI_HOOK_CREATE_RUNTIME,
	OCI_HOOK_CREATE_CONTAINER,
	OCI_HOOK_START_CONTAINER,
	OCI_HOOK_POSTSTART,
	OCI_HOOK_POSTSTOP,
	OCI_HOOK_KINDS,
};

struct oci_spec {
	char *oci_version;
	char *hostname, *domainname; /* "" when absent */
	char *root_path;             /* as written: relative ones are relative to the bundle */
	bool root_readonly;
	char *rootfs_propagation; /* "" when absent */
	bool has_process;
	struct oci_process process;
	struct oci_mount *mounts;
	size_t nmounts;
	struct oci_namespace *namespaces;
	size_t nnamespaces;
	struct oci_id_mapping *uid_mappings, *gid_mappings;
	size_t nuid_mappings, ngid_mappings;
	struct oci_device *devices;
	size_t ndevices;
	char *cgroups_path; /* "" when absent */
	struct oci_resources resources;
	struct oci_seccomp seccomp;
	struct oci_strings masked_paths, readonly_paths;
	struct oci_strings sysctl_keys, sysctl_values;
	struct oci_strings annotation_keys, annotation_values;
	struct oci_hook *hooks[OCI_HOOK_KINDS];
	size_t nhooks[OCI_HOOK_KINDS];
};

/* `what` names the text in errors ("/bundle/config.json"). */
int oci_parse(const char *text, size_t len, const char *what, struct oci_spec **out,
	      struct err *err) MUST_CHECK;
void oci_spec_destroy(struct oci_spec *spec);
DEFINE_OWNER(oci_spec_destroy, struct oci_spec)

/* An OCI "process" object alone (exec). */
int oci_process_parse(const char *text, size_t len, const char *what, struct oci_process **out,
		      struct err *err) MUST_CHECK;
void oci_process_destroy(struct oci_process *process);
DEFINE_OWNER(oci_process_destroy, struct oci_process)

/* A "linux.resources" object alone (update). Device rules in it are not read. */
int oci_resources_parse(const char *text, size_t len, const char *what, struct oci_resources **out,
			struct err *err) MUST_CHECK;
void oci_resources_destroy(struct oci_resources *r);
DEFINE_OWNER(oci_resources_destroy, struct oci_resources)
/* `r` with what `update` gives instead; a copy, to be freed like a parsed one. Device rules are left out. */
int oci_resources_merge(const struct oci_resources *r, const struct oci_resources *update,
			struct oci_resources **out, struct err *err) MUST_CHECK;

/* Is this a container that Nacre can run? One sentence that says what is wrong and what to do. */
int oci_check(const struct oci_spec *spec, struct err *err) MUST_CHECK;

/* As in config.json: "createRuntime". */
const char *oci_hook_name(enum oci_hook_kind kind);
/* Value of an annotation, NULL when absent. */
const char *oci_annotation(const struct oci_spec *spec, const char *key);
/* The namespace of that type, NULL when the spec has none (share the parent's). */
const struct oci_namespace *oci_namespace(const struct oci_spec *spec,
					  enum oci_namespace_type type);

#endif
