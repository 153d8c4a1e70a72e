/*
 * See guest_setup.h. The kernel starts us on its initial rootfs, which pivot_root(2) cannot leave: so "/" is bound onto
 * itself first, and the bind becomes the root of all that follows.
 */
#include "agent/guest_setup.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/random.h>
#include <linux/vm_sockets.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "agent/cgroup.h"
#include "agent/rootfs.h"
#include "agent/stream_door.h"
#include "base/own.h"
#include "base/path.h"

#define CONTROL_PORT      1024
#define CONNECT_TIMEOUT_S 30
#define MAX_SEED          512

static const struct guest_mount {
	const char *type, *target, *data;
	unsigned long flags;
	mode_t mode;
} mounts[] = {
	{"proc", "/proc", "", MS_NOSUID | MS_NODEV | MS_NOEXEC, 0555},
	{"sysfs", "/sys", "", MS_NOSUID | MS_NODEV | MS_NOEXEC, 0555},
	{"devtmpfs", "/dev", "mode=0755", MS_NOSUID | MS_NOEXEC, 0755},
	{"devpts", "/dev/pts", "gid=5,mode=0620,ptmxmode=0666", MS_NOSUID | MS_NOEXEC, 0755},
	{"tmpfs", "/dev/shm", "mode=1777", MS_NOSUID | MS_NODEV, 01777},
	{"mqueue", "/dev/mqueue", "", MS_NOSUID | MS_NODEV | MS_NOEXEC, 01777},
	{"cgroup2", "/sys/fs/cgroup", "", MS_NOSUID | MS_NODEV | MS_NOEXEC, 0755},
	{"tmpfs", "/run", "mode=0755", MS_NOSUID | MS_NODEV, 0755},
	{"tmpfs", "/tmp", "mode=1777", MS_NOSUID | MS_NODEV, 01777},
};

