/*
 * Block device (virtio 1.2, 5.2): one queue of requests over one file or host block device, done one after the other by
 * preadv2/pwritev2 straight between the file and guest memory. A request is read as two streams, whatever its framing:
 *
 *	readable:  { type le32, reserved le32, sector le64 }  data of OUT, or ranges of DISCARD and WRITE_ZEROES
 *	writable:  data of IN or GET_ID                       status u8, always the last byte
 *
 * A request that cannot be answered for want of these two ends breaks the device; any other mistake is an answer, IOERR.
 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_ids.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "vmm/dev/dev.h"

#define QUEUE_SIZE   256
#define SECTOR_BYTES 512U
#define SECTOR_SHIFT 9

/* DISCARD and WRITE_ZEROES: ranges one request may have, and sectors one range (1 GiB). */
#define RANGES_MAX        16
#define RANGE_SECTORS_MAX (1U << 21)

_Static_assert(sizeof(struct virtio_blk_outhdr) == 16, "virtio 1.2, 5.2.6");
_Static_assert(sizeof(struct virtio_blk_discard_write_zeroes) == 16, "virtio 1.2, 5.2.6");

/* What a spare slot is filled with and emptied of. */
struct blk_disk {
	int fd; /* owned; -1: none */
	bool readonly;
	uint64_t capacity_bytes;
	char serial[VIRTIO_BLK_ID_BYTES + 1];
};

static const struct blk_disk no_disk = {.fd = -1};

struct blk {
	struct virtio_dev *dev; /* owns us */
	struct blk_disk disk;
	bool sync_writes; /* no FLUSH negotiated: what is answered must be on the disk (5.2.6.2) */
	struct virtio_blk_config config;
	struct vq_chain chain;
};

static bool range_fits(const struct blk *blk, uint64_t sector, uint64_t len_bytes)
{
	uint64_t sectors = blk->disk.capacity_bytes >> SECTOR_SHIFT;

	return sector <= sectors && len_bytes <= (sectors - sector) << SECTOR_SHIFT;
}

typedef ssize_t (*chain_move_fn)(struct vq_chain *c, size_t len, int fd, off_t off, int flags);

/* Goes on after short transfers; an end of file inside the capacity is a file that was cut behind our back. */
static uint8_t blk_move(struct blk *blk, uint64_t sector, size_t len, chain_move_fn move, int flags)
{
	off_t off;

	if (len % SECTOR_BYTES != 0 || !range_fits(blk, sector, len))
		return VIRTIO_BLK_S_IOERR;
	off = (off_t)(sector << SECTOR_SHIFT);
	while (len > 0) {
		ssize_t n = move(&blk->chain, len, blk->disk.fd, off, flags);

		if (n <= 0)
			return VIRTIO_BLK_S_IOERR;
		off += n;
		len -= (size_t)n;
	}
	return VIRTIO_BLK_S_OK;
}

static uint8_t blk_flush(struct blk *blk)
{
	return fdatasync(blk->disk.fd) == 0 ? VIRTIO_BLK_S_OK : VIRTIO_BLK_S_IOERR;
}

static int blk_fallocate(struct blk *blk, int mode, uint64_t sector, uint64_t len_bytes)
{
	if (fallocate(blk->disk.fd, mode | FALLOC_FL_KEEP_SIZE, (off_t)(sector << SECTOR_SHIFT),
		      (off_t)len_bytes) < 0)
		return -errno;
	return 0;
}

/* A hole reads as zeros too, so it stands in where a range cannot be zeroed in place. */
static int blk_erase(struct blk *blk, bool punch, uint64_t sector, uint64_t len_bytes)
{
	int rc = -EOPNOTSUPP;

	if (!punch)
		rc = blk_fallocate(blk, FALLOC_FL_ZERO_RANGE, sector, len_bytes);
	if (rc == -EOPNOTSUPP)
		rc = blk_fallocate(blk, FALLOC_FL_PUNCH_HOLE, sector, len_bytes);
	return rc;
}

