/* virtconsole: a port of the virtio-serial-device before it, as QEMU has them. One such device is enough: it has many ports. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "vmm/options/family.h"

/* The machine's console device, NULL when none has been named yet. */
static const struct option_device *find_device(const struct options *o)
{
	for (size_t i = 0; i < o->ndevices; i++) {
		if (o->devices[i].kind == OPTION_DEVICE_CONSOLE)
			return &o->devices[i];
	}
	return NULL;
}

static bool is_taken(const struct options *o, int64_t nr)
{
	for (size_t i = 0; i < o->nports; i++) {
		if (o->ports[i].nr == nr)
			return true;
	}
	return false;
}

/* bus= is the device's id with ".0" behind it: its one bus. */
static bool is_bus_of(const struct option_device *d, const char *bus)
{
	size_t len = strlen(d->id);

	return !strncmp(bus, d->id, len) && !strcmp(bus + len, ".0");
}

static int check_port(const struct options *o, const struct option_port *p, struct err *err)
{
	const struct option_device *d = find_device(o);
	int64_t ports = d && d->max_ports ? d->max_ports : DEV_CONSOLE_MAX_PORTS;

	if (!d)
		return err_say(err, EINVAL,
			       "-device virtconsole: a virtio-serial-device has to come before it");
	if (!p->chardev)
		return err_say(err, EINVAL, "-device virtconsole: chardev= is missing");
	if (p->bus && !is_bus_of(d, p->bus))
		return err_say(err, EINVAL, "-device virtconsole: bus=%s is not '%s.0'", p->bus,
			       d->id);
	if (p->nr >= ports || o->nports == DEV_CONSOLE_MAX_PORTS)
		return err_say(err, EINVAL, "-device virtconsole: there are %lld ports, from 0",
			       (long long)ports);
	if (is_taken(o, p->nr))
		return err_say(err, EINVAL, "-device virtconsole: nr=%lld is taken",
			       (long long)p->nr);
	return 0;
}

static int64_t first_free(const struct options *o)
{
	int64_t nr = 0;

	while (is_taken(o, nr))
		nr++;
	return nr;
}

static int name_by_number(struct options *o, struct option_port *p, struct err *err)
{
	char id[32];

	(void)snprintf(id, sizeof(id), "virtconsole%lld", (long long)p->nr);
	p->id = options_copy(o, id, err);
	return p->id ? 0 : -err->code;
}

int options_add_console(struct options *o, char *text, struct err *err)
{
	static const struct prop props[] = {
		{"id", PROP_STRING, offsetof(struct option_port, id), 0, 0},
		{"chardev", PROP_STRING, offsetof(struct option_port, chardev), 0, 0},
		{"bus", PROP_STRING, offsetof(struct option_port, bus), 0, 0},
		{"nr", PROP_NUMBER, offsetof(struct option_port, nr), 0, INT32_MAX},
	};
	struct option_port p = {.nr = -1};
	int rc = props_parse(text, NULL, props, ARRAY_SIZE(props), &p, "-device virtconsole", err);

	if (rc < 0)
		return rc;
	if (p.nr < 0)
		p.nr = first_free(o);
	rc = check_port(o, &p, err);
	if (rc == 0 && !p.id)
		rc = name_by_number(o, &p, err);
	if (rc == 0)
		o->ports[o->nports++] = p;
	return rc;
}

/* Does something else go by the port's name? */
static int check_id(const struct options *o, size_t i, struct err *err)
{
	const char *id = o->ports[i].id;
	bool taken = false;

	for (size_t j = 0; j < i; j++)
		taken |= !strcmp(o->ports[j].id, id);
	for (size_t j = 0; j < o->ndevices; j++)
		taken |= !strcmp(o->devices[j].id, id);
	return taken ? err_say(err, EINVAL, "-device: the id '%s' is used twice", id) : 0;
}

int options_check_consoles(const struct options *o, struct err *err)
{
	const struct option_device *d = find_device(o);
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < o->ndevices; i++) {
		if (o->devices[i].kind == OPTION_DEVICE_CONSOLE && &o->devices[i] != d)
			rc = err_say(err, EINVAL,
				     "-device virtio-serial-device: one is enough: it has %d ports",
				     DEV_CONSOLE_MAX_PORTS);
	}
	for (size_t i = 0; rc == 0 && i < o->nports; i++) {
		rc = check_id(o, i, err);
		if (rc == 0 && !options_chardev(o, o->ports[i].chardev))
			rc = err_say(err, EINVAL,
				     "-device virtconsole: no -chardev has the id '%s'",
				     o->ports[i].chardev);
	}
	return rc;
}
