/*
 * Landlock (landlock(7)): a thread gives up rights that no capability and no change of root takes away. Rights are those of
 * <linux/landlock.h>; what the kernel does not know yet is left out, and where it has no Landlock, nothing happens: it is a
 * second wall behind the jail's root and the lists of system calls.
 */
#ifndef NACRE_VMM_LANDLOCK_H
#define NACRE_VMM_LANDLOCK_H

#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"

#define LANDLOCK_ALL_FILES UINT64_MAX

/*
 * The calling thread loses these rights to files everywhere, and may neither bind nor connect TCP ports, reach abstract unix sockets
 * nor signal processes that are not as confined as itself. no_new_privs is set.
 */
int landlock_forbid(uint64_t file_rights, struct err *err) MUST_CHECK;

#endif
