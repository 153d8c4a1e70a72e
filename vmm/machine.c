/* One machine, top to bottom. machine_create is the list of its parts, in order; machine_destroy is its mirror. */
#include "vmm/machine.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>

#include "vmm/arch/arch.h"
#include "vmm/bus.h"
#include "vmm/cmdline.h"
#include "vmm/gmem.h"
#include "vmm/iothread.h"
#include "vmm/kvm.h"
#include "vmm/serial.h"
#include "vmm/virtio/mmio.h"

#define CONSOLE_DRAIN_MS 500

/* A virtio device with its transport, interrupt line and, for those that need one, thread. */
struct slot {
	struct virtio_dev *dev;
	struct virtio_mmio *mmio;
	struct iothread *thread;
	int irq_fd;
};

struct machine {
	struct loop *loop;
	struct machine_events events;
	struct machine_times times;
	struct kvm *kvm;
	struct gmem *mem;
	struct bus pio, mmio;
	struct serial *serial;
	int serial_irq_fd;
	struct arch_platform *platform;
	struct slot slots[MACHINE_MAX_DEVICES];
	struct arch_slot places[MACHINE_MAX_DEVICES];
	size_t nslots;
	struct vcpu **vcpus;
	uint32_t nvcpus;

	/* How the guest ended: the first vCPU to say so wins, fills the two fields and wakes the loop. */
	atomic_bool ended;
	enum guest_end end;
	char end_detail[128];
	int end_fd;
	struct loop_source *end_source;
};

uint64_t machine_now_us(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static void on_guest_end(void *arg, enum guest_end end, const char *detail)
{
	struct machine *m = arg;

	if (atomic_exchange(&m->ended, true))
		return;
	m->end = end;
	(void)snprintf(m->end_detail, sizeof(m->end_detail), "%s", detail);
	(void)eventfd_write(m->end_fd, 1);
}

static void on_reset_line(void *arg)
{
	on_guest_end(arg, GUEST_RESET, "");
}

static void on_end_event(void *arg, int fd, uint32_t events UNUSED)
{
	struct machine *m = arg;
	uint64_t count;

	if (read(fd, &count, sizeof(count)) == (ssize_t)sizeof(count))
		m->events.on_end(m->events.arg, m->end, m->end_detail);
}

static int make_eventfd(int *out, struct err *err)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	if (fd < 0)
		return err_set(err, errno, "eventfd");
	*out = fd;
	return 0;
}

static int watch_end(struct machine *m, struct err *err)
{
	int rc = make_eventfd(&m->end_fd, err);

	if (rc < 0)
		return rc;
	return loop_add_fd(m->loop, m->end_fd, EPOLLIN, on_end_event, m, &m->end_source, err);
}

static int make_vm(struct machine *m, struct machine_config *c, struct err *err)
{
	int rc = kvm_open(c->kvm_fd, &m->kvm, err);

	if (rc < 0)
		return rc;
	c->kvm_fd = -1;
	rc = kvm_create_vm(m->kvm, err);
	if (rc < 0)
		return rc;
	return arch_vm_init(m->kvm, err);
}

static int make_memory(struct machine *m, const struct machine_config *c, struct err *err)
{
	struct gmem_range ranges[GMEM_MAX_REGIONS];
	size_t n = arch_ram_ranges(c->memory_mib << 20, ranges);
	int rc = gmem_create(ranges, n, &m->mem, err);

	if (rc < 0)
		return rc;
	m->times.memory_us = machine_now_us();
	return kvm_map_memory(m->kvm, m->mem, err);
}

static int make_serial(struct machine *m, const struct machine_config *c, struct err *err)
{
	struct arch_uart uart = arch_uart();
	struct bus_region region = {
		.name = "serial",
		.base = uart.base,
		.len_bytes = SERIAL_WINDOW_BYTES,
		.ops = serial_bus_ops(),
	};
	struct serial_params params = {
		.out_fd = c->serial_out_fd,
		.in_fd = c->serial_in_fd,
		.loop = m->loop,
	};
	int rc;

	if (!c->serial)
		return 0;
	rc = make_eventfd(&m->serial_irq_fd, err);
	if (rc == 0)
		rc = kvm_add_irqfd(m->kvm, uart.irq, m->serial_irq_fd, err);
	params.irq_fd = m->serial_irq_fd;
	if (rc == 0)
		rc = serial_create(&params, &m->serial, err);
	if (rc < 0)
		return rc;
	region.self = m->serial;
	return bus_add(uart.is_pio ? &m->pio : &m->mmio, &region, err);
}

