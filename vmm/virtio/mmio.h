/*
 * virtio-mmio, version 2 (virtio 1.2, 4.2.2): the register window of one device, and its interrupt line. Read and write
 * are called with an offset into the window, whose length is the machine's affair. Registers answer to aligned 32-bit
 * accesses only, as the specification demands of drivers: others read zero and write nothing. The configuration space
 * behind them, from 0x100, answers to 1, 2, 4 and 8 bytes. There are no shared memory regions: each selector answers
 * length -1.
 *
 * Threads: read and write by any vCPU thread at once; create and destroy before and after those run.
 */
#ifndef NACRE_VMM_VIRTIO_MMIO_H
#define NACRE_VMM_VIRTIO_MMIO_H

#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"
#include "base/own.h"
#include "vmm/virtio/virtio.h"

/* Where an ioeventfd of 4 bytes with the queue's number as its datamatch takes the place of a register write. */
#define VIRTIO_MMIO_NOTIFY_OFF 0x50

struct virtio_mmio;

/*
 * Becomes the transport of `dev`, which it borrows and which must outlive it. `irq_fd` is borrowed too: an eventfd, a count
 * of which is an edge on the device's interrupt line (an irqfd), maybe shared with others.
 */
int virtio_mmio_create(struct virtio_dev *dev, int irq_fd, struct virtio_mmio **out,
		       struct err *err) MUST_CHECK;
void virtio_mmio_destroy(struct virtio_mmio *m);
DEFINE_OWNER(virtio_mmio_destroy, struct virtio_mmio)

/* `len` is 1, 2, 4 or 8. What is no register, past the configuration or of a wrong width reads as zero. */
uint64_t virtio_mmio_read(struct virtio_mmio *m, uint64_t off, uint32_t len);
void virtio_mmio_write(struct virtio_mmio *m, uint64_t off, uint32_t len, uint64_t value);

/* The device, its interrupt status and the selectors as after creation. */
void virtio_mmio_reset(struct virtio_mmio *m);

#endif
