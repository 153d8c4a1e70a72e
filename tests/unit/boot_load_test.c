/* What a booted kernel finds in memory: image, initramfs, command line, memory map, vCPUs; and what does not fit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/own.h"
#include "tests/unit/bzimage.h"
#include "vmm/arch/arch.h"
#include "vmm/arch/x86_64/kernel.h"
#include "vmm/arch/x86_64/layout.h"

#define MIB 0x100000ULL
#define GIB 0x40000000ULL

/* A memfd of `size` bytes that begins with `len` of data. */
static struct image file_of(const void *data, size_t len, size_t size)
{
	struct image f = {
		.fd = memfd_create("file", MFD_CLOEXEC), .size_bytes = size, .path = "file"};

	assert_true(f.fd >= 0);
	assert_int_equal(write(f.fd, data, len), (ssize_t)len);
	assert_int_equal(ftruncate(f.fd, (off_t)size), 0);
	return f;
}

static struct image bzimage(uint32_t initrd_max)
{
	uint8_t bytes[BZIMAGE_KERNEL_OFF + 16] = {0};

	bzimage_head(bytes, 16, initrd_max, 100);
	memcpy(bytes + BZIMAGE_KERNEL_OFF, "kernel kernel 16", 16);
	return file_of(bytes, sizeof(bytes), sizeof(bytes));
}

static struct gmem *ram(uint64_t bytes)
{
	struct gmem_range ranges[GMEM_MAX_REGIONS];
	struct gmem *mem = NULL;

	assert_int_equal(gmem_create(ranges, arch_ram_ranges(bytes, ranges), &mem, NULL), 0);
	return mem;
}

static void test_ram_ranges(void **state)
{
	static const struct {
		uint64_t bytes;
		size_t n;
		uint64_t low, high;
	} cases[] = {
		{32 * MIB, 1, 32 * MIB, 0},     {3 * GIB - MIB, 1, 3 * GIB - MIB, 0},
		{3 * GIB, 1, 3 * GIB, 0},       {3 * GIB + MIB, 2, 3 * GIB, MIB},
		{8 * GIB, 2, 3 * GIB, 5 * GIB},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct gmem_range r[GMEM_MAX_REGIONS];

		assert_int_equal(arch_ram_ranges(cases[i].bytes, r), cases[i].n);
		assert_int_equal(r[0].at.v, 0);
		assert_int_equal(r[0].len_bytes, cases[i].low);
		if (cases[i].n == 2) {
			assert_int_equal(r[1].at.v, 4 * GIB);
			assert_int_equal(r[1].len_bytes, cases[i].high);
		}
	}
}

