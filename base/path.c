/* Files by name. Everything that walks a tree we do not own goes component by component through openat2. */
#include "base/path.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/fd.h"
#include "base/own.h"
#include "base/str.h"

int path_read(int dirfd, const char *path, size_t max_bytes, char **out, size_t *len,
	      struct err *err)
{
	AUTO_FD int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	AUTO_STRBUF struct strbuf buf = {.max_bytes = max_bytes};
	char chunk[16384];
	ssize_t n;

	if (fd < 0)
		return err_set(err, errno, "open '%s'", path);
	while ((n = fd_read_full(fd, chunk, sizeof(chunk))) > 0) {
		int ret = strbuf_add(&buf, chunk, (size_t)n);

		if (ret == -EMSGSIZE)
			return err_say(err, EFBIG, "'%s' is larger than %zu bytes", path,
				       max_bytes);
		if (ret < 0)
			return err_set(err, -ret, "read '%s'", path);
	}
	if (n < 0)
		return err_set(err, (int)-n, "read '%s'", path);
	if (strbuf_add(&buf, "", 0) < 0) /* an empty file still gets its NUL */
		return err_set(err, ENOMEM, "read '%s'", path);
	if (len)
		*len = buf.len;
	*out = TAKE_PTR(&buf.data);
	return 0;
}

int path_write_atomic(int dirfd, const char *path, const void *data, size_t len, mode_t mode,
		      struct err *err)
{
	AUTO_FREE char *tmp = str_printf("%s.%d.tmp", path, (int)getpid());
	AUTO_FD int fd = -1;
	int ret;

	if (!tmp)
		return err_set(err, ENOMEM, "write '%s'", path);
	fd = openat(dirfd, tmp, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, mode);
	if (fd < 0)
		return err_set(err, errno, "create '%s'", tmp);
	ret = fd_write_full(fd, data, len);
	if (ret == 0 && renameat(dirfd, tmp, dirfd, path) < 0)
		ret = -errno;
	if (ret < 0) {
		(void)unlinkat(dirfd, tmp, 0);
		return err_set(err, -ret, "write '%s'", path);
	}
	return 0;
}

int path_poke(int dirfd, const char *path, const char *text, struct err *err)
{
	AUTO_FD int fd = openat(dirfd, path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return err_set(err, errno, "open '%s'", path);
	if (write(fd, text, strlen(text)) < 0)
		return err_set(err, errno, "write '%s' to '%s'", text, path);
	return 0;
}

int path_mkdirs(int dirfd, const char *path, mode_t mode, struct err *err)
{
	AUTO_FREE char *copy = strdup(path);

	if (!copy)
		return err_set(err, ENOMEM, "make directory '%s'", path);
	for (char *p = copy + 1; copy[0] && *p; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		if (mkdirat(dirfd, copy, mode) < 0 && errno != EEXIST)
			return err_set(err, errno, "make directory '%s'", copy);
		*p = '/';
	}
	if (mkdirat(dirfd, copy, mode) < 0 && errno != EEXIST)
		return err_set(err, errno, "make directory '%s'", path);
	return 0;
}

/* One level: entries are unlinked, directories entered. Other mounts are left alone (EBUSY is then the answer). */
static int remove_below(int fd_taken)
{
	AUTO_DIR DIR *dir = fdopendir(fd_taken);
	struct dirent *entry;
	int ret = 0;

	if (!dir) {
		own_close(&fd_taken);
		return -ENOMEM;
	}
	while ((entry = readdir(dir))) {
		int at = dirfd(dir), sub;

		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		if (unlinkat(at, entry->d_name, 0) == 0)
			continue;
		if (errno != EISDIR) {
			ret = ret ? ret : -errno;
			continue;
		}
		sub = (int)syscall(SYS_openat2, at, entry->d_name,
				   &(struct open_how){.flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC,
						      .resolve = RESOLVE_NO_XDEV |
								 RESOLVE_NO_SYMLINKS |
								 RESOLVE_BENEATH},
				   sizeof(struct open_how));
		if (sub >= 0)
			(void)remove_below(sub);
		if (unlinkat(at, entry->d_name, AT_REMOVEDIR) < 0)
			ret = ret ? ret : -errno;
	}
	return ret;
}

int path_remove_tree(int dirfd, const char *path, struct err *err)
{
	int fd, ret = 0;

	if (unlinkat(dirfd, path, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR)
		return err_set(err, errno, "remove '%s'", path);
	fd = openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd >= 0)
		ret = remove_below(fd);
	if (ret == 0 && unlinkat(dirfd, path, AT_REMOVEDIR) < 0 && errno != ENOENT)
		ret = -errno;
	return ret < 0 ? err_set(err, -ret, "remove '%s'", path) : 0;
}

int path_open_in_root(int rootfd, const char *path, int flags, mode_t mode)
{
	struct open_how how = {
		.flags = (uint64_t)(unsigned)(flags | O_CLOEXEC),
		.mode = flags & (O_CREAT | __O_TMPFILE) ? mode : 0,
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
	};
	long fd;

	do
		fd = syscall(SYS_openat2, rootfd, path, &how, sizeof(how));
	while (fd < 0 && (errno == EINTR || errno == EAGAIN));
	return fd < 0 ? -errno : (int)fd;
}

int path_mkdirs_in_root(int rootfd, const char *path, mode_t mode, int *fd_out, struct err *err)
{
	AUTO_FREE char *prefix = str_printf("./%s", path); /* never empty */
	AUTO_FD int fd = -1;
	char *p, *end;

	if (!prefix)
		return err_set(err, ENOMEM, "make directory '%s'", path);
	for (p = prefix + 2; p; p = end) {
		const char *name;
		char *slash;
		int parent;

		p += strspn(p, "/");
		end = strchr(p, '/');
		if (end)
			*end = '\0';
		fd = path_open_in_root(rootfd, prefix, O_PATH | O_DIRECTORY, 0);
		if (fd == -ENOENT && *p) {
			slash = strrchr(prefix, '/');
			name = slash + 1;
			*slash = '\0';
			parent = path_open_in_root(rootfd, prefix, O_PATH | O_DIRECTORY, 0);
			*slash = '/';
			if (parent < 0)
				return err_set(err, -parent, "open the parent of '%s'", prefix);
			if (mkdirat(parent, name, mode) < 0 && errno != EEXIST) {
				int code = errno;

				own_close(&parent);
				return err_set(err, code, "make directory '%s'", prefix + 1);
			}
			own_close(&parent);
			fd = path_open_in_root(rootfd, prefix, O_PATH | O_DIRECTORY, 0);
		}
		if (fd < 0)
			return err_set(err, -fd, "open directory '%s'", prefix + 1);
		if (end)
			*end = '/';
		if (end)
			own_close(&fd);
	}
	if (fd_out)
		*fd_out = TAKE_FD(&fd);
	return 0;
}
