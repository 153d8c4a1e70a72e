/* A virtio device from inside, for virtio.c and registers.c alone: devices and transports know virtio.h. */
#ifndef NACRE_VMM_VIRTIO_INTERNAL_H
#define NACRE_VMM_VIRTIO_INTERNAL_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/log.h"
#include "base/loop.h"
#include "vmm/virtio/virtio.h"

struct virtio_queue {
	struct virtio_dev *dev;
	uint16_t index;
	int kick_fd;
	struct loop_source *source;
	struct vq vq;
};

struct virtio_dev {
	const struct virtio_ops *ops;
	void *self; /* owned; NULL until creation has succeeded */
	struct gmem *mem;
	uint64_t features_offered;
	uint32_t config_len;
	struct log_limit limit;

	pthread_mutex_t lock; /* guards what follows */
	struct virtio_transport transport;
	uint64_t features; /* as the driver wrote them; checked when FEATURES_OK is set */
	uint32_t status;
	uint32_t generation;
	bool resetting; /* the device waits for its back end, without the lock */

	uint16_t nqueues;
	struct virtio_queue queues[];
};

#endif