/* virtio 1.2, 5.2.6.2: flags that are unknown, or unmap in a discard, are UNSUPP. */
static uint8_t blk_erase_range(struct blk *blk, uint32_t type,
			       const struct virtio_blk_discard_write_zeroes *range)
{
	uint64_t sector = le64toh(range->sector);
	uint32_t sectors = le32toh(range->num_sectors);
	uint32_t flags = le32toh(range->flags);
	bool discard = type == VIRTIO_BLK_T_DISCARD;
	int rc;

	if (flags & ~(discard ? 0U : VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP))
		return VIRTIO_BLK_S_UNSUPP;
	if (sectors > RANGE_SECTORS_MAX ||
	    !range_fits(blk, sector, (uint64_t)sectors << SECTOR_SHIFT))
		return VIRTIO_BLK_S_IOERR;
	if (sectors == 0)
		return VIRTIO_BLK_S_OK;
	rc = blk_erase(blk, discard || flags, sector, (uint64_t)sectors << SECTOR_SHIFT);
	if (rc == -EOPNOTSUPP)
		return VIRTIO_BLK_S_UNSUPP;
	return rc == 0 ? VIRTIO_BLK_S_OK : VIRTIO_BLK_S_IOERR;
}

static uint8_t blk_erase_ranges(struct blk *blk, uint32_t type)
{
	struct virtio_blk_discard_write_zeroes ranges[RANGES_MAX];
	size_t len = chain_read_left(&blk->chain);
	uint8_t status = VIRTIO_BLK_S_OK;

	if (blk->config.max_discard_seg == 0)
		return VIRTIO_BLK_S_UNSUPP;
	if (len == 0 || len % sizeof(ranges[0]) != 0 || len > sizeof(ranges) ||
	    chain_read(&blk->chain, ranges, len) != len)
		return VIRTIO_BLK_S_IOERR;
	for (size_t i = 0; i < len / sizeof(ranges[0]) && status == VIRTIO_BLK_S_OK; i++)
		status = blk_erase_range(blk, type, &ranges[i]);
	if (status == VIRTIO_BLK_S_OK && blk->sync_writes)
		status = blk_flush(blk);
	return status;
}

/* `room`: writable bytes before the status. */
static uint8_t blk_get_id(struct blk *blk, size_t room)
{
	size_t len = room < VIRTIO_BLK_ID_BYTES ? room : VIRTIO_BLK_ID_BYTES;

	return chain_write(&blk->chain, blk->disk.serial, len) == len ? VIRTIO_BLK_S_OK
								      : VIRTIO_BLK_S_IOERR;
}

static uint8_t blk_request(struct blk *blk, const struct virtio_blk_outhdr *hdr, size_t room)
{
	uint32_t type = le32toh(hdr->type);
	uint64_t sector = le64toh(hdr->sector);

	switch (type) {
	case VIRTIO_BLK_T_IN:
		return blk_move(blk, sector, room, chain_from_fd, 0);
	case VIRTIO_BLK_T_OUT:
		if (blk->disk.readonly)
			return VIRTIO_BLK_S_IOERR;
		return blk_move(blk, sector, chain_read_left(&blk->chain), chain_to_fd,
				blk->sync_writes ? RWF_DSYNC : 0);
	case VIRTIO_BLK_T_FLUSH:
		return blk_flush(blk);
	case VIRTIO_BLK_T_GET_ID:
		return blk_get_id(blk, room);
	case VIRTIO_BLK_T_DISCARD:
	case VIRTIO_BLK_T_WRITE_ZEROES:
		if (blk->disk.readonly)
			return VIRTIO_BLK_S_IOERR;
		return blk_erase_ranges(blk, type);
	default:
		return VIRTIO_BLK_S_UNSUPP;
	}
}

