/*
 * Requests for entropy, good and bad. The input is a list of chains: a byte with the number of segments (1 to 4), for each of
 * them a byte of flags (1 writable, 2 outside of RAM) and a le16 of its length. What is not writable stays as it was.
 */
#include <string.h>

#include "base/cursor.h"
#include "base/log.h"
#include "tests/unit/fake_driver.h"
#include "vmm/dev/dev.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MAX_CHAINS  32
#define MAX_SEGS    4
#define MAX_SEG     4096
#define GUARD_BYTES 64

struct guard {
	struct gpa at;
	size_t len;
};

static void check_untouched(const struct fake_driver *d, const struct guard *g)
{
	static const uint8_t zeros[MAX_SEG];
	uint8_t bytes[MAX_SEG];

	fake_get(d, g->at, bytes, g->len);
	BUG_ON(memcmp(bytes, zeros, g->len) != 0);
}

static void one_chain(struct fake_driver *d, struct cursor *c)
{
	size_t n = 1 + cursor_u8(c) % MAX_SEGS, nguards = 0;
	struct fake_seg segs[MAX_SEGS];
	struct guard guards[2 * MAX_SEGS];

	for (size_t i = 0; i < n; i++) {
		uint8_t flags = cursor_u8(c);
		uint32_t len = cursor_u16(c) % (MAX_SEG + 1);
		struct gpa at = flags & 2 ? GPA(0) : fake_alloc(d, len);

		segs[i] = (struct fake_seg){.at = at, .len = len, .writable = flags & 1};
		if (!(flags & 3))
			guards[nguards++] = (struct guard){at, len};
		guards[nguards++] = (struct guard){fake_alloc(d, GUARD_BYTES), GUARD_BYTES};
	}
	fake_add_indirect(d, 0, segs, n);
	fake_kick(d, 0);
	for (size_t i = 0; i < nguards; i++)
		check_untouched(d, &guards[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cursor c = cursor_of(data, size);
	struct virtio_dev *dev = NULL;
	static struct fake_driver d;

	log_init(-1, LOG_LEVEL_ERROR, LOG_FORMAT_TEXT);
	if (!d.mem)
		fake_init(&d);
	BUG_ON(dev_rng_create(d.mem, d.loop, &dev, NULL) < 0);
	fake_probe(&d, dev, UINT64_MAX);
	for (int i = 0; i < MAX_CHAINS && c.left > 0; i++)
		one_chain(&d, &c);
	virtio_dev_destroy(dev);
	fake_rewind(&d);
	return 0;
}
