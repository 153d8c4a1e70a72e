/* Memory, vCPUs, and what kind of machine it is. */
#include <errno.h>
#include <string.h>

#include "base/str.h"
#include "vmm/arch/arch.h"
#include "vmm/machine.h"
#include "vmm/options/family.h"

/* What 46 bits of guest physical address leave for RAM, generously rounded down. */
#define MAX_MEMORY_MIB (16ULL << 20)

/* "512", "512M", "2G", "size=..." */
static int parse_memory(struct options *o, const char *arg, struct err *err)
{
	char number[24];
	const char *from = str_starts(arg, "size=") ? arg + 5 : arg;
	size_t len = strlen(from);
	bool gib = str_ends(from, "G");
	uint64_t value;

	if (gib || str_ends(from, "M"))
		len--;
	if (len >= sizeof(number))
		return err_say(err, EINVAL, "-m %s: not a size", arg);
	memcpy(number, from, len);
	number[len] = '\0';
	if (str_to_u64(number, 0, MAX_MEMORY_MIB >> (gib ? 10 : 0), &value) < 0)
		return err_say(
			err, EINVAL,
			"-m %s: MiB are needed, or a number with M or G behind it, at most %lluG",
			arg, MAX_MEMORY_MIB >> 10);
	if (gib)
		value <<= 10;
	if (value < ARCH_MIN_MEMORY_MIB)
		return err_say(err, EINVAL, "-m %s: a guest needs at least %d MiB", arg,
			       ARCH_MIN_MEMORY_MIB);
	o->memory_mib = value;
	return 0;
}

struct smp {
	int64_t cpus, maxcpus, sockets, dies, cores, threads;
};

/* The guest sees one socket of so many cores, whatever the topology asked for; the counts have to agree with it. */
static int check_smp(struct smp *s, const char *arg, struct err *err)
{
	int64_t product = s->sockets * s->dies * s->cores * s->threads;

	if (s->cpus == 0)
		s->cpus = s->maxcpus ? s->maxcpus : product;
	if (s->maxcpus == 0)
		s->maxcpus = s->cpus;
	if (s->maxcpus < s->cpus)
		return err_say(err, EINVAL, "-smp %s: maxcpus= is less than cpus=", arg);
	if (s->maxcpus > arch_max_vcpus())
		return err_say(err, EINVAL, "-smp %s: too many vCPUs: this machine can have %u",
			       arg, arch_max_vcpus());
	if (product != 1 && product != s->maxcpus)
		return err_say(err, EINVAL,
			       "-smp %s: sockets, cores and threads make %lld vCPUs, not %lld", arg,
			       (long long)product, (long long)s->maxcpus);
	return 0;
}

static int parse_smp(struct options *o, const char *arg, struct err *err)
{
	static const struct prop props[] = {
		{"cpus", PROP_NUMBER, offsetof(struct smp, cpus), 1, UINT16_MAX},
		{"maxcpus", PROP_NUMBER, offsetof(struct smp, maxcpus), 1, UINT16_MAX},
		{"sockets", PROP_NUMBER, offsetof(struct smp, sockets), 1, UINT8_MAX},
		{"dies", PROP_NUMBER, offsetof(struct smp, dies), 1, UINT8_MAX},
		{"cores", PROP_NUMBER, offsetof(struct smp, cores), 1, UINT8_MAX},
		{"threads", PROP_NUMBER, offsetof(struct smp, threads), 1, UINT8_MAX},
	};
	struct smp s = {.sockets = 1, .dies = 1, .cores = 1, .threads = 1};
	char *copy = options_copy(o, arg, err);
	int rc;

	if (!copy)
		return -err->code;
	rc = props_parse(copy, "cpus", props, ARRAY_SIZE(props), &s, "-smp", err);
	if (rc == 0)
		rc = check_smp(&s, arg, err);
	if (rc < 0)
		return rc;
	o->vcpus = (uint64_t)s.cpus;
	o->max_vcpus = (uint64_t)s.maxcpus;
	return 0;
}

struct machine_props {
	const char *type, *accel;
	bool dump_guest_core, mem_share, pit;
	int64_t hotplug_blk, hotplug_net;
};

