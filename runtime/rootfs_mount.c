/*
 * Mounts of a container's root filesystem, by type and option strings as mount(8) writes them. Overlay options of many layers
 * can outgrow the page that mount(2) copies: then the layers' common directory becomes the working directory and the names
 * relative, which is the one remedy the old call has.
 */
#include "runtime/rootfs_mount.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>

#include "base/log.h"
#include "base/own.h"
#include "base/path.h"
#include "base/str.h"

#define MOUNT_DATA_MAX 4095 /* a page with its NUL */

static const struct {
	const char *word;
	unsigned long set, clear;
} flag_words[] = {
	{"async", 0, MS_SYNCHRONOUS}, {"atime", 0, MS_NOATIME},
	{"bind", MS_BIND, 0},         {"defaults", 0, 0},
	{"dev", 0, MS_NODEV},         {"diratime", 0, MS_NODIRATIME},
	{"dirsync", MS_DIRSYNC, 0},   {"exec", 0, MS_NOEXEC},
	{"lazytime", MS_LAZYTIME, 0}, {"noatime", MS_NOATIME, 0},
	{"nodev", MS_NODEV, 0},       {"nodiratime", MS_NODIRATIME, 0},
	{"noexec", MS_NOEXEC, 0},     {"norelatime", 0, MS_RELATIME},
	{"nosuid", MS_NOSUID, 0},     {"rbind", MS_BIND | MS_REC, 0},
	{"relatime", MS_RELATIME, 0}, {"ro", MS_RDONLY, 0},
	{"rw", 0, MS_RDONLY},         {"strictatime", MS_STRICTATIME, 0},
	{"suid", 0, MS_NOSUID},       {"sync", MS_SYNCHRONOUS, 0},
};

static const struct {
	const char *word;
	unsigned long flags;
} propagation_words[] = {
	{"private", MS_PRIVATE},         {"rprivate", MS_PRIVATE | MS_REC},
	{"rshared", MS_SHARED | MS_REC}, {"rslave", MS_SLAVE | MS_REC},
	{"shared", MS_SHARED},           {"slave", MS_SLAVE},
};

bool mount_word_is_flag(const char *word, unsigned long *set, unsigned long *clear)
{
	for (size_t i = 0; i < ARRAY_SIZE(flag_words); i++) {
		if (strcmp(word, flag_words[i].word) == 0) {
			*set = flag_words[i].set;
			*clear = flag_words[i].clear;
			return true;
		}
	}
	return false;
}

static bool take_word(struct mount_words *w, const char *word)
{
	unsigned long set = 0, clear = 0;

	if (mount_word_is_flag(word, &set, &clear)) {
		w->flags = (w->flags & ~clear) | set;
		return true;
	}
	for (size_t i = 0; i < ARRAY_SIZE(propagation_words); i++) {
		if (strcmp(word, propagation_words[i].word) == 0) {
			w->propagation = propagation_words[i].flags;
			return true;
		}
	}
	return false;
}

int mount_words_parse(const char *const *options, size_t n, struct mount_words *out,
		      struct err *err)
{
	AUTO_STRBUF struct strbuf data = STRBUF_INIT;
	struct mount_words w = {0};

	for (size_t i = 0; i < n; i++) {
		if (strcmp(options[i], "loop") == 0 ||
		    strncmp(options[i], "X-containerd.", 13) == 0)
			return err_say(err, ENOTSUP,
				       "rootfs mount option '%s' is not supported: use a "
				       "snapshotter that gives directories (overlayfs, native)",
				       options[i]);
		if (take_word(&w, options[i]))
			continue;
		if (strbuf_addf(&data, "%s%s", data.len ? "," : "", options[i]))
			return err_set(err, ENOMEM, "read mount options");
	}
	w.data = data.data ? TAKE_PTR(&data.data) : strdup("");
	if (!w.data)
		return err_set(err, ENOMEM, "read mount options");
	*out = w;
	return 0;
}

/* Length of the directory all absolute paths in an overlay's lowerdir=, upperdir=, workdir= have in common, with its '/'. */
static size_t common_directory(const char *data, const char **first)
{
	size_t common = 0;

	*first = NULL;
	for (const char *at = data; *at; at++) {
		/* A path starts after '=' of an option or ':' between layers. */
		if (*at != '/' || at == data || (at[-1] != '=' && at[-1] != ':'))
			continue;
		size_t len = strcspn(at, ":,");

		if (!*first) {
			*first = at;
			common = len;
		}
		size_t same = 0;
		while (same < common && same < len && at[same] == (*first)[same])
			same++;
		common = same;
	}
	while (common && (*first)[common - 1] != '/')
		common--;
	return common;
}

