/* The network devices on a vmm's command line: a tap by descriptor and a device for each interface of the pod. */
#ifndef NACRE_RUNTIME_VMM_NICS_H
#define NACRE_RUNTIME_VMM_NICS_H

#include "base/compiler.h"
#include "base/err.h"
#include "base/spawn.h"
#include "runtime/network.h"

#define VMM_NIC_ARGS 4 /* a nic's */

struct vmm_nics {
	char *netdev[NETWORK_MAX_NICS], *device[NETWORK_MAX_NICS];
	size_t n;
};

/*
 * Puts the options at argv[0] and on, at most VMM_NIC_ARGS * NETWORK_MAX_NICS and a NULL, and the descriptors, which get the numbers from
 * first_fd on there, at fds[0] and on. The texts are the struct's.
 */
int vmm_nics_fill(struct vmm_nics *nics, const struct network *network, int first_fd,
		  const char **argv, struct spawn_fd *fds, struct err *err) MUST_CHECK;
void vmm_nics_done(struct vmm_nics *nics);

#endif
