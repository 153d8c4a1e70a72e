/* Resources of the spec as cgroup v2 files: pure arithmetic and one writer. */
#ifndef NACRE_AGENT_CGROUP_LIMITS_H
#define NACRE_AGENT_CGROUP_LIMITS_H

#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"
#include "config/oci.h"

/* cgroup v1 shares (2..262144) as a v2 weight (1..10000), the mapping of the runtimes. 0 shares: 0. */
uint64_t cgroup_weight_of_shares(uint64_t shares);

int cgroup_limits_write(int fd, const struct oci_resources *r, struct err *err) MUST_CHECK;

#endif
