/* See broker_policy.h. */
#include "runtime/broker_policy.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>

#include "base/own.h"
#include "base/str.h"
#include "config/plan.h"

/*
 * What is mounted after the seal beside binds and overlays, where the first container's was of that type: snapshots that are a device
 * each. No others: to a procfs or sysfs its source means nothing, and of a btrfs one device holds all that the host has in it.
 */
static const char *const device_types[] = {"ext2", "ext4", "xfs", "zfs"};

static bool is_overlay(const char *type)
{
	return strcmp(type, "overlay") == 0;
}

static void forget_words(char **words, size_t *n)
{
	while (*n)
		free(words[--*n]);
}

void broker_policy_done(struct broker_policy *p)
{
	free(p->bundle_head);
	free(p->bundle_tail);
	p->bundle_head = p->bundle_tail = NULL;
	forget_words(p->logs, &p->nlogs);
	forget_words(p->places, &p->nplaces);
	forget_words(p->words, &p->nwords);
}

/* What does not fit any more is not learned: that only makes the policy stricter. */
static int learn(char **words, size_t *n, const char *word, size_t len, struct err *err)
{
	if (*n == BROKER_POLICY_MAX_WORDS)
		return 0;
	words[*n] = strndup(word, len);
	if (!words[*n])
		return err_set(err, ENOMEM, "learn '%s'", word);
	++*n;
	return 0;
}

static size_t directory_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? (size_t)(slash - path) : 0;
}

/* Where the id is in the path, as the last component that is just it; where a bundle has a name of its own, its last one. */
static const char *id_in(const char *bundle, const char *id, size_t *len)
{
	const char *found = NULL, *at = bundle;

	for (const char *slash = strchr(at, '/'); slash; slash = strchr(at, '/')) {
		at = slash + 1;
		*len = strcspn(at, "/");
		if (*len == strlen(id) && memcmp(at, id, *len) == 0)
			found = at;
	}
	*len = strlen(found ? id : at);
	return found ? found : at;
}

static int learn_bundle(struct broker_policy *p, const char *id, const char *bundle,
			struct err *err)
{
	size_t len = 0;
	const char *at = id_in(bundle, id, &len);
	AUTO_FREE char *head = strndup(bundle, (size_t)(at - bundle));
	AUTO_FREE char *tail = strdup(at + len);

	if (!head || !tail)
		return err_set(err, ENOMEM, "learn '%s'", bundle);
	p->bundle_head = TAKE_PTR(&head);
	p->bundle_tail = TAKE_PTR(&tail);
	return 0;
}

