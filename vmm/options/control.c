/* Who talks with the engine and with the guest: QMP, the monitor, character devices, the console. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/own.h"
#include "base/str.h"
#include "vmm/options/family.h"

const struct option_chardev *options_chardev(const struct options *o, const char *id)
{
	for (size_t i = 0; i < o->nchardevs; i++) {
		if (!strcmp(o->chardevs[i].id, id))
			return &o->chardevs[i];
	}
	return NULL;
}

static int check_chardev(const struct option_chardev *c, const char *what, struct err *err)
{
	if (!strcmp(c->kind, "null") || !strcmp(c->kind, "stdio"))
		return 0;
	if (!strcmp(c->kind, "file"))
		return c->path ? 0 : err_say(err, EINVAL, "%s: path= is missing", what);
	if (strcmp(c->kind, "socket") != 0)
		return err_say(err, EINVAL, "%s: there are null, file, stdio and socket", what);
	if ((c->path != NULL) == (c->fd >= 0))
		return err_say(err, EINVAL, "%s: either path= or fd= is needed", what);
	if (!c->server || c->wait)
		return err_say(err, EINVAL,
			       "%s: it listens, and the guest does not wait for anybody: "
			       "server=on,wait=off",
			       what);
	return 0;
}

static int add_chardev(struct options *o, const struct option_chardev *c, const char *what,
		       struct err *err)
{
	int rc = check_chardev(c, what, err);

	if (rc < 0)
		return rc;
	if (options_chardev(o, c->id))
		return err_say(err, EINVAL, "%s: the id '%s' is taken", what, c->id);
	if (o->nchardevs == OPTIONS_MAX_CHARDEVS)
		return err_say(err, E2BIG, "%s: too many", what);
	o->chardevs[o->nchardevs++] = *c;
	return 0;
}

static int parse_chardev(struct options *o, const char *arg, struct err *err)
{
	static const struct prop props[] = {
		{"backend", PROP_STRING, offsetof(struct option_chardev, kind), 0, 0},
		{"id", PROP_STRING, offsetof(struct option_chardev, id), 0, 0},
		{"path", PROP_STRING, offsetof(struct option_chardev, path), 0, 0},
		{"fd", PROP_FD, offsetof(struct option_chardev, fd), 0, 0},
		{"server", PROP_BOOL, offsetof(struct option_chardev, server), 0, 0},
		{"wait", PROP_BOOL, offsetof(struct option_chardev, wait), 0, 0},
		{"append", PROP_BOOL, offsetof(struct option_chardev, append), 0, 0},
	};
	struct option_chardev c = {.fd = -1, .wait = true};
	char *copy = options_copy(o, arg, err);
	int rc;

	if (!copy)
		return -err->code;
	rc = props_parse(copy, "backend", props, ARRAY_SIZE(props), &c, "-chardev", err);
	if (rc < 0)
		return rc;
	if (!c.kind || !c.id)
		return err_say(err, EINVAL, "-chardev %s: a kind and id= are needed", arg);
	return add_chardev(o, &c, "-chardev", err);
}

/* What QMP is spoken over. */
static int add_monitor(struct options *o, const char *chardev, struct err *err)
{
	if (o->nmonitors == OPTIONS_MAX_MONITORS)
		return err_say(err, E2BIG, "QMP can listen at %d sockets", OPTIONS_MAX_MONITORS);
	o->monitors[o->nmonitors++] = chardev;
	return 0;
}

struct mon {
	const char *chardev, *mode, *id;
	bool pretty;
};

static int parse_mon(struct options *o, const char *arg, struct err *err)
{
	static const struct prop props[] = {
		{"chardev", PROP_STRING, offsetof(struct mon, chardev), 0, 0},
		{"mode", PROP_STRING, offsetof(struct mon, mode), 0, 0},
		{"id", PROP_STRING, offsetof(struct mon, id), 0, 0},
		{"pretty", PROP_BOOL, offsetof(struct mon, pretty), 0, 0},
	};
	struct mon m = {0};
	char *copy = options_copy(o, arg, err);
	int rc;

	if (!copy)
		return -err->code;
	rc = props_parse(copy, "chardev", props, ARRAY_SIZE(props), &m, "-mon", err);
	if (rc < 0)
		return rc;
	if (!m.chardev || !m.mode || strcmp(m.mode, "control") != 0)
		return err_say(
			err, EINVAL,
			"-mon %s: chardev= and mode=control are needed: the human monitor is not "
			"there",
			arg);
	return add_monitor(o, m.chardev, err);
}

