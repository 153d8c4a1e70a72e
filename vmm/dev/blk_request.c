/*
 * One request (virtio 1.2, 5.2.6), read as two streams whatever its framing:
 *
 *	readable:  { type le32, reserved le32, sector le64 }  data of OUT, or the range of DISCARD and WRITE_ZEROES
 *	writable:  data of IN or GET_ID                       status u8, always the last byte
 *
 * A request without these two ends cannot be answered; any other mistake is an answer, IOERR or UNSUPP.
 */
#include <endian.h>

#include "vmm/dev/blk.h"

_Static_assert(sizeof(struct virtio_blk_outhdr) == 16, "virtio 1.2, 5.2.6");
_Static_assert(sizeof(struct virtio_blk_discard_write_zeroes) == 16, "virtio 1.2, 5.2.6");

static void answer(struct blk_parsed *out, uint8_t status)
{
	out->want = BLK_NOTHING;
	out->status = status;
}

/* Sets the range; false when it is not one of whole blocks inside the disk. */
static bool set_range(const struct blk *blk, uint64_t sector, uint64_t len_bytes,
		      struct blk_parsed *out)
{
	uint64_t sectors = blk->node.capacity_bytes >> BLK_SECTOR_SHIFT;

	if (sector > sectors || len_bytes > (sectors - sector) << BLK_SECTOR_SHIFT)
		return false;
	out->off_bytes = sector << BLK_SECTOR_SHIFT;
	out->len_bytes = len_bytes;
	return out->off_bytes % blk->node.block_bytes == 0 &&
	       len_bytes % blk->node.block_bytes == 0;
}

static void parse_transfer(const struct blk *blk, uint64_t sector, uint64_t len_bytes,
			   enum blk_want want, struct blk_parsed *out)
{
	out->asked = want;
	if (!blk->present || (want == BLK_WRITE && blk->node.readonly) ||
	    !set_range(blk, sector, len_bytes, out))
		answer(out, VIRTIO_BLK_S_IOERR);
	else if (len_bytes == 0)
		answer(out, VIRTIO_BLK_S_OK);
	else
		out->want = want;
}

/* virtio 1.2, 5.2.6.2: flags that are unknown, or unmap in a discard, are UNSUPP. */
static void parse_erase(struct vq_chain *c, const struct blk *blk, enum blk_want want,
			struct blk_parsed *out)
{
	struct virtio_blk_discard_write_zeroes range;
	uint32_t flags, sectors;

	out->asked = want;
	if (!blk->present || blk->node.readonly || chain_read_left(c) != sizeof(range) ||
	    chain_read(c, &range, sizeof(range)) != sizeof(range)) {
		answer(out, VIRTIO_BLK_S_IOERR);
		return;
	}
	flags = le32toh(range.flags);
	sectors = le32toh(range.num_sectors);
	if (!(want == BLK_ZERO ? blk->node.can_zero : blk->node.can_discard) ||
	    (flags & ~(want == BLK_ZERO ? VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP : 0U))) {
		answer(out, VIRTIO_BLK_S_UNSUPP);
	} else if (sectors > BLK_RANGE_SECTORS_MAX ||
		   !set_range(blk, le64toh(range.sector), (uint64_t)sectors << BLK_SECTOR_SHIFT,
			      out)) {
		answer(out, VIRTIO_BLK_S_IOERR);
	} else if (sectors == 0) {
		answer(out, VIRTIO_BLK_S_OK);
	} else if (out->off_bytes % blk->node.erase_bytes ||
		   out->len_bytes % blk->node.erase_bytes) {
		answer(out,
		       VIRTIO_BLK_S_UNSUPP); /* a spare slot's guest does not know the disk's blocks */
	} else {
		out->want = want;
		out->unmap = flags != 0;
	}
}

static void parse_get_id(struct vq_chain *c, const struct blk *blk, size_t room,
			 struct blk_parsed *out)
{
	size_t len = room < VIRTIO_BLK_ID_BYTES ? room : VIRTIO_BLK_ID_BYTES;

	out->written_bytes = (uint32_t)chain_write(c, blk->serial, len);
	answer(out, VIRTIO_BLK_S_OK);
}

bool blk_parse(struct vq_chain *c, const struct blk *blk, struct blk_parsed *out)
{
	struct virtio_blk_outhdr hdr;
	uint64_t sector;
	size_t room;

	*out = (struct blk_parsed){0};
	if (chain_write_left(c) == 0 || chain_read(c, &hdr, sizeof(hdr)) != sizeof(hdr))
		return false;
	room = chain_write_left(c) - 1;
	sector = le64toh(hdr.sector);
	switch (le32toh(hdr.type)) {
	case VIRTIO_BLK_T_IN:
		parse_transfer(blk, sector, room, BLK_READ, out);
		break;
	case VIRTIO_BLK_T_OUT:
		parse_transfer(blk, sector, chain_read_left(c), BLK_WRITE, out);
		break;
	case VIRTIO_BLK_T_FLUSH:
		out->asked = BLK_FLUSH;
		if (blk->present)
			out->want = BLK_FLUSH;
		else
			answer(out, VIRTIO_BLK_S_IOERR);
		break;
	case VIRTIO_BLK_T_GET_ID:
		parse_get_id(c, blk, room, out);
		break;
	case VIRTIO_BLK_T_DISCARD:
		parse_erase(c, blk, BLK_DISCARD, out);
		break;
	case VIRTIO_BLK_T_WRITE_ZEROES:
		parse_erase(c, blk, BLK_ZERO, out);
		break;
	default:
		answer(out, VIRTIO_BLK_S_UNSUPP);
	}
	return true;
}
