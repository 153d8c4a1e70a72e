/*
 * What a hostile driver does: one function a misdeed, given a device that was just started with INDIRECT_DESC and EVENT_IDX.
 * None of them checks anything: main.c looks afterwards whether the device can be brought up again and works.
 */
#ifndef NACRE_TESTS_GUEST_MISDEEDS_H
#define NACRE_TESTS_GUEST_MISDEEDS_H

#include "driver.h"

struct misdeed {
	const char *name;
	uint32_t device; /* enum device_id; 0: every device */
	void (*commit)(struct device *d);
};

/* Tables end with a NULL name. */
extern const struct misdeed ring_misdeeds[];     /* descriptors and rings: virtio 1.2, 2.7 */
extern const struct misdeed register_misdeeds[]; /* registers and the bus: virtio 1.2, 4.2 */
extern const struct misdeed request_misdeeds[];  /* what requests say: virtio 1.2, 5 */

/* Offers `head` in the request queue and kicks; for misdeeds that are done with that. */
static inline void commit_chain(struct device *d, uint16_t head)
{
	queue_offer(&d->queues[d->request_queue], head);
	device_kick(d, d->request_queue);
}

#endif
