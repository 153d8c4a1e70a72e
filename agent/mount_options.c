/* Mount option words, one table (runtime-spec, config.md, "Mounts"; the recursive r* forms are mount_setattr(2)'s). */
#include "agent/mount_options.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>

enum word_kind {
	WORD_SET,
	WORD_CLEAR,
	WORD_ATIME, /* one of a group: the others are cleared */
	WORD_BIND,
	WORD_PROPAGATION,
	WORD_NOTHING, /* the default already, or of no meaning in a guest */
	WORD_REFUSED,
};

static const struct mount_word {
	const char *name;
	enum word_kind kind;
	bool recursive;
	uint64_t value;
} words[] = {
	{"bind", WORD_BIND, false, 0},
	{"rbind", WORD_BIND, true, 0},
	{"ro", WORD_SET, false, MOUNT_ATTR_RDONLY},
	{"rw", WORD_CLEAR, false, MOUNT_ATTR_RDONLY},
	{"nosuid", WORD_SET, false, MOUNT_ATTR_NOSUID},
	{"suid", WORD_CLEAR, false, MOUNT_ATTR_NOSUID},
	{"nodev", WORD_SET, false, MOUNT_ATTR_NODEV},
	{"dev", WORD_CLEAR, false, MOUNT_ATTR_NODEV},
	{"noexec", WORD_SET, false, MOUNT_ATTR_NOEXEC},
	{"exec", WORD_CLEAR, false, MOUNT_ATTR_NOEXEC},
	{"nosymfollow", WORD_SET, false, MOUNT_ATTR_NOSYMFOLLOW},
	{"symfollow", WORD_CLEAR, false, MOUNT_ATTR_NOSYMFOLLOW},
	{"nodiratime", WORD_SET, false, MOUNT_ATTR_NODIRATIME},
	{"diratime", WORD_CLEAR, false, MOUNT_ATTR_NODIRATIME},
	{"relatime", WORD_ATIME, false, MOUNT_ATTR_RELATIME},
	{"norelatime", WORD_ATIME, false, MOUNT_ATTR_STRICTATIME},
	{"noatime", WORD_ATIME, false, MOUNT_ATTR_NOATIME},
	{"atime", WORD_ATIME, false, MOUNT_ATTR_RELATIME},
	{"strictatime", WORD_ATIME, false, MOUNT_ATTR_STRICTATIME},
	{"nostrictatime", WORD_ATIME, false, MOUNT_ATTR_RELATIME},
	{"rro", WORD_SET, true, MOUNT_ATTR_RDONLY},
	{"rrw", WORD_CLEAR, true, MOUNT_ATTR_RDONLY},
	{"rnosuid", WORD_SET, true, MOUNT_ATTR_NOSUID},
	{"rsuid", WORD_CLEAR, true, MOUNT_ATTR_NOSUID},
	{"rnodev", WORD_SET, true, MOUNT_ATTR_NODEV},
	{"rdev", WORD_CLEAR, true, MOUNT_ATTR_NODEV},
	{"rnoexec", WORD_SET, true, MOUNT_ATTR_NOEXEC},
	{"rexec", WORD_CLEAR, true, MOUNT_ATTR_NOEXEC},
	{"rnosymfollow", WORD_SET, true, MOUNT_ATTR_NOSYMFOLLOW},
	{"rsymfollow", WORD_CLEAR, true, MOUNT_ATTR_NOSYMFOLLOW},
	{"rnodiratime", WORD_SET, true, MOUNT_ATTR_NODIRATIME},
	{"rdiratime", WORD_CLEAR, true, MOUNT_ATTR_NODIRATIME},
	{"rrelatime", WORD_ATIME, true, MOUNT_ATTR_RELATIME},
	{"rnorelatime", WORD_ATIME, true, MOUNT_ATTR_STRICTATIME},
	{"rnoatime", WORD_ATIME, true, MOUNT_ATTR_NOATIME},
	{"ratime", WORD_ATIME, true, MOUNT_ATTR_RELATIME},
	{"rstrictatime", WORD_ATIME, true, MOUNT_ATTR_STRICTATIME},
	{"rnostrictatime", WORD_ATIME, true, MOUNT_ATTR_RELATIME},
	{"private", WORD_PROPAGATION, false, MS_PRIVATE},
	{"shared", WORD_PROPAGATION, false, MS_SHARED},
	{"slave", WORD_PROPAGATION, false, MS_SLAVE},
	{"unbindable", WORD_PROPAGATION, false, MS_UNBINDABLE},
	{"rprivate", WORD_PROPAGATION, true, MS_PRIVATE},
	{"rshared", WORD_PROPAGATION, true, MS_SHARED},
	{"rslave", WORD_PROPAGATION, true, MS_SLAVE},
	{"runbindable", WORD_PROPAGATION, true, MS_UNBINDABLE},
	{"defaults", WORD_NOTHING, false, 0},
	{"async", WORD_NOTHING, false, 0},
	{"nomand", WORD_NOTHING, false, 0},
	{"nolazytime", WORD_NOTHING, false, 0},
	{"loud", WORD_NOTHING, false, 0},
	{"silent", WORD_NOTHING, false, 0},
	{"iversion", WORD_NOTHING, false, 0},
	{"noiversion", WORD_NOTHING, false, 0},
	/* The new tmpfs starts empty: the image's files below it are not copied up. */
	{"tmpcopyup", WORD_NOTHING, false, 0},
	{"idmap", WORD_REFUSED, false, 0},
	{"ridmap", WORD_REFUSED, true, 0},
	{"remount", WORD_REFUSED, false, 0},
};

