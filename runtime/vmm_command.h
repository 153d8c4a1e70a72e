/* The command line a sandbox's vmm is started with (nacre-vmm(8)), and the descriptors it names. */
#ifndef NACRE_RUNTIME_VMM_COMMAND_H
#define NACRE_RUNTIME_VMM_COMMAND_H

#include "base/compiler.h"
#include "base/err.h"
#include "base/spawn.h"
#include "runtime/vmm_nics.h"
#include "runtime/vmm_process.h"

#define VMM_TEXTS      8
#define VMM_FIXED_ARGS 32 /* room for those that every vmm has */
#define VMM_FIXED_FDS  6

/* The vmm's ends of what its monitor reads and writes; lent until the vmm is started. */
struct vmm_ends {
	int messages_fd, monitor_fd, serial_fd;
};

struct vmm_command {
	const char *argv[VMM_FIXED_ARGS + VMM_NIC_ARGS * NETWORK_MAX_NICS]; /* ends in NULL */
	struct spawn_fd fds[VMM_FIXED_FDS + NETWORK_MAX_NICS];
	size_t nargs, nfds;
	char *texts[VMM_TEXTS]; /* owned, some of argv */
	size_t ntexts;
	struct vmm_nics nics;
};

/* `out` is zeroed, and done with by vmm_command_done whatever is answered; it borrows from `p`. */
int vmm_command_make(const struct vmm_params *p, const struct vmm_ends *ends,
		     struct vmm_command *out, struct err *err) MUST_CHECK;
void vmm_command_done(struct vmm_command *c);

#endif
