/* Opens what the options name. */
#include "vmm/machine_config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/own.h"
#include "vmm/open.h"
#include "vmm/tap.h"

/* A descriptor that both reads and writes (a socket, a terminal) takes input too. */
static int input_side(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	return flags >= 0 && (flags & O_ACCMODE) == O_RDWR ? fd : -1;
}

static int open_fds(const struct options *o, struct backends *b, struct err *err)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < o->nfds; i++) {
		const struct fdset_fd *entry;
		int fd = -1;

		rc = open_adopt(o->fds[i].fd, "-add-fd", &fd, err);
		if (rc == 0)
			rc = fdsets_add(&b->fdsets, o->fds[i].set, fd, o->fds[i].opaque, &entry,
					err);
	}
	return rc;
}

int machine_config_open_early(const struct options *o, const char *path, int flags,
			      const char *what, int *out, struct err *err)
{
	struct fdsets lent = {0};

	for (; lent.n < o->nfds; lent.n++)
		lent.fds[lent.n] =
			(struct fdset_fd){.set = o->fds[lent.n].set, .fd = (int)o->fds[lent.n].fd};
	return open_path(&lent, path, flags, what, out, err);
}

static int open_drives(const struct options *o, struct backends *b, struct err *err)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < o->ndrives; i++) {
		const struct option_drive *d = &o->drives[i];
		struct open_drive params = {.id = d->id,
					    .serial = d->serial,
					    .readonly = d->readonly,
					    .direct = d->direct,
					    .from_start = true,
					    .fd = d->fd};

		if (d->aio)
			rc = block_aio_parse(d->aio, &params.aio, err);
		if (rc == 0)
			rc = open_drive(b, &params, d->file ? d->file : "", "-drive", err);
	}
	return rc;
}

static int adopt_taps(const struct option_netdev *n, struct backend *netdev, struct err *err)
{
	int numbers[DEV_NET_MAX_PAIRS];
	unsigned count = 1;
	int rc = 0;

	if (n->fds)
		rc = tap_parse_fds(n->fds, numbers, DEV_NET_MAX_PAIRS, &count);
	else
		numbers[0] = (int)n->fd;
	if (rc < 0)
		return err_set(err, -rc, "-netdev tap: fds=%s", n->fds);
	for (; rc == 0 && netdev->ntaps < count; netdev->ntaps += rc == 0)
		rc = open_adopt(numbers[netdev->ntaps], "-netdev tap",
				&netdev->tap_fds[netdev->ntaps], err);
	return rc;
}

static int open_netdev(const struct option_netdev *n, struct backends *b, struct err *err)
{
	unsigned queues = n->queues > 0 ? (unsigned)n->queues : 1;
	struct backend *netdev = NULL;
	int rc = backends_add(b, BACKEND_NETDEV, n->id, n->ifname ? n->ifname : "", &netdev, err);

	if (rc < 0)
		return err_wrap(err, "-netdev");
	netdev->type = "tap";
	if (!n->ifname)
		return adopt_taps(n, netdev, err);
	rc = tap_open(n->ifname, queues, netdev->tap_fds, err);
	if (rc < 0)
		return err_wrap(err, "-netdev tap");
	netdev->ntaps = queues;
	return 0;
}

static int open_chardevs(const struct options *o, struct backends *b, struct err *err)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < o->nchardevs; i++) {
		const struct option_chardev *c = &o->chardevs[i];
		const struct open_chardev params = {.id = c->id,
						    .kind = c->kind,
						    .path = c->path,
						    .fd = c->fd,
						    .append = c->append};

		rc = open_chardev(b, &params, "-chardev", err);
	}
	return rc;
}

static int open_backends(const struct options *o, struct backends *b, struct err *err)
{
	int rc = open_fds(o, b, err);

	if (rc == 0)
		rc = open_drives(o, b, err);
	for (size_t i = 0; rc == 0 && i < o->nnetdevs; i++)
		rc = open_netdev(&o->netdevs[i], b, err);
	if (rc == 0)
		rc = open_chardevs(o, b, err);
	return rc;
}

static int open_serial_chardev(const char *id, struct backends *b, struct machine_config *c,
			       struct err *err)
{
	struct backend *chardev = NULL;
	int rc = backends_claim(b, BACKEND_CHARDEV, id, "serial0", &chardev, err);

