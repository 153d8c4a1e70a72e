/* See network_ns.h. The way back is by a descriptor opened before: failing to come home is a bug, not an error. */
#include "runtime/network_ns.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "base/own.h"

#define OWN_NS "/proc/thread-self/ns/net"

static bool same_file(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

bool network_ns_same(int ns_fd, int other_fd)
{
	struct stat a, b;

	return fstat(ns_fd, &a) == 0 && fstat(other_fd, &b) == 0 && same_file(&a, &b);
}

static int check_not_host(int fd, const char *path, struct err *err)
{
	static const char *const hosts[] = {OWN_NS, "/proc/1/ns/net"};
	struct stat ns, host;

	if (fstat(fd, &ns))
		return err_set(err, errno, "look at the network namespace '%s'", path);
	for (size_t i = 0; i < ARRAY_SIZE(hosts); i++)
		if (stat(hosts[i], &host) == 0 && same_file(&ns, &host))
			return err_say(err, ENOTSUP,
				       "the container asks for the host's network (the network "
				       "namespace '%s' is the host's own), which a microVM cannot "
				       "share: run it with a network namespace of its own, or with "
				       "another runtime",
				       path);
	return 0;
}

static int open_named(const char *path, int *out, struct err *err)
{
	AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return err_set(err, errno, "open the container's network namespace '%s'", path);
	if (ioctl(fd, NS_GET_NSTYPE) != CLONE_NEWNET)
		return err_say(err, EINVAL, "'%s' is no network namespace", path);
	int rc = check_not_host(fd, path, err);
	if (rc)
		return rc;
	*out = TAKE_FD(&fd);
	return 0;
}

static int open_new(int *out, struct err *err)
{
	AUTO_FD int home = open(OWN_NS, O_RDONLY | O_CLOEXEC);
	AUTO_FD int made = -1;

	if (home < 0)
		return err_set(err, errno, "open the network namespace '%s'", OWN_NS);
	if (unshare(CLONE_NEWNET))
		return err_set(err, errno, "make a network namespace");
	made = open(OWN_NS, O_RDONLY | O_CLOEXEC);
	int code = errno;

	BUG_ON(setns(home, CLONE_NEWNET) < 0);
	if (made < 0)
		return err_set(err, code, "open the new network namespace");
	*out = TAKE_FD(&made);
	return 0;
}

int network_ns_open(const char *path, int *fd, struct err *err)
{
	return *path ? open_named(path, fd, err) : open_new(fd, err);
}

int network_ns_visit(int ns_fd, int (*fn)(void *arg, struct err *err), void *arg, struct err *err)
{
	AUTO_FD int home = open(OWN_NS, O_RDONLY | O_CLOEXEC);

	if (home < 0)
		return err_set(err, errno, "open the network namespace '%s'", OWN_NS);
	if (setns(ns_fd, CLONE_NEWNET))
		return err_set(err, errno, "enter the container's network namespace");
	int rc = fn(arg, err);

	BUG_ON(setns(home, CLONE_NEWNET) < 0);
	return rc;
}