/* false: the request has no header or no place for a status. */
static bool blk_answer(struct blk *blk)
{
	struct vq_chain *c = &blk->chain;
	struct virtio_blk_outhdr hdr;
	uint8_t status;

	if (chain_write_left(c) == 0 || chain_read(c, &hdr, sizeof(hdr)) != sizeof(hdr))
		return false;
	status = blk_request(blk, &hdr, chain_write_left(c) - sizeof(status));
	return chain_write_skip(c, chain_write_left(c) - sizeof(status)) &&
	       chain_write(c, &status, sizeof(status)) == sizeof(status);
}

static void blk_config_read(void *self, uint32_t off, void *out, uint32_t len)
{
	const struct blk *blk = self;

	memcpy(out, (const uint8_t *)&blk->config + off, len);
}

static void blk_start(void *self, uint64_t features)
{
	struct blk *blk = self;

	blk->sync_writes = !(features & (1ULL << VIRTIO_BLK_F_FLUSH));
}

static void blk_kick(void *self, uint16_t queue)
{
	struct blk *blk = self;
	struct vq *q = virtio_queue(blk->dev, queue);

	while (vq_pop(q, &blk->chain)) {
		if (!blk_answer(blk)) {
			virtio_break(blk->dev, "block request without header or status");
			return;
		}
		vq_push(&blk->chain);
	}
	virtio_interrupt(blk->dev, q);
}

static void blk_reset(void *self)
{
	(void)self; /* nothing outlives a kick */
}

static void blk_destroy(void *self)
{
	struct blk *blk = self;

	own_close(&blk->disk.fd);
	free(blk);
}

static const struct virtio_ops blk_ops = {
	.name = "virtio-blk",
	.id = VIRTIO_ID_BLOCK,
	.config_read = blk_config_read,
	.start = blk_start,
	.kick = blk_kick,
	.reset = blk_reset,
	.destroy = blk_destroy,
};

static int blk_capacity(int fd, const struct stat *st, uint64_t *bytes, struct err *err)
{
	if (S_ISREG(st->st_mode))
		*bytes = (uint64_t)st->st_size;
	else if (!S_ISBLK(st->st_mode))
		return err_say(err, EINVAL, "disk is neither a regular file nor a block device");
	else if (ioctl(fd, BLKGETSIZE64, bytes) < 0)
		return err_set(err, errno, "size of block device");
	if (*bytes % SECTOR_BYTES != 0)
		return err_say(err, EINVAL,
			       "disk has %llu bytes, which is no multiple of %u: extend it with "
			       "truncate -s %%%u",
			       (unsigned long long)*bytes, SECTOR_BYTES, SECTOR_BYTES);
	return 0;
}

/*
 * Asked of the file system by a hole behind the end, which changes nothing. A host block device refuses ranges behind its
 * end instead; whether it can discard shows at the first request, whose UNSUPP makes the guest stop asking.
 */
static bool blk_can_punch(int fd, const struct stat *st, uint64_t capacity_bytes)
{
	return S_ISBLK(st->st_mode) || fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
						 (off_t)capacity_bytes, SECTOR_BYTES) == 0;
}

static uint64_t blk_configure(struct blk *blk, bool can_erase)
{
	uint64_t features = 1ULL << VIRTIO_BLK_F_SEG_MAX | 1ULL << VIRTIO_BLK_F_BLK_SIZE |
			    1ULL << VIRTIO_BLK_F_FLUSH;

	blk->config.seg_max = htole32(QUEUE_SIZE - 2); /* a chain holds header and status too */
	blk->config.blk_size = htole32(SECTOR_BYTES);
	if (blk->disk.readonly)
		return features | 1ULL << VIRTIO_BLK_F_RO;
	if (!can_erase)
		return features;
	blk->config.max_discard_sectors = htole32(RANGE_SECTORS_MAX);
	blk->config.max_discard_seg = htole32(RANGES_MAX);
	blk->config.discard_sector_alignment = htole32(1);
	blk->config.max_write_zeroes_sectors = htole32(RANGE_SECTORS_MAX);
	blk->config.max_write_zeroes_seg = htole32(RANGES_MAX);
	blk->config.write_zeroes_may_unmap = 1;
	return features | 1ULL << VIRTIO_BLK_F_DISCARD | 1ULL << VIRTIO_BLK_F_WRITE_ZEROES;
}