static int make_root(struct err *err)
{
	AUTO_FD int tree = open_tree(AT_FDCWD, "/", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);

	if (tree < 0)
		return err_set(err, errno, "clone the root");
	if (move_mount(tree, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return err_set(err, errno, "attach the root");
	/* The path "/" still means the mount below. */
	if (fchdir(tree) < 0 || chroot(".") < 0)
		return err_set(err, errno, "enter the root");
	return 0;
}

static int mount_all(struct err *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(mounts); i++) {
		const struct guest_mount *m = &mounts[i];

		if (mkdir(m->target, m->mode) < 0 && errno != EEXIST)
			return err_set(err, errno, "make directory '%s'", m->target);
		/* EBUSY: the kernel has mounted it itself. */
		if (mount(m->type, m->target, m->type, m->flags, m->data) < 0 && errno != EBUSY)
			return err_set(err, errno, "mount '%s'", m->target);
	}
	return path_mkdirs(AT_FDCWD, ROOTFS_MOUNT_POINT, 0755, err);
}

static int loopback_up(struct err *err)
{
	AUTO_FD int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq ifr = {.ifr_name = "lo"};

	if (fd < 0)
		return err_set(err, errno, "make a socket for the loopback");
	ifr.ifr_flags = IFF_UP | IFF_RUNNING;
	if (ioctl(fd, SIOCSIFFLAGS, &ifr) < 0)
		return err_set(err, errno, "bring the loopback up");
	return 0;
}

int guest_setup(struct err *err)
{
	int ret;

	(void)umask(0);
	ret = make_root(err);
	if (ret == 0)
		ret = mount_all(err);
	if (ret == 0)
		ret = loopback_up(err);
	(void)umask(022);
	return ret;
}

int guest_cgroup_open(int *fd, struct err *err)
{
	AUTO_FD int root = open("/sys/fs/cgroup", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	AUTO_FD int own = -1;
	int ret;

	if (root < 0)
		return err_set(err, errno, "open '/sys/fs/cgroup'");
	ret = cgroup_delegate(root, err);
	if (ret == 0)
		ret = path_mkdirs(root, "nacre", 0755, err);
	if (ret < 0)
		return ret;
	own = openat(root, "nacre", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (own < 0)
		return err_set(err, errno, "open '/sys/fs/cgroup/nacre'");
	ret = cgroup_delegate(own, err);
	if (ret < 0)
		return ret;
	*fd = TAKE_FD(&own);
	return 0;
}

int guest_listen(int *fd, struct err *err)
{
	AUTO_FD int sock = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_vm at = {
		.svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_ANY, .svm_port = STREAM_DOOR_PORT};

	if (sock < 0)
		return err_set(err, errno, "make a vsock");
	if (bind(sock, (struct sockaddr *)&at, sizeof(at)) < 0 || listen(sock, 64) < 0)
		return err_set(err, errno, "listen on vsock port %d", STREAM_DOOR_PORT);
	*fd = TAKE_FD(&sock);
	return 0;
}

/* Linux gives up after 2 s, which a host that starts many guests at once may take to answer. */
int guest_control_socket(int *fd, struct err *err)
{
	AUTO_FD int sock = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);
	const struct timeval timeout = {.tv_sec = CONNECT_TIMEOUT_S};

	if (sock < 0)
		return err_set(err, errno, "make a vsock");
	if (setsockopt(sock, AF_VSOCK, SO_VM_SOCKETS_CONNECT_TIMEOUT, &timeout, sizeof(timeout)) <
	    0)
		return err_set(err, errno, "set the time to connect to the host in");
	*fd = TAKE_FD(&sock);
	return 0;
}

int guest_connect(int *fd, struct err *err)
{
	AUTO_FD int sock = -1;
	struct sockaddr_vm host = {
		.svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_HOST, .svm_port = CONTROL_PORT};
	int ret = guest_control_socket(&sock, err);

	if (ret < 0)
		return ret;
	if (connect(sock, (struct sockaddr *)&host, sizeof(host)) < 0)
		return err_set(err, errno, "connect to the host on vsock port %d", CONTROL_PORT);
	*fd = TAKE_FD(&sock);
	return 0;
}

int guest_set_clock(uint64_t realtime_ns, struct err *err)
{
	struct timespec now = {.tv_sec = (time_t)(realtime_ns / 1000000000u),
			       .tv_nsec = (long)(realtime_ns % 1000000000u)};

	if (realtime_ns == 0)
		return 0;
	if (clock_settime(CLOCK_REALTIME, &now) < 0)
		return err_set(err, errno, "set the clock");
	return 0;
}

int guest_add_entropy(const void *seed, size_t len, struct err *err)
{
	AUTO_FD int fd = open("/dev/urandom", O_WRONLY | O_CLOEXEC);
	AUTO_FREE struct rand_pool_info *pool = malloc(sizeof(*pool) + MAX_SEED);

	if (len == 0)
		return 0;
	if (fd < 0 || !pool)
		return err_set(err, fd < 0 ? errno : ENOMEM, "open '/dev/urandom'");
	if (len > MAX_SEED)
		len = MAX_SEED;
	memcpy(pool->buf, seed, len);
	pool->buf_size = (int)len;
	pool->entropy_count = (int)len * 8;
	if (ioctl(fd, RNDADDENTROPY, pool) < 0)
		return err_set(err, errno, "seed the random pool");
	return 0;
}

int guest_mount_shared(const char *tag, struct err *err)
{
	if (mkdir(GUEST_SHARED_DIR, 0755) < 0 && errno != EEXIST)
		return err_set(err, errno, "make directory '%s'", GUEST_SHARED_DIR);
	if (mount(tag, GUEST_SHARED_DIR, "virtiofs", MS_NODEV, NULL) < 0)
		return err_set(err, errno, "mount the virtio-fs '%s'", tag);
	return 0;
}

void guest_say(const char *text)
{
	AUTO_FD int fd = open("/dev/console", O_WRONLY | O_NOCTTY | O_CLOEXEC);

	if (fd >= 0)
		(void)dprintf(fd, "nacre-agent: %s\n", text);
}

NORETURN void guest_end(void)
{
	sync();
	(void)reboot(RB_AUTOBOOT);
	_exit(1); /* pid 1 that exits panics the kernel, which reboots as well */
}
