/*
 * The FUSE server (protocol 7.31 to 7.38, <linux/fuse.h>) over one directory tree: requests in,
 * answers out, no knowledge of virtio but the chain they travel in. device.c makes a virtio-fs
 * device of it; tests and the fuzzer call fs_serve.
 *
 * Confinement: a request names an inode the guest was given before (an O_PATH descriptor here)
 * and at most one path component below it, which is neither "." nor ".." and holds no slash;
 * links are never followed on this side. Descriptors are opened again through /proc/self/fd, and
 * only when they are regular files or directories: device nodes, fifos and sockets in the tree
 * are the guest kernel's business. Locks stay in the guest (FUSE_POSIX_LOCKS and FUSE_FLOCK_LOCKS
 * are declined), and the guest checks permissions; the server works with its own rights.
 */
#ifndef NACRE_VMM_DEV_FS_FS_H
#define NACRE_VMM_DEV_FS_FS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"
#include "base/own.h"
#include "vmm/virtio/queue.h"

struct fs;

/*
 * Takes root_fd (O_PATH or O_RDONLY directory) on success. Raises the soft limit of descriptors
 * to the hard one and budgets by it: a guest that wants more gets ENFILE. proc_fd is /proc/self/fd,
 * lent; -1: it is opened here. Afterwards no path is opened any more, and the process must stay the
 * same.
 */
int fs_create(int root_fd, int proc_fd, bool readonly, struct fs **out, struct err *err) MUST_CHECK;
void fs_destroy(struct fs *fs);
DEFINE_OWNER(fs_destroy, struct fs)

/*
 * Serves one request and writes its answer, if it has one. false: the driver broke the rules of
 * the transport, and *why says how; whatever else may be wrong with a request is answered by an
 * error.
 */
bool fs_serve(struct fs *fs, struct vq_chain *chain, const char **why) MUST_CHECK;

/*
 * The guest is gone or begins anew: closes all handles, forgets all inodes but the root, waits
 * for INIT.
 */
void fs_end_session(struct fs *fs);

#endif
