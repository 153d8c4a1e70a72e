/* The option table: one line an option, from which parsing and the help text come. */
#include "vmm/options.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "base/own.h"
#include "base/str.h"
#include "vmm/arch/arch.h"
#include "vmm/dev/dev.h"
#include "vmm/props.h"
#include "vmm/tap.h"

#define DEFAULT_MEMORY_MIB 256
/* What 46 bits of guest physical address leave for RAM, generously rounded down. */
#define MAX_MEMORY_MIB (16ULL << 20)

#define MTU_MIN 68 /* virtio 1.2, 5.1.4.1 */

#define CID_MIN 3 /* virtio 1.2, 5.10.4: 0 to 2 are reserved */
#define CID_MAX 0xfffffffeLL

struct option {
	const char *name;
	const char *arg; /* NULL: a flag */
	const char *help;
	int (*parse)(struct options *o, const char *arg, struct err *err);
};

/* A private copy to cut up. */
static char *copy_arg(struct options *o, const char *arg, struct err *err)
{
	char *copy;

	if (o->ncopies == OPTIONS_MAX_COPIES) {
		(void)err_say(err, E2BIG, "too many options");
		return NULL;
	}
	copy = strdup(arg);
	if (!copy) {
		(void)err_set(err, ENOMEM, "options");
		return NULL;
	}
	o->copies[o->ncopies++] = copy;
	return copy;
}

static int set_fd(int64_t *out, const char *option, const char *arg, struct err *err)
{
	if (str_to_i64(arg, 0, INT_MAX, out) < 0)
		return err_say(err, EINVAL, "-%s %s: the number of an open descriptor is needed",
			       option, arg);
	return 0;
}

static int parse_kernel(struct options *o, const char *arg, struct err *err UNUSED)
{
	o->kernel = arg;
	return 0;
}

static int parse_initrd(struct options *o, const char *arg, struct err *err UNUSED)
{
	o->initrd = arg;
	return 0;
}

static int parse_append(struct options *o, const char *arg, struct err *err UNUSED)
{
	o->append = arg;
	return 0;
}

static int parse_name(struct options *o, const char *arg, struct err *err UNUSED)
{
	o->name = arg;
	return 0;
}

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

static int parse_smp(struct options *o, const char *arg, struct err *err)
{
	const char *from = str_starts(arg, "cpus=") ? arg + 5 : arg;
	uint64_t value;

	if (str_to_u64(from, 1, UINT32_MAX, &value) < 0)
		return err_say(err, EINVAL, "-smp %s: a number of vCPUs is needed, from 1 to %u",
			       arg, arch_max_vcpus());
	if (value > arch_max_vcpus())
		return err_say(err, EINVAL, "-smp %s: too many vCPUs: this machine can have %u",
			       arg, arch_max_vcpus());
	o->vcpus = value;
	return 0;
}

static int parse_serial(struct options *o, const char *arg, struct err *err)
{
	if (!strcmp(arg, "none")) {
		o->serial = SERIAL_NONE;
	} else if (!strcmp(arg, "stdio")) {
		o->serial = SERIAL_STDIO;
	} else if (str_starts(arg, "file:") && arg[5]) {
		o->serial = SERIAL_FILE;
		o->serial_path = arg + 5;
	} else if (str_starts(arg, "fd:")) {
		o->serial = SERIAL_FD;
		return set_fd(&o->serial_fd, "serial", arg + 3, err);
	} else {
		return err_say(err, EINVAL,
			       "-serial %s: none, stdio, file:PATH or fd:NUMBER is needed", arg);
	}
	return 0;
}

static int parse_monitor_fd(struct options *o, const char *arg, struct err *err)
{
	return set_fd(&o->monitor_fd, "monitor-fd", arg, err);
}

static int parse_events_fd(struct options *o, const char *arg, struct err *err)
{
	return set_fd(&o->events_fd, "events-fd", arg, err);
}