/* "unix:PATH,server,nowait": short for a chardev and a -mon. */
static int parse_qmp(struct options *o, const char *arg, struct err *err)
{
	static const struct prop props[] = {
		{"path", PROP_STRING, offsetof(struct option_chardev, path), 0, 0},
		{"fd", PROP_FD, offsetof(struct option_chardev, fd), 0, 0},
		{"server", PROP_BOOL, offsetof(struct option_chardev, server), 0, 0},
		{"wait", PROP_BOOL, offsetof(struct option_chardev, wait), 0, 0},
	};
	struct option_chardev c = {.kind = "socket", .fd = -1, .wait = true};
	char id[32];
	char *copy;
	int rc;

	if (!str_starts(arg, "unix:"))
		return err_say(err, EINVAL, "-qmp %s: unix:PATH,server,nowait is needed", arg);
	copy = options_copy(o, arg + strlen("unix:"), err);
	if (!copy)
		return -err->code;
	rc = props_parse(copy, "path", props, ARRAY_SIZE(props), &c, "-qmp", err);
	if (rc < 0)
		return rc;
	(void)snprintf(id, sizeof(id), "compat_monitor%zu", o->nmonitors);
	c.id = options_copy(o, id, err);
	if (!c.id)
		return -err->code;
	rc = add_chardev(o, &c, "-qmp", err);
	return rc < 0 ? rc : add_monitor(o, c.id, err);
}

static int parse_serial(struct options *o, const char *arg, struct err *err)
{
	static const struct {
		const char *prefix;
		enum option_serial_kind kind;
	} with_name[] = {{"file:", SERIAL_FILE}, {"chardev:", SERIAL_CHARDEV}};

	if (!strcmp(arg, "none") || !strcmp(arg, "stdio")) {
		o->serial = *arg == 'n' ? SERIAL_NONE : SERIAL_STDIO;
		return 0;
	}
	for (size_t i = 0; i < ARRAY_SIZE(with_name); i++) {
		size_t len = strlen(with_name[i].prefix);

		if (!str_starts(arg, with_name[i].prefix) || !arg[len])
			continue;
		o->serial = with_name[i].kind;
		o->serial_path = arg + len;
		return 0;
	}
	if (!str_starts(arg, "fd:"))
		return err_say(
			err, EINVAL,
			"-serial %s: none, stdio, file:PATH, chardev:ID or fd:NUMBER is needed",
			arg);
	o->serial = SERIAL_FD;
	return options_fd("serial", arg + 3, &o->serial_fd, err);
}

static int parse_monitor_fd(struct options *o, const char *arg, struct err *err)
{
	return options_fd("monitor-fd", arg, &o->monitor_fd, err);
}

int options_check_control(const struct options *o, struct err *err)
{
	for (size_t i = 0; i < o->nmonitors; i++) {
		const struct option_chardev *c = options_chardev(o, o->monitors[i]);

		if (!c || strcmp(c->kind, "socket") != 0)
			return err_say(err, EINVAL, "-mon: no -chardev socket has the id '%s'",
				       o->monitors[i]);
		for (size_t j = 0; j < i; j++) {
			if (!strcmp(o->monitors[j], o->monitors[i]))
				return err_say(err, EINVAL, "-mon: the chardev '%s' is used twice",
					       o->monitors[i]);
		}
	}
	if (o->serial == SERIAL_CHARDEV) {
		const struct option_chardev *c = options_chardev(o, o->serial_path);

		if (!c || !strcmp(c->kind, "socket"))
			return err_say(
				err, EINVAL,
				"-serial: no -chardev of kind file, stdio or null has the id '%s'",
				o->serial_path);
	}
	return 0;
}

static const struct option table[] = {
	{"qmp", "unix:PATH|unix:fd=N,server,nowait", "QMP is spoken to who connects there",
	 parse_qmp},
	{"mon", "chardev=ID,mode=control", "the same over a chardev", parse_mon},
	{"chardev",
	 "socket,id=ID,path=P|fd=N,server=on,wait=off | file,id=ID,path=P | "
	 "stdio,id=ID | null,id=ID",
	 "a character device, for -mon, -serial and virtconsole", parse_chardev},
	{"serial", "stdio|file:PATH|chardev:ID|fd:N|none", "where the console goes (none)",
	 parse_serial},
	{"monitor-fd", "N", "QMP is spoken over this socket; its end is ours", parse_monitor_fd},
};
const struct option_family options_of_control = {table, ARRAY_SIZE(table)};
