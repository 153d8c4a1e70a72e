/*
 * The i8042 keyboard controller, of which a PC without a keyboard needs one command: pulse the reset line. Its status reads
 * as "ready, nothing there", so that reboot=k does not wait. Two regions of one byte: port 0x61 between them belongs
 * to the timer, which is KVM's (what KVM has does not come here) or absent. The CMOS clock is absent on purpose: kvm-clock
 * has the time of day, and a kernel that brings up a second vCPU writes a byte there that nobody reads.
 */
#include "vmm/arch/arch.h"

#include <errno.h>

#define PORT_TIMER   0x40 /* to 0x43 */
#define PORT_DATA    0x60
#define PORT_SPEAKER 0x61
#define PORT_COMMAND 0x64
#define PORT_CMOS    0x70
#define CMD_RESET    0xfe

enum { PORTS = 5 };

struct arch_platform {
	struct region ports[PORTS];
	void (*on_reset)(void *arg);
	void *arg;
};

static uint64_t i8042_read(void *self UNUSED, uint64_t off UNUSED, uint32_t len UNUSED)
{
	return 0;
}

static uint64_t absent_read(void *self UNUSED, uint64_t off UNUSED, uint32_t len UNUSED)
{
	return UINT64_MAX;
}

static void ignore_write(void *self UNUSED, uint64_t off UNUSED, uint32_t len UNUSED,
			 uint64_t value UNUSED)
{
}

static void command_write(void *self, uint64_t off UNUSED, uint32_t len UNUSED, uint64_t value)
{
	struct arch_platform *p = self;

	if (value == CMD_RESET)
		p->on_reset(p->arg);
}

static int add_ports(struct arch_platform *p, struct address_space *ports, struct err *err)
{
	static const struct region_ops data = {.read = i8042_read, .write = ignore_write};
	static const struct region_ops absent = {.read = absent_read, .write = ignore_write};
	static const struct region_ops command = {.read = i8042_read, .write = command_write};
	static const struct region regions[PORTS] = {
		{.name = "timer", .base = PORT_TIMER, .len_bytes = 4, .ops = &absent},
		{.name = "i8042 data", .base = PORT_DATA, .len_bytes = 1, .ops = &data},
		{.name = "speaker", .base = PORT_SPEAKER, .len_bytes = 1, .ops = &absent},
		{.name = "i8042 command", .base = PORT_COMMAND, .len_bytes = 1, .ops = &command},
		{.name = "cmos", .base = PORT_CMOS, .len_bytes = 2, .ops = &absent},
	};

	for (size_t i = 0; i < PORTS; i++) {
		int rc;

		p->ports[i] = regions[i];
		p->ports[i].self = p;
		rc = address_space_add(ports, &p->ports[i], err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

int arch_platform_create(const struct arch_platform_params *params, struct arch_platform **out,
			 struct err *err)
{
	CLEANUP(own_arch_platform_destroy) struct arch_platform *p = calloc(1, sizeof(*p));
	int rc;

	if (!p)
		return err_set(err, ENOMEM, "i8042");
	p->on_reset = params->on_reset;
	p->arg = params->arg;
	rc = add_ports(p, params->ports, err);
	if (rc < 0)
		return rc;
	*out = TAKE_PTR(&p);
	return 0;
}

void arch_platform_destroy(struct arch_platform *p)
{
	free(p);
}