/* unix:PATH,server[=on],nowait|wait=off: other ways to listen there are not. */
static int parse_qmp(struct options *o, const char *arg, struct err *err)
{
	char *props = copy_arg(o, arg, err);
	char *path;
	bool server = false, nowait = false;

	if (!props)
		return -err->code;
	path = props_next(&props);
	for (char *item = props_next(&props); item; item = props_next(&props)) {
		server |= !strcmp(item, "server") || !strcmp(item, "server=on");
		nowait |= !strcmp(item, "nowait") || !strcmp(item, "wait=off");
	}
	if (!str_starts(path, "unix:") || !path[5] || !server || !nowait)
		return err_say(err, EINVAL, "-qmp %s: unix:PATH,server,nowait is needed", arg);
	if (o->nqmp == OPTIONS_MAX_QMP)
		return err_say(err, E2BIG, "-qmp %s: too many sockets", arg);
	o->qmp[o->nqmp++] = path + 5;
	return 0;
}

static int parse_freeze(struct options *o, const char *arg UNUSED, struct err *err UNUSED)
{
	o->freeze = true;
	return 0;
}

static int parse_kvm_fd(struct options *o, const char *arg, struct err *err)
{
	return set_fd(&o->kvm_fd, "kvm-fd", arg, err);
}

static int parse_jail(struct options *o, const char *arg, struct err *err)
{
	if (arg[0] != '/')
		return err_say(err, EINVAL, "-jail %s: an absolute path is needed", arg);
	o->jail_root = arg;
	return 0;
}

static int parse_disable_seccomp(struct options *o, const char *arg UNUSED, struct err *err UNUSED)
{
	o->no_seccomp = true;
	return 0;
}

static int parse_drive(struct options *o, const char *arg, struct err *err)
{
	static const struct prop props[] = {
		{"id", PROP_STRING, offsetof(struct option_drive, id), 0, 0},
		{"file", PROP_STRING, offsetof(struct option_drive, file), 0, 0},
		{"fd", PROP_FD, offsetof(struct option_drive, fd), 0, 0},
		{"serial", PROP_STRING, offsetof(struct option_drive, serial), 0, 0},
		{"format", PROP_STRING, offsetof(struct option_drive, format), 0, 0},
		{"readonly", PROP_BOOL, offsetof(struct option_drive, readonly), 0, 0},
	};
	struct option_drive d = {.fd = -1};
	char *copy = copy_arg(o, arg, err);
	int rc;

	if (!copy)
		return -err->code;
	rc = props_parse(copy, props, ARRAY_SIZE(props), &d, "-drive", err);
	if (rc < 0)
		return rc;
	if (!d.id)
		return err_say(err, EINVAL, "-drive %s: id= is missing", arg);
	if ((d.file != NULL) == (d.fd >= 0))
		return err_say(err, EINVAL, "-drive %s: either file= or fd= is needed", arg);
	if (d.format && strcmp(d.format, "raw") != 0)
		return err_say(err, EINVAL, "-drive %s: format=raw is all there is", arg);
	if (d.serial && strlen(d.serial) > 20)
		return err_say(err, EINVAL, "-drive %s: serial= has more than 20 bytes", arg);
	if (options_drive(o, d.id))
		return err_say(err, EINVAL, "-drive %s: the id is taken", arg);
	if (o->ndrives == OPTIONS_MAX_DRIVES)
		return err_say(err, E2BIG, "-drive %s: too many drives", arg);
	o->drives[o->ndrives++] = d;
	return 0;
}

static int check_netdev(const struct options *o, const struct option_netdev *n, const char *arg,
			struct err *err)
{
	unsigned count;
	int fds[DEV_NET_MAX_PAIRS];

