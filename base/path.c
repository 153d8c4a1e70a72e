/* Files by name. Everything that walks a tree we do not own goes component by component through openat2. */
#include "base/path.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/fd.h"
#include "base/own.h"
#include "base/str.h"

#define MAX_LINKS 40 /* as the kernel, path_resolution(7) */

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

int path_open_without_links(int dirfd, const char *path, int flags)
{
	struct open_how how = {
		.flags = (uint64_t)(unsigned)(flags | O_CLOEXEC),
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS,
	};
	long fd;

	do
		fd = syscall(SYS_openat2, dirfd, path, &how, sizeof(how));
	while (fd < 0 && (errno == EINTR || errno == EAGAIN));
	return fd < 0 ? -errno : (int)fd;
}

/* The target of the link at `path`: its length, or -errno (-EINVAL: there, but no link). */
static ssize_t read_link_in_root(int rootfd, const char *path, char *target, size_t size)
{
	AUTO_FD int fd = path_open_in_root(rootfd, path, O_PATH | O_NOFOLLOW, 0);
	struct stat st;
	ssize_t n;

	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISLNK(st.st_mode))
		return -EINVAL;
	n = readlinkat(fd, "", target, size - 1);
	if (n < 0)
		return -errno;
	target[n] = '\0';
	return n;
}

/* Cuts the first component off *rest; NULL at the end. */
static char *next_component(char **rest)
{
	char *name = *rest + strspn(*rest, "/");
	size_t len = strcspn(name, "/");

	if (len == 0)
		return NULL;
	*rest = name + len + (name[len] ? 1 : 0);
	name[len] = '\0';
	return name;
}

/* One component onto `done`, which holds no links: 0, or 1 when it was a link, whose target is in `target`. */
static int resolve_component(int rootfd, struct strbuf *done, const char *name, char *target,
			     size_t size)
{
	size_t before = done->len;
	ssize_t n;

	if (strcmp(name, ".") == 0)
		return 0;
	if (strcmp(name, "..") == 0) {
		char *slash = done->data ? strrchr(done->data, '/') : NULL;

		done->len = slash ? (size_t)(slash - done->data) : 0;
		if (slash)
			*slash = '\0';
		return 0;
	}
	if (strbuf_addf(done, "/%s", name) < 0)
		return -ENOMEM;
	n = read_link_in_root(rootfd, done->data, target, size);
	if (n == -EINVAL || n == -ENOENT || n == -ENOTDIR)
		return 0;
	if (n < 0)
		return (int)n;
	done->len = target[0] == '/' ? 0 : before;
	done->data[done->len] = '\0';
	return 1;
}

int path_resolve_in_root(int rootfd, const char *path, char **out, struct err *err)
{
	AUTO_STRBUF struct strbuf done = STRBUF_INIT;
	AUTO_FREE char *pending = strdup(path);
	char *rest = pending, *name;
	char target[PATH_MAX];
	int links = 0, ret;

	if (!pending || strbuf_add(&done, "", 0) < 0)
		return err_set(err, ENOMEM, "resolve '%s'", path);
	while ((name = next_component(&rest)) != NULL) {
		char *joined;

		ret = resolve_component(rootfd, &done, name, target, sizeof(target));
		if (ret == 1 && ++links > MAX_LINKS)
			ret = -ELOOP;
		if (ret < 0)
			return err_set(err, -ret, "resolve '%s'", path);
		if (ret == 0)
			continue;
		joined = str_printf("%s/%s", target, rest);
		if (!joined)
			return err_set(err, ENOMEM, "resolve '%s'", path);
		free(pending);
		pending = rest = joined;
	}
	if (done.len == 0 && strbuf_add(&done, "/", 1) < 0)
		return err_set(err, ENOMEM, "resolve '%s'", path);
	*out = TAKE_PTR(&done.data);
	return 0;
}

/* `prefix` as a descriptor, made as `name` in `parent` if need be. */
static int enter_or_make(int rootfd, const char *prefix, int parent, const char *name, mode_t mode,
			 struct err *err)
{
	int fd = path_open_in_root(rootfd, prefix, O_PATH | O_DIRECTORY, 0);

	if (fd == -ENOENT) {
		if (mkdirat(parent, name, mode) < 0 && errno != EEXIST)
			return err_set(err, errno, "make directory '%s'", prefix + 1);
		fd = path_open_in_root(rootfd, prefix, O_PATH | O_DIRECTORY, 0);
	}
	return fd < 0 ? err_set(err, -fd, "open directory '%s'", prefix + 1) : fd;
}

int path_mkdirs_in_root(int rootfd, const char *path, mode_t mode, int *fd_out, struct err *err)
{
	AUTO_FREE char *real = NULL;
	AUTO_FREE char *prefix = NULL;
	AUTO_FD int fd = -1;
	int ret = path_resolve_in_root(rootfd, path, &real, err);

	if (ret < 0)
		return ret;
	prefix = str_printf(".%s", real);
	if (!prefix)
		return err_set(err, ENOMEM, "make directory '%s'", path);
	fd = path_open_in_root(rootfd, ".", O_PATH | O_DIRECTORY, 0);
	if (fd < 0)
		return err_set(err, -fd, "open the directory that '%s' is in", path);
	for (char *name = prefix + 1 + strspn(prefix + 1, "/"); *name; name += strspn(name, "/")) {
		char *end = name + strcspn(name, "/");
		const char kept = *end;

		*end = '\0';
		ret = enter_or_make(rootfd, prefix, fd, name, mode, err);
		if (ret < 0)
			return ret;
		own_close(&fd);
		fd = ret;
		*end = kept;
		name = end;
	}
	if (fd_out)
		*fd_out = TAKE_FD(&fd);
	return 0;
}

static int make_file_in_root(int rootfd, const char *path, struct err *err)
{
	AUTO_FREE char *real = NULL;
	AUTO_FREE char *parent = NULL;
	int ret = path_resolve_in_root(rootfd, path, &real, err);

	if (ret < 0)
		return ret;
	parent = strndup(real, (size_t)(strrchr(real, '/') - real));
	if (!parent)
		return err_set(err, ENOMEM, "make '%s'", path);
	ret = path_mkdirs_in_root(rootfd, parent, 0755, NULL, err);
	if (ret < 0)
		return ret;
	AUTO_FD int fd = path_open_in_root(rootfd, real, O_CREAT | O_RDONLY | O_NONBLOCK, 0644);
	return fd < 0 ? err_set(err, -fd, "make the file '%s'", path) : 0;
}

int path_make_in_root(int rootfd, const char *path, bool directory, int *fd_out, struct err *err)
{
	AUTO_FD int fd = path_open_in_root(rootfd, path, O_PATH, 0);

	if (fd == -ENOENT && directory)
		return path_mkdirs_in_root(rootfd, path, 0755, fd_out, err);
	if (fd == -ENOENT) {
		int ret = make_file_in_root(rootfd, path, err);

		if (ret < 0)
			return ret;
		fd = path_open_in_root(rootfd, path, O_PATH, 0);
	}
	if (fd < 0)
		return err_set(err, -fd, "open '%s'", path);
	if (fd_out)
		*fd_out = TAKE_FD(&fd);
	return 0;
}
