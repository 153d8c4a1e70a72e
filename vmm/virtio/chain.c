/*
 * The bytes of one checked chain, seen as two streams: what the driver wrote and what it wants written (virtio 1.2, 2.6.4:
 * a device must not rely on how a request is cut into descriptors). With gmem.c the only holder of host pointers into guest
 * memory: they live from gmem_span to the end of one system call.
 */
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/uio.h>

#include "vmm/virtio/queue.h"

/* One vector holds any chain, so a transfer is short only when the file is. */
_Static_assert(VQ_MAX_SIZE <= IOV_MAX, "preadv2(2)");

enum chain_part { CHAIN_READABLE, CHAIN_WRITABLE };

/* A place in one part of a chain. */
struct seg_cursor {
	const struct vq_seg *seg, *end;
	uint32_t off; /* in *seg */
};

static struct seg_cursor seg_seek(const struct vq_seg *segs, size_t n, uint32_t off)
{
	struct seg_cursor at = {.seg = segs, .end = segs + n, .off = off};

	while (at.seg < at.end && at.off >= at.seg->len) {
		at.off -= at.seg->len;
		at.seg++;
	}
	return at;
}

static struct seg_cursor chain_seek(const struct vq_chain *c, enum chain_part part, uint32_t off)
{
	if (part == CHAIN_READABLE)
		return seg_seek(c->segs, c->nreadable, off);
	return seg_seek(c->segs + c->nreadable, (size_t)c->nsegs - c->nreadable, off);
}

/* The next piece, at most `max` bytes; `len` is 0 at the end of the part. */
static struct vq_seg seg_next(struct seg_cursor *at, size_t max)
{
	struct vq_seg piece = {.at = GPA(0), .len = 0};
	uint32_t left;

	if (at->seg == at->end || max == 0)
		return piece;
	left = at->seg->len - at->off;
	piece.at = GPA(at->seg->at.v + at->off);
	piece.len = max < left ? (uint32_t)max : left;
	at->off += piece.len;
	if (at->off == at->seg->len) {
		at->seg++;
		at->off = 0;
	}
	return piece;
}

size_t chain_read_left(const struct vq_chain *c)
{
	return c->readable_bytes - c->read_done;
}

size_t chain_write_left(const struct vq_chain *c)
{
	return c->writable_bytes - c->write_done;
}

size_t chain_read(struct vq_chain *c, void *dst, size_t len)
{
	struct seg_cursor at = chain_seek(c, CHAIN_READABLE, c->read_done);
	size_t done = 0;

	while (done < len) {
		struct vq_seg piece = seg_next(&at, len - done);

		if (piece.len == 0 ||
		    !gmem_read(c->vq->mem, piece.at, (uint8_t *)dst + done, piece.len))
			break;
		done += piece.len;
	}
	c->read_done += (uint32_t)done;
	return done;
}

static size_t write_from(struct gmem *mem, struct seg_cursor at, const void *src, size_t len)
{
	size_t done = 0;

	while (done < len) {
		struct vq_seg piece = seg_next(&at, len - done);

		if (piece.len == 0 ||
		    !gmem_write(mem, piece.at, (const uint8_t *)src + done, piece.len))
			break;
		done += piece.len;
	}
	return done;
}

size_t chain_write(struct vq_chain *c, const void *src, size_t len)
{
	size_t done =
		write_from(c->vq->mem, chain_seek(c, CHAIN_WRITABLE, c->write_done), src, len);

	c->write_done += (uint32_t)done;
	return done;
}

bool chain_read_skip(struct vq_chain *c, size_t len)
{
	if (len > chain_read_left(c))
		return false;
	c->read_done += (uint32_t)len;
	return true;
}

bool chain_write_skip(struct vq_chain *c, size_t len)
{
	if (len > chain_write_left(c))
		return false;
	c->write_done += (uint32_t)len;
	return true;
}

bool chain_write_at(struct vq_chain *c, size_t at, const void *src, size_t len)
{
	if (at > c->write_done || len > c->write_done - at)
		return false;
	return write_from(c->vq->mem, chain_seek(c, CHAIN_WRITABLE, (uint32_t)at), src, len) == len;
}