	if (!n->type || strcmp(n->type, "tap") != 0)
		return err_say(err, EINVAL, "-netdev %s: tap is all there is", arg);
	if (!n->id)
		return err_say(err, EINVAL, "-netdev %s: id= is missing", arg);
	if ((n->ifname != NULL) + (n->fds != NULL) + (n->fd >= 0) != 1)
		return err_say(err, EINVAL, "-netdev %s: one of ifname=, fd= and fds= is needed",
			       arg);
	if (n->fds && tap_parse_fds(n->fds, fds, ARRAY_SIZE(fds), &count) < 0)
		return err_say(err, EINVAL, "-netdev %s: fds= is N:N:..., of at most %zu numbers",
			       arg, ARRAY_SIZE(fds));
	if (n->queues > 0 && !n->ifname && n->queues != (n->fds ? (int64_t)count : 1))
		return err_say(err, EINVAL, "-netdev %s: queues= does not fit the descriptors",
			       arg);
	if (n->vhost)
		return err_say(err, EINVAL, "-netdev %s: vhost=off is all there is", arg);
	if ((n->script && strcmp(n->script, "no") != 0) ||
	    (n->downscript && strcmp(n->downscript, "no") != 0))
		return err_say(err, EINVAL, "-netdev %s: scripts are not run: script=no", arg);
	if (options_netdev(o, n->id))
		return err_say(err, EINVAL, "-netdev %s: the id is taken", arg);
	return 0;
}

static int parse_netdev(struct options *o, const char *arg, struct err *err)
{
	static const struct prop props[] = {
		{"id", PROP_STRING, offsetof(struct option_netdev, id), 0, 0},
		{"ifname", PROP_STRING, offsetof(struct option_netdev, ifname), 0, 0},
		{"fd", PROP_FD, offsetof(struct option_netdev, fd), 0, 0},
		{"fds", PROP_STRING, offsetof(struct option_netdev, fds), 0, 0},
		{"queues", PROP_NUMBER, offsetof(struct option_netdev, queues), 1,
		 DEV_NET_MAX_PAIRS},
		{"vhost", PROP_BOOL, offsetof(struct option_netdev, vhost), 0, 0},
		{"script", PROP_STRING, offsetof(struct option_netdev, script), 0, 0},
		{"downscript", PROP_STRING, offsetof(struct option_netdev, downscript), 0, 0},
	};
	struct option_netdev n = {.fd = -1};
	char *copy = copy_arg(o, arg, err);
	int rc;

	if (!copy)
		return -err->code;
	n.type = props_next(&copy);
	rc = props_parse(copy, props, ARRAY_SIZE(props), &n, "-netdev", err);
	if (rc == 0)
		rc = check_netdev(o, &n, arg, err);
	if (rc < 0)
		return rc;
	if (o->nnetdevs == OPTIONS_MAX_NETDEVS)
		return err_say(err, E2BIG, "-netdev %s: too many", arg);
	o->netdevs[o->nnetdevs++] = n;
	return 0;
}

static int check_net(struct option_device *d, struct err *err)
{
	if (!d->netdev)
		return err_say(err, EINVAL, "-device virtio-net-device: netdev= is missing");
	if (d->mac_text && tap_parse_mac(d->mac_text, d->mac) < 0)
		return err_say(err, EINVAL,
			       "-device virtio-net-device: mac=%s is not of the form "
			       "52:54:00:12:34:56",
			       d->mac_text);
	return 0;
}

static int check_blk(struct option_device *d, struct err *err)
{
	if (!d->drive)
		return err_say(err, EINVAL, "-device virtio-blk-device: drive= is missing");
	return 0;
}

static int check_fs(struct option_device *d, struct err *err)
{
	size_t len = d->tag ? strlen(d->tag) : 0;

	if (len < 1 || len > 36)
		return err_say(err, EINVAL,
			       "-device virtio-fs-device: tag= of 1 to 36 bytes is needed");
	if (d->dir && d->fd >= 0)
		return err_say(err, EINVAL,
			       "-device virtio-fs-device: dir= and fd= exclude each other");
	return 0;
}

