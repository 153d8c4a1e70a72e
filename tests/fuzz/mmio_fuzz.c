/*
 * A guest that reads and writes registers and memory of a block device in any order. The input is a list of steps of twelve
 * bytes: what, width, offset le16, value le64.
 */
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#include "base/cursor.h"
#include "base/log.h"
#include "tests/unit/fake_driver.h"
#include "vmm/dev/dev.h"
#include "vmm/virtio/mmio.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define DISK_BYTES 65536
#define MAX_STEPS  512

enum step { STEP_READ, STEP_WRITE, STEP_POKE, STEP_LOOP, STEPS };

static void step(struct fake_driver *d, struct virtio_mmio *m, struct cursor *c)
{
	static const uint32_t widths[] = {4, 1, 2, 8};
	enum step what = cursor_u8(c) % STEPS;
	uint32_t width = widths[cursor_u8(c) % 4];
	uint16_t off = cursor_u16(c);
	uint64_t value = cursor_u64(c);

	switch (what) {
	case STEP_READ:
		(void)virtio_mmio_read(m, off, width);
		break;
	case STEP_WRITE:
		virtio_mmio_write(m, off, width, value);
		break;
	case STEP_POKE:
		(void)!gmem_write(d->mem, GPA(FAKE_RAM_AT + off), &value, sizeof(value));
		break;
	case STEP_LOOP:
	case STEPS:
		(void)!loop_step(d->loop, 0, NULL);
		break;
	}
}

static void run(struct fake_driver *d, struct virtio_dev *dev, int irq_fd, struct cursor *c)
{
	CLEANUP(own_virtio_mmio_destroy) struct virtio_mmio *m = NULL;

	if (virtio_mmio_create(dev, irq_fd, &m, NULL) < 0)
		return;
	for (int i = 0; i < MAX_STEPS && c->left > 0; i++)
		step(d, m, c);
	(void)!loop_step(d->loop, 0, NULL);
	virtio_set_status(dev, 0);
}

/*
 * One disk for the life of the process, as in blk_fuzz.c. Rings lie wherever the input says, so memory is cleared as a whole:
 * without huge pages that costs what was touched.
 */
static void disk_open(struct fake_driver *d, struct virtio_dev **dev)
{
	struct dev_blk_params params = {.fd = memfd_create("disk", MFD_CLOEXEC)};

	log_init(-1, LOG_LEVEL_ERROR, LOG_FORMAT_TEXT);
	(void)prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
	BUG_ON(params.fd < 0 || ftruncate(params.fd, DISK_BYTES) < 0);
	fake_init(d);
	BUG_ON(dev_blk_create(&params, d->mem, d->loop, dev, NULL) < 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct fake_driver d;
	static struct virtio_dev *dev;
	static int irq_fd;
	struct cursor c = cursor_of(data, size);

	if (!dev) {
		disk_open(&d, &dev);
		irq_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	}
	run(&d, dev, irq_fd, &c);
	gmem_clear(d.mem);
	return 0;
}
