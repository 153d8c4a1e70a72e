/*
 * The virtio core (virtio 1.2, 2.1 to 2.4 and 3.1): status, features, configuration space and notifications of any device.
 * The driver may write registers in any order and from several vCPUs: each write is checked against the state it finds
 * under the device's lock, and what does not fit is ignored.
 */
#include "vmm/virtio/virtio.h"

#include <errno.h>
#include <linux/virtio_config.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/log.h"
#include "base/own.h"

/* Requests one queue may have answered before the loop looks at its other descriptors. */
#define KICK_BUDGET 128

#define STATUS_DRIVER_BITS                                                                         \
	(VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER | VIRTIO_CONFIG_S_FEATURES_OK |      \
	 VIRTIO_CONFIG_S_DRIVER_OK | VIRTIO_CONFIG_S_FAILED)

#define CORE_FEATURES (VIRTIO_F_INDIRECT_DESC_BIT | VIRTIO_F_EVENT_IDX_BIT | VIRTIO_F_VERSION_1_BIT)

/* virtio 1.2, 4.2.2: bits of InterruptStatus. */
#define INTERRUPT_USED   1U
#define INTERRUPT_CONFIG 2U

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

uint64_t virtio_features_offered(const struct virtio_dev *dev)
{
	return dev->features_offered;
}

void virtio_features_accept(struct virtio_dev *dev, uint32_t word, uint32_t bits)
{
	virtio_lock(dev);
	if (word < 2 && !dev->resetting && !(dev->status & VIRTIO_CONFIG_S_FEATURES_OK)) {
		uint32_t shift = 32 * word;

		dev->features &= ~(0xffffffffULL << shift);
		dev->features |= (uint64_t)bits << shift;
	}
	virtio_unlock(dev);
}

uint32_t virtio_status(struct virtio_dev *dev)
{
	uint32_t status;

	virtio_lock(dev);
	status = dev->status;
	virtio_unlock(dev);
	return status;
}

static void reset_locked(struct virtio_dev *dev)
{
	/* Queues first: a device that pushes what it still holds must write nothing. */
	for (uint16_t i = 0; i < dev->nqueues; i++)
		vq_reset(&dev->queues[i].vq);
	dev->resetting = true;
	dev->status = VIRTIO_CONFIG_S_NEEDS_RESET;
	dev->ops->reset(dev->self);
	if (dev->transport.reset)
		dev->transport.reset(dev->transport.self);
	dev->resetting = false;
	dev->features = 0;
	dev->status = 0;
}

static bool features_fit(const struct virtio_dev *dev)
{
	return (dev->features & ~dev->features_offered) == 0 &&
	       (dev->features & VIRTIO_F_VERSION_1_BIT);
}

static void start_locked(struct virtio_dev *dev)
{
	dev->status |= VIRTIO_CONFIG_S_DRIVER_OK;
	dev->ops->start(dev->self, dev->features);
	/* virtio 1.2, 3.1.1: the driver may have filled queues before this, without a notification. */
	for (uint16_t i = 0; i < dev->nqueues; i++)
		if (dev->queues[i].vq.ready)
			kick_again(&dev->queues[i]);
}

/*
 * virtio 1.2, 3.1.1: each step is taken only on top of the one before; a later step without it, or a bit taken back
 * without a reset, changes nothing.
 */
static void set_status_locked(struct virtio_dev *dev, uint32_t status)
{
	uint32_t added = status & STATUS_DRIVER_BITS & ~dev->status;

	if (dev->resetting)
		return;
	if (status == 0)
		reset_locked(dev);
	if (added & VIRTIO_CONFIG_S_FAILED)
		dev->status |= VIRTIO_CONFIG_S_FAILED;
	if (added & VIRTIO_CONFIG_S_ACKNOWLEDGE)
		dev->status |= VIRTIO_CONFIG_S_ACKNOWLEDGE;
	if ((added & VIRTIO_CONFIG_S_DRIVER) && (dev->status & VIRTIO_CONFIG_S_ACKNOWLEDGE))
		dev->status |= VIRTIO_CONFIG_S_DRIVER;
	if ((added & VIRTIO_CONFIG_S_FEATURES_OK) && (dev->status & VIRTIO_CONFIG_S_DRIVER) &&
	    features_fit(dev))
		dev->status |= VIRTIO_CONFIG_S_FEATURES_OK;
	if ((added & VIRTIO_CONFIG_S_DRIVER_OK) && (dev->status & VIRTIO_CONFIG_S_FEATURES_OK) &&
	    !(dev->status & (VIRTIO_CONFIG_S_FAILED | VIRTIO_CONFIG_S_NEEDS_RESET)))
		start_locked(dev);
}

