/* The commands and the events: name, arguments, answer, who does it. Each is described in nacre-qmp(7). */
#include "vmm/qmp/internal.h"

const struct qmp_command qmp_commands[] = {
	{"qmp_capabilities", "QmpCapabilitiesArg", NULL, qmp_capabilities},
	{"query-version", NULL, "VersionInfo", qmp_query_version},
	{"query-commands", NULL, "[CommandInfo]", qmp_query_commands},
	{"query-events", NULL, "[EventInfo]", qmp_query_events},
	{"query-qmp-schema", NULL, "[SchemaInfo]", qmp_query_schema},

	{"quit", NULL, NULL, qmp_quit},
	{"stop", NULL, NULL, qmp_stop},
	{"cont", NULL, NULL, qmp_cont},
	{"system_reset", NULL, NULL, qmp_system_reset},
	{"system_powerdown", NULL, NULL, qmp_system_powerdown},
	{"query-status", NULL, "StatusInfo", qmp_query_status},

	{"query-kvm", NULL, "KvmInfo", qmp_query_kvm},
	{"query-target", NULL, "TargetInfo", qmp_query_target},
	{"query-machines", NULL, "[MachineInfo]", qmp_query_machines},
	{"query-name", NULL, "NameInfo", qmp_query_name},
	{"query-uuid", NULL, "UuidInfo", qmp_query_uuid},
	{"query-start-times", NULL, "NacreStartTimes", qmp_query_start_times},
	{"nacre-start-times", "NacreMonitorTimes", NULL, qmp_nacre_start_times},

	{"query-cpus", NULL, "[CpuInfo]", qmp_query_cpus},
	{"query-cpus-fast", NULL, "[CpuInfoFast]", qmp_query_cpus_fast},
	{"query-hotpluggable-cpus", NULL, "[HotpluggableCPU]", qmp_query_hotpluggable_cpus},
	{"nacre-vcpu-unplugged", "NacreVcpuUnplugged", NULL, qmp_nacre_vcpu_unplugged},

	{"add-fd", "AddfdArg", "AddfdInfo", qmp_add_fd},
	{"remove-fd", "RemovefdArg", NULL, qmp_remove_fd},
	{"query-fdsets", NULL, "[FdsetInfo]", qmp_query_fdsets},
	{"getfd", "FdnameArg", NULL, qmp_getfd},
	{"closefd", "FdnameArg", NULL, qmp_closefd},

	{"blockdev-add", "BlockdevOptions", NULL, qmp_blockdev_add},
	{"blockdev-del", "BlockdevDelArg", NULL, qmp_blockdev_del},
	{"query-block", NULL, "[BlockInfo]", qmp_query_block},
	{"query-blockstats", "QueryBlockstatsArg", "[BlockStats]", qmp_query_blockstats},
	{"query-iothreads", NULL, "[IOThreadInfo]", qmp_query_iothreads},

	{"netdev_add", "NetdevTapOptions", NULL, qmp_netdev_add},
	{"netdev_del", "IdArg", NULL, qmp_netdev_del},

	{"chardev-add", "ChardevAddArg", "ChardevReturn", qmp_chardev_add},
	{"chardev-remove", "IdArg", NULL, qmp_chardev_remove},
	{"query-chardev", NULL, "[ChardevInfo]", qmp_query_chardev},

	{"device_add", "DeviceAddArg", NULL, qmp_device_add},
	{"device_del", "IdArg", NULL, qmp_device_del},
};
const size_t qmp_ncommands = ARRAY_SIZE(qmp_commands);

const struct qmp_event qmp_events[] = {
	{"NACRE_RUNNING", "NacreStartTimes", 0},
	{"STOP", NULL, 0},
	{"RESUME", NULL, 0},
	/* A guest can reset itself without end. */
	{"RESET", "ShutdownEvent", 1000},
	{"POWERDOWN", NULL, 0},
	{"DEVICE_DELETED", "DeviceDeletedEvent", 0},
	{"DEVICE_UNPLUG_GUEST_ERROR", "DeviceDeletedEvent", 0},
	{"NACRE_VCPU_PLUG", "NacreVcpuEvent", 0},
	{"NACRE_VCPU_UNPLUG", "NacreVcpuEvent", 0},
	{"GUEST_CRASHED", "NacreCrashEvent", 0},
	{"SHUTDOWN", "ShutdownEvent", 0},
};
const size_t qmp_nevents = ARRAY_SIZE(qmp_events);
