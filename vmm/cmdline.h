/*
 * The kernel command line: what this machine needs, then the devices, then what the user asked for, which thereby wins
 * (and may contain "--", behind which everything belongs to init).
 */
#ifndef NACRE_VMM_CMDLINE_H
#define NACRE_VMM_CMDLINE_H

#include <stddef.h>

#include "base/compiler.h"
#include "base/err.h"
#include "vmm/arch/arch.h"

struct cmdline_params {
	const char *console; /* "ttyS0", or NULL: no console */
	const struct arch_slot *slots;
	size_t nslots;
	uint32_t vcpus;   /* on line from the start; 0: all there are */
	const char *user; /* "" or NULL: nothing */
};

/* The caller frees *out. */
int cmdline_build(const struct cmdline_params *p, char **out, struct err *err) MUST_CHECK;

#endif
