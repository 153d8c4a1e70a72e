/* Chains in a row: their heads and lengths beside one array of segments, which chain.c turns into vectors. */
#include "vmm/virtio/gather.h"

#include <string.h>

void gather_init(struct vq_gather *g, struct vq *q)
{
	g->vq = q;
	g->room_bytes = 0;
	g->nchains = g->nsegs = 0;
}

bool gather_add(struct vq_gather *g, const struct vq_chain *c)
{
	uint16_t nsegs = (uint16_t)(c->nsegs - c->nreadable);

	if (g->nchains == GATHER_MAX_CHAINS || nsegs > VQ_GATHER_SEGS - g->nsegs)
		return false;
	memcpy(g->segs + g->nsegs, c->segs + c->nreadable, nsegs * sizeof(g->segs[0]));
	g->chains[g->nchains++] =
		(struct gather_chain){.bytes = c->writable_bytes, .head = c->head, .nsegs = nsegs};
	g->nsegs = (uint16_t)(g->nsegs + nsegs);
	g->room_bytes += c->writable_bytes;
	return true;
}

ssize_t gather_recv(struct vq_gather *g, void *rest, size_t rest_len, int fd)
{
	return segs_recv(g->vq->mem, g->segs, g->nsegs, rest, rest_len, fd);
}

bool gather_write(struct vq_gather *g, uint32_t off, const void *src, size_t len)
{
	return segs_write(g->vq->mem, g->segs, g->nsegs, off, src, len);
}

uint16_t gather_count(const struct vq_gather *g, uint64_t len)
{
	uint64_t room = 0;

	for (uint16_t i = 0; i < g->nchains; i++) {
		room += g->chains[i].bytes;
		if (room >= len)
			return (uint16_t)(i + 1);
	}
	return 0;
}

/* The chains behind the first n move to the front. */
static void drop_first(struct vq_gather *g, uint16_t n)
{
	uint16_t nsegs = 0;

	for (uint16_t i = 0; i < n; i++) {
		nsegs = (uint16_t)(nsegs + g->chains[i].nsegs);
		g->room_bytes -= g->chains[i].bytes;
	}
	g->nchains = (uint16_t)(g->nchains - n);
	g->nsegs = (uint16_t)(g->nsegs - nsegs);
	memmove(g->chains, g->chains + n, g->nchains * sizeof(g->chains[0]));
	memmove(g->segs, g->segs + nsegs, g->nsegs * sizeof(g->segs[0]));
}

void gather_push(struct vq_gather *g, uint32_t len)
{
	struct vq_used used[GATHER_MAX_CHAINS];
	uint16_t n = gather_count(g, len);

	BUG_ON(len == 0 || n == 0);
	for (uint16_t i = 0; i < n; i++) {
		uint32_t bytes = g->chains[i].bytes < len ? g->chains[i].bytes : len;

		used[i] = (struct vq_used){.len_bytes = bytes, .head = g->chains[i].head};
		len -= bytes;
	}
	vq_push_all(g->vq, used, n);
	drop_first(g, n);
}
