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

static int open_serial(const struct options *o, struct machine_config *c, struct err *err)
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
		rc = open_path(o->serial_path, O_WRONLY | O_CREAT | O_APPEND, "-serial",
			       &c->serial_out_fd, err);
		break;
	case SERIAL_FD:
		rc = open_adopt(o->serial_fd, "-serial", &c->serial_out_fd, err);
		if (rc == 0)
			c->serial_in_fd = input_side(c->serial_out_fd);
		break;
	}
	return rc;
}

static int open_blk(const struct option_drive *drive, struct dev_blk_params *p, struct err *err)
{
	int flags = drive->readonly ? O_RDONLY : O_RDWR;

	p->readonly = drive->readonly;
	(void)snprintf(p->serial, sizeof(p->serial), "%s", drive->serial ? drive->serial : "");
	if (drive->file)
		return open_path(drive->file, flags, "-drive", &p->fd, err);
	return open_adopt(drive->fd, "-drive", &p->fd, err);
}

static int adopt_taps(const struct option_netdev *n, struct dev_net_params *p, struct err *err)
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
	for (; rc == 0 && p->ntaps < count; p->ntaps += rc == 0)
		rc = open_adopt(numbers[p->ntaps], "-netdev tap", &p->tap_fds[p->ntaps], err);
	return rc;
}

static int open_net(const struct option_device *d, const struct option_netdev *n,
		    struct dev_net_params *p, struct err *err)
{
	unsigned queues = n->queues > 0 ? (unsigned)n->queues : 1;
	int rc;

	memcpy(p->mac, d->mac, sizeof(p->mac));
	p->mtu = (uint16_t)d->mtu;
	if (!n->ifname)
		return adopt_taps(n, p, err);
	rc = tap_open(n->ifname, queues, p->tap_fds, err);
	if (rc < 0)
		return err_wrap(err, "-netdev tap");
	p->ntaps = queues;
	return 0;
}

static int open_fs(const struct option_device *d, struct dev_fs_params *p, struct err *err)
{
	p->readonly = d->readonly;
	p->proc_fd = -1;
	(void)snprintf(p->tag, sizeof(p->tag), "%s", d->tag);
	if (d->dir)
		return open_path(d->dir, O_PATH | O_DIRECTORY, "-device virtio-fs-device",
				 &p->root_fd, err);
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

/* The kind comes first and descriptors are -1 before anything can fail, so that done knows what to close. */
static int open_device(const struct options *o, const struct option_device *from,
		       struct machine_device *to, struct err *err)
{
	switch (from->kind) {
	case OPTION_DEVICE_RNG:
		to->kind = DEVICE_RNG;
		return 0;
	case OPTION_DEVICE_BLK:
		to->kind = DEVICE_BLK;
		to->blk.fd = -1;
		return open_blk(options_drive(o, from->drive), &to->blk, err);
	case OPTION_DEVICE_NET:
		to->kind = DEVICE_NET;
		return open_net(from, options_netdev(o, from->netdev), &to->net, err);
	case OPTION_DEVICE_FS:
		to->kind = DEVICE_FS;
		to->fs.root_fd = -1;
		return open_fs(from, &to->fs, err);
	case OPTION_DEVICE_VSOCK:
		to->kind = DEVICE_VSOCK;
		to->vsock.listen_fd = to->vsock.agent_fd = -1;
		return open_vsock(from, &to->vsock, err);
	}
	return -EINVAL;
}

int machine_config_open(const struct options *o, struct machine_config *out, struct err *err)
{
	int rc;

	*out = (struct machine_config){
		.kernel_path = o->kernel,
		.initrd_path = o->initrd,
		.append = o->append,
		.memory_mib = o->memory_mib,
		.vcpus = (uint32_t)o->vcpus,
		.kvm_fd = -1,
		.serial_out_fd = -1,
		.serial_in_fd = -1,
	};
	rc = open_adopt_if_given(o->kvm_fd, "-kvm-fd", &out->kvm_fd, err);
	if (rc == 0)
		rc = open_serial(o, out, err);
	for (size_t i = 0; rc == 0 && i < o->ndevices; i++) {
		out->ndevices++;
		rc = open_device(o, &o->devices[i], &out->devices[i], err);
	}
	return rc;
}

int machine_config_jail(struct machine_config *c, const struct jail *jail, struct err *err)
{
	c->jailed = true;
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
