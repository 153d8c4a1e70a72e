/* The table of open files and directories (handle.h). */
#include "vmm/dev/fs/handle.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/own.h"

void fs_handles_init(struct fs_handles *t, uint32_t max)
{
	fs_ids_init(&t->ids, max);
}

int fs_handle_add(struct fs_handles *t, uint64_t nodeid, bool is_dir, int *fd, uint64_t *fh)
{
	AUTO_FREE struct fs_handle *h = calloc(1, sizeof(*h));
	if (!h)
		return -ENOMEM;

	*h = (struct fs_handle){.nodeid = nodeid, .fd = *fd, .is_dir = is_dir};
	int rc = fs_ids_add(&t->ids, h, &h->fh);
	if (rc < 0)
		return rc;

	*fd = -1;
	*fh = h->fh;
	(void)TAKE_PTR(&h);
	return 0;
}

static struct fs_handle *get(const struct fs_handles *t, uint64_t nodeid, uint64_t fh, bool is_dir)
{
	struct fs_handle *h = fs_ids_get(&t->ids, fh);

	return h && h->nodeid == nodeid && h->is_dir == is_dir ? h : NULL;
}

struct fs_handle *fs_handle_file(const struct fs_handles *t, uint64_t nodeid, uint64_t fh)
{
	return get(t, nodeid, fh, false);
}

struct fs_handle *fs_handle_dir(const struct fs_handles *t, uint64_t nodeid, uint64_t fh)
{
	return get(t, nodeid, fh, true);
}

void fs_handle_close(struct fs_handles *t, struct fs_handle *h)
{
	fs_ids_take(&t->ids, h->fh);
	(void)close(h->fd);
	free(h);
}

void fs_handles_close_all(struct fs_handles *t)
{
	for (uint32_t i = 0; i < t->ids.fresh; i++) {
		struct fs_handle *h = fs_ids_at(&t->ids, i);
		if (h)
			fs_handle_close(t, h);
	}
}

void fs_handles_done(struct fs_handles *t)
{
	fs_handles_close_all(t);
	fs_ids_done(&t->ids);
}
