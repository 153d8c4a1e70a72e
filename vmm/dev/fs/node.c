/*
 * From an inode to an open file: opening again through /proc/self/fd, and what a write must
 * clear.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "vmm/dev/fs/state.h"

struct fs_proc_name fs_proc_name(int fd)
{
	struct fs_proc_name name;

	(void)snprintf(name.s, sizeof(name.s), "%d", fd);
	return name;
}

int fs_open_flags(const struct fs *fs, uint32_t flags)
{
	/*
	 * O_APPEND is applied write by write (ops_io.c), since pages written back late must land
	 * where they were; O_DIRECT has been honoured by the guest, and the host's alignment
	 * rules are none of its business.
	 */
	const uint32_t kept = O_ACCMODE | O_TRUNC | O_SYNC | O_DSYNC | O_NOATIME;

	if ((flags & O_ACCMODE) == O_ACCMODE)
		return -EINVAL;
	if (fs->readonly && ((flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC)))
		return -EROFS;
	/* O_NONBLOCK: some "regular" files, as those of procfs, would block the loop. */
	return (int)(flags & kept) | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
}

int fs_open_inode(const struct fs *fs, const struct fs_inode *inode, uint32_t flags)
{
	int how = fs_open_flags(fs, flags);
	if (how < 0)
		return how;
	/* The type is that of the inode we hold, not of a name: nothing can be put in its place. */
	if (S_ISLNK(inode->type))
		return -ELOOP;
	if (!S_ISREG(inode->type) && !S_ISDIR(inode->type))
		return -ENXIO;

	int fd = openat(fs->proc_fd, fs_proc_name(inode->fd).s, how);
	if (fd < 0)
		return errno == EMFILE ? -ENFILE : -errno;
	return fd;
}

int fs_kill_suidgid(int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return 0;

	/* setgid without group execution is a mark for mandatory locking, not a privilege. */
	mode_t kill = st.st_mode & S_ISUID;
	if (st.st_mode & S_IXGRP)
		kill |= st.st_mode & S_ISGID;
	if (kill && fchmod(fd, st.st_mode & 07777 & ~kill) < 0)
		return -errno;
	return 0;
}

mode_t fs_kept_suidgid(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? st.st_mode & (S_ISUID | S_ISGID) : 0;
}

void fs_keep_suidgid(int fd, mode_t kept)
{
	int saved = errno;
	struct stat st;

	if (kept && fstat(fd, &st) == 0 && (st.st_mode & kept) != kept)
		(void)fchmod(fd, (st.st_mode & 07777) | kept);
	errno = saved;
}
