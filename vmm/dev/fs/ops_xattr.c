/*
 * Extended attributes, by a list of what may pass: user.*, POSIX ACLs and file capabilities. The
 * others mean something to the host (trusted.overlay.*, security labels), so they cannot be set,
 * and are not there when read.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/xattr.h>

#include "base/own.h"
#include "base/str.h"
#include "vmm/dev/fs/ops.h"

static bool xattr_allowed(const char *name)
{
	static const char *const whole[] = {
		"system.posix_acl_access",
		"system.posix_acl_default",
		"security.capability",
	};

	for (size_t i = 0; i < ARRAY_SIZE(whole); i++) {
		if (strcmp(name, whole[i]) == 0)
			return true;
	}
	return str_starts(name, "user.") && name[strlen("user.")] != '\0';
}

static int xattr_name(struct fs_req *req, const char **name)
{
	*name = cursor_cstr(&req->tail);
	if (!*name || **name == '\0')
		return -EINVAL;
	return strlen(*name) > FS_NAME_MAX ? -ERANGE : 0;
}

/*
 * No O_PATH descriptor has attributes, so the file is opened. Types that cannot be opened carry
 * none: `absent` is the answer then.
 */
static int open_for_xattr(const struct fs *fs, const struct fs_req *req, int absent)
{
	const struct fs_inode *inode = fs_req_inode(fs, req);

	if (!inode)
		return -ESTALE;
	if (!S_ISREG(inode->type) && !S_ISDIR(inode->type))
		return absent;
	return fs_open_inode(fs, inode, O_RDONLY);
}

/*
 * The caller is not of the file's group, says the guest, so an ACL that grants it must not leave
 * setgid behind.
 */
static int drop_setgid(int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!(st.st_mode & S_ISGID))
		return 0;
	return fchmod(fd, st.st_mode & 07777 & ~(mode_t)S_ISGID) < 0 ? -errno : 0;
}

int fs_op_setxattr(struct fs *fs, struct fs_req *req)
{
	const struct fuse_setxattr_in *in = FS_ARG(req, fuse_setxattr_in);
	const char *name = NULL;
	uint32_t more = 0; /* setxattr_flags */

	if (fs->flags & FUSE_SETXATTR_EXT) {
		more = cursor_u32(&req->tail);
		(void)cursor_u32(&req->tail);
	}
	int rc = xattr_name(req, &name);
	if (rc < 0)
		return rc;
	if (!xattr_allowed(name))
		return -EPERM;
	const void *value = cursor_take(&req->tail, in->size);
	if (req->tail.bad || req->tail.left > 0)
		return -EINVAL;

	AUTO_FD int fd = open_for_xattr(fs, req, -EPERM);
	if (fd < 0)
		return fd;
	if (fsetxattr(fd, name, value, in->size, (int)in->flags) < 0)
		return -errno;
	if ((more & FUSE_SETXATTR_ACL_KILL_SGID) && strcmp(name, "system.posix_acl_access") == 0)
		return drop_setgid(fd);
	return 0;
}

/* Size 0 asks how long the answer would be; a smaller one than needed is an error. */
static int reply_sized(struct fs *fs, struct fs_req *req, size_t len)
{
	uint32_t room = FS_ARG(req, fuse_getxattr_in)->size;
	const struct fuse_getxattr_out size = {.size = (uint32_t)len};

	if (room == 0)
		return fs_reply(req, &size, sizeof(size));
	return len > room ? -ERANGE : fs_reply(req, fs->scratch, len);
}

int fs_op_getxattr(struct fs *fs, struct fs_req *req)
{
	const char *name = NULL;
	int rc = xattr_name(req, &name);

	if (rc < 0)
		return rc;
	if (!xattr_allowed(name))
		return -ENODATA;
	AUTO_FD int fd = open_for_xattr(fs, req, -ENODATA);
	if (fd < 0)
		return fd;
	ssize_t n = fgetxattr(fd, name, fs->scratch, sizeof(fs->scratch));
	return n < 0 ? -errno : reply_sized(fs, req, (size_t)n);
}

/* Moves the names that may be seen to the front; their length together. */
static size_t filter(char *list, size_t len)
{
	size_t kept = 0;

	for (size_t at = 0, n; at < len; at += n) {
		n = strnlen(list + at, len - at) + 1;
		if (at + n > len || !xattr_allowed(list + at))
			continue;
		memmove(list + kept, list + at, n);
		kept += n;
	}
	return kept;
}

int fs_op_listxattr(struct fs *fs, struct fs_req *req)
{
	const struct fs_inode *inode = fs_req_inode(fs, req);

	if (inode && !S_ISREG(inode->type) && !S_ISDIR(inode->type))
		return reply_sized(fs, req, 0);
	AUTO_FD int fd = open_for_xattr(fs, req, -EPERM);
	if (fd < 0)
		return fd;
	char *list = (char *)fs->scratch;
	ssize_t n = flistxattr(fd, list, sizeof(fs->scratch));
	return n < 0 ? -errno : reply_sized(fs, req, filter(list, (size_t)n));
}

int fs_op_removexattr(struct fs *fs, struct fs_req *req)
{
	const char *name = NULL;
	int rc = xattr_name(req, &name);

	if (rc == 0 && req->tail.left > 0)
		rc = -EINVAL;
	if (rc < 0)
		return rc;
	if (!xattr_allowed(name))
		return -EPERM;
	AUTO_FD int fd = open_for_xattr(fs, req, -ENODATA);
	if (fd < 0)
		return fd;
	return fremovexattr(fd, name) < 0 ? -errno : 0;
}