static void test_initrd_place(void **state)
{
	static const struct {
		const char *name;
		uint64_t ram, size, max;
		uint64_t at; /* 0: refused */
	} cases[] = {
		{"at the end of RAM", 32 * MIB, 5000, UINT32_MAX, 32 * MIB - 0x2000},
		{"a whole page", 32 * MIB, 4096, UINT32_MAX, 32 * MIB - 0x1000},
		{"below the kernel's limit", 32 * MIB, 4096, 16 * MIB - 1, 16 * MIB - 0x1000},
		{"below the hole", 3 * GIB + MIB, 4096, UINT32_MAX, 3 * GIB - 0x1000},
		{"just behind the kernel", 32 * MIB, 30 * MIB, UINT32_MAX, 2 * MIB},
		{"one byte too many", 32 * MIB, 30 * MIB + 1, UINT32_MAX, 0},
		{"larger than RAM", 32 * MIB, 64 * MIB, UINT32_MAX, 0},
		{"larger than 4 GiB", 32 * MIB, 5 * GIB, UINT32_MAX, 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		CLEANUP(own_gmem_destroy) struct gmem *mem = ram(cases[i].ram);
		struct image kernel = bzimage((uint32_t)cases[i].max);
		struct image initrd = file_of("initrd", 6, cases[i].size);
		struct arch_boot boot = {&kernel, &initrd, "quiet", 1, 0, false};
		struct boot_params params;
		struct arch_entry entry;
		struct err err = ERR_INIT;
		int rc = arch_boot_load(&boot, mem, &entry, &err);
		char bytes[6];

		print_message("%s\n", cases[i].name);
		(void)close(kernel.fd);
		(void)close(initrd.fd);
		if (cases[i].at == 0) {
			assert_true(rc < 0);
			assert_non_null(strstr(err.text, "more memory"));
			continue;
		}
		assert_int_equal(rc, 0);
		assert_int_equal(entry.protocol, X86_PROTOCOL_LINUX);
		assert_true(gmem_read(mem, entry.info, &params, sizeof(params)));
		assert_int_equal(params.hdr.ramdisk_image, cases[i].at);
		assert_int_equal(params.hdr.ramdisk_size, cases[i].size);
		assert_true(gmem_read(mem, GPA(cases[i].at), bytes, 6));
		assert_memory_equal(bytes, "initrd", 6);
	}
}

static void test_boot_params(void **state)
{
	CLEANUP(own_gmem_destroy) struct gmem *mem = ram(4 * GIB);
	struct image kernel = bzimage(UINT32_MAX);
	struct arch_boot boot = {&kernel, NULL, "a=b c", 3, 0, false};
	struct boot_params p;
	struct arch_entry entry;
	char bytes[16];

	(void)state;
	assert_int_equal(arch_boot_load(&boot, mem, &entry, NULL), 0);
	(void)close(kernel.fd);
	assert_int_equal(entry.pc.v, MIB);
	assert_true(gmem_read(mem, entry.pc, bytes, 16));
	assert_memory_equal(bytes, "kernel kernel 16", 16);
	assert_true(gmem_read(mem, entry.info, &p, sizeof(p)));
	assert_int_equal(p.hdr.ramdisk_size, 0);
	assert_int_equal(p.e820_entries, 4);
	assert_int_equal(p.e820_table[0].size, X86_MPTABLE_ADDR);
	assert_int_equal(p.e820_table[1].type, 2);
	assert_int_equal(p.e820_table[1].addr + p.e820_table[1].size, MIB);
	assert_int_equal(p.e820_table[2].addr + p.e820_table[2].size, 3 * GIB);
	assert_int_equal(p.e820_table[3].addr, 4 * GIB);
	assert_int_equal(p.e820_table[3].size, GIB);
	assert_true(gmem_read(mem, GPA(p.hdr.cmd_line_ptr), bytes, 6));
	assert_string_equal(bytes, "a=b c");
}

/* The smallest vmlinux: sixteen bytes of kernel and the note by which Linux is known. */
static struct image vmlinux(void)
{
	struct {
		Elf64_Ehdr eh;
		Elf64_Phdr ph[2];
		Elf64_Nhdr nh;
		char name[8];
		char text[16];
	} f = {
		.eh =
			{
				.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB},
				.e_type = ET_EXEC,
				.e_machine = EM_X86_64,
				.e_entry = MIB + 4,
				.e_phoff = sizeof(f.eh),
				.e_phentsize = sizeof(Elf64_Phdr),
				.e_phnum = 2,
			},
		.nh = {.n_namesz = 6, .n_type = 0x100},
		.name = "Linux",
		.text = "kernel kernel 1",
	};

	f.ph[0] = (Elf64_Phdr){.p_type = PT_LOAD,
			       .p_offset = (size_t)((uint8_t *)f.text - (uint8_t *)&f),
			       .p_filesz = sizeof(f.text),
			       .p_memsz = sizeof(f.text),
			       .p_paddr = MIB};
	f.ph[1] = (Elf64_Phdr){.p_type = PT_NOTE,
			       .p_offset = (size_t)((uint8_t *)&f.nh - (uint8_t *)&f),
			       .p_filesz = sizeof(f.nh) + sizeof(f.name)};
	return file_of(&f, sizeof(f), sizeof(f));
}

/* The address behind `at` as the identity map has it, walked as a processor does. */
static uint64_t walk(const struct gmem *mem, uint64_t at)
{
	uint64_t table = X86_PAGE_TABLES_ADDR;
	uint64_t entry = 0;

	for (int shift = 39; shift >= 21; shift -= 9) {
		assert_true(gmem_read(mem, GPA(table + (at >> shift) % 512 * 8), &entry, 8));
		assert_int_equal(entry & 3, 3);
		assert_int_equal(entry >> 7 & 1, shift == 21);
		table = entry & ~0xfffULL;
	}
	return table + at % (2 * MIB);
}