static int check_vsock(struct option_device *d, struct err *err)
{
	if (d->guest_cid == 0)
		return err_say(err, EINVAL, "-device virtio-vsock-device: guest-cid= is missing");
	if (d->path && d->listen_fd >= 0)
		return err_say(
			err, EINVAL,
			"-device virtio-vsock-device: path= and listen-fd= exclude each other");
	return 0;
}

static const struct prop rng_props[] = {
	{"id", PROP_STRING, offsetof(struct option_device, id), 0, 0},
	{"rng", PROP_STRING, offsetof(struct option_device, rng), 0, 0},
};

static const struct prop blk_props[] = {
	{"id", PROP_STRING, offsetof(struct option_device, id), 0, 0},
	{"drive", PROP_STRING, offsetof(struct option_device, drive), 0, 0},
};

static const struct prop net_props[] = {
	{"id", PROP_STRING, offsetof(struct option_device, id), 0, 0},
	{"netdev", PROP_STRING, offsetof(struct option_device, netdev), 0, 0},
	{"mac", PROP_STRING, offsetof(struct option_device, mac_text), 0, 0},
	{"mtu", PROP_NUMBER, offsetof(struct option_device, mtu), MTU_MIN, UINT16_MAX},
};

static const struct prop fs_props[] = {
	{"id", PROP_STRING, offsetof(struct option_device, id), 0, 0},
	{"tag", PROP_STRING, offsetof(struct option_device, tag), 0, 0},
	{"dir", PROP_STRING, offsetof(struct option_device, dir), 0, 0},
	{"fd", PROP_FD, offsetof(struct option_device, fd), 0, 0},
	{"readonly", PROP_BOOL, offsetof(struct option_device, readonly), 0, 0},
};

static const struct prop vsock_props[] = {
	{"id", PROP_STRING, offsetof(struct option_device, id), 0, 0},
	{"guest-cid", PROP_NUMBER, offsetof(struct option_device, guest_cid), CID_MIN, CID_MAX},
	{"path", PROP_STRING, offsetof(struct option_device, path), 0, 0},
	{"listen-fd", PROP_FD, offsetof(struct option_device, listen_fd), 0, 0},
	{"agent-fd", PROP_FD, offsetof(struct option_device, agent_fd), 0, 0},
};

static const struct {
	const char *name;
	enum option_device_kind kind;
	const struct prop *props;
	size_t nprops;
	int (*check)(struct option_device *d, struct err *err);
} device_kinds[] = {
	{"virtio-rng-device", OPTION_DEVICE_RNG, rng_props, ARRAY_SIZE(rng_props), NULL},
	{"virtio-blk-device", OPTION_DEVICE_BLK, blk_props, ARRAY_SIZE(blk_props), check_blk},
	{"virtio-net-device", OPTION_DEVICE_NET, net_props, ARRAY_SIZE(net_props), check_net},
	{"virtio-fs-device", OPTION_DEVICE_FS, fs_props, ARRAY_SIZE(fs_props), check_fs},
	{"virtio-vsock-device", OPTION_DEVICE_VSOCK, vsock_props, ARRAY_SIZE(vsock_props),
	 check_vsock},
};

static int add_device(struct options *o, size_t kind, char *props, struct err *err)
{
	struct option_device d = {
		.kind = device_kinds[kind].kind, .fd = -1, .listen_fd = -1, .agent_fd = -1};
	char what[64];
	int rc;

	(void)snprintf(what, sizeof(what), "-device %s", device_kinds[kind].name);
	rc = props_parse(props, device_kinds[kind].props, device_kinds[kind].nprops, &d, what, err);
	if (rc == 0 && device_kinds[kind].check)
		rc = device_kinds[kind].check(&d, err);
	if (rc < 0)
		return rc;
	if (o->ndevices == OPTIONS_MAX_DEVICES)
		return err_say(err, E2BIG, "%s: too many devices", what);
	o->devices[o->ndevices++] = d;
	return 0;
}

