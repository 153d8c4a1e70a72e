/* What devices are the front of: drives, network back ends, and sets of inherited descriptors. */
#include <errno.h>
#include <string.h>

#include "vmm/dev/dev.h"
#include "vmm/options/family.h"
#include "vmm/tap.h"

const struct option_drive *options_drive(const struct options *o, const char *id)
{
	for (size_t i = 0; i < o->ndrives; i++) {
		if (!strcmp(o->drives[i].id, id))
			return &o->drives[i];
	}
	return NULL;
}

static int check_drive(const struct options *o, const struct option_drive *d, const char *arg,
		       struct err *err)
{
	enum block_aio aio;

	if (!d->id)
		return err_say(err, EINVAL, "-drive %s: id= is missing", arg);
	if ((d->file != NULL) == (d->fd >= 0))
		return err_say(err, EINVAL, "-drive %s: either file= or fd= is needed", arg);
	if (d->format && strcmp(d->format, "raw") != 0)
		return err_say(err, EINVAL, "-drive %s: format=raw is all there is", arg);
	if (d->interface && strcmp(d->interface, "none") != 0)
		return err_say(err, EINVAL,
			       "-drive %s: if=none is all there is: -device plugs the drive in",
			       arg);
	if (d->serial && strlen(d->serial) > 20)
		return err_say(err, EINVAL, "-drive %s: serial= has more than 20 bytes", arg);
	if (options_drive(o, d->id))
		return err_say(err, EINVAL, "-drive %s: the id is taken", arg);
	if (d->aio && block_aio_parse(d->aio, &aio, err) < 0)
		return err_wrap(err, "-drive %s", arg);
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
		{"if", PROP_STRING, offsetof(struct option_drive, interface), 0, 0},
		{"readonly", PROP_BOOL, offsetof(struct option_drive, readonly), 0, 0},
		{"direct", PROP_BOOL, offsetof(struct option_drive, direct), 0, 0},
		{"cache.direct", PROP_BOOL, offsetof(struct option_drive, direct), 0, 0},
		{"aio", PROP_STRING, offsetof(struct option_drive, aio), 0, 0},
	};
	struct option_drive d = {.fd = -1};
	char *copy = options_copy(o, arg, err);
	int rc;

	if (!copy)
		return -err->code;
	rc = props_parse(copy, NULL, props, ARRAY_SIZE(props), &d, "-drive", err);
	if (rc == 0)
		rc = check_drive(o, &d, arg, err);
	if (rc < 0)
		return rc;
	if (o->ndrives == OPTIONS_MAX_DRIVES)
		return err_say(err, E2BIG, "-drive %s: too many drives", arg);
	o->drives[o->ndrives++] = d;
	return 0;
}

const struct option_netdev *options_netdev(const struct options *o, const char *id)
{
	for (size_t i = 0; i < o->nnetdevs; i++) {
		if (!strcmp(o->netdevs[i].id, id))
			return &o->netdevs[i];
	}
	return NULL;
}

static bool is_script(const char *script)
{
	return script && strcmp(script, "no") != 0;
}

static int check_netdev(const struct options *o, const struct option_netdev *n, const char *arg,
			struct err *err)
{
	int fds[DEV_NET_MAX_PAIRS];
	unsigned count = 1;

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
	if (n->queues > 0 && !n->ifname && n->queues != (int64_t)count)
		return err_say(err, EINVAL, "-netdev %s: queues= does not fit the descriptors",
			       arg);
	if (n->vhost)
		return err_say(err, EINVAL, "-netdev %s: vhost=off is all there is", arg);
	if (is_script(n->script) || is_script(n->downscript))
		return err_say(err, EINVAL, "-netdev %s: scripts are not run: script=no", arg);
	if (options_netdev(o, n->id))
		return err_say(err, EINVAL, "-netdev %s: the id is taken", arg);
	return 0;
}

static int parse_netdev(struct options *o, const char *arg, struct err *err)
{
	static const struct prop props[] = {
		{"type", PROP_STRING, offsetof(struct option_netdev, type), 0, 0},
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
	char *copy = options_copy(o, arg, err);
	int rc;

	if (!copy)
		return -err->code;
	rc = props_parse(copy, "type", props, ARRAY_SIZE(props), &n, "-netdev", err);
	if (rc == 0)
		rc = check_netdev(o, &n, arg, err);
	if (rc < 0)
		return rc;
	if (o->nnetdevs == OPTIONS_MAX_NETDEVS)
		return err_say(err, E2BIG, "-netdev %s: too many", arg);
	o->netdevs[o->nnetdevs++] = n;
	return 0;
}

static int parse_add_fd(struct options *o, const char *arg, struct err *err)
{
	static const struct prop props[] = {
		{"fd", PROP_FD, offsetof(struct option_fd, fd), 0, 0},
		{"set", PROP_NUMBER, offsetof(struct option_fd, set), 0, INT32_MAX},
		{"opaque", PROP_STRING, offsetof(struct option_fd, opaque), 0, 0},
	};
	struct option_fd f = {.fd = -1, .set = -1};
	char *copy = options_copy(o, arg, err);
	int rc;

	if (!copy)
		return -err->code;
	rc = props_parse(copy, NULL, props, ARRAY_SIZE(props), &f, "-add-fd", err);
	if (rc < 0)
		return rc;
	if (f.fd < 0 || f.set < 0)
		return err_say(err, EINVAL, "-add-fd %s: fd= and set= are needed", arg);
	if (o->nfds == OPTIONS_MAX_FDS)
		return err_say(err, E2BIG, "-add-fd %s: too many", arg);
	o->fds[o->nfds++] = f;
	return 0;
}

static const struct option table[] = {
	{"drive", "id=ID,file=PATH|fd=N[,KEY=VALUE...]",
	 "a disk for virtio-blk-device: serial=S, readonly=on, direct=on,\n"
	 "aio=io_uring|threads|native",
	 parse_drive},
	{"netdev", "tap,id=ID,ifname=NAME[,queues=N]|fd=N|fds=N:N...[,vhost=off]",
	 "a tap for virtio-net-device", parse_netdev},
	{"add-fd", "fd=N,set=M[,opaque=TEXT]", "file names /dev/fdset/M open this descriptor",
	 parse_add_fd},
};
const struct option_family options_of_backends = {table, ARRAY_SIZE(table)};
