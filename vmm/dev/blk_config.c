/* What the device offers (virtio 1.2, 5.2.3 and 5.2.4): QEMU's set, less the geometry of cylinders and heads. */
#include <endian.h>

#include "vmm/dev/blk.h"

#define BIT(n) (1ULL << (n))

static uint8_t log2_of(uint32_t power_of_two)
{
	return (uint8_t)__builtin_ctz(power_of_two);
}

static void set_topology(struct virtio_blk_config *config, const struct block_node *node)
{
	uint32_t blocks = node->physical_bytes / node->block_bytes;

	config->blk_size = htole32(node->block_bytes);
	config->physical_block_exp = log2_of(blocks);
	config->min_io_size = htole16((uint16_t)blocks);
}

/* A disk that cannot erase answers UNSUPP, after which a driver stops asking: so a spare slot may offer it. */
static uint64_t set_discard(struct virtio_blk_config *config, uint32_t erase_bytes)
{
	config->max_discard_sectors = htole32(BLK_RANGE_SECTORS_MAX);
	config->max_discard_seg = htole32(1);
	config->discard_sector_alignment = htole32(erase_bytes / BLOCK_SECTOR_BYTES);
	return BIT(VIRTIO_BLK_F_DISCARD);
}

static uint64_t set_zero(struct virtio_blk_config *config)
{
	config->max_write_zeroes_sectors = htole32(BLK_RANGE_SECTORS_MAX);
	config->max_write_zeroes_seg = htole32(1);
	config->write_zeroes_may_unmap = 1;
	return BIT(VIRTIO_BLK_F_WRITE_ZEROES);
}

uint64_t blk_configure(struct virtio_blk_config *config, const struct block_node *node, bool spare,
		       uint16_t queues)
{
	static const struct block_node plain = {
		.block_bytes = BLOCK_SECTOR_BYTES,
		.physical_bytes = BLOCK_SECTOR_BYTES,
	};
	uint64_t features = BIT(VIRTIO_BLK_F_SEG_MAX) | BIT(VIRTIO_BLK_F_BLK_SIZE) |
			    BIT(VIRTIO_BLK_F_FLUSH) | BIT(VIRTIO_BLK_F_TOPOLOGY) |
			    BIT(VIRTIO_BLK_F_CONFIG_WCE);

	config->seg_max = htole32(BLK_QUEUE_SIZE - 2); /* a chain holds header and status too */
	config->wce = 1;
	config->num_queues = htole16(queues);
	set_topology(config, spare ? &plain : node);
	if (queues > 1)
		features |= BIT(VIRTIO_BLK_F_MQ);
	if (spare)
		return features | set_discard(config, BLOCK_SECTOR_BYTES) | set_zero(config);
	if (node->readonly)
		return features | BIT(VIRTIO_BLK_F_RO);
	if (node->can_discard)
		features |= set_discard(config, node->erase_bytes);
	return node->can_zero ? features | set_zero(config) : features;
}

bool blk_is_write_through(uint64_t features, uint8_t writeback)
{
	if (!(features & BIT(VIRTIO_BLK_F_FLUSH)))
		return true;
	return (features & BIT(VIRTIO_BLK_F_CONFIG_WCE)) && !writeback;
}
