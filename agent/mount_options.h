/*
 * The option words of an OCI mount ("ro", "rslave", "mode=755" ...) as the arguments of mount_setattr(2) and
 * fsconfig(2). Pure; no word means two things.
 */
#ifndef NACRE_AGENT_MOUNT_OPTIONS_H
#define NACRE_AGENT_MOUNT_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"
#include "config/oci.h"

struct mount_options {
	bool bind, bind_recursive;
	uint64_t set, clear;                     /* MOUNT_ATTR_*, of the mount itself */
	uint64_t set_recursive, clear_recursive; /* of it and all below */
	uint64_t propagation;                    /* MS_SHARED ..., 0: none asked for */
	bool propagation_recursive;
	const char **data; /* what is left for the filesystem, lent by the mount; owned array */
	size_t ndata;
};

/* The caller ends with mount_options_done, after a failure too. */
int mount_options_parse(const struct oci_mount *mount, struct mount_options *out,
			struct err *err) MUST_CHECK;
void mount_options_done(struct mount_options *options);

/* "rslave" and the like alone (rootfsPropagation): 0 or -EINVAL. */
int mount_propagation_parse(const char *word, uint64_t *propagation, bool *recursive) MUST_CHECK;

#endif