static const struct mount_word *find_word(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (strcmp(words[i].name, name) == 0)
			return &words[i];
	}
	return NULL;
}

/* The last word about a bit wins, as with mount(8). */
static void set_bits(struct mount_options *out, bool recursive, uint64_t set, uint64_t clear)
{
	uint64_t *s = recursive ? &out->set_recursive : &out->set;
	uint64_t *c = recursive ? &out->clear_recursive : &out->clear;

	*s = (*s & ~clear) | set;
	*c = (*c & ~set) | clear;
}

static int apply_word(const struct mount_word *word, struct mount_options *out)
{
	switch (word->kind) {
	case WORD_SET:
		set_bits(out, word->recursive, word->value, 0);
		return 0;
	case WORD_CLEAR:
		set_bits(out, word->recursive, 0, word->value);
		return 0;
	case WORD_ATIME:
		/* mount_setattr(2) wants the whole group in attr_clr, whatever is set. */
		set_bits(out, word->recursive, 0, MOUNT_ATTR__ATIME);
		*(word->recursive ? &out->set_recursive : &out->set) |= word->value;
		return 0;
	case WORD_BIND:
		out->bind = true;
		out->bind_recursive = word->recursive;
		return 0;
	case WORD_PROPAGATION:
		out->propagation = word->value;
		out->propagation_recursive = word->recursive;
		return 0;
	case WORD_NOTHING:
		return 0;
	case WORD_REFUSED:
		return -EOPNOTSUPP;
	}
	return -EOPNOTSUPP;
}

int mount_options_parse(const struct oci_mount *mount, struct mount_options *out, struct err *err)
{
	*out = (struct mount_options){.bind = strcmp(mount->type, "bind") == 0};
	out->data = calloc(mount->options.n + 1, sizeof(*out->data));
	if (!out->data)
		return err_set(err, ENOMEM, "mount \"%s\"", mount->destination);
	for (size_t i = 0; i < mount->options.n; i++) {
		const char *option = mount->options.v[i];
		const struct mount_word *word = find_word(option);

		if (!word)
			out->data[out->ndata++] = option;
		else if (apply_word(word, out) < 0)
			return err_say(err, EOPNOTSUPP,
				       "mount \"%s\": the option \"%s\" is not supported",
				       mount->destination, option);
	}
	if (out->bind && out->ndata > 0)
		return err_say(err, EINVAL, "mount \"%s\": a bind mount has no option \"%s\"",
			       mount->destination, out->data[0]);
	return 0;
}

void mount_options_done(struct mount_options *options)
{
	free(options->data);
	options->data = NULL;
	options->ndata = 0;
}

int mount_propagation_parse(const char *name, uint64_t *propagation, bool *recursive)
{
	const struct mount_word *word = find_word(name);

	if (!word || word->kind != WORD_PROPAGATION)
		return -EINVAL;
	*propagation = word->value;
	*recursive = word->recursive;
	return 0;
}
