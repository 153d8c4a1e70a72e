/* One array for all sets: there are few, and a set is what has the same number. */
#include "vmm/fdset.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/own.h"
#include "base/str.h"

#define PREFIX  "/dev/fdset/"
#define MAX_SET INT32_MAX

static int64_t unused_set(const struct fdsets *sets)
{
	int64_t set = 0;

	for (size_t i = 0; i < sets->n;) {
		bool taken = sets->fds[i].set == set;

		set += taken;
		i = taken ? 0 : i + 1;
	}
	return set;
}

int fdsets_add(struct fdsets *sets, int64_t set, int fd, const char *opaque,
	       const struct fdset_fd **out, struct err *err)
{
	AUTO_FD int owned = fd;
	struct fdset_fd *entry = &sets->fds[sets->n];

	if (set < -1 || set > MAX_SET)
		return err_say(err, EINVAL, "fd set %lld: the number of a set is 0 to %d",
			       (long long)set, MAX_SET);
	if (sets->n == FDSET_MAX_FDS)
		return err_say(err, EMFILE,
			       "the fd sets hold %d descriptors already: remove-fd frees some",
			       FDSET_MAX_FDS);
	if (opaque && strlen(opaque) >= FDSET_OPAQUE_BYTES)
		return err_say(err, EINVAL, "opaque has more than %d bytes",
			       FDSET_OPAQUE_BYTES - 1);
	entry->set = set >= 0 ? set : unused_set(sets);
	(void)snprintf(entry->opaque, sizeof(entry->opaque), "%s", opaque ? opaque : "");
	entry->fd = TAKE_FD(&owned);
	sets->n++;
	*out = entry;
	return 0;
}

int fdsets_remove(struct fdsets *sets, int64_t set, int64_t fd, struct err *err)
{
	size_t kept = 0;
	size_t before = sets->n;

	for (size_t i = 0; i < before; i++) {
		if (sets->fds[i].set == set && (fd < 0 || sets->fds[i].fd == fd))
			own_close(&sets->fds[i].fd);
		else
			sets->fds[kept++] = sets->fds[i];
	}
	sets->n = kept;
	if (kept < before)
		return 0;
	if (fd < 0)
		return err_say(err, ENOENT, "there is no fd set %lld", (long long)set);
	return err_say(err, ENOENT, "fd set %lld has no descriptor %lld", (long long)set,
		       (long long)fd);
}

bool fdset_is_name(const char *path)
{
	return str_starts(path, PREFIX);
}

int fdsets_open(const struct fdsets *sets, const char *path, int flags, int *out, struct err *err)
{
	bool found = false;
	uint64_t set;

	if (!fdset_is_name(path) || str_to_u64(path + strlen(PREFIX), 0, MAX_SET, &set) < 0)
		return err_say(err, EINVAL, "'%s': the name of an fd set is " PREFIX "NUMBER",
			       path);
	for (size_t i = 0; i < sets->n; i++) {
		int mode, fd;

		if (sets->fds[i].set != (int64_t)set)
			continue;
		found = true;
		mode = fcntl(sets->fds[i].fd, F_GETFL);
		if (mode < 0 || (mode & O_ACCMODE) != (flags & O_ACCMODE))
			continue;
		fd = fcntl(sets->fds[i].fd, F_DUPFD_CLOEXEC, 0);
		if (fd < 0)
			return err_set(err, errno, "'%s'", path);
		*out = fd;
		return 0;
	}
	if (!found)
		return err_say(err, ENOENT, "'%s': there is no such fd set", path);
	return err_say(err, EACCES, "'%s': the set has no descriptor that was opened %s", path,
		       (flags & O_ACCMODE) == O_RDONLY   ? "for reading only"
		       : (flags & O_ACCMODE) == O_WRONLY ? "for writing only"
							 : "for reading and writing");
}

void fdsets_done(struct fdsets *sets)
{
	for (size_t i = 0; i < sets->n; i++)
		own_close(&sets->fds[i].fd);
	sets->n = 0;
}
