/*
 * The types, by QEMU's names where they are QEMU's (qapi/ *.json of QEMU): a subset of its members where we have no more to
 * say, never another meaning. What begins with Nacre is our own.
 */
#include "vmm/qmp/schema.h"

#define OBJECT(type_name, ...)                                                                     \
	{                                                                                          \
		.name = (type_name), .members = (const struct qmp_member[])                        \
		{                                                                                  \
			__VA_ARGS__,                                                               \
			{                                                                          \
				0                                                                  \
			}                                                                          \
		}                                                                                  \
	}
#define ENUM(type_name, ...)                                                                       \
	{                                                                                          \
		.name = (type_name), .values = (const char *const[])                               \
		{                                                                                  \
			__VA_ARGS__, NULL                                                          \
		}                                                                                  \
	}
#define NEEDED(member, of)                                                                         \
	{                                                                                          \
		.name = (member), .type = (of)                                                     \
	}
#define OPTIONAL(member, of)                                                                       \
	{                                                                                          \
		.name = (member), .type = (of), .optional = true                                   \
	}

/* clang-format off */
const struct qmp_type qmp_types[] = {
	/* --- the protocol ---------------------------------------------------------------------------------- */
	ENUM("QMPCapability", "oob"),
	OBJECT("QmpCapabilitiesArg", OPTIONAL("enable", "[QMPCapability]")),
	OBJECT("VersionTriple", NEEDED("major", "int"), NEEDED("minor", "int"), NEEDED("micro", "int")),
	OBJECT("VersionInfo", NEEDED("qemu", "VersionTriple"), NEEDED("package", "str")),
	OBJECT("CommandInfo", NEEDED("name", "str")),
	OBJECT("EventInfo", NEEDED("name", "str")),
	ENUM("SchemaMetaType", "builtin", "enum", "array", "object", "alternate", "command", "event"),
	OBJECT("SchemaInfoObjectMember", NEEDED("name", "str"), NEEDED("type", "str"), OPTIONAL("default", "any")),
	OBJECT("SchemaInfoEnumMember", NEEDED("name", "str")),
	OBJECT("SchemaInfo",
	       NEEDED("name", "str"), NEEDED("meta-type", "SchemaMetaType"), OPTIONAL("json-type", "str"),
	       OPTIONAL("element-type", "str"), OPTIONAL("members", "any"), OPTIONAL("values", "[str]"),
	       OPTIONAL("arg-type", "str"), OPTIONAL("ret-type", "str")),

	/* --- the machine ----------------------------------------------------------------------------------- */
	ENUM("RunState", "prelaunch", "running", "paused", "shutdown", "guest-panicked", "internal-error"),
	OBJECT("StatusInfo", NEEDED("running", "bool"), NEEDED("singlestep", "bool"), NEEDED("status", "RunState")),
	OBJECT("KvmInfo", NEEDED("enabled", "bool"), NEEDED("present", "bool")),
	OBJECT("TargetInfo", NEEDED("arch", "str")),
	OBJECT("MachineInfo",
	       NEEDED("name", "str"), OPTIONAL("alias", "str"), OPTIONAL("is-default", "bool"), NEEDED("cpu-max", "int"),
	       NEEDED("hotpluggable-cpus", "bool"), NEEDED("numa-mem-supported", "bool"), NEEDED("deprecated", "bool")),
	OBJECT("NacreStartPhases",
	       NEEDED("exec", "int"), NEEDED("jail", "int"), NEEDED("memory", "int"), NEEDED("devices", "int"),
	       NEEDED("kernel", "int"), NEEDED("entry", "int")),
	OBJECT("NacreStartTimes", NEEDED("monotonic-us", "NacreStartPhases")),

	/* --- vCPUs ----------------------------------------------------------------------------------------- */
	OBJECT("CpuInstanceProperties",
	       OPTIONAL("socket-id", "int"), OPTIONAL("core-id", "int"), OPTIONAL("thread-id", "int")),
	OBJECT("CpuInfo",
	       NEEDED("CPU", "int"), NEEDED("current", "bool"), NEEDED("halted", "bool"), NEEDED("qom_path", "str"),
	       NEEDED("thread_id", "int"), NEEDED("arch", "str")),
	OBJECT("CpuInfoFast",
	       NEEDED("cpu-index", "int"), NEEDED("qom-path", "str"), NEEDED("thread-id", "int"),
	       OPTIONAL("props", "CpuInstanceProperties"), NEEDED("target", "str")),
	OBJECT("HotpluggableCPU",
	       NEEDED("type", "str"), NEEDED("vcpus-count", "int"), NEEDED("props", "CpuInstanceProperties"),
	       OPTIONAL("qom-path", "str")),
	OBJECT("NacreVcpuEvent", NEEDED("id", "str"), NEEDED("cpu-index", "int")),

	/* --- how it ends ----------------------------------------------------------------------------------- */
	ENUM("ShutdownCause", "host-error", "host-qmp-quit", "host-qmp-system-reset", "host-signal", "guest-shutdown",
	     "guest-reset", "guest-panic"),
	OBJECT("ShutdownEvent", NEEDED("guest", "bool"), NEEDED("reason", "ShutdownCause")),
	OBJECT("NacreCrashEvent", NEEDED("reason", "str")),
};
/* clang-format on */
const size_t qmp_ntypes = ARRAY_SIZE(qmp_types);
