/*
 * In the initial user namespace the map is one line, "0 0 4294967295". Where we ourselves are in another one, only ids that
 * exist there can be handed on: a line of its map is "inside outside count", and a child's outside is our inside.
 */
#include "base/idmap.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/own.h"
#include "base/path.h"
#include "base/str.h"

#define MAP_MAX_BYTES 4095 /* the kernel takes less than a page in its one write */

int idmap_identity(const char *own, char *out, size_t size)
{
	size_t used = 0;

	out[0] = '\0';
	while (*own) {
		unsigned int inside, outside, count;
		int len = 0;

		if (sscanf(own, " %u %u %u %n", &inside, &outside, &count, &len) != 3 || len == 0)
			return -EINVAL;
		int n = snprintf(out + used, size - used, "%u %u %u\n", inside, inside, count);
		if (n < 0 || (size_t)n >= size - used)
			return -E2BIG;
		used += (size_t)n;
		own += len;
	}
	return used ? 0 : -EINVAL;
}

static int hand_on(pid_t pid, const char *map, struct err *err)
{
	AUTO_FREE char *own = str_printf("/proc/self/%s", map);
	AUTO_FREE char *theirs = str_printf("/proc/%d/%s", (int)pid, map);
	AUTO_FREE char *text = NULL;
	char ids[MAP_MAX_BYTES + 1];

	if (!own || !theirs)
		return err_set(err, ENOMEM, "map ids");
	int rc = path_read(AT_FDCWD, own, MAP_MAX_BYTES, &text, NULL, err);
	if (rc < 0)
		return rc;
	rc = idmap_identity(text, ids, sizeof(ids));
	if (rc < 0)
		return err_set(err, -rc, "'%s' has no map of ids that can be handed on", own);
	return path_poke(AT_FDCWD, theirs, ids, err);
}

int idmap_one_to_one(pid_t pid, struct err *err)
{
	int rc = hand_on(pid, "gid_map", err);

	return rc < 0 ? rc : hand_on(pid, "uid_map", err);
}
