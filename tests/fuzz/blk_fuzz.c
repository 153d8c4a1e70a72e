/*
 * Block requests with the input as header, ranges and framing. Each request takes from the input: a byte of flags, a byte
 * count of readable bytes and these bytes, a byte that cuts them in two, and a le16 of writable bytes.
 */
#include <string.h>
#include <sys/mman.h>

#include "base/cursor.h"
#include "base/log.h"
#include "tests/unit/fake_driver.h"
#include "vmm/dev/dev.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define DISK_BYTES   65536
#define MAX_REQUESTS 16

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

static void run(struct fake_driver *d, struct virtio_dev *dev, struct cursor *c)
{
	fake_probe(d, dev, cursor_u8(c) & 1 ? UINT64_MAX : VIRTIO_F_INDIRECT_DESC_BIT);
	for (int i = 0; i < MAX_REQUESTS && c->left > 0; i++) {
		struct fake_seg segs[3];
		size_t n = cut(d, c, segs);

		if (n == 0)
			return;
		fake_add_indirect(d, 0, segs, n);
		fake_kick(d, 0);
	}
	/* A reset waits for what is under way. */
	virtio_set_status(dev, 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cursor c = cursor_of(data, size);
	uint8_t how = cursor_u8(&c);
	struct dev_blk_params params = {
		.fd = memfd_create("disk", MFD_CLOEXEC),
		.readonly = how & 1,
		.direct = how & 2,
		.aio = how & 4 ? BLOCK_AIO_THREADS : BLOCK_AIO_AUTO,
	};
	struct virtio_dev *dev = NULL;
	struct fake_driver d;
	off_t end;

	log_init(-1, LOG_LEVEL_ERROR, LOG_FORMAT_TEXT);
	BUG_ON(params.fd < 0 || ftruncate(params.fd, DISK_BYTES) < 0);
	fake_init(&d);
	if (dev_blk_create(&params, d.mem, d.loop, &dev, NULL) == 0 &&
	    virtio_dev_run(dev, NULL) == 0) {
		run(&d, dev, &c);
		/* Whatever was asked, the disk is as long as it was. */
		end = lseek(params.fd, 0, SEEK_END);
		BUG_ON(end != DISK_BYTES);
	}
	virtio_dev_destroy(dev);
	fake_done(&d);
	return 0;
}
