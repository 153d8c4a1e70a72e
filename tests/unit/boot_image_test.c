/* Kernel decoders and the check of their plans: each bad image differs from a good one in one field. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <elf.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vmm/arch/x86_64/kernel.h"
#include "vmm/arch/x86_64/layout.h"
#include "vmm/image.h"

#define MIB 0x100000ULL

/* A vmlinux of two segments and a note. */
struct elf_file {
	Elf64_Ehdr eh;
	Elf64_Phdr ph[3];
	struct {
		Elf64_Nhdr other;
		char other_name[4];
		uint32_t other_desc[2];
		Elf64_Nhdr nh;
		char name[4];
		uint64_t entry;
	} __attribute__((packed)) note;
	uint8_t text[64];
};

static struct elf_file good_elf(void)
{
	struct elf_file f = {
		.eh =
			{
				.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB},
				.e_type = ET_EXEC,
				.e_machine = EM_X86_64,
				.e_phoff = offsetof(struct elf_file, ph),
				.e_phentsize = sizeof(Elf64_Phdr),
				.e_phnum = 3,
			},
		.ph =
			{
				{.p_type = PT_LOAD,
				 .p_offset = offsetof(struct elf_file, text),
				 .p_filesz = 64,
				 .p_memsz = 0x1000,
				 .p_paddr = MIB},
				{.p_type = PT_NOTE,
				 .p_offset = offsetof(struct elf_file, note),
				 .p_filesz = sizeof(f.note)},
				{.p_type = PT_LOAD, .p_paddr = 2 * MIB, .p_memsz = 0x2000},
			},
		.note =
			{
				.other = {.n_namesz = 3, .n_descsz = 6, .n_type = 18},
				.other_name = "GN",
				.nh = {.n_namesz = 4, .n_descsz = 8, .n_type = 18},
				.name = "Xen",
				.entry = MIB + 16,
			},
	};

	return f;
}

static struct image image_of(const void *data, size_t len)
{
	struct image image = {.fd = memfd_create("image", MFD_CLOEXEC), .path = "k"};

	assert_true(image.fd >= 0);
	assert_int_equal(write(image.fd, data, len), (ssize_t)len);
	image.size_bytes = len;
	return image;
}

#define EH(field) offsetof(struct elf_file, eh.field), sizeof(((struct elf_file *)0)->eh.field)
#define PH(i, field)                                                                               \
	offsetof(struct elf_file, ph[i].field), sizeof(((struct elf_file *)0)->ph[i].field)
#define NOTE(field)                                                                                \
	offsetof(struct elf_file, note.field), sizeof(((struct elf_file *)0)->note.field)

