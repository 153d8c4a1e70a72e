/* Registers in the wrong order, of the wrong width, with wrong values, and floods (virtio 1.2, 4.2.2 and 3.1). */
#include "misdeeds.h"

#define STORM_WRITES 3000U
#define FLOOD_BYTES  20000U

static const uint32_t sizes[] = {0, 1, 3, 24, 1024, 32768, 65535, 65536, UINT32_MAX};
static const uint32_t addresses[] = {0, 1, 0x200001, GUEST_RAM_BYTES - 8, MMIO_BASE, 0xfffffff0U};

static void begin(struct device *d)
{
	reg_write(d->base + REG_STATUS, 0);
	reg_write(d->base + REG_STATUS, STATUS_ACKNOWLEDGE | STATUS_DRIVER);
	reg_write(d->base + REG_DRIVER_FEATURES_SEL, 1);
	reg_write(d->base + REG_DRIVER_FEATURES, 1);
	reg_write(d->base + REG_STATUS, STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FEATURES_OK);
	reg_write(d->base + REG_QUEUE_SEL, d->request_queue);
}

static void go(struct device *d)
{
	reg_write(d->base + REG_QUEUE_READY, 1);
	reg_write(d->base + REG_STATUS,
		  STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FEATURES_OK | STATUS_DRIVER_OK);
	device_kick(d, d->request_queue);
}

static void queue_sizes_lie(struct device *d)
{
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		begin(d);
		reg_write(d->base + REG_QUEUE_NUM, sizes[i]);
		reg_write(d->base + REG_QUEUE_DESC, BUFFERS);
		reg_write(d->base + REG_QUEUE_DRIVER, BUFFERS + 0x1000);
		reg_write(d->base + REG_QUEUE_DEVICE, BUFFERS + 0x2000);
		go(d);
	}
}

static void queue_addresses_lie(struct device *d)
{
	static const enum mmio_reg rings[] = {REG_QUEUE_DESC, REG_QUEUE_DRIVER, REG_QUEUE_DEVICE};

	for (uint32_t i = 0; i < 3 * sizeof(addresses) / sizeof(addresses[0]); i++) {
		begin(d);
		reg_write(d->base + REG_QUEUE_NUM, QUEUE_SIZE);
		for (uint32_t r = 0; r < 3; r++) {
			_Bool lie = i % 3 == r;

			reg_write(d->base + rings[r],
				  lie ? addresses[i / 3] : BUFFERS + 0x1000 * r);
			reg_write(d->base + rings[r] + 4, lie ? i & 1 : 0);
		}
		go(d);
	}
}

/* The device's answers land in what it reads. */
static void rings_overlap(struct device *d)
{
	begin(d);
	fill((void *)BUFFERS, 1, 0x1000);
	reg_write(d->base + REG_QUEUE_NUM, QUEUE_SIZE);
	reg_write(d->base + REG_QUEUE_DESC, BUFFERS);
	reg_write(d->base + REG_QUEUE_DRIVER, BUFFERS);
	reg_write(d->base + REG_QUEUE_DEVICE, BUFFERS);
	go(d);
}

static void kick_unready(struct device *d)
{
	begin(d);
	for (uint32_t queue = 0; queue < 70; queue++)
		device_kick(d, queue);
	device_kick(d, 0xffff);
	device_kick(d, UINT32_MAX);
}

static void status_backwards(struct device *d)
{
	for (uint32_t status = 255; status > 0; status--)
		reg_write(d->base + REG_STATUS, status);
	reg_write(d->base + REG_STATUS, UINT32_MAX);
}

static void features_not_offered(struct device *d)
{
	reg_write(d->base + REG_STATUS, 0);
	reg_write(d->base + REG_STATUS, STATUS_ACKNOWLEDGE | STATUS_DRIVER);
	for (uint32_t word = 0; word < 5; word++) {
		reg_write(d->base + REG_DRIVER_FEATURES_SEL, word == 4 ? UINT32_MAX : word);
		reg_write(d->base + REG_DRIVER_FEATURES, UINT32_MAX);
	}
	reg_write(d->base + REG_STATUS, STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FEATURES_OK);
	go(d);
}