	if (rc < 0)
		return err_wrap(err, "-serial");
	if (chardev->fd < 0)
		return 0;
	c->serial_in_fd = chardev->in_fd;
	return open_duplicate(chardev->fd, "-serial", &c->serial_out_fd, err);
}

static int open_serial(const struct options *o, struct backends *b, struct machine_config *c,
		       struct err *err)
{
	int rc = 0;

	c->serial = o->serial != SERIAL_NONE;
	switch (o->serial) {
	case SERIAL_NONE:
		break;
	case SERIAL_STDIO:
		c->serial_out_fd = STDOUT_FILENO;
		c->serial_in_fd = STDIN_FILENO;
		break;
	case SERIAL_FILE:
		rc = open_path(&b->fdsets, o->serial_path, O_WRONLY | O_CREAT | O_APPEND, "-serial",
			       &c->serial_out_fd, err);
		break;
	case SERIAL_FD:
		rc = open_adopt(o->serial_fd, "-serial", &c->serial_out_fd, err);
		if (rc == 0)
			c->serial_in_fd = input_side(c->serial_out_fd);
		break;
	case SERIAL_CHARDEV:
		rc = open_serial_chardev(o->serial_path, b, c, err);
		break;
	}
	return rc;
}

static int open_blk(const struct option_device *d, struct backends *b, struct dev_blk_params *p,
		    struct err *err)
{
	struct backend *drive = NULL;
	int rc = backends_claim(b, BACKEND_DRIVE, d->drive, d->id, &drive, err);

	if (rc == 0)
		rc = open_blk_params(drive, d->serial, p, err);
	if (rc == 0)
		p->queues = (uint16_t)d->num_queues;
	return rc;
}

static int open_net(const struct option_device *d, struct backends *b, struct dev_net_params *p,
		    struct err *err)
{
	struct backend *netdev = NULL;
	int rc = backends_claim(b, BACKEND_NETDEV, d->netdev, d->id, &netdev, err);

	if (rc < 0)
		return rc;
	memcpy(p->mac, d->mac, sizeof(p->mac));
	p->mtu = (uint16_t)d->mtu;
	return open_net_taps(netdev, p, err);
}

static int open_fs(const struct option_device *d, const struct backends *b, struct dev_fs_params *p,
		   struct err *err)
{
	p->readonly = d->readonly;
	p->proc_fd = -1;
	(void)snprintf(p->tag, sizeof(p->tag), "%s", d->tag);
	if (d->dir)
		return open_path(&b->fdsets, d->dir, O_PATH | O_DIRECTORY,
				 "-device virtio-fs-device", &p->root_fd, err);
	return open_adopt_if_given(d->fd, "-device virtio-fs-device", &p->root_fd, err);
}

static int open_vsock(const struct option_device *d, struct dev_vsock_params *p, struct err *err)
{
	static const char what[] = "-device virtio-vsock-device";
	int rc = open_adopt_if_given(d->listen_fd, what, &p->listen_fd, err);

	p->guest_cid = (uint32_t)d->guest_cid;
	if (rc == 0)
		rc = open_adopt_if_given(d->agent_fd, what, &p->agent_fd, err);
	if (rc == 0 && d->path)
		rc = open_listener(d->path, what, &p->listen_fd, err);
	return rc;
}

/* The back ends keep their descriptors: the device works on duplicates. */
static int open_consoles(const struct options *o, struct backends *b, struct dev_console_params *p,
			 struct err *err)
{
	int rc = 0;

	p->nports = 1;
	for (size_t i = 0; rc == 0 && i < o->nports; i++) {
		const struct option_port *port = &o->ports[i];
		struct backend *chardev = NULL;

		rc = backends_claim(b, BACKEND_CHARDEV, port->chardev, port->id, &chardev, err);
		if (rc < 0)
			return err_wrap(err, "-device virtconsole");
		bool listens = !strcmp(chardev->type, "socket");

		p->ports[port->nr] = (struct dev_console_port){
			.present = true,
			.listen_fd = listens ? chardev->fd : -1,
			.out_fd = listens ? -1 : chardev->fd,
			.in_fd = chardev->in_fd,
		};
		if (port->nr >= p->nports)
			p->nports = (uint16_t)(port->nr + 1);
	}
	return rc;
}

