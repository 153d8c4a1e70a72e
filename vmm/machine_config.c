/* Opens what the options name. */
#include "vmm/machine_config.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/fd.h"

#define LISTEN_BACKLOG 64

/* A descriptor that came by number: is it open, and let no child inherit it. */
static int adopt(int64_t number, const char *what, int *out, struct err *err)
{
	int rc = fd_set_cloexec((int)number, true);

	if (rc < 0)
		return err_set(err, -rc, "%s: descriptor %lld", what, (long long)number);
	*out = (int)number;
	return 0;
}

static int adopt_if_given(int64_t number, const char *what, int *out, struct err *err)
{
	*out = -1;
	return number < 0 ? 0 : adopt(number, what, out, err);
}

static int open_path(const char *path, int flags, const char *what, int *out, struct err *err)
{
	int fd = open(path, flags | O_CLOEXEC | O_NOCTTY, 0600);

	if (fd < 0)
		return err_set(err, errno, "%s: open '%s'", what, path);
	*out = fd;
	return 0;
}

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
		rc = adopt(o->serial_fd, "-serial", &c->serial_out_fd, err);
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
	return adopt(drive->fd, "-drive", &p->fd, err);
}

static int open_fs(const struct option_device *d, struct dev_fs_params *p, struct err *err)
{
	p->readonly = d->readonly;
	(void)snprintf(p->tag, sizeof(p->tag), "%s", d->tag);
	if (d->dir)
		return open_path(d->dir, O_PATH | O_DIRECTORY, "-device virtio-fs-device",
				 &p->root_fd, err);
	return adopt(d->fd, "-device virtio-fs-device", &p->root_fd, err);
}

static int listen_at(const char *path, int *out, struct err *err)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	AUTO_FD int fd = -1;

	if (strlen(path) >= sizeof(addr.sun_path))
		return err_set(err, ENAMETOOLONG, "-device virtio-vsock-device: path=%s", path);
	(void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_set(err, errno, "socket");
	if (bind(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0 ||
	    listen(fd, LISTEN_BACKLOG) < 0)
		return err_set(err, errno, "-device virtio-vsock-device: listen at '%s'", path);
	*out = TAKE_FD(&fd);
	return 0;
}

static int open_vsock(const struct option_device *d, struct dev_vsock_params *p, struct err *err)
{
	static const char what[] = "-device virtio-vsock-device";
	int rc = adopt_if_given(d->listen_fd, what, &p->listen_fd, err);

	p->guest_cid = (uint32_t)d->guest_cid;
	if (rc == 0)
		rc = adopt_if_given(d->agent_fd, what, &p->agent_fd, err);
	if (rc == 0 && d->path)
		rc = listen_at(d->path, &p->listen_fd, err);
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
	rc = adopt_if_given(o->kvm_fd, "-kvm-fd", &out->kvm_fd, err);
	if (rc == 0)
		rc = open_serial(o, out, err);
	for (size_t i = 0; rc == 0 && i < o->ndevices; i++) {
		out->ndevices++;
		rc = open_device(o, &o->devices[i], &out->devices[i], err);
	}
	return rc;
}

static void close_device(struct machine_device *d)
{
	switch (d->kind) {
	case DEVICE_RNG:
		break;
	case DEVICE_BLK:
		own_close(&d->blk.fd);
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