int broker_policy_bundle(struct broker_policy *p, const char *id, const char *bundle,
			 struct err *err)
{
	if (container_id_check(id, err))
		return -err->code;
	if (!p->sealed)
		return p->bundle_head ? 0 : learn_bundle(p, id, bundle, err);
	if (p->bundle_head) {
		AUTO_FREE char *good = str_printf("%s%s%s", p->bundle_head, id, p->bundle_tail);

		if (!good)
			return err_set(err, ENOMEM, "look at '%s'", bundle);
		if (strcmp(bundle, good) == 0)
			return 0;
	}
	return err_say(err, EPERM,
		       "bundle '%s' is refused: it is not where the first container's was, under "
		       "its own id",
		       bundle);
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Equal but for the lengths and values of their numbers. */
static bool alike(const char *known, const char *word, size_t len)
{
	const char *end = word + len;

	while (*known && word < end) {
		if (is_digit(*known) != is_digit(*word) || (!is_digit(*known) && *known != *word))
			return false;
		if (!is_digit(*known)) {
			known++;
			word++;
			continue;
		}
		while (is_digit(*known))
			known++;
		while (word < end && is_digit(*word))
			word++;
	}
	return !*known && word == end;
}

/* A snapshotter that gave one of a snapshot's two directories may give the other one, too. */
static bool alike_as_work(const char *known, const char *word, size_t len)
{
	static const char data[] = "/fs", work[] = "/work";
	const size_t data_len = sizeof(data) - 1, work_len = sizeof(work) - 1;

	if (!str_ends(known, data) || len < work_len ||
	    memcmp(word + len - work_len, work, work_len) != 0)
		return false;
	AUTO_FREE char *stem = strndup(known, strlen(known) - data_len);

	return stem && alike(stem, word, len - work_len);
}

static int refuse_place(const char *path, size_t len, struct err *err)
{
	return err_say(err, EPERM,
		       "rootfs mount of '%.*s' is refused: the first container's came from "
		       "elsewhere",
		       (int)len, path);
}

static int take_place(struct broker_policy *p, const char *path, size_t len, struct err *err)
{
	for (size_t i = 0; i < p->nplaces; i++)
		if (alike(p->places[i], path, len) || alike_as_work(p->places[i], path, len))
			return 0;
	return p->sealed ? refuse_place(path, len, err)
			 : learn(p->places, &p->nplaces, path, len, err);
}

static int take_directory(struct broker_policy *p, const char *path, size_t len, struct err *err)
{
	/* Where a relative one is depends on the broker's working directory. */
	if (p->sealed && *path != '/')
		return refuse_place(path, len, err);
	return take_place(p, path, len, err);
}

/* lowerdir=A:B, upperdir=A, workdir=A, lowerdir+=A, datadir+=A (overlayfs.rst); redirect_dir=on is about renames. */
static bool names_directories(const char *option, const char **value)
{
	const char *equals = strchr(option, '=');
	size_t len = equals ? (size_t)(equals - option) : 0;

	if (len && option[len - 1] == '+')
		len--;
	*value = equals ? equals + 1 : NULL;
	return len >= 3 && memcmp(option + len - 3, "dir", 3) == 0 && !memchr(option, '/', len) &&
	       !str_starts(option, "redirect_dir=");
}

static int take_directories(struct broker_policy *p, const char *value, struct err *err)
{
	for (;;) {
		const size_t len = strcspn(value, ":");
		int rc = take_directory(p, value, len, err);

		if (rc || !value[len])
			return rc;
		value += len + 1;
	}
}

/* /dev/sda1, /dev/dm-3: their numbers are not a snapshotter's. */
static bool is_plain_device(const char *source)
{
	return str_starts(source, "/dev/") && !strchr(source + strlen("/dev/"), '/');
}

static int take_device(struct broker_policy *p, const char *source, struct err *err)
{
	if (!p->sealed || !is_plain_device(source))
		return take_place(p, source, strlen(source), err);
	for (size_t i = 0; i < p->nplaces; i++)
		if (strcmp(p->places[i], source) == 0)
			return 0;
	return refuse_place(source, strlen(source), err);
}

static int take_source(struct broker_policy *p, const struct rootfs_mount *m, struct err *err)
{
	/* An overlay's is a word of no meaning. */
	if (is_overlay(m->type))
		return 0;
	if (mount_type_may_bind(m->type))
		return take_directory(p, m->source, strlen(m->source), err);
	return take_device(p, m->source, err);
}

/* It is one of the table, and was seen where it has to be. */
static int take_type(struct broker_policy *p, const char *type, struct err *err)
{
	bool good = mount_type_may_bind(type) || is_overlay(type);

	for (size_t i = 0; i < ARRAY_SIZE(device_types); i++) {
		if (strcmp(type, device_types[i]) != 0)
			continue;
		p->types |= p->sealed ? 0 : 1u << i;
		good = p->types & 1u << i;
	}
	if (good || !p->sealed)
		return 0;
	return err_say(err, EPERM,
		       "a rootfs mount of type '%s' is refused: use a snapshotter that gives "
		       "directories (overlayfs, native)",
		       type);
}

/* What the file system is told, as one of the first container's was told it. */
static int take_word(struct broker_policy *p, const char *word, struct err *err)
{
	for (size_t i = 0; i < p->nwords; i++)
		if (strcmp(p->words[i], word) == 0)
			return 0;
	if (!p->sealed)
		return learn(p->words, &p->nwords, word, strlen(word), err);
	return err_say(err, EPERM,
		       "rootfs mount option '%s' is refused: the first container's had none such",
		       word);
}

static int take_overlay_option(struct broker_policy *p, const char *option, struct err *err)
{
	const char *value = NULL;

	if (names_directories(option, &value))
		return take_directories(p, value, err);
	if (p->sealed && strchr(option, '/'))
		return err_say(err, EPERM, "rootfs mount option '%s' is refused: it names a path",
			       option);
	return 0;
}

static int take_option(struct broker_policy *p, const char *type, const char *option,
		       struct err *err)
{
	unsigned long set = 0, clear = 0;

	/* One option is one word: the kernel would see two, or a name that is not the one seen here. */
	if (p->sealed && strpbrk(option, ",\\"))
		return err_say(err, EPERM, "rootfs mount option '%s' is refused", option);
	if (mount_word_is_flag(option, &set, &clear)) {
		if (!p->sealed || !(set & MS_BIND) || mount_type_may_bind(type))
			return 0;
		return err_say(err, EPERM, "rootfs mount option '%s' is refused for type '%s'",
			       option, type);
	}
	return is_overlay(type) ? take_overlay_option(p, option, err) : take_word(p, option, err);
}

static int take_mount(struct broker_policy *p, const struct rootfs_mount *m, struct err *err)
{
	int rc = take_type(p, m->type, err);

	if (!rc && p->sealed && *m->target)
		return err_say(err, EPERM, "rootfs mount target '%s' is refused", m->target);
	if (!rc)
		rc = take_source(p, m, err);
	for (size_t i = 0; !rc && i < m->noptions; i++)
		rc = take_option(p, m->type, m->options[i], err);
	return rc;
}

int broker_policy_mounts(struct broker_policy *p, const struct rootfs_mount *mounts, size_t n,
			 struct err *err)
{
	int rc = 0;

	for (size_t i = 0; !rc && i < n; i++)
		rc = take_mount(p, &mounts[i], err);
	return rc;
}

int broker_policy_log(struct broker_policy *p, const char *path, struct err *err)
{
	const size_t len = directory_of(path);

	if (!p->sealed)
		return learn(p->logs, &p->nlogs, path, len, err);
	for (size_t i = 0; i < p->nlogs; i++)
		if (strlen(p->logs[i]) == len && strncmp(p->logs[i], path, len) == 0)
			return 0;
	return err_say(err, EPERM,
		       "log file '%s' is refused: once the microVM runs, a log has to lie in a "
		       "directory that has one of an earlier process",
		       path);
}
