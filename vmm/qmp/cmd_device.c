/*
 * device_add and device_del: disks and network interfaces into spare slots, vCPUs on and off line. A device that was there
 * from the start stays.
 */
#include "vmm/qmp/internal.h"

#include <errno.h>
#include <string.h>

#include "base/str.h"
#include "vmm/drivers.h"
#include "vmm/open.h"
#include "vmm/tap.h"

#define STRATOVIRT_DISK "virtio-blk-mmio"

int qmp_number(struct qmp_call *call, const char *key, int64_t max, int64_t *out, struct err *err)
{
	struct json_object *value = qj_get(call->args, key);
	int64_t number = -1;

	*out = -1;
	if (!value)
		return 0;
	if (json_object_is_type(value, json_type_int))
		number = json_object_get_int64(value);
	else if (json_object_is_type(value, json_type_string) &&
		 str_to_i64(json_object_get_string(value), 0, max, &number) < 0)
		number = -1;
	if (number < 0 || number > max)
		return err_say(err, EINVAL, "'%s': a number from 0 to %lld is needed", key,
			       (long long)max);
	*out = number;
	return 0;
}

static int slot_of(struct qmp_call *call, int64_t *out, struct err *err)
{
	return qmp_number(call, "addr", MACHINE_MAX_DEVICES - 1, out, err);
}

/* As on the command line: what is named has to be there. */
static int iothread_of(struct qmp_call *call, const char **out, struct err *err)
{
	const struct qmp_engine *engine = &call->qmp->engine;

	*out = qj_str(call->args, "iothread");
	if (!*out || engine->ops->has_iothread(engine->self, *out))
		return 0;
	return err_say(err, ENOENT, "device_add: no -object iothread has the id '%.64s'", *out);
}

/* The back end is its user's until it is released; so is what the machine does not take. */
static int plug_blk(struct qmp_call *call, const char *id, struct err *err)
{
	const struct qmp_engine *engine = &call->qmp->engine;
	const char *name = qj_str(call->args, "drive");
	const char *serial = qj_str(call->args, "serial");
	struct machine_device d = {.kind = DEVICE_BLK, .id = id, .blk.fd = -1};
	struct backend *drive = NULL;
	int64_t addr;
	int rc = slot_of(call, &addr, err);

	if (rc == 0)
		rc = iothread_of(call, &d.iothread, err);
	if (rc == 0 && !name)
		rc = err_say(err, EINVAL, "device_add: a disk needs 'drive', of blockdev-add");
	if (rc == 0)
		rc = backends_claim(engine->backends, BACKEND_DRIVE, name, id, &drive, err);
	if (rc < 0)
		return rc;
	rc = open_blk_params(drive, serial, &d.blk, err);
	if (rc == 0)
		rc = engine->ops->plug(engine->self, &d, (int)addr, err);
	if (rc == 0)
		return 0;
	own_close(&d.blk.fd);
	backends_release(engine->backends, id);
	return rc;
}

static int plug_net(struct qmp_call *call, const char *id, struct err *err)
{
	const struct qmp_engine *engine = &call->qmp->engine;
	const char *name = qj_str(call->args, "netdev");
	const char *mac = qj_str(call->args, "mac");
	struct machine_device d = {.kind = DEVICE_NET, .id = id};
	struct backend *netdev = NULL;
	int64_t addr;
	int rc = slot_of(call, &addr, err);

	if (rc == 0)
		rc = iothread_of(call, &d.iothread, err);
	if (rc == 0 && !name)
		rc = err_say(err, EINVAL,
			     "device_add: a network interface needs 'netdev', of netdev_add");
	if (rc == 0 && mac && tap_parse_mac(mac, d.net.mac) < 0)
		rc = err_say(err, EINVAL,
			     "device_add: 'mac': an address like 52:54:00:12:34:56 is needed");
	if (rc == 0)
		rc = backends_claim(engine->backends, BACKEND_NETDEV, name, id, &netdev, err);
	if (rc < 0)
		return rc;
	rc = open_net_taps(netdev, &d.net, err);
	if (rc == 0)
		rc = engine->ops->plug(engine->self, &d, (int)addr, err);
	if (rc == 0)
		return 0;
	while (d.net.ntaps > 0)
		own_close(&d.net.tap_fds[--d.net.ntaps]);
	backends_release(engine->backends, id);
	return rc;
}

static const struct {
	const char *name;
	int (*plug)(struct qmp_call *call, const char *id, struct err *err);
} drivers[] = {
	{STRATOVIRT_DISK, plug_blk},
	{"virtio-blk-device", plug_blk},
	{"virtio-net-mmio", plug_net},
	{"virtio-net-device", plug_net},
};

