/* One request: its strings and its answer (state.h). */
#include <errno.h>
#include <string.h>

#include "vmm/dev/fs/state.h"

int fs_reply(struct fs_req *req, const void *data, size_t len)
{
	if (chain_write_left(req->chain) < len)
		return -EINVAL;
	/* Short only when the rings changed under us, which vq_pop's copy rules out. */
	return chain_write(req->chain, data, len) == len ? 0 : -EIO;
}

int fs_req_name(struct fs_req *req, const char **name)
{
	const char *s = cursor_cstr(&req->tail);

	if (!s || s[0] == '\0' || strcmp(s, ".") == 0 || strcmp(s, "..") == 0 || strchr(s, '/'))
		return -EINVAL;
	if (strlen(s) > FS_NAME_MAX)
		return -ENAMETOOLONG;
	*name = s;
	return 0;
}

int fs_req_last_name(struct fs_req *req, const char **name)
{
	int rc = fs_req_name(req, name);

	return rc == 0 && req->tail.left > 0 ? -EINVAL : rc;
}

struct fs_inode *fs_req_inode(const struct fs *fs, const struct fs_req *req)
{
	return fs_inode_get(&fs->inodes, req->in.nodeid);
}