/* Makes the paths relative to the common directory, whose name goes to *dir. Both are the caller's. */
static int shorten_overlay(const char *data, char **dir, char **shorter, struct err *err)
{
	const char *first = NULL;
	AUTO_STRBUF struct strbuf text = STRBUF_INIT;
	size_t common = common_directory(data, &first);

	if (common < 2)
		return err_say(err, E2BIG, "the overlay's layers have names too long for mount");
	AUTO_FREE char *prefix = strndup(first, common);
	if (!prefix)
		return err_set(err, ENOMEM, "shorten overlay options");
	for (const char *at = data; *at; at++) {
		if (at > data && (at[-1] == '=' || at[-1] == ':') &&
		    strncmp(at, prefix, common) == 0)
			at += common;
		if (strbuf_add(&text, at, 1))
			return err_set(err, ENOMEM, "shorten overlay options");
	}
	if (text.len > MOUNT_DATA_MAX)
		return err_say(err, E2BIG, "the overlay has too many layers for mount");
	*dir = TAKE_PTR(&prefix);
	*shorter = TAKE_PTR(&text.data);
	return 0;
}

static int mount_long_overlay(const struct rootfs_mount *m, const struct mount_words *w,
			      const char *target, struct err *err)
{
	AUTO_FREE char *dir = NULL;
	AUTO_FREE char *data = NULL;
	int rc = shorten_overlay(w->data, &dir, &data, err);

	if (rc)
		return rc;
	AUTO_FD int back = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (back < 0 || chdir(dir))
		return err_set(err, errno, "change to '%s'", dir);
	int code = mount(m->source, target, m->type, w->flags, data) ? errno : 0;

	if (fchdir(back))
		log_warn("return from '%s': %s", dir, strerror(errno));
	return code ? err_set(err, code, "mount overlay at '%s'", target) : 0;
}

static int mount_plain(const struct rootfs_mount *m, const struct mount_words *w,
		       const char *target, struct err *err)
{
	/* mount(2) would cut them, in the middle of a word. */
	if (strlen(w->data) > MOUNT_DATA_MAX)
		return err_say(err, E2BIG, "the options of '%s' (%s) are too long for mount",
			       m->source, m->type);
	if (mount(m->source, target, m->type, w->flags, w->data))
		return err_set(err, errno, "mount '%s' (%s) at '%s'", m->source, m->type, target);
	/* A bind takes its flags only by a second call. */
	const unsigned long more = w->flags & ~(unsigned long)(MS_BIND | MS_REC);

	if ((w->flags & MS_BIND) && more &&
	    mount(NULL, target, NULL, MS_REMOUNT | MS_BIND | more, NULL)) {
		int code = errno;

		(void)umount2(target, MNT_DETACH | UMOUNT_NOFOLLOW);
		return err_set(err, code, "set the flags of '%s'", target);
	}
	return 0;
}

/* Where `inside` is, without a link on the way: those are the image's, and mount(2) would follow them out of the rootfs. */
static int resolve_inside(const char *rootfs, const char *inside, char **out, struct err *err)
{
	AUTO_FD int root = open(rootfs, O_PATH | O_DIRECTORY | O_CLOEXEC);
	AUTO_FD int at = root < 0 ? -errno : path_open_in_root(root, inside, O_PATH, 0);

	if (at < 0)
		return err_set(err, -at, "rootfs mount target '%s'", inside);
	AUTO_FREE char *link = str_printf("/proc/self/fd/%d", at);
	*out = link ? realpath(link, NULL) : NULL;
	return *out ? 0 : err_set(err, errno, "rootfs mount target '%s'", inside);
}

bool mount_type_may_bind(const char *type)
{
	return !*type || strcmp(type, "none") == 0 || strcmp(type, "bind") == 0;
}

/* The kernel does not look at the type of a bind: what calls itself one thing would be another. */
static int check_flags(const struct rootfs_mount *m, const struct mount_words *w, struct err *err)
{
	if (!(w->flags & MS_BIND) || mount_type_may_bind(m->type))
		return 0;
	return err_say(err, EINVAL, "a rootfs mount of type '%s' cannot be a bind", m->type);
}

static int mount_one(const struct rootfs_mount *m, const char *rootfs, struct err *err)
{
	struct mount_words w = {0};
	AUTO_FREE char *inner = NULL;
	const char *target = rootfs;

	if (*m->target) {
		if (strstr(m->target, ".."))
			return err_say(err, EINVAL,
				       "rootfs mount target '%s' leads out of the rootfs",
				       m->target);
		if (resolve_inside(rootfs, m->target, &inner, err))
			return -err->code;
		target = inner;
	}
	int rc = mount_words_parse(m->options, m->noptions, &w, err);
	if (rc)
		return rc;
	rc = check_flags(m, &w, err);
	if (!rc && strcmp(m->type, "overlay") == 0 && strlen(w.data) > MOUNT_DATA_MAX)
		rc = mount_long_overlay(m, &w, target, err);
	else if (!rc)
		rc = mount_plain(m, &w, target, err);
	free(w.data);
	return rc;
}

void rootfs_unmount(const char *rootfs, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (umount2(rootfs, MNT_DETACH | UMOUNT_NOFOLLOW) && errno != EINVAL &&
		    errno != ENOENT)
			log_warn("unmount '%s': %s", rootfs, strerror(errno));
}

int rootfs_mount_all(const struct rootfs_mount *mounts, size_t n, const char *rootfs,
		     struct err *err)
{
	int rc = path_mkdirs(AT_FDCWD, rootfs, 0711, err);

	for (size_t i = 0; !rc && i < n; i++) {
		rc = mount_one(&mounts[i], rootfs, err);
		if (rc)
			rootfs_unmount(rootfs, i);
	}
	return rc;
}
