/*
 * The least of a virtio-mmio driver (virtio 1.2, 4.2 and 2.7), honest by itself: misdeeds start from a device that it has
 * brought up, and afterwards it must bring the device up again and get one good request through.
 */
#ifndef NACRE_TESTS_GUEST_DRIVER_H
#define NACRE_TESTS_GUEST_DRIVER_H

#include "guest.h"

#define MMIO_BASE       0xd0000000U
#define MMIO_SLOT_BYTES 0x1000U
#define MMIO_SLOTS      16U

/* virtio 1.2, 4.2.2 */
enum mmio_reg {
	REG_MAGIC = 0x000,
	REG_DEVICE_ID = 0x008,
	REG_FEATURES = 0x010,
	REG_FEATURES_SEL = 0x014,
	REG_DRIVER_FEATURES = 0x020,
	REG_DRIVER_FEATURES_SEL = 0x024,
	REG_QUEUE_SEL = 0x030,
	REG_QUEUE_NUM_MAX = 0x034,
	REG_QUEUE_NUM = 0x038,
	REG_QUEUE_READY = 0x044,
	REG_NOTIFY = 0x050,
	REG_ISR = 0x060,
	REG_ISR_ACK = 0x064,
	REG_STATUS = 0x070,
	REG_QUEUE_DESC = 0x080,
	REG_QUEUE_DRIVER = 0x090,
	REG_QUEUE_DEVICE = 0x0a0,
	REG_CONFIG = 0x100,
};

/* virtio 1.2, 2.1 */
enum status {
	STATUS_ACKNOWLEDGE = 1,
	STATUS_DRIVER = 2,
	STATUS_DRIVER_OK = 4,
	STATUS_FEATURES_OK = 8,
	STATUS_NEEDS_RESET = 64,
};

enum device_id { ID_NET = 1, ID_BLK = 2, ID_CONSOLE = 3, ID_RNG = 4, ID_VSOCK = 19, ID_FS = 26 };

enum desc_flag { DESC_NEXT = 1, DESC_WRITE = 2, DESC_INDIRECT = 4 };

struct desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags;
	uint16_t next;
};

#define QUEUE_SIZE 16U
#define MAX_QUEUES 8U

struct avail {
	uint16_t flags;
	uint16_t idx;
	uint16_t ring[QUEUE_SIZE];
	uint16_t used_event;
};

struct used {
	uint16_t flags;
	uint16_t idx;
	struct {
		uint32_t id;
		uint32_t len;
	} ring[QUEUE_SIZE];
	uint16_t avail_event;
};

struct queue {
	volatile struct desc *desc;
	volatile struct avail *avail;
	volatile struct used *used;
};

struct device {
	const char *name;
	uint32_t base;
	enum device_id id;
	uint32_t request_queue; /* where requests go: the one to abuse */
	uint64_t features;      /* of the last start */
	struct queue queues[MAX_QUEUES];
};

/* Memory for what requests point at: nobody else's. */
#define BUFFERS 0x400000U

/* false when the slot is empty or holds what is not known here. */
_Bool device_find(uint32_t slot, struct device *d);
/* Reset, features (those of `features` that are offered, with VERSION_1), all queues, DRIVER_OK. */
void device_start(struct device *d, uint64_t features);
void device_kick(struct device *d, uint32_t queue);

/* Puts the chain that begins at `head` into the available ring. */
void queue_offer(struct queue *q, uint16_t head);
void desc_set(struct queue *q, uint16_t at, uint32_t addr, uint32_t len, uint16_t flags,
	      uint16_t next);
/* Waits until the used index is not `before`; false when it takes too long or the device wants a reset. */
_Bool queue_wait(struct device *d, struct queue *q, uint16_t before);

/* One honest request, from a device just started; false when the device does not answer as it should. */
_Bool device_works(struct device *d);

#define FEATURE_MULTIPORT (1ULL << 1)  /* virtio-console */
#define FEATURE_CTRL_VQ   (1ULL << 17) /* virtio-net */
#define FEATURE_INDIRECT  (1ULL << 28)
#define FEATURE_EVENT_IDX (1ULL << 29)
#define FEATURE_VERSION_1 (1ULL << 32)

#endif
