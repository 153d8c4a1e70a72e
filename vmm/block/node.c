/* Opening a disk image: what it is, who else has it, and how it wants its reads and writes aligned. */
#include "vmm/block/node.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/own.h"

#define PAGE_BYTES 4096U

struct opening {
	const struct block_node_params *p;
	char name[128];
	struct stat st;
};

static int find_capacity(const struct opening *o, uint64_t *bytes, struct err *err)
{
	if (S_ISREG(o->st.st_mode))
		*bytes = (uint64_t)o->st.st_size;
	else if (!S_ISBLK(o->st.st_mode))
		return err_say(err, EINVAL, "%s is neither a regular file nor a block device",
			       o->name);
	else if (ioctl(o->p->fd, BLKGETSIZE64, bytes) < 0)
		return err_set(err, errno, "%s: size of the block device", o->name);
	if (*bytes % BLOCK_SECTOR_BYTES != 0)
		return err_say(err, EINVAL,
			       "%s has %llu bytes, which is no multiple of %u: extend it with "
			       "truncate -s %%%u",
			       o->name, (unsigned long long)*bytes, BLOCK_SECTOR_BYTES,
			       BLOCK_SECTOR_BYTES);
	return 0;
}

/* File systems without locks keep nobody out, neither would they keep us out. */
static int take_lock(const struct opening *o, bool *locked, struct err *err)
{
	struct flock lock = {
		.l_type = o->p->readonly ? F_RDLCK : F_WRLCK,
		.l_whence = SEEK_SET,
	};

	if (o->p->no_lock)
		return 0;
	if (fcntl(o->p->fd, F_OFD_SETLK, &lock) == 0) {
		*locked = true;
		return 0;
	}
	if (errno == EAGAIN || errno == EACCES)
		return err_say(err, EAGAIN,
			       "%s is in use by another process%s: end that one, or let both "
			       "have it with readonly=on",
			       o->name, o->p->readonly ? ", which writes to it" : "");
	log_warn("%s cannot be locked (%s): take care that nobody else writes to it", o->name,
		 strerror(errno));
	return 0;
}

/* Asked of the file system by a hole behind the end, which changes nothing. */
static bool can_punch(int fd, uint64_t capacity_bytes)
{
	return fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)capacity_bytes,
			 BLOCK_SECTOR_BYTES) == 0;
}

/* Asked by a range that cannot be, odd and past any end: a device that does not discard at all says so first. */
static bool can_blkdiscard(int fd)
{
	return ioctl(fd, BLKDISCARD, (uint64_t[2]){1ULL << 62, 1}) < 0 && errno == EINVAL;
}

/* A device can always be zeroed: where it has no command for it, the kernel writes. */
static void find_erase(const struct opening *o, struct block_node *n)
{
	if (o->p->readonly)
		return;
	n->can_zero = n->is_device || can_punch(o->p->fd, n->capacity_bytes);
	n->can_discard = n->is_device ? can_blkdiscard(o->p->fd) : n->can_zero;
}

static uint32_t ioctl_size(int fd, unsigned long request, uint32_t otherwise)
{
	unsigned int value = 0;

	if (ioctl(fd, request, &value) < 0 || value < BLOCK_SECTOR_BYTES ||
	    (value & (value - 1)) != 0)
		return otherwise;
	return value;
}

static void find_blocks(const struct opening *o, struct block_node *n)
{
	n->block_bytes = n->erase_bytes = BLOCK_SECTOR_BYTES;
	n->physical_bytes = PAGE_BYTES;
	n->align_bytes = 1;
	if (!n->is_device)
		return;
	n->erase_bytes = ioctl_size(o->p->fd, BLKSSZGET, BLOCK_SECTOR_BYTES);
	n->physical_bytes = ioctl_size(o->p->fd, BLKPBSZGET, n->erase_bytes);
	if (n->erase_bytes <= o->p->block_max_bytes)
		n->block_bytes = n->erase_bytes;
}