static int parse_device(struct options *o, const char *arg, struct err *err)
{
	char *props = copy_arg(o, arg, err);
	const char *name;

	if (!props)
		return -err->code;
	name = props_next(&props);
	for (size_t i = 0; i < ARRAY_SIZE(device_kinds); i++) {
		if (!strcmp(device_kinds[i].name, name))
			return add_device(o, i, props, err);
	}
	return err_say(err, EINVAL, "-device %s: no such device", name);
}

static int parse_no_reboot(struct options *o, const char *arg UNUSED, struct err *err UNUSED)
{
	o->no_reboot = true;
	return 0;
}

static int parse_help(struct options *o, const char *arg UNUSED, struct err *err UNUSED)
{
	o->help = true;
	return 0;
}

static int parse_version(struct options *o, const char *arg UNUSED, struct err *err UNUSED)
{
	o->version = true;
	return 0;
}

static const struct option option_table[] = {
	{"kernel", "FILE", "guest kernel: vmlinux with a PVH entry, or bzImage", parse_kernel},
	{"initrd", "FILE", "initial file system of the guest", parse_initrd},
	{"append", "TEXT", "added to the kernel's command line", parse_append},
	{"m", "MIB", "guest memory (256); M or G may follow", parse_memory},
	{"smp", "N", "vCPUs, 1 to 254 (1)", parse_smp},
	{"serial", "stdio|file:PATH|fd:N|none", "where the console goes (none)", parse_serial},
	{"device", "KIND,KEY=VALUE,...",
	 "virtio-rng-device, virtio-blk-device,drive=ID,\n"
	 "virtio-net-device,netdev=ID[,mac=A][,mtu=N],\n"
	 "virtio-fs-device,tag=T[,dir=PATH|fd=N][,readonly=on],\n"
	 "virtio-vsock-device,guest-cid=N[,path=P|listen-fd=N][,agent-fd=N]",
	 parse_device},
	{"drive", "id=ID,file=PATH|fd=N[,readonly=on][,serial=S]", "a disk for virtio-blk-device",
	 parse_drive},
	{"netdev", "tap,id=ID,ifname=NAME[,queues=N]|fd=N|fds=N:N...[,vhost=off]",
	 "a tap for virtio-net-device", parse_netdev},
	{"qmp", "unix:PATH,server,nowait", "QMP is spoken there", parse_qmp},
	{"monitor-fd", "N", "QMP is spoken over this socket; its end is ours", parse_monitor_fd},
	{"events-fd", "N", "events go to this socket; its end is ours", parse_events_fd},
	{"S", NULL, "wait for QMP's cont before the guest runs", parse_freeze},
	{"kvm-fd", "N", "an open /dev/kvm", parse_kvm_fd},
	{"jail", "DIR", "be confined to DIR; takes namespaces of our own", parse_jail},
	{"disable-seccomp", NULL, "no lists of system calls in the jail", parse_disable_seccomp},
	{"name", "TEXT", "name of the machine, for messages", parse_name},
	{"no-reboot", NULL, "end when the guest resets (always so)", parse_no_reboot},
	{"version", NULL, "print the version and end", parse_version},
	{"help", NULL, "print this and end", parse_help},
};

void options_help(FILE *to)
{
	(void)fputs("usage: vmm -kernel FILE [option]...\n", to);
	for (size_t i = 0; i < ARRAY_SIZE(option_table); i++) {
		const struct option *o = &option_table[i];

		(void)fprintf(to, "  -%s%s%s\n", o->name, o->arg ? " " : "", o->arg ? o->arg : "");
		for (const char *line = o->help; line; line = strchr(line, '\n')) {
			line += *line == '\n';
			(void)fprintf(to, "        %.*s\n", (int)strcspn(line, "\n"), line);
		}
	}
}

const struct option_drive *options_drive(const struct options *o, const char *id)
{
	for (size_t i = 0; i < o->ndrives; i++) {
		if (!strcmp(o->drives[i].id, id))
			return &o->drives[i];
	}
	return NULL;
}

