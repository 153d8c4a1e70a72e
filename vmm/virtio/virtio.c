/*
 * The virtio core (virtio 1.2, 2.1 to 2.4): a device from its creation to its end, its queues' notifications both ways, and
 * what happens to one whose driver breaks a rule.
 */
#include <errno.h>
#include <linux/virtio_config.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/log.h"
#include "base/own.h"
#include "vmm/virtio/internal.h"

/* Requests one queue may have answered before the loop looks at its other descriptors. */
#define KICK_BUDGET 128

#define CORE_FEATURES (VIRTIO_F_INDIRECT_DESC_BIT | VIRTIO_F_EVENT_IDX_BIT | VIRTIO_F_VERSION_1_BIT)

/* virtio 1.2, 4.2.2: bits of InterruptStatus. */
#define INTERRUPT_USED   1U
#define INTERRUPT_CONFIG 2U

void virtio_lock(struct virtio_dev *dev)
{
	int rc = pthread_mutex_lock(&dev->lock);

	BUG_ON(rc != 0);
}

void virtio_unlock(struct virtio_dev *dev)
{
	int rc = pthread_mutex_unlock(&dev->lock);

	BUG_ON(rc != 0);
}

bool virtio_running(const struct virtio_dev *dev)
{
	return (dev->status & (VIRTIO_CONFIG_S_DRIVER_OK | VIRTIO_CONFIG_S_NEEDS_RESET |
			       VIRTIO_CONFIG_S_FAILED)) == VIRTIO_CONFIG_S_DRIVER_OK;
}

void *virtio_self(const struct virtio_dev *dev)
{
	return dev->self;
}

struct vq *virtio_queue(struct virtio_dev *dev, uint16_t i)
{
	BUG_ON(i >= dev->nqueues);
	return &dev->queues[i].vq;
}

static void tell_driver(struct virtio_dev *dev, uint32_t bits)
{
	if (dev->transport.interrupt)
		dev->transport.interrupt(dev->transport.self, bits);
}

void virtio_break(struct virtio_dev *dev, const char *why)
{
	bool told = dev->status & VIRTIO_CONFIG_S_NEEDS_RESET;

	log_guest(&dev->limit, "%s: driver broke a rule: %s", dev->ops->name, why);
	dev->status |= VIRTIO_CONFIG_S_NEEDS_RESET;
	/* virtio 1.2, 2.1.2: only a driver that said DRIVER_OK is told. */
	if (!told && (dev->status & VIRTIO_CONFIG_S_DRIVER_OK))
		tell_driver(dev, INTERRUPT_CONFIG);
}

void virtio_interrupt(struct virtio_dev *dev, struct vq *q)
{
	bool wanted = vq_wants_interrupt(q);

	if (q->broken && virtio_running(dev))
		virtio_break(dev, q->why);
	else if (wanted)
		tell_driver(dev, INTERRUPT_USED);
}

void virtio_config_changed(struct virtio_dev *dev)
{
	dev->generation++;
	if (virtio_running(dev))
		tell_driver(dev, INTERRUPT_CONFIG);
}

/* An eventfd's counter cannot run full by single counts; a failure here would be a lost wake-up. */
static void kick_again(struct virtio_queue *q)
{
	uint64_t one = 1;
	ssize_t n = write(q->kick_fd, &one, sizeof(one));

	BUG_ON(n < 0 && errno != EAGAIN);
}

static void on_kick(void *arg, int fd, uint32_t events)
{
	struct virtio_queue *q = arg;
	struct virtio_dev *dev = q->dev;
	uint64_t count = 0;

	(void)events;
	if (read(fd, &count, sizeof(count)) < 0)
		return;
	virtio_lock(dev);
	if (virtio_running(dev) && q->vq.ready && !q->vq.broken) {
		q->vq.budget = KICK_BUDGET;
		dev->ops->kick(dev->self, q->index);
		if (q->vq.budget == 0)
			kick_again(q);
		q->vq.budget = VQ_NO_BUDGET;
		if (q->vq.broken && virtio_running(dev))
			virtio_break(dev, q->vq.why);
	}
	virtio_unlock(dev);
}