/* The kind comes first and descriptors are -1 before anything can fail, so that done knows what to close. */
static int open_device(const struct options *o, const struct option_device *from,
		       struct backends *b, struct machine_device *to, struct err *err)
{
	switch (from->kind) {
	case OPTION_DEVICE_RNG:
		to->kind = DEVICE_RNG;
		return 0;
	case OPTION_DEVICE_BLK:
		to->kind = DEVICE_BLK;
		to->blk.fd = -1;
		return open_blk(from, b, &to->blk, err);
	case OPTION_DEVICE_NET:
		to->kind = DEVICE_NET;
		return open_net(from, b, &to->net, err);
	case OPTION_DEVICE_FS:
		to->kind = DEVICE_FS;
		to->fs.root_fd = -1;
		return open_fs(from, b, &to->fs, err);
	case OPTION_DEVICE_VSOCK:
		to->kind = DEVICE_VSOCK;
		to->vsock.listen_fd = to->vsock.agent_fd = -1;
		return open_vsock(from, &to->vsock, err);
	case OPTION_DEVICE_CONSOLE:
		to->kind = DEVICE_CONSOLE;
		return open_consoles(o, b, &to->console, err);
	}
	return -EINVAL;
}

static int open_devices(const struct options *o, struct backends *b, struct machine_config *out,
			struct err *err)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < o->ndevices; i++) {
		out->ndevices++;
		out->devices[i].id = o->devices[i].id;
		out->devices[i].iothread = o->devices[i].iothread;
		rc = open_device(o, &o->devices[i], b, &out->devices[i], err);
	}
	return rc;
}

int machine_config_open(const struct options *o, struct backends *backends,
			struct machine_config *out, struct err *err)
{
	int rc;

	*out = (struct machine_config){
		.kernel_path = o->kernel,
		.initrd_path = o->initrd,
		.fdsets = &backends->fdsets,
		.append = o->append,
		.memory_mib = o->memory_mib,
		.vcpus = (uint32_t)o->vcpus,
		.max_vcpus = (uint32_t)o->max_vcpus,
		.no_pit = o->no_pit,
		.spare_blk = (uint32_t)o->hotplug_blk,
		.spare_net = (uint32_t)o->hotplug_net,
		.kvm_fd = -1,
		.serial_out_fd = -1,
		.serial_in_fd = -1,
	};
	rc = open_adopt_if_given(o->kvm_fd, "-kvm-fd", &out->kvm_fd, err);
	if (rc == 0)
		rc = open_backends(o, backends, err);
	if (rc == 0)
		rc = open_serial(o, backends, out, err);
	if (rc == 0)
		rc = open_devices(o, backends, out, err);
	return rc;
}

int machine_config_jail(struct machine_config *c, const struct jail *jail, struct err *err)
{
	for (size_t i = 0; i < c->ndevices; i++) {
		struct machine_device *d = &c->devices[i];

		if (d->kind != DEVICE_FS)
			continue;
		d->fs.proc_fd = jail->proc_fd;
		d->fs.root_fd = fcntl(jail->root_fd, F_DUPFD_CLOEXEC, 0);
		if (d->fs.root_fd < 0)
			return err_set(err, errno, "share the jail's root");
	}
	return 0;
}

static void close_device(struct machine_device *d)
{
	switch (d->kind) {
	case DEVICE_RNG:
	case DEVICE_CONSOLE:
		break;
	case DEVICE_BLK:
		own_close(&d->blk.fd);
		break;
	case DEVICE_NET:
		while (d->net.ntaps > 0)
			own_close(&d->net.tap_fds[--d->net.ntaps]);
		break;
	case DEVICE_FS:
		own_close(&d->fs.root_fd);
		break;
	case DEVICE_VSOCK:
		own_close(&d->vsock.listen_fd);
		own_close(&d->vsock.agent_fd);
		break;
	}
}

void machine_config_done(struct machine_config *c)
{
	for (size_t i = 0; i < c->ndevices; i++)
		close_device(&c->devices[i]);
	c->ndevices = 0;
	own_close(&c->kvm_fd);
	if (c->serial_out_fd > STDERR_FILENO)
		own_close(&c->serial_out_fd);
}