const struct option_netdev *options_netdev(const struct options *o, const char *id)
{
	for (size_t i = 0; i < o->nnetdevs; i++) {
		if (!strcmp(o->netdevs[i].id, id))
			return &o->netdevs[i];
	}
	return NULL;
}

static const struct option *find_option(const char *arg)
{
	const char *name = arg + (str_starts(arg, "--") ? 2 : 1);

	if (arg[0] != '-')
		return NULL;
	for (size_t i = 0; i < ARRAY_SIZE(option_table); i++) {
		if (!strcmp(option_table[i].name, name))
			return &option_table[i];
	}
	return NULL;
}

/* What a device is the front of: there, and nobody else's. */
static int check_backend(const struct options *o, size_t i, struct err *err)
{
	const struct option_device *d = &o->devices[i];
	bool is_net = d->kind == OPTION_DEVICE_NET;
	const char *id = is_net ? d->netdev : d->drive;
	const char *what = is_net ? "-device virtio-net-device" : "-device virtio-blk-device";

	if (is_net ? !options_netdev(o, id) : !options_drive(o, id))
		return err_say(err, EINVAL, "%s: no %s has the id '%s'", what,
			       is_net ? "-netdev" : "-drive", id);
	for (size_t j = 0; j < i; j++) {
		const struct option_device *other = &o->devices[j];

		if (other->kind == d->kind && !strcmp(is_net ? other->netdev : other->drive, id))
			return err_say(err, EINVAL, "%s: the %s '%s' is used twice", what,
				       is_net ? "netdev" : "drive", id);
	}
	return 0;
}

/* A directory of the host's would be a way out of the jail: there, the jail's root is what is served. */
static int check_tree(const struct options *o, const struct option_device *d, struct err *err)
{
	if (o->jail_root && (d->dir || d->fd >= 0))
		return err_say(
			err, EINVAL,
			"-device virtio-fs-device: the jail's root is served, dir= and fd= have "
			"no place beside -jail");
	if (!o->jail_root && !d->dir && d->fd < 0)
		return err_say(err, EINVAL,
			       "-device virtio-fs-device: either dir= or fd= is needed");
	return 0;
}

static int check_whole(const struct options *o, struct err *err)
{
	if (o->help || o->version)
		return 0;
	if (!o->kernel)
		return err_say(err, EINVAL, "-kernel is missing");
	for (size_t i = 0; i < o->ndevices; i++) {
		enum option_device_kind kind = o->devices[i].kind;
		int rc = 0;

		if (kind == OPTION_DEVICE_BLK || kind == OPTION_DEVICE_NET)
			rc = check_backend(o, i, err);
		if (kind == OPTION_DEVICE_FS)
			rc = check_tree(o, &o->devices[i], err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

int options_parse(int argc, char *const *argv, struct options *out, struct err *err)
{
	*out = (struct options){
		.memory_mib = DEFAULT_MEMORY_MIB,
		.vcpus = 1,
		.serial_fd = -1,
		.monitor_fd = -1,
		.events_fd = -1,
		.kvm_fd = -1,
	};
	for (int i = 1; i < argc; i++) {
		const struct option *o = find_option(argv[i]);
		const char *arg = NULL;
		int rc;

		if (!o)
			return err_say(err, EINVAL, "'%s' is no option: -help lists them", argv[i]);
		if (o->arg && i + 1 == argc)
			return err_say(err, EINVAL, "-%s: %s is missing", o->name, o->arg);
		if (o->arg)
			arg = argv[++i];
		rc = o->parse(out, arg, err);
		if (rc < 0)
			return rc;
	}
	return check_whole(out, err);
}

void options_done(struct options *o)
{
	for (size_t i = 0; i < o->ncopies; i++)
		free(o->copies[i]);
	o->ncopies = 0;
}