void virtio_set_status(struct virtio_dev *dev, uint32_t status)
{
	virtio_lock(dev);
	set_status_locked(dev, status);
	virtio_unlock(dev);
}

uint32_t virtio_config_generation(struct virtio_dev *dev)
{
	uint32_t generation;

	virtio_lock(dev);
	generation = dev->generation;
	virtio_unlock(dev);
	return generation;
}

static bool config_inside(const struct virtio_dev *dev, uint64_t off, uint32_t len)
{
	return off <= dev->config_len && len <= dev->config_len - off;
}

void virtio_config_read(struct virtio_dev *dev, uint64_t off, void *out, uint32_t len)
{
	memset(out, 0, len);
	virtio_lock(dev);
	if (config_inside(dev, off, len) && len > 0)
		dev->ops->config_read(dev->self, (uint32_t)off, out, len);
	virtio_unlock(dev);
}

void virtio_config_write(struct virtio_dev *dev, uint64_t off, const void *in, uint32_t len)
{
	virtio_lock(dev);
	if (dev->ops->config_write && !dev->resetting && config_inside(dev, off, len) && len > 0)
		dev->ops->config_write(dev->self, (uint32_t)off, in, len);
	virtio_unlock(dev);
}

static void set_half(struct gpa *at, bool high, uint32_t value)
{
	uint32_t shift = high ? 32 : 0;

	at->v &= ~(0xffffffffULL << shift);
	at->v |= (uint64_t)value << shift;
}

/* What negotiation decided is part of how a ring looks, so none starts before FEATURES_OK. */
static void queue_start_locked(struct virtio_dev *dev, struct vq *q)
{
	if (!(dev->status & VIRTIO_CONFIG_S_FEATURES_OK))
		return;
	if (!vq_start(q, dev->mem, dev->features & VIRTIO_F_EVENT_IDX_BIT,
		      dev->features & VIRTIO_F_INDIRECT_DESC_BIT))
		virtio_break(dev, "queue size or ring address that cannot be");
}

static void queue_set_locked(struct virtio_dev *dev, struct vq *q, enum virtio_queue_reg reg,
			     bool high, uint32_t value)
{
	if (reg == VIRTIO_Q_READY && value == 0)
		q->ready = false;
	if (q->ready || dev->resetting || (dev->status & VIRTIO_CONFIG_S_DRIVER_OK))
		return;
	switch (reg) {
	case VIRTIO_Q_SIZE:
		/* 0 is a size vq_start refuses. */
		q->size = value <= q->size_max ? (uint16_t)value : 0;
		break;
	case VIRTIO_Q_DESC:
		set_half(&q->desc, high, value);
		break;
	case VIRTIO_Q_AVAIL:
		set_half(&q->avail, high, value);
		break;
	case VIRTIO_Q_USED:
		set_half(&q->used, high, value);
		break;
	case VIRTIO_Q_READY:
		if (value == 1)
			queue_start_locked(dev, q);
		break;
	}
}

void virtio_queue_set(struct virtio_dev *dev, uint32_t queue, enum virtio_queue_reg reg, bool high,
		      uint32_t value)
{
	if (queue >= dev->nqueues)
		return;
	virtio_lock(dev);
	queue_set_locked(dev, &dev->queues[queue].vq, reg, high, value);
	virtio_unlock(dev);
}

uint32_t virtio_queue_get(struct virtio_dev *dev, uint32_t queue, enum virtio_queue_reg reg)
{
	uint32_t value = 0;

	if (queue >= dev->nqueues)
		return 0;
	virtio_lock(dev);
	if (reg == VIRTIO_Q_READY)
		value = dev->queues[queue].vq.ready;
	else if (reg == VIRTIO_Q_SIZE)
		value = dev->queues[queue].vq.size;
	virtio_unlock(dev);
	return value;
}

uint16_t virtio_queue_size_max(struct virtio_dev *dev, uint32_t queue)
{
	return queue < dev->nqueues ? dev->queues[queue].vq.size_max : 0;
}

void virtio_notify(struct virtio_dev *dev, uint32_t queue)
{
	if (queue < dev->nqueues)
		kick_again(&dev->queues[queue]);
}
