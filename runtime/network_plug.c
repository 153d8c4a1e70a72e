/*
 * Each way is a list of commands, sent one after the other. The tap goes along with the first as a descriptor (getfd); back end
 * and device have the nic's id.
 */
#include "runtime/network_plug.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "config/json.h"

#define PLUG_TIMEOUT_MS 10000

struct step {
	const char *command;
	struct json_object *(*arguments)(const struct network_nic *nic);
	bool with_tap;
	/* Takes the step before back when this one is refused; NULL: there is nothing. */
	const char *undo;
	struct json_object *(*undo_arguments)(const struct network_nic *nic);
};

struct plugging {
	struct qmp_client *qmp;
	const struct step *steps; /* ends with a NULL command */
	struct network_nic nic;
	network_fn fn;
	void *arg;
};

static void put(struct json_object *o, const char *key, const char *value)
{
	(void)json_object_object_add(o, key, json_object_new_string(value));
}

static struct json_object *one(const char *key, const char *value)
{
	struct json_object *o = json_object_new_object();

	put(o, key, value);
	return o;
}

static struct json_object *fd_name(const struct network_nic *nic)
{
	return one("fdname", nic->id);
}

static struct json_object *id(const struct network_nic *nic)
{
	return one("id", nic->id);
}

static struct json_object *netdev(const struct network_nic *nic)
{
	struct json_object *o = id(nic);

	put(o, "type", "tap");
	put(o, "fd", nic->id);
	return o;
}

static struct json_object *device(const struct network_nic *nic)
{
	const uint8_t *m = nic->mac;
	struct json_object *o = id(nic);
	char text[24];

	(void)snprintf(text, sizeof(text), "%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3],
		       m[4], m[5]);
	put(o, "driver", "virtio-net-device");
	put(o, "netdev", nic->id);
	put(o, "mac", text);
	(void)snprintf(text, sizeof(text), "%d", nic->addr);
	put(o, "addr", text);
	return o;
}

static const struct step plug_steps[] = {
	{"getfd", fd_name, true, NULL, NULL},
	{"netdev_add", netdev, false, "closefd", fd_name},
	{"device_add", device, false, "netdev_del", id},
	{NULL, NULL, false, NULL, NULL},
};

static const struct step unplug_steps[] = {
	{"device_del", id, false, NULL, NULL},
	{"netdev_del", id, false, NULL, NULL},
	{NULL, NULL, false, NULL, NULL},
};

static void next_step(struct plugging *p);

static void ignore_reply(void *arg, const struct err *status, struct json_object *result)
{
	(void)arg;
	(void)status;
	(void)result;
}

/* Only where the vmm has refused: one that is gone has nothing left. */
static void take_back(const struct plugging *p, const struct err *status)
{
	const struct step *refused = p->steps - 1;

	if (refused->undo &&
	    (status->code == EIO || status->code == ENODEV || status->code == ENOSYS))
		qmp_client_call(p->qmp, refused->undo, refused->undo_arguments(&p->nic), -1,
				PLUG_TIMEOUT_MS, ignore_reply, NULL);
}

static void on_reply(void *arg, const struct err *status, struct json_object *result)
{
	struct plugging *p = arg;

	(void)result;
	if (!status->code && p->steps->command) {
		next_step(p);
		return;
	}
	if (status->code)
		take_back(p, status);
	const struct plugging done = *p;

	free(p);
	done.fn(done.arg, status);
}

static void next_step(struct plugging *p)
{
	const struct step *step = p->steps++;

	qmp_client_call(p->qmp, step->command, step->arguments(&p->nic),
			step->with_tap ? p->nic.tap_fd : -1, PLUG_TIMEOUT_MS, on_reply, p);
}

static void run(struct qmp_client *qmp, const struct step *steps, const struct network_nic *nic,
		network_fn fn, void *arg)
{
	struct plugging *p = qmp ? malloc(sizeof(*p)) : NULL;
	struct err err = ERR_INIT;

	if (!p) {
		(void)err_set(&err, qmp ? ENOMEM : ENOTCONN, "ask the vmm");
		fn(arg, &err);
		return;
	}
	*p = (struct plugging){qmp, steps, *nic, fn, arg};
	next_step(p);
}

void network_plug(struct qmp_client *qmp, const struct network_nic *nic, network_fn fn, void *arg)
{
	run(qmp, plug_steps, nic, fn, arg);
}

void network_unplug(struct qmp_client *qmp, const struct network_nic *nic, network_fn fn, void *arg)
{
	run(qmp, unplug_steps, nic, fn, arg);
}
