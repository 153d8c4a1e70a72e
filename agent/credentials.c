/*
 * See credentials.h and capabilities(7). Names of the spec that this kernel does not know are bits above its last
 * capability: they are masked, as runc does.
 */
#include "agent/credentials.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/own.h"

#define DEFAULT_UMASK 022

/* Bit n: this kernel has capability n. */
static uint64_t known_caps(void)
{
	uint64_t known = 0;

	for (unsigned cap = 0; cap < 64 && prctl(PR_CAPBSET_READ, cap) >= 0; cap++)
		known |= UINT64_C(1) << cap;
	return known;
}

static int set_caps(uint64_t effective, uint64_t permitted, uint64_t inheritable)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2];

	for (int i = 0; i < 2; i++) {
		data[i].effective = (uint32_t)(effective >> (32 * i));
		data[i].permitted = (uint32_t)(permitted >> (32 * i));
		data[i].inheritable = (uint32_t)(inheritable >> (32 * i));
	}
	return syscall(SYS_capset, &header, data) < 0 ? -errno : 0;
}

static int drop_bounding(uint64_t keep, uint64_t known, struct err *err)
{
	for (unsigned cap = 0; cap < 64; cap++) {
		uint64_t bit = UINT64_C(1) << cap;

		if (!(known & bit) || (keep & bit))
			continue;
		if (prctl(PR_CAPBSET_DROP, cap) < 0)
			return err_set(err, errno, "drop capability %u from the bounding set", cap);
	}
	return 0;
}

static int set_ambient(uint64_t ambient, struct err *err)
{
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
		return err_set(err, errno, "clear the ambient capabilities");
	for (unsigned long cap = 0; cap < 64; cap++) {
		if (!(ambient & (UINT64_C(1) << cap)))
			continue;
		if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0) < 0)
			return err_set(err, errno, "raise ambient capability %lu", cap);
	}
	return 0;
}

static int set_limits(const struct oci_process *process, struct err *err)
{
	for (size_t i = 0; i < process->nrlimits; i++) {
		const struct oci_rlimit *r = &process->rlimits[i];
		struct rlimit limit = {.rlim_cur = r->soft, .rlim_max = r->hard};

		if (setrlimit((__rlimit_resource_t)r->resource, &limit) < 0)
			return err_set(err, errno, "set resource limit %d", r->resource);
	}
	return 0;
}

static int set_ids(const struct oci_user *user, struct err *err)
{
	if (setgroups(user->nadditional_gids, user->additional_gids) < 0)
		return err_set(err, errno, "setgroups");
	if (setresgid(user->gid, user->gid, user->gid) < 0)
		return err_set(err, errno, "setgid %u", user->gid);
	if (setresuid(user->uid, user->uid, user->uid) < 0)
		return err_set(err, errno, "setuid %u", user->uid);
	return 0;
}

int credentials_take(const struct oci_process *process, struct err *err)
{
	const struct oci_caps *caps = &process->caps;
	const uint64_t admin = UINT64_C(1) << CAP_SYS_ADMIN;
	uint64_t known = known_caps();
	uint64_t permitted = caps->permitted & known, inheritable = caps->inheritable & known;
	int ret = set_limits(process, err);

	if (ret == 0)
		ret = drop_bounding(caps->bounding, known, err);
	if (ret < 0)
		return ret;
	if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0)
		return err_set(err, errno, "keep capabilities");
	ret = set_ids(&process->user, err);
	if (ret < 0)
		return ret;
	ret = set_caps((caps->effective & permitted) | admin, permitted | admin, inheritable);
	if (ret < 0)
		return err_set(err, -ret, "set the capabilities");
	/* The kernel raises only what is both permitted and inheritable; runc asks for no more either. */
	ret = set_ambient(caps->ambient & permitted & inheritable, err);
	if (ret < 0)
		return ret;
	if (process->no_new_privileges && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_set(err, errno, "set no_new_privs");
	(void)umask(process->user.has_umask ? process->user.umask : DEFAULT_UMASK);
	return 0;
}

int credentials_seal(const struct oci_process *process, struct err *err)
{
	const struct oci_caps *caps = &process->caps;
	uint64_t permitted = caps->permitted & known_caps();
	int ret =
		set_caps(caps->effective & permitted, permitted, caps->inheritable & known_caps());

	return ret < 0 ? err_set(err, -ret, "set the capabilities") : 0;
}

int credentials_become_root(struct err *err)
{
	if (setgroups(0, NULL) < 0)
		return err_set(err, errno, "setgroups in the user namespace");
	if (setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0)
		return err_set(err, errno, "become root of the user namespace");
	return 0;
}
