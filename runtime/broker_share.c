/*
 * A container's mounts. The storage behind one may not answer, for a minute or for ever: once the microVM runs, and other containers
 * live on the broker's loop, a child does the work and waits. It keeps no descriptor but the socket for its outcome, and dies with
 * the broker.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/own.h"
#include "runtime/broker_container.h"
#include "runtime/mount_points.h"
#include "runtime/rootfs_mount.h"
#include "runtime/shared_tree.h"

static void on_step(void *arg, const char *source)
{
	struct err step = ERR_INIT;

	(void)err_say(&step, EINPROGRESS, "share '%s'", source);
	broker_container_say(arg, &step);
}

static int share_container(struct broker_container *c, const struct rootfs_mount *mounts, size_t n,
			   struct err *err)
{
	const char *rootfs = c->plan->rootfs_host;
	int rc = 0;

	on_step(c, rootfs);
	if (n)
		rc = rootfs_mount_all(mounts, n, rootfs, err);
	c->nrootfs_mounts = rc ? 0 : n;
	if (!rc && access(rootfs, F_OK))
		rc = err_set(err, errno, "rootfs '%s' of the bundle", rootfs);
	if (!rc && c->plan->rootfs_readonly)
		rc = mount_points_make(c->spec, rootfs, err);
	if (!rc)
		rc = shared_tree_add(c->state->state_dir, c->plan, on_step, c, err);
	c->shared = !rc;
	return rc;
}

void broker_container_take_back(struct broker_container *c)
{
	if (c->shared)
		shared_tree_remove(c->state->state_dir, c->plan);
	c->shared = false;
	if (c->nrootfs_mounts)
		rootfs_unmount(c->plan->rootfs_host, c->nrootfs_mounts);
	c->nrootfs_mounts = 0;
}

/* Who waits sees the end of file once all is as it will be. */
static void on_shared(void *arg, pid_t pid, int status)
{
	struct broker_container *c = arg;

	(void)pid;
	c->sharer = NULL;
	if (status || c->gone)
		broker_container_take_back(c);
	own_close(&c->outcome_fd);
	if (c->forgotten)
		broker_container_remove(c);
}

NORETURN static void run_sharer(struct broker_container *c, const struct rootfs_mount *mounts,
				size_t n, pid_t parent)
{
	int keep[] = {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO, log_fd(), c->outcome_fd};
	struct err outcome = ERR_INIT;

	if (prctl(PR_SET_PDEATHSIG, SIGKILL) || getppid() != parent)
		_exit(EXIT_FAILURE);
	(void)prctl(PR_SET_NAME, "nacre-share");
	fd_close_others(keep, ARRAY_SIZE(keep));
	int rc = share_container(c, mounts, n, &outcome);
	broker_container_say(c, &outcome);
	_exit(rc ? EXIT_FAILURE : EXIT_SUCCESS);
}

/* What a child was killed in the middle of is taken back as if all of it had been done. */
static int start_sharer(struct broker_container *c, const struct rootfs_mount *mounts, size_t n,
			struct broker_deed *d, struct err *err)
{
	const pid_t parent = getpid();
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return err_set(err, errno, "share '%s'", c->id);
	c->outcome_fd = pair[0];
	d->given[d->ngiven++] = pair[1];
	const pid_t pid = fork();
	if (pid == 0)
		run_sharer(c, mounts, n, parent);
	int rc = pid < 0 ? err_set(err, errno, "share '%s'", c->id)
			 : loop_add_child(c->state->loop, pid, on_shared, c, &c->sharer, err);
	if (rc && pid > 0)
		(void)kill(pid, SIGKILL);
	if (rc)
		own_close(&c->outcome_fd);
	c->shared = true;
	c->nrootfs_mounts = n;
	return rc;
}

int broker_do_share(struct broker_state *s, struct broker_deed *d, struct err *err)
{
	struct broker_container *c = broker_container_find(s, d->request, err);
	struct rootfs_mount mounts[BROKER_MAX_MOUNTS];
	size_t n = 0;

	if (!c)
		return -ENOENT;
	if (c->gone || c->shared || c->nrootfs_mounts || c->outcome_fd >= 0)
		return err_say(err, EBUSY, "container '%s' is or was shared already", c->id);
	int rc = broker_mounts_decode(d->request, mounts, &n);
	if (rc)
		return err_say(err, -rc, "a list of rootfs mounts cannot be read");
	rc = broker_policy_mounts(&s->policy, mounts, n, err);
	if (rc)
		return rc;
	return s->policy.sealed ? start_sharer(c, mounts, n, d, err)
				: share_container(c, mounts, n, err);
}

int broker_do_unshare(struct broker_state *s, struct broker_deed *d, struct err *err)
{
	struct broker_container *c = broker_container_find(s, d->request, err);

	if (!c)
		return -ENOENT;
	c->gone = true;
	loop_kill_child(c->sharer);
	if (!c->sharer)
		broker_container_take_back(c);
	return 0;
}
