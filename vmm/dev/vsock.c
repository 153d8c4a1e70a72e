/*
 * Socket device (virtio 1.2, 5.10), served over unix sockets without any host module: features, configuration space,
 * notifications and reset. See vsock.h for the parts and the threads.
 */
#include <endian.h>
#include <errno.h>
#include <linux/virtio_ids.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "base/fd.h"
#include "base/own.h"
#include "vmm/dev/dev.h"
#include "vmm/dev/vsock.h"

#define QUEUE_SIZE 256

/* virtio 1.2, 5.10.3; <linux/virtio_vsock.h> does not name it. */
#define F_STREAM (1ULL << 0)

static void vsock_config_read(void *self, uint32_t off, void *out, uint32_t len)
{
	struct vsock *v = self;
	struct virtio_vsock_config config = {.guest_cid = htole64(v->guest_cid)};

	memcpy(out, (const uint8_t *)&config + off, len);
}

/* What waits for the driver is taken up by the notifications that the core makes up after this. */
static void vsock_start(void *self, uint64_t features)
{
	(void)self;
	(void)features;
}

void vsock_sync(struct vsock *v)
{
	struct vsock_conn *c = NULL, *next = NULL;

	if (!v->reset_pending)
		return;
	v->reset_pending = false;
	v->rst_at = v->rst_len = 0;
	v->tx_stopped = false;
	for (c = TAILQ_FIRST(&v->conns); c; c = next) {
		next = TAILQ_NEXT(c, link);
		if (c->announced) /* else the next driver will see it first */
			vsock_conn_guest_gone(c);
	}
}

static void vsock_kick(void *self, uint16_t queue)
{
	struct vsock *v = self;

	vsock_sync(v);
	if (queue == VSOCK_TX)
		vsock_tx(v);
	/* Buffers of the event queue stay there: the guest is never moved to another host (virtio 1.2, 5.10.6.7). */
	if (queue != VSOCK_EVENT)
		vsock_rx(v);
}

/* A vCPU's thread: the loop does the rest. */
static void vsock_reset(void *self)
{
	struct vsock *v = self;
	uint64_t one = 1;

	v->reset_pending = true;
	BUG_ON(write(v->wake_fd, &one, sizeof(one)) < 0 && errno != EAGAIN);
}

static void vsock_destroy(void *self)
{
	struct vsock *v = self;

	while (!TAILQ_EMPTY(&v->conns))
		vsock_conn_free(TAILQ_FIRST(&v->conns));
	loop_remove(v->listen_source);
	loop_remove(v->timer);
	loop_remove(v->wake);
	own_close(&v->wake_fd);
	own_close(&v->listen_fd);
	own_close(&v->agent_fd);
	free(v);
}

static const struct virtio_ops vsock_ops = {
	.name = "virtio-vsock",
	.id = VIRTIO_ID_VSOCK,
	.config_read = vsock_config_read,
	.start = vsock_start,
	.kick = vsock_kick,
	.reset = vsock_reset,
	.destroy = vsock_destroy,
};

static void on_wake(void *arg, int fd, uint32_t events)
{
	struct vsock *v = arg;
	uint64_t count = 0;

	(void)events;
	if (read(fd, &count, sizeof(count)) < 0)
		return;
	virtio_lock(v->dev);
	vsock_sync(v);
	virtio_unlock(v->dev);
}

static void on_listen(void *arg, int fd, uint32_t events)
{
	struct vsock *v = arg;

	(void)fd;
	(void)events;
	virtio_lock(v->dev);
	vsock_sync(v);
	vsock_host_accept(v);
	virtio_unlock(v->dev);
}

static void on_timer(void *arg)
{
	struct vsock *v = arg;

	virtio_lock(v->dev);
	vsock_sync(v);
	vsock_host_expire(v);
	vsock_rx(v);
	virtio_unlock(v->dev);
}

/* The device's own descriptors and sources; p's descriptors are not taken yet. */
static int vsock_open(struct vsock *v, const struct dev_vsock_params *p, struct err *err)
{
	int rc = 0;

	v->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (v->wake_fd < 0)
		return err_set(err, errno, "virtio-vsock: eventfd");
	rc = loop_add_fd(v->loop, v->wake_fd, EPOLLIN, on_wake, v, &v->wake, err);
	if (rc < 0)
		return rc;
	rc = loop_add_timer(v->loop, on_timer, v, &v->timer, err);
	if (rc < 0 || p->listen_fd < 0)
		return rc;
	rc = fd_set_nonblock(p->listen_fd, true);
	if (rc < 0)
		return err_set(err, -rc, "virtio-vsock: listening socket");
	v->listening = true;
	return loop_add_fd(v->loop, p->listen_fd, EPOLLIN, on_listen, v, &v->listen_source, err);
}

static struct vsock *vsock_new(const struct dev_vsock_params *p, struct loop *loop)
{
	struct vsock *v = calloc(1, sizeof(*v));

	if (!v)
		return NULL;
	v->loop = loop;
	v->guest_cid = p->guest_cid;
	v->listen_fd = v->agent_fd = v->wake_fd = -1;
	v->next_port = VSOCK_FIRST_PORT;
	TAILQ_INIT(&v->conns);
	TAILQ_INIT(&v->ready);
	return v;
}

int dev_vsock_create(const struct dev_vsock_params *p, struct gmem *mem, struct loop *loop,
		     struct virtio_dev **out, struct err *err)
{
	struct vsock *v = vsock_new(p, loop);
	struct virtio_dev_params params = {
		.ops = &vsock_ops,
		.self = v,
		.features = F_STREAM,
		.nqueues = VSOCK_NQUEUES,
		.queue_size = QUEUE_SIZE,
		.config_len = sizeof(struct virtio_vsock_config),
		.mem = mem,
		.loop = loop,
	};

	if (!v)
		return err_set(err, ENOMEM, "virtio-vsock");

	int rc = vsock_open(v, p, err);
	if (rc == 0)
		rc = virtio_dev_create(&params, &v->dev, err);
	if (rc < 0) {
		vsock_destroy(v);
		return rc;
	}
	v->listen_fd = p->listen_fd;
	v->agent_fd = p->agent_fd;
	*out = v->dev;
	return 0;
}