static int parse_machine(struct options *o, const char *arg, struct err *err)
{
	static const struct prop props[] = {
		{"type", PROP_STRING, offsetof(struct machine_props, type), 0, 0},
		{"accel", PROP_STRING, offsetof(struct machine_props, accel), 0, 0},
		{"dump-guest-core", PROP_BOOL, offsetof(struct machine_props, dump_guest_core), 0,
		 0},
		{"mem-share", PROP_BOOL, offsetof(struct machine_props, mem_share), 0, 0},
		{"pit", PROP_BOOL, offsetof(struct machine_props, pit), 0, 0},
		{"hotplug-blk", PROP_NUMBER, offsetof(struct machine_props, hotplug_blk), 0,
		 MACHINE_MAX_DEVICES},
		{"hotplug-net", PROP_NUMBER, offsetof(struct machine_props, hotplug_net), 0,
		 MACHINE_MAX_DEVICES},
	};
	struct machine_props m = {.pit = true, .hotplug_blk = -1, .hotplug_net = -1};
	char *copy = options_copy(o, arg, err);
	int rc;

	if (!copy)
		return -err->code;
	rc = props_parse(copy, "type", props, ARRAY_SIZE(props), &m, "-machine", err);
	if (rc < 0)
		return rc;
	if (m.type && strcmp(m.type, "microvm") != 0)
		return err_say(err, EINVAL, "-machine %s: microvm is all there is", arg);
	if (m.accel && strcmp(m.accel, "kvm") != 0)
		return err_say(err, EINVAL, "-machine %s: accel=kvm is all there is", arg);
	if (m.dump_guest_core)
		return err_say(err, EINVAL,
			       "-machine %s: a core dump never holds the guest's memory: "
			       "dump-guest-core=off",
			       arg);
	o->no_pit = !m.pit;
	o->hotplug_given |= m.hotplug_blk >= 0 || m.hotplug_net >= 0;
	if (m.hotplug_blk >= 0)
		o->hotplug_blk = (uint64_t)m.hotplug_blk;
	if (m.hotplug_net >= 0)
		o->hotplug_net = (uint64_t)m.hotplug_net;
	return 0;
}

static uint64_t count_missing(const struct options *o, enum option_device_kind kind,
			      uint64_t wanted)
{
	for (size_t i = 0; i < o->ndevices && wanted > 0; i++)
		wanted -= o->devices[i].kind == kind;
	return wanted;
}

/*
 * StratoVirt's machine has four disks and two network interfaces, full or not, and its clients fill them without having asked
 * for any. The monitor of a sandbox asks for what it needs.
 */
void options_add_slots(struct options *o)
{
	if (o->hotplug_given || o->nmonitors == 0 || o->monitor_fd >= 0)
		return;
	o->hotplug_blk = count_missing(o, OPTION_DEVICE_BLK, 4);
	o->hotplug_net = count_missing(o, OPTION_DEVICE_NET, 2);
}

static int parse_cpu(struct options *o UNUSED, const char *arg, struct err *err)
{
	if (strcmp(arg, "host") != 0)
		return err_say(err, EINVAL, "-cpu %s: the guest sees the host's model: host", arg);
	return 0;
}

static int parse_accel(struct options *o UNUSED, const char *arg, struct err *err)
{
	if (strcmp(arg, "kvm") != 0)
		return err_say(err, EINVAL, "-accel %s: kvm is all there is", arg);
	return 0;
}

static int parse_kvm_fd(struct options *o, const char *arg, struct err *err)
{
	return options_fd("kvm-fd", arg, &o->kvm_fd, err);
}

static const struct option table[] = {
	{"machine", "microvm[,hotplug-blk=N][,hotplug-net=N][,pit=on|off][,mem-share=on|off]",
	 "spare slots for device_add (with -qmp: up to 4 disks and 2 networks);\n"
	 "the 8254 timer (on); guest memory is never dumped, and mem-share has no\n"
	 "effect",
	 parse_machine},
	{"m", "MIB", "guest memory (256); M or G may follow", parse_memory},
	{"smp", "N[,maxcpus=M]", "vCPUs on line (1), and described to the guest; at most 254",
	 parse_smp},
	{"cpu", "host", "the vCPUs are of the host's model", parse_cpu},
	{"accel", "kvm", "the machine runs by KVM", parse_accel},
	{"kvm-fd", "N", "an open /dev/kvm", parse_kvm_fd},
};
const struct option_family options_of_machine = {table, ARRAY_SIZE(table)};