static int make_platform(struct machine *m, struct err *err)
{
	struct arch_platform_params params = {
		.pio = &m->pio, .mmio = &m->mmio, .on_reset = on_reset_line, .arg = m};

	return arch_platform_create(&params, &m->platform, err);
}

/* The loop a device's queues are served by: its own thread's, or the main one for what is quick and rare. */
static int pick_loop(struct machine *m, struct slot *slot, enum machine_device_kind kind,
		     struct loop **out, struct err *err)
{
	static const char *const names[] = {
		[DEVICE_RNG] = NULL,
		[DEVICE_BLK] = "blk",
		[DEVICE_FS] = "fs",
		[DEVICE_VSOCK] = "vsock",
	};
	int rc;

	*out = m->loop;
	if (!names[kind])
		return 0;
	rc = iothread_create(names[kind], &slot->thread, err);
	if (rc < 0)
		return rc;
	*out = iothread_loop(slot->thread);
	return 0;
}

/* On success the descriptors of `d` are the device's. */
static int make_backend(struct machine *m, struct slot *slot, struct machine_device *d,
			struct err *err)
{
	struct loop *loop;
	int rc = pick_loop(m, slot, d->kind, &loop, err);

	if (rc < 0)
		return rc;
	switch (d->kind) {
	case DEVICE_RNG:
		return dev_rng_create(m->mem, loop, &slot->dev, err);
	case DEVICE_BLK:
		rc = dev_blk_create(&d->blk, m->mem, loop, &slot->dev, err);
		if (rc == 0)
			d->blk.fd = -1;
		return rc;
	case DEVICE_FS:
		rc = dev_fs_create(&d->fs, m->mem, loop, &slot->dev, err);
		if (rc == 0)
			d->fs.root_fd = -1;
		return rc;
	case DEVICE_VSOCK:
		rc = dev_vsock_create(&d->vsock, m->mem, loop, &slot->dev, err);
		if (rc == 0)
			d->vsock.listen_fd = d->vsock.agent_fd = -1;
		return rc;
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

/* Puts a device behind its window: registers on the bus, notifications and interrupts past it. */
static int plug(struct machine *m, struct slot *slot, const struct arch_slot *place,
		struct err *err)
{
	static const struct bus_ops ops = {.read = mmio_read, .write = mmio_write};
	struct bus_region region = {
		.name = virtio_ops_of(slot->dev)->name,
		.base = place->base.v,
		.len_bytes = place->window_bytes,
		.ops = &ops,
	};
	int rc = make_eventfd(&slot->irq_fd, err);

	if (rc == 0)
		rc = kvm_add_irqfd(m->kvm, place->irq, slot->irq_fd, err);
	if (rc == 0)
		rc = virtio_mmio_create(slot->dev, slot->irq_fd, &slot->mmio, err);
	for (uint16_t q = 0; rc == 0 && q < virtio_nqueues(slot->dev); q++)
		rc = kvm_add_ioeventfd(m->kvm, GPA(place->base.v + VIRTIO_MMIO_NOTIFY_OFF), q,
				       virtio_queue_eventfd(slot->dev, q), err);
	if (rc < 0)
		return err_wrap(err, "%s", region.name);
	region.self = slot->mmio;
	return bus_add(&m->mmio, &region, err);
}

/* Every device, in the order of the address map. */
static int make_devices(struct machine *m, struct machine_config *c, struct err *err)
{
	int rc;

	if (c->ndevices > arch_virtio_slots())
		return err_say(err, E2BIG, "%zu devices are too many: the machine has %u slots",
			       c->ndevices, arch_virtio_slots());
	bus_init(&m->pio, "pio");
	bus_init(&m->mmio, "mmio");
	rc = make_serial(m, c, err);
	if (rc == 0)
		rc = make_platform(m, err);
	for (size_t i = 0; rc == 0 && i < c->ndevices; i++) {
		struct slot *slot = &m->slots[m->nslots];

		slot->irq_fd = -1;
		m->places[i] = arch_virtio_slot((uint32_t)i);
		m->nslots++;
		rc = make_backend(m, slot, &c->devices[i], err);
		if (rc == 0)
			rc = plug(m, slot, &m->places[i], err);
	}
	bus_freeze(&m->pio);
	bus_freeze(&m->mmio);
	m->times.devices_us = machine_now_us();
	return rc;
}

static int load_kernel(struct machine *m, const struct machine_config *c, struct arch_entry *entry,
		       struct err *err)
{
	AUTO_FREE char *cmdline = NULL;
	struct cmdline_params params = {
		.console = c->serial ? arch_uart().console : NULL,
		.slots = m->places,
		.nslots = m->nslots,
		.user = c->append,
	};
	struct arch_boot boot = {
		.kernel_path = c->kernel_path,
		.initrd_path = c->initrd_path,
		.vcpus = c->vcpus,
	};
	int rc = cmdline_build(&params, &cmdline, err);

	if (rc < 0)
		return rc;
	boot.cmdline = cmdline;
	rc = arch_boot_load(&boot, m->mem, entry, err);
	m->times.kernel_us = machine_now_us();
	return rc;
}

static int make_vcpus(struct machine *m, const struct machine_config *c,
		      const struct arch_entry *entry, struct err *err)
{
	struct vcpu_env env = {.pio = &m->pio, .mmio = &m->mmio, .on_end = on_guest_end, .arg = m};
	int rc = 0;

	m->vcpus = calloc(c->vcpus, sizeof(struct vcpu *));
	if (!m->vcpus)
		return err_set(err, ENOMEM, "vCPUs");
	for (uint32_t i = 0; rc == 0 && i < c->vcpus; i++) {
		rc = vcpu_create(m->kvm, i, &env, &m->vcpus[i], err);
		if (rc < 0)
			break;
		m->nvcpus++;
		rc = arch_vcpu_init(m->kvm, vcpu_kvm(m->vcpus[i]), c->vcpus, entry, err);
	}
	return rc;
}

int machine_create(struct machine_config *config, struct loop *loop,
		   const struct machine_events *events, struct machine **out, struct err *err)
{
	CLEANUP(own_machine_destroy) struct machine *m = calloc(1, sizeof(*m));
	struct arch_entry entry = {0};
	int rc;

	if (!m)
		return err_set(err, ENOMEM, "machine");
	m->loop = loop;
	m->events = *events;
	m->serial_irq_fd = -1;
	m->end_fd = -1;
	rc = watch_end(m, err);
	if (rc == 0)
		rc = make_vm(m, config, err);
	if (rc == 0)
		rc = make_memory(m, config, err);
	if (rc == 0)
		rc = make_devices(m, config, err);
	if (rc == 0)
		rc = load_kernel(m, config, &entry, err);
	if (rc == 0)
		rc = make_vcpus(m, config, &entry, err);
	if (rc < 0)
		return rc;
	*out = TAKE_PTR(&m);
	return 0;
}

int machine_start(struct machine *m, struct err *err)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < m->nslots; i++) {
		if (m->slots[i].thread)
			rc = iothread_start(m->slots[i].thread, err);
	}
	m->times.entry_us = machine_now_us();
	for (uint32_t i = 0; rc == 0 && i < m->nvcpus; i++)
		rc = vcpu_start(m->vcpus[i], err);
	return rc;
}

