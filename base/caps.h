/*
 * Giving up capabilities (capabilities(7)), by plain system calls: they act on the calling thread only, which is what a process
 * with threads of different rights needs. A set is a mask of CAP_BIT()s.
 */
#ifndef NACRE_BASE_CAPS_H
#define NACRE_BASE_CAPS_H

#include <linux/capability.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"

#define CAP_BIT(cap) (UINT64_C(1) << (cap))

/* Permitted and effective become `keep`, inheritable and ambient empty. Asking for more than there is: -EPERM. */
int caps_set(uint64_t keep, struct err *err) MUST_CHECK;

/* Takes all but `keep` from the bounding set too: no program executed later has them either. Needs CAP_SETPCAP. */
int caps_bound(uint64_t keep, struct err *err) MUST_CHECK;

#endif
