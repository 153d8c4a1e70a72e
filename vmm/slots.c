/* Slots: made in the order of the address map, connected, started, held and reset together. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "base/clock.h"
#include "base/spare_mac.h"
#include "vmm/dev/dev.h"
#include "vmm/iothread.h"
#include "vmm/slots_internal.h"
#include "vmm/virtio/mmio.h"

int slots_create(const struct slots_env *env, struct slots **out, struct err *err)
{
	struct slots *s = calloc(1, sizeof(*s));

	if (!s)
		return err_set(err, ENOMEM, "slots");
	s->env = *env;
	*out = s;
	return 0;
}

void slots_destroy(struct slots *s)
{
	if (!s)
		return;
	for (size_t i = s->n; i > 0; i--) {
		struct slot *slot = &s->slot[i - 1];

		iothread_stop(slot->thread);
		virtio_mmio_destroy(slot->mmio);
		virtio_dev_destroy(slot->dev);
		iothread_destroy(slot->thread);
		free(slot->kicks);
	}
	while (s->nlines > 0)
		own_close(&s->lines[--s->nlines].fd);
	free(s);
}

/* The loop a device's queues are served by: its own thread's, or the main one for what is quick and rare. */
static int pick_loop(struct slots *s, struct slot *slot, struct loop **out, struct err *err)
{
	static const enum thread_kind kinds[] = {
		[DEVICE_RNG] = THREAD_MAIN,    [DEVICE_BLK] = THREAD_BLK,
		[DEVICE_NET] = THREAD_NET,     [DEVICE_FS] = THREAD_FS,
		[DEVICE_VSOCK] = THREAD_VSOCK, [DEVICE_CONSOLE] = THREAD_MAIN,
	};
	int rc;

	*out = s->env.loop;
	if (kinds[slot->kind] == THREAD_MAIN)
		return 0;
	rc = iothread_create(kinds[slot->kind], &slot->thread, err);
	if (rc < 0)
		return rc;
	*out = iothread_loop(slot->thread);
	return 0;
}

/* On success the descriptors of `d` are the device's. */
static int make_backend(struct slots *s, struct slot *slot, struct machine_device *d,
			struct err *err)
{
	struct gmem *mem = s->env.mem;
	struct loop *loop;
	int rc = pick_loop(s, slot, &loop, err);

	if (rc < 0)
		return rc;
	switch (d->kind) {
	case DEVICE_RNG:
		return dev_rng_create(mem, loop, &slot->dev, err);
	case DEVICE_BLK:
		rc = dev_blk_create(&d->blk, mem, loop, &slot->dev, err);
		if (rc == 0)
			d->blk.fd = -1;
		return rc;
	case DEVICE_NET:
		rc = dev_net_create(&d->net, mem, loop, &slot->dev, err);
		if (rc == 0)
			d->net.ntaps = 0;
		return rc;
	case DEVICE_FS:
		rc = dev_fs_create(&d->fs, mem, loop, &slot->dev, err);
		if (rc == 0)
			d->fs.root_fd = -1;
		return rc;
	case DEVICE_VSOCK:
		rc = dev_vsock_create(&d->vsock, mem, loop, &slot->dev, err);
		if (rc == 0)
			d->vsock.listen_fd = d->vsock.agent_fd = -1;
		return rc;
	case DEVICE_CONSOLE:
		return dev_console_create(&d->console, mem, loop, &slot->dev, err);
	}
	return -EINVAL;
}

static uint64_t mmio_read(void *self, uint64_t off, uint32_t len)
{
	return virtio_mmio_read(self, off, len);
}

static void mmio_write(void *self, uint64_t off, uint32_t len, uint64_t value)
{
	virtio_mmio_write(self, off, len, value);
}