void machine_stop(struct machine *m)
{
	for (uint32_t i = 0; i < m->nvcpus; i++)
		vcpu_stop(m->vcpus[i]);
	for (size_t i = 0; i < m->nslots; i++) {
		if (m->slots[i].thread)
			iothread_stop(m->slots[i].thread);
	}
	if (m->serial)
		serial_drain(m->serial, CONSOLE_DRAIN_MS);
}

void machine_destroy(struct machine *m)
{
	if (!m)
		return;
	machine_stop(m);
	for (uint32_t i = m->nvcpus; i > 0; i--)
		vcpu_destroy(m->vcpus[i - 1]);
	free(m->vcpus);
	for (size_t i = m->nslots; i > 0; i--) {
		struct slot *slot = &m->slots[i - 1];

		virtio_mmio_destroy(slot->mmio);
		virtio_dev_destroy(slot->dev);
		iothread_destroy(slot->thread);
		own_close(&slot->irq_fd);
	}
	arch_platform_destroy(m->platform);
	serial_destroy(m->serial);
	own_close(&m->serial_irq_fd);
	/* The VM goes before its memory: KVM maps it until then. */
	kvm_close(m->kvm);
	gmem_destroy(m->mem);
	loop_remove(m->end_source);
	own_close(&m->end_fd);
	free(m);
}

struct machine_times machine_times(const struct machine *m)
{
	return m->times;
}
