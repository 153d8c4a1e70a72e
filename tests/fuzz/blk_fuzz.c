/*
 * Block requests with the input as header, ranges and framing. Each request takes from the input: a byte of flags, a byte
 * count of readable bytes and these bytes, a byte that cuts them in two, and a le16 of writable bytes.
 */
#include <linux/virtio_config.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>

#include "base/cursor.h"
#include "base/log.h"
#include "tests/unit/fake_driver.h"
#include "vmm/dev/dev.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define DISK_BYTES   65536
#define MAX_REQUESTS 16
#define ANSWER_MS    10000

/* 1..3 descriptors; none is of no bytes, which the queue would refuse before the device sees it. */
static size_t cut(struct fake_driver *d, struct cursor *c, struct fake_seg segs[3])
{
	uint32_t readable = cursor_u8(c);
	uint32_t first = cursor_u8(c);
	uint32_t writable = cursor_u16(c);
	const void *bytes = cursor_take(c, readable);
	size_t n = 0;
	struct gpa at;

	if (!bytes || readable + writable == 0)
		return 0;
	at = fake_put(d, bytes, readable);
	first = first < readable ? first : readable;
	if (first > 0)
		segs[n++] = (struct fake_seg){.at = at, .len = first};
	if (readable > first)
		segs[n++] = (struct fake_seg){.at = GPA(at.v + first), .len = readable - first};
	if (writable > 0)
		segs[n++] = (struct fake_seg){
			.at = fake_alloc(d, writable), .len = writable, .writable = true};
	return n;
}

/* Every chain is answered, or the device gives up: no third thing, and soon. */
static void await(struct fake_driver *d, int chains)
{
	uint16_t head;
	uint32_t len;

	for (int waited_ms = 0; chains > 0; waited_ms++) {
		while (chains > 0 && fake_used(d, 0, &head, &len))
			chains--;
		if (virtio_status(d->dev) & VIRTIO_CONFIG_S_NEEDS_RESET)
			return;
		BUG_ON(waited_ms > ANSWER_MS);
		/* The first wait is no more than a turn for the device's thread. */
		BUG_ON(chains > 0 && loop_step(d->loop, waited_ms > 0, NULL) < 0);
		sched_yield();
	}
}

static void run(struct fake_driver *d, struct virtio_dev *dev, bool at_once, struct cursor *c)
{
	int chains = 0;

	fake_probe(d, dev, cursor_u8(c) & 1 ? UINT64_MAX : VIRTIO_F_INDIRECT_DESC_BIT);
	for (int i = 0; i < MAX_REQUESTS && c->left > 0; i++) {
		struct fake_seg segs[3];
		size_t n = cut(d, c, segs);

		if (n == 0)
			break;
		fake_add_indirect(d, 0, segs, n);
		chains++;
		if (at_once)
			continue;
		virtio_notify(dev, 0);
		await(d, chains);
		chains = 0;
	}
	virtio_notify(dev, 0);
	await(d, chains);
	/* A reset waits for what is under way. */
	virtio_set_status(dev, 0);
}

struct disk {
	struct fake_driver d;
	struct virtio_dev *dev;
	int fd;
};

static void disk_open(struct disk *disk, unsigned kind)
{
	struct dev_blk_params params = {
		.fd = memfd_create("disk", MFD_CLOEXEC),
		.readonly = kind & 1,
		.direct = kind & 2,
		.aio = kind & 4 ? BLOCK_AIO_THREADS : BLOCK_AIO_AUTO,
	};

	log_init(-1, LOG_LEVEL_ERROR, LOG_FORMAT_TEXT);
	BUG_ON(params.fd < 0 || ftruncate(params.fd, DISK_BYTES) < 0);
	disk->fd = params.fd;
	fake_init(&disk->d);
	BUG_ON(dev_blk_create(&params, disk->d.mem, disk->d.loop, &disk->dev, NULL) < 0);
	BUG_ON(virtio_dev_run(disk->dev, NULL) < 0);
}

/*
 * One disk of a kind for the life of the process: threads and rings made for each input were nearly all of its time. A disk
 * that was reset is as good as new, but for its bytes, and no path depends on these.
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct disk disks[8];
	struct cursor c = cursor_of(data, size);
	uint8_t how = cursor_u8(&c);
	struct disk *disk = &disks[how % ARRAY_SIZE(disks)];
	off_t end;

	if (!disk->dev)
		disk_open(disk, how);
	run(&disk->d, disk->dev, how & 8, &c);
	fake_rewind(&disk->d);
	/* Whatever was asked, the disk is as long as it was. */
	end = lseek(disk->fd, 0, SEEK_END);
	BUG_ON(end != DISK_BYTES);
	return 0;
}
