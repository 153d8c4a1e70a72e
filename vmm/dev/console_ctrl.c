/*
 * The control queues (virtio 1.2, 5.3.6.2): ports are announced, the driver says which it is ready for and which are open. What
 * it has to be told is a bit a port, not a list: however often it asks, and however few buffers it gives, nothing grows.
 */
#include <linux/virtio_console.h>

#include "vmm/dev/console.h"

/* In the order in which a port is introduced. */
static const struct {
	uint16_t event;
	uint16_t value;
} words[] = {
	{VIRTIO_CONSOLE_PORT_ADD, 1},
	{VIRTIO_CONSOLE_CONSOLE_PORT, 1},
	{VIRTIO_CONSOLE_PORT_OPEN,
	 1}, /* always: output goes nowhere else than where a console's goes */
};
#define SAY_ADD   (1U << 0)
#define SAY_READY (1U << 1 | 1U << 2)

_Static_assert(sizeof(struct virtio_console_control) == 8, "virtio 1.2, 5.3.6.2");

static void announce(struct console *c)
{
	for (uint16_t i = 0; i < c->nports; i++) {
		if (c->ports[i].present)
			c->ports[i].unsaid |= SAY_ADD;
	}
}

static void take_one(struct console *c, const struct virtio_console_control *m)
{
	const uint32_t nr = le32toh(m->id);
	const bool yes = le16toh(m->value) != 0;
	const uint16_t event = le16toh(m->event);

	if (event == VIRTIO_CONSOLE_DEVICE_READY && yes)
		announce(c);
	if (nr >= c->nports || !c->ports[nr].present)
		return;
	if (event == VIRTIO_CONSOLE_PORT_READY && yes)
		c->ports[nr].unsaid |= SAY_READY;
	if (event != VIRTIO_CONSOLE_PORT_OPEN)
		return;
	c->ports[nr].open = yes;
	console_host_resume(&c->ports[nr]);
}

void console_ctrl_take(struct console *c)
{
	struct vq *q = virtio_queue(c->dev, CONSOLE_CTRL_TX);
	struct virtio_console_control message;

	while (vq_pop(q, &c->chain)) {
		if (chain_read(&c->chain, &message, sizeof(message)) < sizeof(message)) {
			virtio_break(c->dev, "short console control message");
			return;
		}
		if (c->multiport)
			take_one(c, &message);
		vq_push(&c->chain);
	}
	virtio_interrupt(c->dev, q);
}

/* false: the driver has no buffer left for it. */
static bool say(struct console *c, struct vq *q, uint16_t nr, size_t word)
{
	const struct virtio_console_control message = {
		.id = htole32(nr),
		.event = htole16(words[word].event),
		.value = htole16(words[word].value),
	};

	if (!vq_pop(q, &c->chain))
		return false;
	if (chain_write(&c->chain, &message, sizeof(message)) < sizeof(message)) {
		virtio_break(c->dev, "console control buffer without room");
		return false;
	}
	vq_push(&c->chain);
	return true;
}

static bool say_all(struct console *c, struct vq *q, struct console_port *port)
{
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (!(port->unsaid & 1U << i))
			continue;
		if (!say(c, q, port->nr, i))
			return false;
		port->unsaid &= ~(1U << i);
	}
	return true;
}

void console_ctrl_tell(struct console *c)
{
	struct vq *q = virtio_queue(c->dev, CONSOLE_CTRL_RX);
	bool room = virtio_running(c->dev);

	for (uint16_t i = 0; room && i < c->nports; i++)
		room = say_all(c, q, &c->ports[i]);
	virtio_interrupt(c->dev, q);
}