/* Host vectors for the next `len` bytes, at most `max`; their number. */
static int host_iov(const struct gmem *mem, struct seg_cursor at, size_t len, struct iovec *iov,
		    int max)
{
	int n = 0;

	while (n < max) {
		struct vq_seg piece = seg_next(&at, len);
		void *host = piece.len ? gmem_span(mem, piece.at, piece.len) : NULL;

		if (!host)
			break;
		iov[n++] = (struct iovec){.iov_base = host, .iov_len = piece.len};
		len -= piece.len;
	}
	return n;
}

static int chain_iov(const struct vq_chain *c, enum chain_part part, size_t len, struct iovec *iov,
		     int max)
{
	uint32_t done = part == CHAIN_READABLE ? c->read_done : c->write_done;

	return host_iov(c->vq->mem, chain_seek(c, part, done), len, iov, max);
}

static int whole_iov(const struct vq_chain *c, enum chain_part part, size_t len, struct iovec *iov,
		     int max)
{
	int n = chain_iov(c, part, len, iov, max);

	for (int i = 0; i < n; i++)
		len -= iov[i].iov_len;
	return len == 0 ? n : 0;
}

int chain_readable_iov(const struct vq_chain *c, size_t len, struct iovec *iov, int max)
{
	return whole_iov(c, CHAIN_READABLE, len, iov, max);
}

int chain_writable_iov(const struct vq_chain *c, size_t len, struct iovec *iov, int max)
{
	return whole_iov(c, CHAIN_WRITABLE, len, iov, max);
}

ssize_t chain_to_fd(struct vq_chain *c, size_t len, int fd, off_t off, int flags)
{
	struct iovec iov[VQ_MAX_SIZE];
	int n = chain_iov(c, CHAIN_READABLE, len, iov, VQ_MAX_SIZE);
	ssize_t moved = 0;

	if (n == 0)
		return 0;
	do {
		moved = pwritev2(fd, iov, n, off < 0 ? -1 : off, flags);
	} while (moved < 0 && errno == EINTR);
	if (moved < 0)
		return -errno;
	c->read_done += (uint32_t)moved;
	return moved;
}

ssize_t chain_from_fd(struct vq_chain *c, size_t len, int fd, off_t off, int flags)
{
	struct iovec iov[VQ_MAX_SIZE];
	int n = chain_iov(c, CHAIN_WRITABLE, len, iov, VQ_MAX_SIZE);
	ssize_t moved = 0;

	if (n == 0)
		return 0;
	do {
		moved = preadv2(fd, iov, n, off < 0 ? -1 : off, flags);
	} while (moved < 0 && errno == EINTR);
	if (moved < 0)
		return -errno;
	c->write_done += (uint32_t)moved;
	return moved;
}

ssize_t chain_send(const struct vq_chain *c, const void *head, size_t head_len, int fd)
{
	struct iovec iov[VQ_MAX_SIZE];
	struct seg_cursor at = chain_seek(c, CHAIN_READABLE, c->read_done);
	ssize_t n = 0;
	int more;

	if (c->nreadable >= VQ_MAX_SIZE) /* and `head` takes one vector */
		return -EMSGSIZE;
	iov[0] = (struct iovec){.iov_base = (void *)(uintptr_t)head, .iov_len = head_len};
	more = host_iov(c->vq->mem, at, chain_read_left(c), iov + 1, VQ_MAX_SIZE - 1);
	do {
		n = writev(fd, iov, more + 1);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

ssize_t segs_recv(const struct gmem *mem, const struct vq_seg *segs, size_t n, void *rest,
		  size_t rest_len, int fd)
{
	struct iovec iov[VQ_GATHER_SEGS + 1];
	int used = host_iov(mem, seg_seek(segs, n, 0), SIZE_MAX, iov, VQ_GATHER_SEGS);
	ssize_t got = 0;

	iov[used++] = (struct iovec){.iov_base = rest, .iov_len = rest_len};
	do {
		got = readv(fd, iov, used);
	} while (got < 0 && errno == EINTR);
	return got < 0 ? -errno : got;
}

bool segs_write(struct gmem *mem, const struct vq_seg *segs, size_t n, uint32_t off,
		const void *src, size_t len)
{
	return write_from(mem, seg_seek(segs, n, off), src, len) == len;
}