void virtio_dev_destroy(struct virtio_dev *dev)
{
	if (!dev)
		return;
	for (uint16_t i = 0; i < dev->nqueues; i++) {
		struct virtio_queue *q = &dev->queues[i];

		loop_remove(q->source);
		own_close(&q->kick_fd);
	}
	if (dev->self)
		dev->ops->destroy(dev->self);
	(void)pthread_mutex_destroy(&dev->lock);
	free(dev);
}

static int queue_init(struct virtio_queue *q, struct virtio_dev *dev, uint16_t index, uint16_t size,
		      struct loop *loop, struct err *err)
{
	q->dev = dev;
	q->index = index;
	q->vq.size_max = size;
	vq_reset(&q->vq);
	q->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (q->kick_fd < 0)
		return err_set(err, errno, "%s: eventfd of queue %u", dev->ops->name, index);
	return loop_add_fd(loop, q->kick_fd, EPOLLIN, on_kick, q, &q->source, err);
}

int virtio_dev_create(const struct virtio_dev_params *p, struct virtio_dev **out, struct err *err)
{
	CLEANUP(own_virtio_dev_destroy) struct virtio_dev *dev = NULL;
	int rc;

	BUG_ON(p->nqueues == 0 || p->nqueues > VIRTIO_MAX_QUEUES);
	BUG_ON(p->queue_size == 0 || p->queue_size > VQ_MAX_SIZE ||
	       (p->queue_size & (p->queue_size - 1)) != 0);
	dev = calloc(1, sizeof(*dev) + p->nqueues * sizeof(dev->queues[0]));
	if (!dev)
		return err_set(err, ENOMEM, "%s", p->ops->name);
	dev->ops = p->ops;
	dev->mem = p->mem;
	dev->features_offered = p->features | CORE_FEATURES;
	dev->config_len = p->config_len;
	(void)pthread_mutex_init(&dev->lock, NULL); /* glibc: a default mutex cannot fail */
	for (; dev->nqueues < p->nqueues; dev->nqueues++) {
		struct virtio_queue *q = &dev->queues[dev->nqueues];

		rc = queue_init(q, dev, dev->nqueues, p->queue_size, p->loop, err);
		if (rc < 0) {
			own_close(&q->kick_fd);
			return rc;
		}
	}
	dev->self = p->self;
	*out = TAKE_PTR(&dev);
	return 0;
}

int virtio_dev_run(struct virtio_dev *dev, struct err *err)
{
	return dev->ops->run ? dev->ops->run(dev->self, err) : 0;
}

bool virtio_dev_quiesce(struct virtio_dev *dev, int timeout_ms)
{
	bool quiet;

	if (!dev->ops->quiesce)
		return true;
	virtio_lock(dev);
	quiet = dev->ops->quiesce(dev->self, timeout_ms);
	virtio_unlock(dev);
	return quiet;
}

/* --- for transports ------------------------------------------------------------------------------------------ */

const struct virtio_ops *virtio_ops_of(const struct virtio_dev *dev)
{
	return dev->ops;
}

uint16_t virtio_nqueues(const struct virtio_dev *dev)
{
	return dev->nqueues;
}

int virtio_queue_eventfd(const struct virtio_dev *dev, uint16_t i)
{
	BUG_ON(i >= dev->nqueues);
	return dev->queues[i].kick_fd;
}

void virtio_attach(struct virtio_dev *dev, const struct virtio_transport *t)
{
	virtio_lock(dev);
	dev->transport = *t;
	virtio_unlock(dev);
}

void virtio_notify(struct virtio_dev *dev, uint32_t queue)
{
	if (queue < dev->nqueues)
		kick_again(&dev->queues[queue]);
}
