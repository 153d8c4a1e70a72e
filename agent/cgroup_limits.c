/* See cgroup_limits.h. -1 (0 for shares and period, "" for sets) is "not given": the kernel's default stays. */
#include "agent/cgroup_limits.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/path.h"

#define DEFAULT_PERIOD_US 100000

uint64_t cgroup_weight_of_shares(uint64_t shares)
{
	if (shares == 0)
		return 0;
	if (shares < 2)
		shares = 2;
	if (shares > 262144)
		shares = 262144;
	return 1 + (shares - 2) * 9999 / 262142;
}

static int write_number(int fd, const char *file, int64_t value, struct err *err)
{
	char text[32];

	if (value == OCI_UNLIMITED)
		return path_poke(fd, file, "max", err);
	if (value < 0)
		return 0;
	(void)snprintf(text, sizeof(text), "%" PRId64, value);
	return path_poke(fd, file, text, err);
}

static int write_memory(int fd, const struct oci_resources *r, struct err *err)
{
	int64_t limit = r->memory_limit_bytes, swap = r->memory_swap_bytes;
	int ret = write_number(fd, "memory.max", limit, err);

	if (ret == 0 && r->memory_reservation_bytes != OCI_UNLIMITED)
		ret = write_number(fd, "memory.low", r->memory_reservation_bytes, err);
	if (ret < 0 || swap == -1)
		return ret;
	/* Without limits a kernel without swap will do. */
	if (swap == OCI_UNLIMITED)
		return faccessat(fd, "memory.swap.max", F_OK, 0)
			       ? 0
			       : write_number(fd, "memory.swap.max", swap, err);
	/* The spec's number is memory and swap together. */
	if (limit < 0 || swap < limit)
		return err_say(err, EINVAL,
			       "memory.swap (%" PRId64 ") must be at least memory.limit (%" PRId64
			       "), and needs one",
			       swap, limit);
	return write_number(fd, "memory.swap.max", swap - limit, err);
}

static int write_cpu(int fd, const struct oci_resources *r, struct err *err)
{
	uint64_t period = r->cpu_period_us ? r->cpu_period_us : DEFAULT_PERIOD_US;
	uint64_t weight = cgroup_weight_of_shares(r->cpu_shares);
	char text[64];
	int ret = 0;

	if (weight)
		ret = write_number(fd, "cpu.weight", (int64_t)weight, err);
	/* 0 means "no limit" to the tools that write it. */
	if (ret < 0 || ((r->cpu_quota_us == -1 || r->cpu_quota_us == 0) && !r->cpu_period_us))
		return ret;
	if (r->cpu_quota_us > 0)
		(void)snprintf(text, sizeof(text), "%" PRId64 " %" PRIu64, r->cpu_quota_us, period);
	else
		(void)snprintf(text, sizeof(text), "max %" PRIu64, period);
	return path_poke(fd, "cpu.max", text, err);
}

static int write_sets(int fd, const struct oci_resources *r, struct err *err)
{
	int ret = 0;

	if (r->cpuset_cpus[0])
		ret = path_poke(fd, "cpuset.cpus", r->cpuset_cpus, err);
	if (ret == 0 && r->cpuset_mems[0])
		ret = path_poke(fd, "cpuset.mems", r->cpuset_mems, err);
	return ret;
}

static int write_unified(int fd, const struct oci_resources *r, struct err *err)
{
	for (size_t i = 0; i < r->unified_keys.n; i++) {
		const char *file = r->unified_keys.v[i];

		if (strchr(file, '/') || !strchr(file, '.'))
			return err_say(err, EINVAL, "resources.unified: '%s' is not a cgroup file",
				       file);
		if (path_poke(fd, file, r->unified_values.v[i], err) < 0)
			return err_wrap(err, "resources.unified");
	}
	return 0;
}

int cgroup_limits_write(int fd, const struct oci_resources *r, struct err *err)
{
	int ret = write_memory(fd, r, err);

	if (ret == 0)
		ret = write_cpu(fd, r, err);
	if (ret == 0)
		ret = write_sets(fd, r, err);
	if (ret == 0 && r->pids_limit != 0)
		ret = write_number(fd, "pids.max", r->pids_limit, err);
	return ret < 0 ? ret : write_unified(fd, r, err);
}