/* Found by trying, since only newer kernels can be asked: 512 or a page. 0: neither reads. */
static uint32_t try_alignment(int fd, uint8_t *page, bool of_memory)
{
	for (uint32_t size = BLOCK_SECTOR_BYTES; size <= PAGE_BYTES; size *= 8) {
		uint8_t *at = of_memory ? page + size : page;
		size_t len = of_memory ? PAGE_BYTES : size;

		if (pread(fd, at, len, 0) >= 0)
			return size;
	}
	return 0;
}

static bool set_direct(int fd, bool on)
{
	int flags = fcntl(fd, F_GETFL);

	return flags >= 0 && fcntl(fd, F_SETFL, on ? flags | O_DIRECT : flags & ~O_DIRECT) == 0;
}

/* Why not, or NULL. */
static const char *go_direct(const struct opening *o, struct block_node *n)
{
	AUTO_FREE uint8_t *pages = NULL;
	uint32_t block, align;

	if (posix_memalign((void **)&pages, PAGE_BYTES, 3UL * PAGE_BYTES) != 0)
		return "no memory";
	if (!set_direct(o->p->fd, true))
		return "the file system refuses";
	block = try_alignment(o->p->fd, pages, false);
	align = try_alignment(o->p->fd, pages, true);
	if (block == 0 || align == 0)
		return "reads fail";
	if (block > o->p->block_max_bytes)
		return "its blocks are larger than this slot's";
	n->direct = true;
	n->block_bytes = block;
	n->align_bytes = align;
	if (n->physical_bytes < block)
		n->physical_bytes = block;
	if (n->erase_bytes < block)
		n->erase_bytes = block;
	return NULL;
}

static void choose_cache(const struct opening *o, struct block_node *n)
{
	const char *why;

	if (!o->p->direct && !(fcntl(o->p->fd, F_GETFL) & O_DIRECT))
		return;
	why = go_direct(o, n);
	if (!why)
		return;
	log_warn("%s: no direct I/O (%s): it goes through the host's page cache", o->name, why);
	(void)set_direct(o->p->fd, false);
}

int block_node_open(const struct block_node_params *p, struct block_node *out, struct err *err)
{
	struct block_node node = {.fd = p->fd, .readonly = p->readonly};
	struct opening o = {.p = p};
	int mode = fcntl(p->fd, F_GETFL);
	int rc;

	if (p->name)
		(void)snprintf(o.name, sizeof(o.name), "disk '%s'", p->name);
	else
		(void)snprintf(o.name, sizeof(o.name), "disk (descriptor %d)", p->fd);
	if (mode < 0 || fstat(p->fd, &o.st) < 0)
		return err_set(err, errno, "%s", o.name);
	if ((mode & O_ACCMODE) != O_RDWR && (!p->readonly || (mode & O_ACCMODE) != O_RDONLY))
		return err_say(err, EACCES, "%s is not open for reading%s", o.name,
			       p->readonly ? "" : " and writing");
	node.is_device = S_ISBLK(o.st.st_mode);
	rc = find_capacity(&o, &node.capacity_bytes, err);
	if (rc == 0)
		rc = take_lock(&o, &node.locked, err);
	if (rc < 0)
		return rc;
	find_erase(&o, &node);
	find_blocks(&o, &node);
	choose_cache(&o, &node);
	*out = node;
	return 0;
}

/* Not left to close(2): whoever handed the descriptor over may have kept one. */
void block_node_unlock(struct block_node *node)
{
	struct flock unlock = {.l_type = F_UNLCK, .l_whence = SEEK_SET};

	if (node->locked)
		(void)fcntl(node->fd, F_OFD_SETLK, &unlock);
	node->locked = false;
}

void block_node_close(struct block_node *node)
{
	if (node->fd < 0)
		return;
	block_node_unlock(node);
	own_close(&node->fd);
	*node = (struct block_node)BLOCK_NODE_NONE;
}