/* `can_punch` NULL: not asked. The descriptor stays with `p`. */
static int disk_open(const struct dev_blk_params *p, struct blk_disk *out, bool *can_punch,
		     struct err *err)
{
	struct blk_disk disk = {.fd = p->fd, .readonly = p->readonly};
	struct stat st;
	int mode = fcntl(p->fd, F_GETFL);
	int rc;

	if (mode < 0 || fstat(p->fd, &st) < 0)
		return err_set(err, errno, "disk");
	if (!p->readonly && (mode & O_ACCMODE) != O_RDWR)
		return err_say(err, EACCES, "disk is not open for reading and writing");
	rc = blk_capacity(p->fd, &st, &disk.capacity_bytes, err);
	if (rc < 0)
		return rc;
	memcpy(disk.serial, p->serial, VIRTIO_BLK_ID_BYTES);
	if (can_punch)
		*can_punch = !p->readonly && blk_can_punch(p->fd, &st, disk.capacity_bytes);
	*out = disk;
	return 0;
}

/* Lock held once the device exists. */
static void set_disk(struct blk *blk, const struct blk_disk *disk)
{
	blk->disk = *disk;
	blk->config.capacity = htole64(disk->capacity_bytes >> SECTOR_SHIFT);
}

int dev_blk_create(const struct dev_blk_params *p, struct gmem *mem, struct loop *loop,
		   struct virtio_dev **out, struct err *err)
{
	AUTO_FREE struct blk *blk = calloc(1, sizeof(*blk));
	struct virtio_dev_params params = {
		.ops = &blk_ops,
		.self = blk,
		.nqueues = 1,
		.queue_size = QUEUE_SIZE,
		.config_len = sizeof(blk->config),
		.mem = mem,
		.loop = loop,
	};
	struct blk_disk disk = no_disk;
	bool can_erase = true; /* a spare slot's disks may: those that cannot answer UNSUPP */
	int rc = 0;

	if (!blk)
		return err_set(err, ENOMEM, "virtio-blk");
	if (p->fd >= 0)
		rc = disk_open(p, &disk, &can_erase, err);
	if (rc < 0)
		return rc;
	set_disk(blk, &disk);
	params.features = blk_configure(blk, can_erase);
	rc = virtio_dev_create(&params, &blk->dev, err);
	if (rc < 0)
		return rc;
	*out = blk->dev;
	(void)TAKE_PTR(&blk);
	return 0;
}

int dev_blk_fill(struct virtio_dev *dev, const struct dev_blk_params *p, struct err *err)
{
	struct blk *blk = virtio_self(dev);
	struct blk_disk disk;
	int rc = disk_open(p, &disk, NULL, err);

	if (rc < 0)
		return rc;
	virtio_lock(dev);
	if (blk->disk.fd >= 0) {
		rc = err_say(err, EBUSY, "the slot has a disk already");
	} else {
		set_disk(blk, &disk);
		virtio_config_changed(dev);
	}
	virtio_unlock(dev);
	return rc;
}

void dev_blk_empty(struct virtio_dev *dev)
{
	struct blk *blk = virtio_self(dev);
	AUTO_FD int fd = -1;

	virtio_lock(dev);
	/* A kick answers its requests with the lock held, so none is under way. */
	fd = blk->disk.fd;
	if (fd >= 0) {
		set_disk(blk, &no_disk);
		virtio_config_changed(dev);
	}
	virtio_unlock(dev);
}