static int get_line(struct slots *s, uint32_t irq, int *fd, struct err *err)
{
	struct line *line = s->lines;

	while (line < s->lines + s->nlines && line->irq != irq)
		line++;
	if (line == s->lines + s->nlines) {
		*line = (struct line){.irq = irq, .fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
		if (line->fd < 0)
			return err_set(err, errno, "eventfd of interrupt %u", irq);
		s->nlines++;
	}
	*fd = line->fd;
	return 0;
}

static int make_transport(struct slots *s, struct slot *slot, uint32_t irq, struct err *err)
{
	int fd;
	int rc = get_line(s, irq, &fd, err);

	if (rc < 0)
		return rc;
	return virtio_mmio_create(slot->dev, fd, &slot->mmio, err);
}

/* Notifications do not reach the registers: QueueNotify is an eventfd for each queue's number (virtio 1.2, 4.2.2). */
static int make_kicks(struct slot *slot, struct err *err)
{
	uint16_t n = virtio_nqueues(slot->dev);

	slot->kicks = calloc(n, sizeof(slot->kicks[0]));
	if (!slot->kicks)
		return err_set(err, ENOMEM, "notifications");
	for (uint16_t q = 0; q < n; q++)
		slot->kicks[q] = (struct region_eventfd){
			.off = VIRTIO_MMIO_NOTIFY_OFF,
			.value = q,
			.fd = virtio_queue_eventfd(slot->dev, q),
		};
	return 0;
}

static int make_window(struct slots *s, struct slot *slot, const struct arch_slot *place,
		       struct err *err)
{
	static const struct region_ops ops = {.read = mmio_read, .write = mmio_write};

	slot->region = (struct region){
		.name = virtio_ops_of(slot->dev)->name,
		.base = place->base.v,
		.len_bytes = place->window_bytes,
		.ops = &ops,
		.self = slot->mmio,
		.eventfds = slot->kicks,
		.neventfds = virtio_nqueues(slot->dev),
	};
	return address_space_add(s->env.memory, &slot->region, err);
}

void slot_name(struct slot *slot, const struct machine_device *d)
{
	(void)snprintf(slot->id, sizeof(slot->id), "%s", d->id ? d->id : "");
	(void)snprintf(slot->iothread, sizeof(slot->iothread), "%s",
		       d->iothread ? d->iothread : "");
}

int slots_add(struct slots *s, struct machine_device *d, struct err *err)
{
	struct slot *slot = &s->slot[s->n];
	struct arch_slot *place = &s->places[s->n];
	int rc;

	if (s->n == MACHINE_MAX_DEVICES || s->n == arch_virtio_slots())
		return err_say(err, E2BIG, "too many devices: the machine has %zu slots", s->n);
	*slot = (struct slot){.kind = d->kind};
	slot_name(slot, d);
	*place = arch_virtio_slot((uint32_t)s->n);
	s->n++;
	rc = make_backend(s, slot, d, err);
	if (rc == 0)
		rc = make_transport(s, slot, place->irq, err);
	if (rc == 0)
		rc = make_kicks(slot, err);
	if (rc == 0)
		rc = make_window(s, slot, place, err);
	return rc;
}

static unsigned count_spare_nets(const struct slots *s)
{
	unsigned n = 0;

	for (size_t i = 0; i < s->n; i++)
		n += s->slot[i].spare && s->slot[i].kind == DEVICE_NET;
	return n;
}

int slots_add_spare(struct slots *s, enum machine_device_kind kind, struct err *err)
{
	struct machine_device empty = {.kind = kind};
	int rc;

	BUG_ON(kind != DEVICE_BLK && kind != DEVICE_NET);
	if (kind == DEVICE_BLK)
		empty.blk.fd = -1;
	else
		spare_mac(count_spare_nets(s), empty.net.mac);
	rc = slots_add(s, &empty, err);
	if (rc < 0)
		return err_wrap(err, "spare slot");
	s->slot[s->n - 1].spare = true;
	return 0;
}

int slots_connect(struct slots *s, struct kvm *kvm, struct err *err)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < s->nlines; i++)
		rc = kvm_add_irqfd(kvm, s->lines[i].irq, s->lines[i].fd, err);
	return rc;
}

const struct arch_slot *slots_places(const struct slots *s, size_t *n)
{
	*n = s->n;
	return s->places;
}

int slots_start(struct slots *s, struct err *err)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < s->n; i++) {
		rc = virtio_dev_run(s->slot[i].dev, err);
		if (rc == 0 && s->slot[i].thread)
			rc = iothread_start(s->slot[i].thread, err);
	}
	return rc;
}

void slots_hold(struct slots *s)
{
	for (size_t i = 0; i < s->n; i++) {
		if (s->slot[i].thread)
			iothread_hold(s->slot[i].thread);
	}
}

static int ms_until(const struct timespec *deadline)
{
	return clock_ms_left((uint64_t)deadline->tv_sec * 1000 +
			     (uint64_t)deadline->tv_nsec / 1000000);
}

/* First the threads, so that no device begins anything new, then what they have begun. */
int slots_await_rest(struct slots *s, const struct timespec *deadline, struct err *err)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < s->n; i++) {
		if (s->slot[i].thread)
			rc = iothread_await_rest(s->slot[i].thread, deadline, err);
	}
	for (size_t i = 0; rc == 0 && i < s->n; i++) {
		if (s->slot[i].dev && !virtio_dev_quiesce(s->slot[i].dev, ms_until(deadline)))
			rc = err_say(err, ETIMEDOUT, "%s did not finish its requests in time",
				     virtio_ops_of(s->slot[i].dev)->name);
	}
	return rc;
}

void slots_release(struct slots *s)
{
	for (size_t i = 0; i < s->n; i++) {
		if (s->slot[i].thread)
			iothread_release(s->slot[i].thread);
	}
}

void slots_stop(struct slots *s)
{
	for (size_t i = 0; i < s->n; i++)
		iothread_stop(s->slot[i].thread);
}

bool slots_look(const struct slots *s, size_t idx, struct machine_slot *out)
{
	const struct slot *slot;

	if (idx >= s->n)
		return false;
	slot = &s->slot[idx];
	*out = (struct machine_slot){.kind = slot->kind,
				     .spare = slot->spare,
				     .id = slot->id,
				     .iothread = slot->iothread,
				     .tid = slot->thread ? iothread_tid(slot->thread) : 0};
	if (slot->kind == DEVICE_BLK)
		dev_blk_stats(slot->dev, &out->blk);
	if (slot->kind == DEVICE_CONSOLE)
		out->console_clients = dev_console_clients(slot->dev);
	return true;
}

void slots_reset(struct slots *s)
{
	for (size_t i = 0; i < s->n; i++)
		virtio_mmio_reset(s->slot[i].mmio);
}
