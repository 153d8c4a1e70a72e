/* The operations, declared from their table (ops.def). What one is: state.h. */
#ifndef NACRE_VMM_DEV_FS_OPS_H
#define NACRE_VMM_DEV_FS_OPS_H

#include "vmm/dev/fs/state.h"

/* CREATE and TMPFILE answer two structs in one. */
struct fs_create_out {
	struct fuse_entry_out entry;
	struct fuse_open_out open;
};

/* fuse_init_in before 7.36: up to and with `flags`. */
#define FS_INIT_IN_BYTES 16

#define FS_OP(opcode, name, in, out, flags) int fs_op_##name(struct fs *fs, struct fs_req *req);
#include "vmm/dev/fs/ops.def"
#undef FS_OP

#endif
