/*
 * Console device (virtio 1.2, 5.3): ports with a queue in each direction. What the guest writes is never waited for, since
 * Linux's hvc driver spins with interrupts off until its bytes are taken: who reads too slowly loses some. What comes in waits
 * outside until the guest has a buffer for it, so nothing is kept here.
 */
#include "vmm/dev/console.h"

#include <errno.h>
#include <linux/virtio_console.h>
#include <linux/virtio_ids.h>
#include <stdlib.h>
#include <string.h>

#define QUEUE_SIZE 64

/* Of one request in either direction; what a request has beyond it is dropped, or left empty. */
#define REQUEST_MAX_BYTES SINK_RING_BYTES

static uint16_t rx_queue(const struct console_port *port)
{
	return port->nr == 0 ? 0 : (uint16_t)(2 * (port->nr + 1));
}

/* NULL: a control queue, or a port that there is not. */
static struct console_port *port_of(struct console *c, uint16_t queue)
{
	uint16_t nr = queue < CONSOLE_CTRL_RX ? 0 : (uint16_t)(queue / 2 - 1);

	if (queue == CONSOLE_CTRL_RX || queue == CONSOLE_CTRL_TX || !c->ports[nr].present)
		return NULL;
	return nr == 0 || c->multiport ? &c->ports[nr] : NULL;
}

bool console_listens(const struct console_port *port)
{
	const struct console *c = port->console;

	return virtio_running(c->dev) && (c->multiport ? port->open : port->nr == 0);
}

ssize_t console_receive(struct console_port *port, int fd)
{
	struct console *c = port->console;
	struct vq *q = virtio_queue(c->dev, rx_queue(port));
	ssize_t n = -ENOBUFS;

	if (vq_pop(q, &c->chain)) {
		if (chain_write_left(&c->chain) == 0) {
			virtio_break(c->dev, "console input buffer without room");
			return n;
		}
		n = chain_from_fd(&c->chain, REQUEST_MAX_BYTES, fd, -1, 0);
		if (n > 0)
			vq_push(&c->chain);
		else
			vq_unpop(&c->chain);
	}
	virtio_interrupt(c->dev, q);
	return n;
}

static void put_out(struct console *c, struct sink *sink)
{
	uint8_t piece[512];
	size_t done = 0;

	while (sink && done < REQUEST_MAX_BYTES) {
		size_t n = chain_read(&c->chain, piece, sizeof(piece));

		if (n == 0)
			break;
		sink_write(sink, piece, n);
		done += n;
	}
}

/* Of a port that nobody has, too: its driver must not wait for ever. */
static void transmit(struct console *c, uint16_t queue)
{
	struct console_port *port = port_of(c, queue);
	struct vq *q = virtio_queue(c->dev, queue);

	while (vq_pop(q, &c->chain)) {
		put_out(c, port ? port->host.sink : NULL);
		vq_push(&c->chain);
	}
	virtio_interrupt(c->dev, q);
}

static void console_kick(void *self, uint16_t queue)
{
	struct console *c = self;
	struct console_port *port = port_of(c, queue);

	if (queue == CONSOLE_CTRL_TX)
		console_ctrl_take(c);
	if (queue == CONSOLE_CTRL_TX || queue == CONSOLE_CTRL_RX)
		console_ctrl_tell(c);
	else if (queue % 2)
		transmit(c, queue);
	else if (port)
		console_host_resume(port);
}

static void console_config_read(void *self, uint32_t off, void *out, uint32_t len)
{
	const struct console *c = self;
	const struct virtio_console_config config = {.max_nr_ports = htole32(c->nports)};

	memcpy(out, (const uint8_t *)&config + off, len);
}

static void console_start(void *self, uint64_t features)
{
	struct console *c = self;

	c->multiport = features & (1ULL << VIRTIO_CONSOLE_F_MULTIPORT);
}

static void console_reset(void *self)
{
	struct console *c = self;

	c->multiport = false;
	for (size_t i = 0; i < ARRAY_SIZE(c->ports); i++) {
		c->ports[i].open = false;
		c->ports[i].unsaid = 0;
	}
}

static void console_destroy(void *self)
{
	struct console *c = self;

	for (size_t i = 0; i < ARRAY_SIZE(c->ports); i++)
		console_host_close(&c->ports[i]);
	free(c);
}

static const struct virtio_ops console_ops = {
	.name = "virtio-console",
	.id = VIRTIO_ID_CONSOLE,
	.config_read = console_config_read,
	.start = console_start,
	.kick = console_kick,
	.reset = console_reset,
	.destroy = console_destroy,
};

static int make_device(struct console *c, struct gmem *mem, struct err *err)
{
	const struct virtio_dev_params params = {
		.ops = &console_ops,
		.self = c,
		.features = 1ULL << VIRTIO_CONSOLE_F_MULTIPORT,
		.nqueues = (uint16_t)(2 * (c->nports + 1)),
		.queue_size = QUEUE_SIZE,
		.config_len = sizeof(struct virtio_console_config),
		.mem = mem,
		.loop = c->loop,
	};

	return virtio_dev_create(&params, &c->dev, err);
}

static int open_ports(struct console *c, const struct dev_console_params *p, struct err *err)
{
	int rc = 0;

	for (uint16_t i = 0; rc == 0 && i < p->nports; i++) {
		c->ports[i].console = c;
		c->ports[i].nr = i;
		if (!p->ports[i].present)
			continue;
		c->ports[i].present = true;
		rc = console_host_open(&c->ports[i], &p->ports[i], err);
	}
	return rc;
}

uint32_t dev_console_clients(struct virtio_dev *dev)
{
	const struct console *c = virtio_self(dev);
	uint32_t clients = 0;

	virtio_lock(dev);
	for (size_t i = 0; i < ARRAY_SIZE(c->ports); i++) {
		const struct console_host *h = &c->ports[i].host;

		clients |= (uint32_t)(h->listener && h->fd >= 0) << i;
	}
	virtio_unlock(dev);
	return clients;
}

int dev_console_create(const struct dev_console_params *p, struct gmem *mem, struct loop *loop,
		       struct virtio_dev **out, struct err *err)
{
	struct console *c = calloc(1, sizeof(*c));
	int rc;

	if (!c)
		return err_set(err, ENOMEM, "virtio-console");
	c->loop = loop;
	c->nports = p->nports;
	for (size_t i = 0; i < ARRAY_SIZE(c->ports); i++)
		c->ports[i].host.listen_fd = c->ports[i].host.fd = -1;
	rc = make_device(c, mem, err);
	if (rc < 0) {
		free(c);
		return rc;
	}
	rc = open_ports(c, p, err);
	if (rc < 0) {
		virtio_dev_destroy(c->dev);
		return rc;
	}
	*out = c->dev;
	return 0;
}