/* By the 64-bit protocol: boot parameters with a seed that differs from boot to boot, and a map of 4 GiB. */
static void test_vmlinux(void **state)
{
	static const uint64_t mapped[] = {0, MIB + 4, GIB - 1, GIB, 3 * GIB + 5, 4 * GIB - 1};
	struct image kernel = vmlinux();
	struct arch_boot boot = {&kernel, NULL, "a=b c", 1, 0, false};
	uint8_t seeds[2][32];
	const uint8_t zero[32] = {0};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		CLEANUP(own_gmem_destroy) struct gmem *mem = ram(32 * MIB);
		struct arch_entry entry;
		struct boot_params p;
		struct setup_data data;

		assert_int_equal(arch_boot_load(&boot, mem, &entry, NULL), 0);
		assert_int_equal(entry.protocol, X86_PROTOCOL_LINUX64);
		assert_int_equal(entry.pc.v, MIB + 4);
		assert_true(gmem_read(mem, entry.info, &p, sizeof(p)));
		assert_int_equal(p.hdr.header, 0x53726448);
		assert_int_equal(p.hdr.boot_flag, 0xaa55);
		assert_int_equal(p.sentinel, 0);
		assert_int_equal(p.e820_entries, 3);
		assert_true(gmem_read(mem, GPA(p.hdr.setup_data), &data, sizeof(data)));
		assert_int_equal(data.next, 0);
		assert_int_equal(data.type, SETUP_RNG_SEED);
		assert_int_equal(data.len, 32);
		assert_true(gmem_read(mem, GPA(p.hdr.setup_data + sizeof(data)), seeds[i], 32));
		assert_memory_not_equal(seeds[i], zero, 32);
		for (size_t k = 0; k < ARRAY_SIZE(mapped); k++)
			assert_int_equal(walk(mem, mapped[k]), mapped[k]);
	}
	assert_memory_not_equal(seeds[0], seeds[1], 32);
	(void)close(kernel.fd);
}

/* Images that were loaded beforehand are not loaded again, and otherwise are: the first guest has changed them. */
static void test_images_loaded(void **state)
{
	CLEANUP(own_gmem_destroy) struct gmem *mem = ram(32 * MIB);
	struct image kernel = vmlinux();
	struct image initrd = file_of("initrd", 6, 6);
	struct arch_boot boot = {&kernel, &initrd, "", 1, 0, false};
	struct arch_entry entry;
	char bytes[6];

	(void)state;
	assert_int_equal(arch_boot_load_images(&boot, mem, NULL), 0);
	assert_true(gmem_read(mem, GPA(MIB), bytes, 6));
	assert_memory_equal(bytes, "kernel", 6);
	assert_true(gmem_read(mem, GPA(32 * MIB - 4096), bytes, 6));
	assert_memory_equal(bytes, "initrd", 6);
	assert_true(gmem_write(mem, GPA(MIB), "guest's", 6));
	boot.images_loaded = true;
	assert_int_equal(arch_boot_load(&boot, mem, &entry, NULL), 0);
	assert_true(gmem_read(mem, GPA(MIB), bytes, 6));
	assert_memory_equal(bytes, "guest'", 6);
	boot.images_loaded = false;
	assert_int_equal(arch_boot_load(&boot, mem, &entry, NULL), 0);
	assert_true(gmem_read(mem, GPA(MIB), bytes, 6));
	assert_memory_equal(bytes, "kernel", 6);
	(void)close(kernel.fd);
	(void)close(initrd.fd);
}

static void test_refused(void **state)
{
	char line[102];
	struct image kernel = bzimage(UINT32_MAX);
	struct image text = file_of("#!/bin/sh\n", 10, 4096);
	struct image empty = file_of("", 0, 0);
	const struct {
		const char *name;
		struct arch_boot boot;
		const char *error;
	} cases[] = {
		{"good", {&kernel, NULL, line + 1, 1, 0, false}, NULL},
		{"command line a byte too long", {&kernel, NULL, line, 1, 0, false}, "too long"},
		{"kernel is a script", {&text, NULL, "", 1, 0, false}, "neither an ELF"},
		{"initramfs is empty",
		 {&kernel, &empty, "", 1, 0, false},
		 "initramfs 'file' is empty"},
	};

	(void)state;
	memset(line, 'x', 101);
	line[101] = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		CLEANUP(own_gmem_destroy) struct gmem *mem = ram(32 * MIB);
		struct arch_entry entry;
		struct err err = ERR_INIT;
		int rc = arch_boot_load(&cases[i].boot, mem, &entry, &err);

		print_message("%s\n", cases[i].name);
		assert_int_equal(rc < 0, cases[i].error != NULL);
		if (cases[i].error)
			assert_non_null(strstr(err.text, cases[i].error));
	}
	(void)close(kernel.fd);
	(void)close(text.fd);
	(void)close(empty.fd);
}