static struct qmp_plugged *find(struct qmp *qmp, const char *id)
{
	for (size_t i = 0; i < qmp->nplugged; i++) {
		if (!strcmp(qmp->plugged[i].id, id))
			return &qmp->plugged[i];
	}
	return NULL;
}

/*
 * StratoVirt's form, by its name for the driver, which QEMU does not have: device and drive are one, come by two commands and
 * go by one.
 */
static bool takes_drive(struct qmp_call *call, const char *id)
{
	const char *drive = qj_str(call->args, "drive");

	return !strcmp(qj_str(call->args, "driver"), STRATOVIRT_DISK) && drive &&
	       !strcmp(drive, id);
}

static int plug(struct qmp_call *call, const char *id, int64_t *vcpu, struct err *err)
{
	const char *driver = qj_str(call->args, "driver");

	*vcpu = -1;
	if (!strcmp(driver, QMP_VCPU_DRIVER))
		return qmp_vcpu_plug(call, id, vcpu, err);
	for (size_t i = 0; i < ARRAY_SIZE(drivers); i++) {
		if (!strcmp(drivers[i].name, driver))
			return drivers[i].plug(call, id, err);
	}
	return driver_refuse(driver, err);
}

/* Does a device of the command line, which has a back end at least, go by that name? */
static bool is_old(const struct qmp *qmp, const char *id)
{
	const struct backends *b = qmp->engine.backends;

	for (size_t i = 0; i < b->n; i++) {
		if (!strcmp(b->list[i]->user, id))
			return true;
	}
	return false;
}

/* What has no name gets one that no client can have given: a name begins with a letter. */
static const char *id_of(struct qmp_call *call, char made[32])
{
	const char *id = qj_str(call->args, "id");

	if (!id)
		(void)snprintf(made, 32, "#device%u", call->qmp->unnamed++);
	return id ? id : made;
}

int qmp_device_add(struct qmp_call *call, struct err *err)
{
	struct qmp *qmp = call->qmp;
	char made[32];
	const char *id = id_of(call, made);
	struct qmp_plugged *entry = &qmp->plugged[qmp->nplugged];
	int64_t vcpu;
	int rc;

	if (!*id || strlen(id) >= BACKEND_ID_BYTES)
		return err_say(err, EINVAL, "'id': 1 to %d bytes are needed", BACKEND_ID_BYTES - 1);
	if (find(qmp, id) || is_old(qmp, id))
		return err_say(err, EEXIST, "there is a device '%s' already", id);
	if (qmp->nplugged == QMP_MAX_PLUGGED)
		return err_say(err, E2BIG, "%d devices were added already", QMP_MAX_PLUGGED);
	rc = plug(call, id, &vcpu, err);
	if (rc < 0)
		return rc;
	(void)snprintf(entry->id, sizeof(entry->id), "%s", id);
	entry->vcpu = vcpu;
	entry->leaving = false;
	entry->takes_drive = takes_drive(call, id);
	qmp->nplugged++;
	return 0;
}

struct json_object *qmp_device_data(const char *id)
{
	struct json_object *data = json_object_new_object();
	char path[BACKEND_ID_BYTES + 32];

	(void)snprintf(path, sizeof(path), "/machine/peripheral/%s", id);
	qj_put_str(data, "device", id);
	qj_put_str(data, "path", path);
	return data;
}

void qmp_forget_plugged(struct qmp *qmp, struct qmp_plugged *entry)
{
	struct json_object *data = qmp_device_data(entry->id);
	struct backends *backends = qmp->engine.backends;

	backends_release(backends, entry->id);
	if (entry->takes_drive)
		backends_drop(backends, backends_find(backends, BACKEND_DRIVE, entry->id));
	*entry = qmp->plugged[--qmp->nplugged];
	qmp_emit(qmp, "DEVICE_DELETED", data);
}

int qmp_device_del(struct qmp_call *call, struct err *err)
{
	struct qmp *qmp = call->qmp;
	const struct qmp_engine *engine = &qmp->engine;
	const char *id = qj_str(call->args, "id");
	struct qmp_plugged *entry = find(qmp, id);
	int rc;

	if (!entry && is_old(qmp, id))
		return err_say(err, ENOTSUP,
			       "the device '%.64s' was there at the start: it cannot be unplugged",
			       id);
	if (!entry) {
		call->error_class = QMP_DEVICE_NOT_FOUND;
		return err_say(err, ENOENT, "there is no device '%.64s'", id);
	}
	if (entry->vcpu >= 0)
		return qmp_vcpu_unplug(call, entry, err);
	rc = engine->ops->unplug(engine->self, id, err);
	if (rc == 0)
		qmp_forget_plugged(qmp, entry);
	return rc;
}
