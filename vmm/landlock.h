/*
 * Landlock (landlock(7)): a thread gives up rights that no capability and no change of root takes away. Rights are those of
 * <linux/landlock.h>; what the kernel does not know yet is left out, and where it has no Landlock, nothing happens: it is a
 * second wall behind the jail's root and the lists of system calls.
 */
#ifndef NACRE_VMM_LANDLOCK_H
#define NACRE_VMM_LANDLOCK_H

#include <linux/landlock.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"

#define LANDLOCK_ALL_FILES UINT64_MAX
/* The file server may do with files what its users may; checking that on each path would cost it, so Landlock's part is small. */
#define LANDLOCK_FILE_SERVER (LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_MAKE_BLOCK)

/* The kernel's struct landlock_ruleset_attr of version 6; older ones take a shorter beginning of it. */
struct landlock_rules {
	uint64_t files;
	uint64_t network;
	uint64_t scoped;
};

struct landlock_plan {
	struct landlock_rules rules;
	size_t bytes; /* of `rules`; 0: nothing is to be done */
	/*
	 * Whoever is restricted at all may no longer rename or link from one directory to another, unless a rule allows REFER:
	 * here, one does for the whole tree. Version 1 has no such right.
	 */
	bool keeps_refer;
};

/*
 * What to ask of a kernel of this version, with these errata mended, so that rights to files other than `file_rights` stay and
 * threads of one process can signal each other. Pure.
 */
struct landlock_plan landlock_plan(unsigned int version, unsigned int errata, uint64_t file_rights);

/* 0: this kernel has no Landlock, or it is switched off. */
unsigned int landlock_version(void);

/*
 * The calling thread loses these rights to files everywhere, and may neither bind nor connect TCP ports, reach abstract unix sockets
 * nor signal other processes that are not as confined as itself. Without REFER among them, version 1 is not used: it would take renames
 * between directories away. no_new_privs is set; "/" is the root for good.
 */
int landlock_forbid(uint64_t file_rights, struct err *err) MUST_CHECK;

#endif