static uint8_t sum(const uint8_t *p, size_t n)
{
	uint8_t s = 0;

	while (n-- > 0)
		s = (uint8_t)(s + *p++);
	return s;
}

/* The table as a kernel walks it: type by type, entry by entry. */
static void test_mptable(void **state)
{
	static const uint32_t counts[] = {1, 2, 254};
	static const uint32_t lines[] = {0, 0x30, 0xffffff};
	static const uint32_t listed[] = {0x1, 0x31, 0xffffff}; /* the timer's always */

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(counts); i++) {
		CLEANUP(own_gmem_destroy) struct gmem *mem = ram(32 * MIB);
		struct image kernel = bzimage(UINT32_MAX);
		struct arch_boot boot = {&kernel, NULL, "", counts[i], lines[i], false};
		struct arch_entry entry;
		uint8_t mpf[16], table[8192];
		uint32_t seen[5] = {0}, pins = 0;
		uint16_t len;
		uint8_t *p;

		assert_int_equal(arch_boot_load(&boot, mem, &entry, NULL), 0);
		(void)close(kernel.fd);
		assert_true(gmem_read(mem, GPA(X86_MPF_ADDR), mpf, sizeof(mpf)));
		assert_memory_equal(mpf, "_MP_", 4);
		assert_int_equal(sum(mpf, sizeof(mpf)), 0);
		assert_true(gmem_read(mem, GPA(X86_MPTABLE_ADDR), table, sizeof(table)));
		memcpy(&len, table + 4, sizeof(len));
		assert_memory_equal(table, "PCMP", 4);
		assert_int_equal(sum(table, len), 0);
		for (p = table + 44; p < table + len; p += *p == 0 ? 20 : 8) {
			assert_true(*p < 5);
			if (*p == 0) {
				assert_int_equal(p[1], seen[0]); /* APIC id */
				assert_int_equal(p[3], seen[0] == 0 ? 3 : 1);
			}
			if (*p == 2)
				assert_int_equal(p[1], X86_IOAPIC_ID);
			if (*p == 3) {
				assert_int_equal(p[5], p[7]); /* line n is pin n */
				assert_true(p[7] < X86_IOAPIC_PINS);
				pins |= 1U << p[7];
			}
			seen[*p]++;
		}
		assert_ptr_equal(p, table + len);
		assert_int_equal(seen[0], counts[i]);
		assert_int_equal(seen[1], 1);
		assert_int_equal(seen[2], 1);
		assert_int_equal(pins, listed[i]);
		assert_int_equal(seen[3], __builtin_popcount(listed[i]));
		assert_int_equal(seen[4], 2);
	}
}

/* A line each while there are any, then shared ones; the first slots share last. */
static void test_slots(void **state)
{
	static const struct {
		uint32_t slot, irq;
	} shared[] = {{0, 5}, {18, 23}, {19, 23}, {20, 22}, {37, 5}, {38, 23}, {63, 17}};
	uint32_t users[X86_IOAPIC_PINS] = {0};

	(void)state;
	assert_int_equal(arch_virtio_slots(), 64);
	for (uint32_t i = 0; i < arch_virtio_slots(); i++) {
		struct arch_slot s = arch_virtio_slot(i);

		assert_int_equal(s.base.v, 0xd0000000ULL + i * 0x1000ULL);
		assert_true(s.irq >= 5 && s.irq < X86_IOAPIC_PINS);
		users[s.irq]++;
	}
	for (uint32_t irq = 5; irq < X86_IOAPIC_PINS; irq++)
		assert_in_range(users[irq], 3, 4);
	for (size_t i = 0; i < ARRAY_SIZE(shared); i++)
		assert_int_equal(arch_virtio_slot(shared[i].slot).irq, shared[i].irq);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ram_ranges),  cmocka_unit_test(test_initrd_place),
		cmocka_unit_test(test_boot_params), cmocka_unit_test(test_refused),
		cmocka_unit_test(test_vmlinux),     cmocka_unit_test(test_images_loaded),
		cmocka_unit_test(test_mptable),     cmocka_unit_test(test_slots),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
