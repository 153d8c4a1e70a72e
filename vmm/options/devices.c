/* Devices and the objects they name. */
#include <errno.h>
#include <string.h>

#include "vmm/drivers.h"
#include "vmm/virtio/virtio.h"
#include "vmm/options/family.h"
#include "vmm/tap.h"

#define MTU_MIN 68 /* virtio 1.2, 5.1.4.1 */
#define CID_MIN 3  /* virtio 1.2, 5.10.4: 0 to 2 are reserved */
#define CID_MAX 0xfffffffeLL

static int check_blk(struct option_device *d, struct err *err)
{
	if (!d->drive)
		return err_say(err, EINVAL, "-device virtio-blk-device: drive= is missing");
	if (d->serial && strlen(d->serial) > 20)
		return err_say(err, EINVAL,
			       "-device virtio-blk-device: serial= has more than 20 bytes");
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
	{"serial", PROP_STRING, offsetof(struct option_device, serial), 0, 0},
	{"num-queues", PROP_NUMBER, offsetof(struct option_device, num_queues), 1,
	 VIRTIO_MAX_QUEUES},
	{"iothread", PROP_STRING, offsetof(struct option_device, iothread), 0, 0},
};

static const struct prop net_props[] = {
	{"id", PROP_STRING, offsetof(struct option_device, id), 0, 0},
	{"netdev", PROP_STRING, offsetof(struct option_device, netdev), 0, 0},
	{"mac", PROP_STRING, offsetof(struct option_device, mac_text), 0, 0},
	{"mtu", PROP_NUMBER, offsetof(struct option_device, mtu), MTU_MIN, UINT16_MAX},
	{"iothread", PROP_STRING, offsetof(struct option_device, iothread), 0, 0},
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

static const struct prop console_props[] = {
	{"id", PROP_STRING, offsetof(struct option_device, id), 0, 0},
	{"max_ports", PROP_NUMBER, offsetof(struct option_device, max_ports), 1,
	 DEV_CONSOLE_MAX_PORTS},
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
	{"virtio-serial-device", OPTION_DEVICE_CONSOLE, console_props, ARRAY_SIZE(console_props),
	 NULL},
};

static const char *name_by_place(struct options *o, struct err *err)
{
	char id[32];

	(void)snprintf(id, sizeof(id), "device%zu", o->ndevices);
	return options_copy(o, id, err);
}

static int add_device(struct options *o, size_t kind, char *props, struct err *err)
{
	struct option_device d = {
		.kind = device_kinds[kind].kind, .fd = -1, .listen_fd = -1, .agent_fd = -1};
	char what[64];
	int rc;

	(void)snprintf(what, sizeof(what), "-device %s", device_kinds[kind].name);
	rc = props_parse(props, NULL, device_kinds[kind].props, device_kinds[kind].nprops, &d, what,
			 err);
	if (rc == 0 && device_kinds[kind].check)
		rc = device_kinds[kind].check(&d, err);
	if (rc < 0)
		return rc;
	if (o->ndevices == OPTIONS_MAX_DEVICES)
		return err_say(err, E2BIG, "%s: too many devices", what);
	if (!d.id)
		d.id = name_by_place(o, err);
	if (!d.id)
		return -err->code;
	o->devices[o->ndevices++] = d;
	return 0;
}

static int parse_device(struct options *o, const char *arg, struct err *err)
{
	char *props = options_copy(o, arg, err);
	const char *name;

	if (!props)
		return -err->code;
	name = props_next(&props);
	if (!strcmp(name, "virtconsole"))
		return options_add_console(o, props, err);
	for (size_t i = 0; i < ARRAY_SIZE(device_kinds); i++) {
		if (!strcmp(device_kinds[i].name, name))
			return add_device(o, i, props, err);
	}
	return driver_refuse(name, err) < 0 ? err_wrap(err, "-device") : 0;
}

const struct option_object *options_object(const struct options *o, const char *type,
					   const char *id)
{
	for (size_t i = 0; i < o->nobjects; i++) {
		if (!strcmp(o->objects[i].type, type) && !strcmp(o->objects[i].id, id))
			return &o->objects[i];
	}
	return NULL;
}

static int parse_object(struct options *o, const char *arg, struct err *err)
{
	static const struct prop props[] = {
		{"qom-type", PROP_STRING, offsetof(struct option_object, type), 0, 0},
		{"id", PROP_STRING, offsetof(struct option_object, id), 0, 0},
		{"filename", PROP_STRING, offsetof(struct option_object, filename), 0, 0},
	};
	struct option_object object = {0};
	char *copy = options_copy(o, arg, err);
	int rc;

	if (!copy)
		return -err->code;
	rc = props_parse(copy, "qom-type", props, ARRAY_SIZE(props), &object, "-object", err);
	if (rc < 0)
		return rc;
	if (!object.type ||
	    (strcmp(object.type, "rng-random") != 0 && strcmp(object.type, "iothread") != 0))
		return err_say(err, EINVAL, "-object %s: there are rng-random and iothread", arg);
	if (!object.id)
		return err_say(err, EINVAL, "-object %s: id= is missing", arg);
	if (o->nobjects == OPTIONS_MAX_OBJECTS)
		return err_say(err, E2BIG, "-object %s: too many", arg);
	o->objects[o->nobjects++] = object;
	return 0;
}

static int check_object(const struct options *o, const char *type, const char *id, struct err *err)
{
	if (!id || options_object(o, type, id))
		return 0;
	return err_say(err, EINVAL, "-device: no -object %s has the id '%s'", type, id);
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

static int check_id(const struct options *o, size_t i, struct err *err)
{
	const char *id = o->devices[i].id;

	for (size_t j = 0; j < i; j++) {
		if (!strcmp(o->devices[j].id, id))
			return err_say(err, EINVAL, "-device: the id '%s' is used twice", id);
	}
	return 0;
}

int options_check_devices(const struct options *o, struct err *err)
{
	for (size_t i = 0; i < o->ndevices; i++) {
		const struct option_device *d = &o->devices[i];
		int rc = check_id(o, i, err);

		if (rc == 0 && (d->kind == OPTION_DEVICE_BLK || d->kind == OPTION_DEVICE_NET))
			rc = check_backend(o, i, err);
		if (rc == 0 && d->kind == OPTION_DEVICE_FS)
			rc = check_tree(o, d, err);
		if (rc == 0)
			rc = check_object(o, "rng-random", d->rng, err);
		if (rc == 0)
			rc = check_object(o, "iothread", d->iothread, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static const struct option table[] = {
	{"device", "KIND,KEY=VALUE,...",
	 "virtio-rng-device[,rng=ID], virtio-blk-device,drive=ID[,serial=S],\n"
	 "virtio-net-device,netdev=ID[,mac=A][,mtu=N],\n"
	 "virtio-fs-device,tag=T[,dir=PATH|fd=N][,readonly=on],\n"
	 "virtio-vsock-device,guest-cid=N[,path=P|listen-fd=N][,agent-fd=N],\n"
	 "virtio-serial-device, then virtconsole,chardev=ID[,nr=N]",
	 parse_device},
	{"object", "rng-random,id=ID[,filename=F] | iothread,id=ID",
	 "what a device may name; devices have threads of their own anyway,\n"
	 "and random numbers come from getrandom(2)",
	 parse_object},
};
const struct option_family options_of_devices = {table, ARRAY_SIZE(table)};
