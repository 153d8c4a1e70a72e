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
#define ALTERNATE(type_name, object)                                                               \
	{                                                                                          \
		.name = (type_name), .or_str = (object)                                            \
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
	OBJECT("NameInfo", OPTIONAL("name", "str")),
	OBJECT("UuidInfo", NEEDED("UUID", "str")),
	OBJECT("NacreStartPhases",
	       OPTIONAL("monitor", "int"), OPTIONAL("spawn", "int"), NEEDED("exec", "int"), NEEDED("memory", "int"),
	       NEEDED("devices", "int"), NEEDED("kernel", "int"), NEEDED("jail", "int"), OPTIONAL("entry", "int"),
	       OPTIONAL("linux", "int"), OPTIONAL("init", "int"), OPTIONAL("ready", "int"), OPTIONAL("agent", "int"),
	       OPTIONAL("created", "int"), OPTIONAL("started", "int")),
	OBJECT("NacreStartTimes", NEEDED("monotonic-us", "NacreStartPhases")),
	OBJECT("NacreMonitorPhases",
	       OPTIONAL("monitor", "int"), OPTIONAL("spawn", "int"), OPTIONAL("linux", "int"), OPTIONAL("init", "int"),
	       OPTIONAL("ready", "int"), OPTIONAL("agent", "int"), OPTIONAL("created", "int"), OPTIONAL("started", "int")),
	OBJECT("NacreMonitorTimes", NEEDED("monotonic-us", "NacreMonitorPhases")),

	/* --- vCPUs ----------------------------------------------------------------------------------------- */
	OBJECT("CpuInstanceProperties",
	       OPTIONAL("socket-id", "int"), OPTIONAL("die-id", "int"), OPTIONAL("core-id", "int"),
	       OPTIONAL("thread-id", "int")),
	OBJECT("CpuInfo",
	       NEEDED("CPU", "int"), NEEDED("current", "bool"), NEEDED("halted", "bool"), NEEDED("qom_path", "str"),
	       NEEDED("thread_id", "int"), OPTIONAL("props", "CpuInstanceProperties"), NEEDED("arch", "str")),
	OBJECT("CpuInfoFast",
	       NEEDED("cpu-index", "int"), NEEDED("qom-path", "str"), NEEDED("thread-id", "int"),
	       OPTIONAL("props", "CpuInstanceProperties"), NEEDED("target", "str")),
	OBJECT("HotpluggableCPU",
	       NEEDED("type", "str"), NEEDED("vcpus-count", "int"), NEEDED("props", "CpuInstanceProperties"),
	       OPTIONAL("qom-path", "str")),
	OBJECT("NacreVcpuUnplugged", NEEDED("cpu-index", "int"), OPTIONAL("error", "str")),
	OBJECT("NacreVcpuEvent", NEEDED("id", "str"), NEEDED("cpu-index", "int")),

	/* --- descriptors ----------------------------------------------------------------------------------- */
	OBJECT("AddfdArg", OPTIONAL("fdset-id", "int"), OPTIONAL("opaque", "str")),
	OBJECT("AddfdInfo", NEEDED("fdset-id", "int"), NEEDED("fd", "int")),
	OBJECT("RemovefdArg", NEEDED("fdset-id", "int"), OPTIONAL("fd", "int")),
	OBJECT("FdsetFdInfo", NEEDED("fd", "int"), OPTIONAL("opaque", "str")),
	OBJECT("FdsetInfo", NEEDED("fdset-id", "int"), NEEDED("fds", "[FdsetFdInfo]")),
	OBJECT("FdnameArg", NEEDED("fdname", "str")),

	/* --- back ends ------------------------------------------------------------------------------------- */
	ENUM("BlockdevDriver", "raw", "file", "host_device"),
	ENUM("BlockdevAioOptions", "threads", "native", "io_uring"),
	ENUM("BlockdevDetectZeroesOptions", "off", "on", "unmap"),
	ENUM("BlockdevDiscardOptions", "ignore", "unmap"),
	ENUM("OnOffAuto", "auto", "on", "off"),
	OBJECT("BlockdevCacheOptions", OPTIONAL("direct", "bool"), OPTIONAL("no-flush", "bool")),
	OBJECT("BlockdevOptionsFile",
	       NEEDED("driver", "BlockdevDriver"), NEEDED("filename", "str"), OPTIONAL("node-name", "str"),
	       OPTIONAL("aio", "BlockdevAioOptions"), OPTIONAL("cache", "BlockdevCacheOptions"),
	       OPTIONAL("read-only", "bool"), OPTIONAL("auto-read-only", "bool"),
	       OPTIONAL("discard", "BlockdevDiscardOptions"), OPTIONAL("detect-zeroes", "BlockdevDetectZeroesOptions"),
	       OPTIONAL("force-share", "bool"), OPTIONAL("locking", "OnOffAuto")),
	ALTERNATE("BlockdevRef", "BlockdevOptionsFile"),
	OBJECT("BlockdevOptions",
	       NEEDED("driver", "BlockdevDriver"), NEEDED("node-name", "str"), OPTIONAL("read-only", "bool"),
	       OPTIONAL("cache", "BlockdevCacheOptions"), OPTIONAL("aio", "BlockdevAioOptions"), OPTIONAL("filename", "str"),
	       OPTIONAL("file", "BlockdevRef"), OPTIONAL("auto-read-only", "bool"),
	       OPTIONAL("discard", "BlockdevDiscardOptions"), OPTIONAL("detect-zeroes", "BlockdevDetectZeroesOptions"),
	       OPTIONAL("force-share", "bool"), OPTIONAL("locking", "OnOffAuto")),
	OBJECT("BlockdevDelArg", NEEDED("node-name", "str")),
	OBJECT("ImageInfo", NEEDED("filename", "str"), NEEDED("format", "str"), NEEDED("virtual-size", "int")),
	OBJECT("BlockDeviceInfo",
	       NEEDED("file", "str"), NEEDED("node-name", "str"), NEEDED("ro", "bool"), NEEDED("drv", "str"),
	       NEEDED("backing_file_depth", "int"), NEEDED("encrypted", "bool"),
	       NEEDED("detect_zeroes", "BlockdevDetectZeroesOptions"), NEEDED("bps", "int"), NEEDED("bps_rd", "int"),
	       NEEDED("bps_wr", "int"), NEEDED("iops", "int"), NEEDED("iops_rd", "int"), NEEDED("iops_wr", "int"),
	       NEEDED("cache", "BlockdevCacheInfo"), NEEDED("write_threshold", "int"), NEEDED("image", "ImageInfo")),
	OBJECT("BlockdevCacheInfo", NEEDED("writeback", "bool"), NEEDED("direct", "bool"), NEEDED("no-flush", "bool")),
	OBJECT("BlockInfo",
	       NEEDED("device", "str"), OPTIONAL("qdev", "str"), NEEDED("type", "str"), NEEDED("removable", "bool"),
	       NEEDED("locked", "bool"), OPTIONAL("inserted", "BlockDeviceInfo")),
	OBJECT("BlockDeviceStats",
	       NEEDED("rd_bytes", "int"), NEEDED("wr_bytes", "int"), NEEDED("unmap_bytes", "int"),
	       NEEDED("rd_operations", "int"), NEEDED("wr_operations", "int"), NEEDED("flush_operations", "int"),
	       NEEDED("unmap_operations", "int"), NEEDED("rd_total_time_ns", "int"), NEEDED("wr_total_time_ns", "int"),
	       NEEDED("flush_total_time_ns", "int"), NEEDED("unmap_total_time_ns", "int"),
	       NEEDED("wr_highest_offset", "int"), NEEDED("rd_merged", "int"), NEEDED("wr_merged", "int"),
	       NEEDED("unmap_merged", "int"), NEEDED("failed_rd_operations", "int"),
	       NEEDED("failed_wr_operations", "int"), NEEDED("failed_flush_operations", "int"),
	       NEEDED("failed_unmap_operations", "int"), NEEDED("invalid_rd_operations", "int"),
	       NEEDED("invalid_wr_operations", "int"), NEEDED("invalid_flush_operations", "int"),
	       NEEDED("invalid_unmap_operations", "int"), NEEDED("account_invalid", "bool"),
	       NEEDED("account_failed", "bool"), NEEDED("timed_stats", "[BlockDeviceTimedStats]")),
	OBJECT("BlockDeviceTimedStats", NEEDED("interval_length", "int")),
	OBJECT("BlockStats",
	       OPTIONAL("device", "str"), OPTIONAL("qdev", "str"), OPTIONAL("node-name", "str"),
	       NEEDED("stats", "BlockDeviceStats")),
	OBJECT("NetdevTapOptions",
	       NEEDED("type", "NetClientDriver"), NEEDED("id", "str"), OPTIONAL("ifname", "str"), OPTIONAL("fd", "str"),
	       OPTIONAL("fds", "str"), OPTIONAL("queues", "int"), OPTIONAL("script", "str"), OPTIONAL("downscript", "str"),
	       OPTIONAL("vhost", "bool"), OPTIONAL("vhostfd", "str"), OPTIONAL("vhostfds", "str"),
	       OPTIONAL("vhostforce", "bool")),
	ENUM("NetClientDriver", "tap"),
	OBJECT("IdArg", NEEDED("id", "str")),
	ENUM("ChardevBackendKind", "null", "file", "socket"),
	ENUM("SocketAddressType", "unix"),
	OBJECT("UnixSocketAddress", NEEDED("path", "str")),
	OBJECT("SocketAddress", NEEDED("type", "SocketAddressType"), NEEDED("data", "UnixSocketAddress")),
	OBJECT("ChardevBackendData",
	       OPTIONAL("out", "str"), OPTIONAL("append", "bool"), OPTIONAL("addr", "SocketAddress"),
	       OPTIONAL("server", "bool"), OPTIONAL("wait", "bool")),
	OBJECT("ChardevBackend", NEEDED("type", "ChardevBackendKind"), NEEDED("data", "ChardevBackendData")),
	OBJECT("ChardevAddArg", NEEDED("id", "str"), NEEDED("backend", "ChardevBackend")),
	OBJECT("ChardevReturn", OPTIONAL("pty", "str")),
	OBJECT("ChardevInfo", NEEDED("label", "str"), NEEDED("filename", "str"), NEEDED("frontend-open", "bool")),
	OBJECT("IOThreadInfo",
	       NEEDED("id", "str"), NEEDED("thread-id", "int"), NEEDED("poll-max-ns", "int"), NEEDED("poll-grow", "int"),
	       NEEDED("poll-shrink", "int"), NEEDED("aio-max-batch", "int")),

	/* --- devices --------------------------------------------------------------------------------------- */
	OBJECT("DeviceAddArg",
	       NEEDED("driver", "str"), OPTIONAL("id", "str"), OPTIONAL("addr", "any"), OPTIONAL("bus", "str"),
	       OPTIONAL("drive", "str"), OPTIONAL("serial", "str"), OPTIONAL("share-rw", "any"), OPTIONAL("num-queues", "any"),
	       OPTIONAL("netdev", "str"), OPTIONAL("mac", "str"), OPTIONAL("mq", "any"), OPTIONAL("vectors", "any"),
	       OPTIONAL("romfile", "str"), OPTIONAL("disable-modern", "any"), OPTIONAL("socket-id", "any"),
	       OPTIONAL("die-id", "any"), OPTIONAL("core-id", "any"), OPTIONAL("thread-id", "any"), OPTIONAL("iothread", "str")),
	OBJECT("QueryBlockstatsArg", OPTIONAL("query-nodes", "bool")),
	OBJECT("DeviceDeletedEvent", OPTIONAL("device", "str"), NEEDED("path", "str")),

	/* --- how it ends ----------------------------------------------------------------------------------- */
	ENUM("ShutdownCause", "host-error", "host-qmp-quit", "host-qmp-system-reset", "host-signal", "guest-shutdown",
	     "guest-reset", "guest-panic"),
	OBJECT("ShutdownEvent", NEEDED("guest", "bool"), NEEDED("reason", "ShutdownCause")),
	OBJECT("NacreCrashEvent", NEEDED("reason", "str")),
};
/* clang-format on */
const size_t qmp_ntypes = ARRAY_SIZE(qmp_types);