static void wrong_widths(struct device *d)
{
	for (uint32_t off = 0; off < 0x200; off++) {
		volatile uint8_t *byte = (uint8_t *)(uintptr_t)(d->base + off);
		uint8_t value = *byte;

		*byte = value;
		*(volatile uint16_t *)byte = *(volatile uint16_t *)byte;
		*(volatile uint32_t *)byte = *(volatile uint32_t *)byte;
	}
}

static void register_storm(struct device *d)
{
	for (uint32_t i = 0; i < STORM_WRITES; i++)
		reg_write(d->base + (random_number() & 0x1fc),
			  random_number() & (i & 1 ? 0xf : UINT32_MAX));
}

static void reset_under_way(struct device *d)
{
	for (uint32_t i = 0; i < 40; i++) {
		for (uint16_t head = 0; head < QUEUE_SIZE; head++) {
			desc_set(&d->queues[d->request_queue], head, BUFFERS, 4096, DESC_WRITE, 0);
			queue_offer(&d->queues[d->request_queue], head);
		}
		device_kick(d, d->request_queue);
		reg_write(d->base + REG_STATUS, 0);
		device_start(d, FEATURE_INDIRECT);
	}
}

static void queue_taken_back(struct device *d)
{
	for (uint32_t i = 0; i < 100; i++) {
		commit_chain(d, (uint16_t)(i % QUEUE_SIZE));
		reg_write(d->base + REG_QUEUE_SEL, d->request_queue);
		reg_write(d->base + REG_QUEUE_READY, 0);
		reg_write(d->base + REG_QUEUE_DESC, i * 4096);
		reg_write(d->base + REG_QUEUE_READY, 1);
	}
}

static void configuration_past_its_end(struct device *d)
{
	for (uint32_t off = REG_CONFIG; off < MMIO_SLOT_BYTES; off += 4)
		reg_write(d->base + off, ~reg_read(d->base + off));
}

static struct device *stormed;

static void storm_registers(void)
{
	while (!*cpu_stop_wanted())
		reg_write(stormed->base + (random_number() & 0x1fc), random_number() & 0xf);
}

static void race_for_registers(struct device *d)
{
	stormed = d;
	cpu_start(storm_registers);
	for (uint32_t i = 0; i < 60; i++) {
		reg_write(d->base + REG_STATUS, 0);
		begin(d);
		reg_write(d->base + REG_QUEUE_NUM, QUEUE_SIZE);
		go(d);
	}
	cpu_stop();
}

/* Of no device: once is enough. */
static void nobodys_addresses(struct device *d)
{
	if (d->base != MMIO_BASE)
		return;
	for (uint32_t i = 0; i < FLOOD_BYTES / 10; i++) {
		reg_write(MMIO_BASE + MMIO_SLOTS * MMIO_SLOT_BYTES + i * 4, i);
		(void)reg_read(0xe0000000U + i);
		port_write((uint16_t)(0x5000 + i), (uint8_t)i);
		(void)port_read((uint16_t)(0x600 + i));
	}
}

static void serial_flood(struct device *d)
{
	if (d->base != MMIO_BASE)
		return;
	for (uint32_t i = 0; i < FLOOD_BYTES; i++)
		port_write(0x3f8, i % 80 ? 'x' : '\n');
	for (uint32_t i = 0; i < 2000; i++)
		port_write((uint16_t)(0x3f9 + i % 7), (uint8_t)random_number());
	/* as the UART was: no divisor latch, no loop-back, no interrupts */
	port_write(0x3fb, 3);
	port_write(0x3fc, 0);
	port_write(0x3f9, 0);
	say("\n");
}

const struct misdeed register_misdeeds[] = {
	{"queue sizes that lie", 0, queue_sizes_lie},
	{"queue addresses that lie", 0, queue_addresses_lie},
	{"rings that overlap", 0, rings_overlap},
	{"kicks of queues that are not ready", 0, kick_unready},
	{"status bits backwards", 0, status_backwards},
	{"features that were not offered", 0, features_not_offered},
	{"accesses of wrong widths", 0, wrong_widths},
	{"a storm of register writes", 0, register_storm},
	{"resets under way", 0, reset_under_way},
	{"a queue taken back and moved", 0, queue_taken_back},
	{"configuration past its end", 0, configuration_past_its_end},
	{"registers written by a second vCPU", 0, race_for_registers},
	{"addresses of nobody", 0, nobodys_addresses},
	{"a flood of the serial port", 0, serial_flood},
	{NULL, 0, NULL},
};