static void test_elf(void **state)
{
	static const struct {
		const char *name;
		size_t off, size;
		uint64_t value;
		const char *error; /* NULL: accepted */
	} cases[] = {
		{"good", 0, 0, 0, NULL},
		{"shared object type", EH(e_type), ET_DYN, NULL},
		{"32-bit", EI_CLASS, 1, ELFCLASS32, "64-bit"},
		{"big-endian", EI_DATA, 1, ELFDATA2MSB, "64-bit"},
		{"other machine", EH(e_machine), EM_AARCH64, "another processor"},
		{"relocatable", EH(e_type), ET_REL, "not executable"},
		{"header size", EH(e_phentsize), 32, "unknown size"},
		{"no headers", EH(e_phnum), 0, "no ELF program headers"},
		{"too many headers", EH(e_phnum), 65, "or too many"},
		{"headers past the end", EH(e_phnum), 40, "end after the file"},
		{"headers at the top", EH(e_phoff), UINT64_MAX - 8, "end after the file"},
		{"wraps", PH(0, p_memsz), UINT64_MAX - MIB + 1, "wraps"},
		{"ends at the top", PH(0, p_memsz), UINT64_MAX - MIB, "wraps"},
		{"file part past the end", PH(0, p_filesz), 0x1000, "cut off"},
		{"offset past the end", PH(0, p_offset), UINT64_MAX, "cut off"},
		{"more file than memory", PH(0, p_memsz), 63, "larger in the file"},
		{"below 1 MiB", PH(0, p_paddr), MIB - 1, "outside"},
		{"past RAM", PH(2, p_memsz), 3 * MIB, "outside"},
		{"far past RAM", PH(2, p_paddr), 1ULL << 40, "outside"},
		{"up to the end of RAM", PH(2, p_memsz), 2 * MIB, NULL},
		{"one byte more", PH(2, p_memsz), 2 * MIB + 1, "outside"},
		{"nothing to load is no segment", PH(2, p_memsz), 0, NULL},
		{"entry after the code", NOTE(entry), MIB + 64, "in no segment"},
		{"entry before the code", NOTE(entry), MIB - 1, "in no segment"},
		{"entry in zeroes", NOTE(entry), 2 * MIB, "in no segment"},
		{"other note type", NOTE(nh.n_type), 17, "neither Linux nor"},
		{"other note name", NOTE(name), 0x6f6e6558, "neither Linux nor"},
		{"name too long", NOTE(nh.n_namesz), UINT32_MAX, "neither Linux nor"},
		{"name without its NUL", NOTE(nh.n_namesz), 3, "neither Linux nor"},
		{"description cut off", PH(1, p_filesz), sizeof(((struct elf_file *)0)->note) - 4,
		 "neither Linux nor"},
		{"description too long", NOTE(nh.n_descsz), UINT32_MAX, "neither Linux nor"},
		{"description of another size", NOTE(nh.n_descsz), 6, "neither Linux nor"},
		{"first note swallows the rest", NOTE(other.n_descsz), UINT32_MAX,
		 "neither Linux nor"},
		{"notes past the end", PH(1, p_offset), 4096, "neither Linux nor"},
		{"notes too long", PH(1, p_filesz), 4097, "neither Linux nor"},
		{"32-bit entry", NOTE(nh.n_descsz), 4, NULL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct elf_file f = good_elf();
		struct kernel_plan plan = {0};
		struct err err = ERR_INIT;
		int rc;

		print_message("%s\n", cases[i].name);
		memcpy((uint8_t *)&f + cases[i].off, &cases[i].value, cases[i].size);
		AUTO_IMAGE struct image image = image_of(&f, sizeof(f));
		rc = elf_decode(&image, &plan, &err);
		if (rc == 0)
			rc = kernel_plan_check(&plan, &image, MIB, 4 * MIB, &err);
		if (cases[i].error) {
			assert_true(rc < 0);
			assert_non_null(strstr(err.text, cases[i].error));
		} else {
			assert_int_equal(rc, 0);
			assert_int_equal(plan.entry.v, MIB + 16);
		}
	}
}

static void test_elf_plan(void **state)
{
	struct elf_file f = good_elf();
	AUTO_IMAGE struct image image = image_of(&f, sizeof(f));
	struct kernel_plan plan;

	(void)state;
	assert_int_equal(elf_decode(&image, &plan, NULL), 0);
	assert_int_equal(plan.nsegments, 2);
	assert_int_equal(plan.end.v, 2 * MIB + 0x2000);
	assert_int_equal(plan.cmdline_max_bytes, 2048);
	/* Cut anywhere, it is refused and nothing is read past the end. */
	for (size_t len = 0; len < sizeof(f); len++) {
		struct elf_file g = good_elf();
		AUTO_IMAGE struct image cut = image_of(&g, len);
		int rc = elf_decode(&cut, &plan, NULL);

		if (rc == 0)
			rc = kernel_plan_check(&plan, &cut, MIB, 4 * MIB, NULL);
		assert_true(rc < 0);
	}
}

/* Linux says that it is Linux by a note of its own, and is then entered where the ELF header says. */
static void test_linux_note(void **state)
{
	static const struct {
		const char *name, *owner;
		uint32_t type, namesz;
		uint64_t entry;
		uint32_t protocol;
		uint64_t pc; /* 0: refused */
	} cases[] = {
		{"Linux", "Linux", 0x100, 6, MIB + 32, X86_PROTOCOL_LINUX64, MIB + 32},
		{"entry after the code", "Linux", 0x100, 6, MIB + 64, X86_PROTOCOL_LINUX64, 0},
		{"other note of Linux", "Linux", 0x101, 6, MIB + 32, X86_PROTOCOL_PVH, MIB + 16},
		{"other owner", "linux", 0x100, 6, MIB + 32, X86_PROTOCOL_PVH, MIB + 16},
		{"longer owner", "Linuxes", 0x100, 8, MIB + 32, X86_PROTOCOL_PVH, MIB + 16},
		{"owner cut short", "Linux", 0x100, 5, MIB + 32, X86_PROTOCOL_PVH, MIB + 16},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct {
			struct elf_file f;
			struct {
				Elf64_Nhdr nh;
				char name[8];
			} note;
		} file = {.f = good_elf()};
		struct kernel_plan plan = {0};
		int rc;

		print_message("%s\n", cases[i].name);
		file.f.eh.e_entry = cases[i].entry;
		file.note.nh = (Elf64_Nhdr){.n_namesz = cases[i].namesz, .n_type = cases[i].type};
		memcpy(file.note.name, cases[i].owner, strlen(cases[i].owner));
		/* The third header has the zeroes, which this kernel does without. */
		file.f.ph[2] = (Elf64_Phdr){.p_type = PT_NOTE,
					    .p_offset = sizeof(file.f),
					    .p_filesz = sizeof(file.note)};
		AUTO_IMAGE struct image image = image_of(&file, sizeof(file));
		assert_int_equal(elf_decode(&image, &plan, NULL), 0);
		assert_int_equal(plan.protocol, cases[i].protocol);
		rc = kernel_plan_check(&plan, &image, MIB, 4 * MIB, NULL);
		assert_int_equal(rc == 0, cases[i].pc != 0);
		if (rc == 0)
			assert_int_equal(plan.entry.v, cases[i].pc);
	}
}

/* Enough bytes in the file, but more than a note segment may have. */
static void test_long_notes(void **state)
{
	struct elf_file f = good_elf();
	struct kernel_plan plan;

	(void)state;
	f.ph[1].p_filesz = 4097;
	AUTO_IMAGE struct image image = image_of(&f, sizeof(f));
	assert_int_equal(ftruncate(image.fd, 8192), 0);
	image.size_bytes = 8192;
	assert_true(elf_decode(&image, &plan, NULL) < 0);
	f.ph[1].p_filesz = 4096;
	assert_int_equal(pwrite(image.fd, &f, sizeof(f), 0), (ssize_t)sizeof(f));
	assert_int_equal(elf_decode(&image, &plan, NULL), 0);
}

static void test_too_many_segments(void **state)
{
	struct {
		Elf64_Ehdr eh;
		Elf64_Phdr ph[KERNEL_MAX_SEGMENTS + 1];
	} f = {.eh = good_elf().eh};
	struct kernel_plan plan;
	struct err err = ERR_INIT;

	(void)state;
	f.eh.e_phoff = sizeof(f.eh);
	f.eh.e_phnum = KERNEL_MAX_SEGMENTS + 1;
	for (size_t i = 0; i < ARRAY_SIZE(f.ph); i++)
		f.ph[i] = (Elf64_Phdr){.p_type = PT_LOAD, .p_memsz = 1, .p_paddr = MIB + i};
	AUTO_IMAGE struct image image = image_of(&f, sizeof(f));
	assert_true(elf_decode(&image, &plan, &err) < 0);
	assert_non_null(strstr(err.text, "too many ELF segments"));
}

struct bz_file {
	uint8_t boot[0x1f1];
	struct setup_header h;
	uint8_t setup[2 * 512 - 0x1f1 - sizeof(struct setup_header)];
	uint8_t kernel[160];
} __attribute__((packed));

static struct bz_file good_bz(void)
{
	return (struct bz_file){
		.h =
			{
				.setup_sects = 1,
				.syssize = 10,
				.boot_flag = 0xaa55,
				.jump = 0x6aeb,
				.header = 0x53726448,
				.version = 0x20f,
				.loadflags = LOADED_HIGH,
				.initrd_addr_max = 0x7fffffff,
				.cmdline_size = 2047,
				.pref_address = 2 * MIB,
				.init_size = (uint32_t)MIB,
			},
	};
}

#define H(field) offsetof(struct bz_file, h.field), sizeof(((struct bz_file *)0)->h.field)

static void test_bzimage(void **state)
{
	static const struct {
		const char *name;
		size_t off, size;
		uint64_t value;
		const char *error;
		uint64_t end;
	} cases[] = {
		{"good", 0, 0, 0, NULL, 3 * MIB},
		{"boot flag", H(boot_flag), 0xaa54, "neither", 0},
		{"magic", H(header), 0x53726449, "neither", 0},
		{"2.05", H(version), 0x205, "older than 2.06", 0},
		{"2.06 knows no init_size", H(version), 0x206, NULL, MIB + 160},
		{"zImage", H(loadflags), 0, "zImage", 0},
		{"0 sectors are 4", H(setup_sects), 0, "bzImage that is cut off", 0},
		{"setup past the end", H(setup_sects), 255, "bzImage that is cut off", 0},
		{"kernel past the end", H(syssize), 11, "cut off", 0},
		{"kernel far past the end", H(syssize), UINT32_MAX, "cut off", 0},
		{"a signature follows", H(syssize), 9, NULL, 3 * MIB},
		{"no kernel", H(syssize), 0, "cut off", 0},
		{"preferred address wraps", H(pref_address), UINT64_MAX, "out of range", 0},
		{"preferred address past RAM", H(pref_address), 4 * MIB, "needs memory", 0},
		{"init_size past RAM", H(init_size), 3 * MIB, "needs memory", 0},
		{"up to the end of RAM", H(init_size), 2 * MIB, NULL, 4 * MIB},
		{"command line size wraps", H(cmdline_size), UINT32_MAX, "command line", 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct bz_file f = good_bz();
		struct kernel_plan plan = {0};
		struct setup_header h;
		struct err err = ERR_INIT;
		int rc;

		print_message("%s\n", cases[i].name);
		memcpy((uint8_t *)&f + cases[i].off, &cases[i].value, cases[i].size);
		AUTO_IMAGE struct image image = image_of(&f, sizeof(f));
		rc = bzimage_decode(&image, &plan, &h, &err);
		if (rc == 0)
			rc = kernel_plan_check(&plan, &image, MIB, 4 * MIB, &err);
		if (cases[i].error) {
			assert_true(rc < 0);
			assert_non_null(strstr(err.text, cases[i].error));
		} else {
			assert_int_equal(rc, 0);
			assert_int_equal(plan.entry.v, MIB);
			assert_int_equal(plan.end.v, cases[i].end);
			assert_int_equal(plan.initrd_max, 0x7fffffff);
			assert_int_equal(plan.cmdline_max_bytes, 2048);
		}
	}
}

/* Fields behind the end that the header states itself are not the kernel's. */
static void test_bzimage_short_header(void **state)
{
	struct bz_file f = good_bz();
	struct kernel_plan plan;
	struct setup_header h;

	(void)state;
	f.h.version = 0x206;
	f.h.jump = (0x238 - 0x202) << 8 | 0xeb; /* up to cmdline_size, 2.06's last */
	f.h.setup_data = 77;
	AUTO_IMAGE struct image image = image_of(&f, sizeof(f));
	assert_int_equal(bzimage_decode(&image, &plan, &h, NULL), 0);
	assert_int_equal(h.setup_data, 0);
	assert_int_equal(h.pref_address, 0);
	assert_int_equal(h.init_size, 0);
	assert_int_equal(h.type_of_loader, 0xff);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_elf),
		cmocka_unit_test(test_elf_plan),
		cmocka_unit_test(test_linux_note),
		cmocka_unit_test(test_long_notes),
		cmocka_unit_test(test_too_many_segments),
		cmocka_unit_test(test_bzimage),
		cmocka_unit_test(test_bzimage_short_header),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
