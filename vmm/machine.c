/* One machine, top to bottom. machine_create is the list of its parts, in order; machine_destroy is its mirror. */
#include "vmm/machine.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "base/clock.h"
#include "vmm/cmdline.h"
#include "vmm/machine_state.h"

void machine_end(struct machine *m, enum guest_end end, const char *detail)
{
	if (atomic_exchange(&m->ended, true))
		return;
	m->end = end;
	(void)snprintf(m->end_detail, sizeof(m->end_detail), "%s", detail);
	(void)eventfd_write(m->end_fd, 1);
}

static void on_guest_end(void *arg, enum guest_end end, const char *detail)
{
	machine_end(arg, end, detail);
}

static void on_reset_line(void *arg)
{
	machine_end(arg, GUEST_RESET, "");
}

static void on_end_event(void *arg, int fd, uint32_t events UNUSED)
{
	struct machine *m = arg;
	eventfd_t count;

	if (eventfd_read(fd, &count) == 0)
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

static int open_image(const struct machine_config *c, const char *path, struct image *out,
		      struct err *err)
{
	int fd = -1;
	int rc;

	if (!c->fdsets || !fdset_is_name(path))
		return image_open(path, out, err);
	rc = fdsets_open(c->fdsets, path, O_RDONLY, &fd, err);
	return rc < 0 ? rc : image_take(fd, path, out, err);
}

static int open_images(struct machine *m, const struct machine_config *c, struct err *err)
{
	int rc = open_image(c, c->kernel_path, &m->kernel, err);

	if (rc < 0)
		return err_wrap(err, "kernel");
	if (!c->initrd_path)
		return 0;
	rc = open_image(c, c->initrd_path, &m->initrd, err);
	if (rc < 0)
		return err_wrap(err, "initramfs");
	return 0;
}

static int make_memory(struct machine *m, const struct machine_config *c, struct err *err)
{
	struct gmem_range ranges[GMEM_MAX_REGIONS];
	size_t n = arch_ram_ranges(c->memory_mib << 20, ranges);
	int rc = gmem_create(ranges, n, &m->mem, err);

	for (size_t i = 0; rc == 0 && i < n; i++) {
		m->ram[i] = (struct region){
			.name = "RAM", .base = ranges[i].at.v, .len_bytes = ranges[i].len_bytes};
		(void)gmem_region(m->mem, i, &m->ram[i].host);
		rc = address_space_add(&m->memory, &m->ram[i], err);
	}
	m->times.memory_us = clock_now_us();
	return rc;
}

static struct arch_boot boot_of(struct machine *m)
{
	return (struct arch_boot){
		.kernel = &m->kernel,
		.initrd = m->initrd.fd >= 0 ? &m->initrd : NULL,
		.images_loaded = m->images_loaded,
	};
}

static int load_images(void *arg, struct err *err)
{
	struct machine *m = arg;
	struct arch_boot boot = boot_of(m);

	return arch_boot_load_images(&boot, m->mem, err);
}

static int make_vm(struct machine *m, struct machine_config *c, struct err *err)
{
	int rc = kvm_open(c->kvm_fd, &m->kvm, err);

	if (rc < 0)
		return rc;
	c->kvm_fd = -1;
	m->pit = !c->no_pit;
	rc = kvm_create_vm(m->kvm, err);
	return rc < 0 ? rc : arch_vm_init(m->kvm, m->pit, err);
}

static int make_serial(struct machine *m, const struct machine_config *c, struct err *err)
{
	struct arch_uart uart = arch_uart();
	struct serial_params params = {
		.out_fd = c->serial_out_fd,
		.in_fd = c->serial_in_fd,
		.loop = m->loop,
	};
	int rc;

	if (!c->serial)
		return 0;
	rc = make_eventfd(&m->serial_irq_fd, err);
	if (rc < 0)
		return rc;
	params.irq_fd = m->serial_irq_fd;
	rc = serial_create(&params, &m->serial, err);
	if (rc < 0)
		return rc;
	m->serial_region = (struct region){
		.name = "serial",
		.base = uart.base,
		.len_bytes = SERIAL_WINDOW_BYTES,
		.ops = serial_region_ops(),
		.self = m->serial,
	};
	return address_space_add(uart.is_port ? &m->ports : &m->memory, &m->serial_region, err);
}

static int make_platform(struct machine *m, struct err *err)
{
	struct arch_platform_params params = {
		.memory = &m->memory, .ports = &m->ports, .on_reset = on_reset_line, .arg = m};

	return arch_platform_create(&params, &m->platform, err);
}

/* Every virtio device, in the order of the address map; spare slots come last. */
static int make_slots(struct machine *m, struct machine_config *c, struct err *err)
{
	struct slots_env env = {.mem = m->mem, .loop = m->loop, .memory = &m->memory};
	int rc = slots_create(&env, &m->slots, err);

	for (size_t i = 0; rc == 0 && i < c->ndevices; i++)
		rc = slots_add(m->slots, &c->devices[i], err);
	for (uint32_t i = 0; rc == 0 && i < c->spare_blk; i++)
		rc = slots_add_spare(m->slots, DEVICE_BLK, err);
	for (uint32_t i = 0; rc == 0 && i < c->spare_net; i++)
		rc = slots_add_spare(m->slots, DEVICE_NET, err);
	return rc;
}

static int make_devices(struct machine *m, struct machine_config *c, struct err *err)
{
	int rc = make_serial(m, c, err);

	if (rc == 0)
		rc = make_platform(m, err);
	if (rc == 0)
		rc = make_slots(m, c, err);
	m->times.devices_us = clock_now_us();
	return rc;
}

int machine_connect(struct machine *m, struct err *err)
{
	int rc;

	kvm_listener_init(&m->kvm_listener, m->kvm);
	rc = address_space_listen(&m->memory, &m->kvm_listener.listener, err);
	if (rc == 0 && m->serial)
		rc = kvm_add_irqfd(m->kvm, arch_uart().irq, m->serial_irq_fd, err);
	if (rc == 0)
		rc = slots_connect(m->slots, m->kvm, err);
	return rc;
}

void machine_disconnect(struct machine *m)
{
	address_space_forget(&m->memory, &m->kvm_listener.listener);
}

static int make_cmdline(struct machine *m, const struct machine_config *c, struct err *err)
{
	struct cmdline_params params = {
		.console = c->serial ? arch_uart().console : NULL,
		.vcpus = c->max_vcpus > c->vcpus ? c->vcpus : 0,
		.user = c->append,
	};

	params.slots = slots_places(m->slots, &params.nslots);
	return cmdline_build(&params, &m->cmdline, err);
}

static int make_vcpus(struct machine *m, const struct machine_config *c, struct err *err)
{
	struct vcpu_env env = {
		.memory = &m->memory, .ports = &m->ports, .on_end = on_guest_end, .arg = m};
	uint32_t n = c->max_vcpus > c->vcpus ? c->max_vcpus : c->vcpus;

	m->vcpus = calloc(n, sizeof(struct vcpu *));
	if (!m->vcpus)
		return err_set(err, ENOMEM, "vCPUs");
	for (uint32_t i = 0; i < n; i++) {
		int rc = vcpu_create(m->kvm, i, &env, &m->vcpus[i], err);

		if (rc < 0)
			return rc;
		m->nvcpus++;
	}
	return 0;
}

static uint32_t used_irqs(const struct machine *m)
{
	uint32_t irqs = m->serial ? 1U << arch_uart().irq : 0;
	size_t n;
	const struct arch_slot *places = slots_places(m->slots, &n);

	for (size_t i = 0; i < n; i++)
		irqs |= 1U << places[i].irq;
	return irqs;
}

int machine_boot(struct machine *m, struct err *err)
{
	struct arch_boot boot = boot_of(m);
	struct arch_entry entry;
	int rc;

	boot.cmdline = m->cmdline;
	boot.vcpus = m->nvcpus;
	boot.irqs = used_irqs(m);
	rc = arch_boot_load(&boot, m->mem, &entry, err);
	m->images_loaded = false; /* a guest that has run has changed them */
	for (uint32_t i = 0; rc == 0 && i < m->nvcpus; i++)
		rc = arch_vcpu_init(m->kvm, vcpu_kvm(m->vcpus[i]), m->nvcpus, &entry, err);
	return rc;
}

static int end_loading(struct machine *m, struct err *err)
{
	int rc = job_end(&m->loading, err);

	m->images_loaded = rc == 0;
	return rc;
}

static int gate_hold(void *arg, struct err *err)
{
	return machine_hold(arg, err);
}

static void gate_release(void *arg)
{
	machine_release(arg);
}

static void init_address_spaces(struct machine *m)
{
	const struct address_gate gate = {.hold = gate_hold, .release = gate_release, .arg = m};

	address_space_init(&m->memory, "memory", &gate);
	address_space_init(&m->ports, "port", &gate);
}

int machine_create(struct machine_config *config, struct loop *loop,
		   const struct machine_events *events, struct machine **out, struct err *err)
{
	CLEANUP(own_machine_destroy) struct machine *m = calloc(1, sizeof(*m));
	int rc;

	if (!m)
		return err_set(err, ENOMEM, "machine");
	m->loop = loop;
	m->events = *events;
	m->serial_irq_fd = -1;
	m->end_fd = -1;
	m->kernel.fd = m->initrd.fd = -1;
	init_address_spaces(m);
	rc = watch_end(m, err);
	if (rc == 0)
		rc = open_images(m, config, err);
	if (rc == 0)
		rc = make_memory(m, config, err);
	if (rc == 0)
		rc = job_begin(load_images, m, &m->loading, err);
	if (rc == 0)
		rc = make_vm(m, config, err);
	if (rc == 0)
		rc = make_devices(m, config, err);
	if (rc == 0)
		rc = machine_connect(m, err);
	if (rc == 0)
		rc = make_cmdline(m, config, err);
	if (rc == 0)
		rc = make_vcpus(m, config, err);
	if (rc == 0)
		rc = end_loading(m, err);
	if (rc == 0)
		rc = machine_boot(m, err);
	if (rc < 0)
		return rc;
	m->times.kernel_us = clock_now_us();
	*out = TAKE_PTR(&m);
	return 0;
}

void machine_destroy(struct machine *m)
{
	if (!m)
		return;
	(void)job_end(&m->loading, NULL);
	machine_stop(m);
	for (uint32_t i = m->nvcpus; i > 0; i--)
		vcpu_destroy(m->vcpus[i - 1]);
	free(m->vcpus);
	slots_destroy(m->slots);
	arch_platform_destroy(m->platform);
	serial_destroy(m->serial);
	address_space_done(&m->ports);
	address_space_done(&m->memory);
	own_close(&m->serial_irq_fd);
	/* The VM goes before its memory: KVM maps it until then. */
	kvm_close(m->kvm);
	gmem_destroy(m->mem);
	free(m->cmdline);
	image_close(&m->initrd);
	image_close(&m->kernel);
	loop_remove(m->end_source);
	own_close(&m->end_fd);
	free(m);
}

struct machine_times machine_times(const struct machine *m)
{
	return m->times;
}

pid_t machine_vcpu_tid(const struct machine *m, uint32_t idx)
{
	return vcpu_tid(m->vcpus[idx]);
}

bool machine_look(const struct machine *m, size_t idx, struct machine_slot *out)
{
	return slots_look(m->slots, idx, out);
}
