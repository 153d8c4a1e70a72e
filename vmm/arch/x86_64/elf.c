/*
 * ELF kernels: program headers say what to load where, notes say what it is and where to enter. Section headers are not
 * looked at. References: ELF-64 object file format; linux, Documentation/arch/x86/boot.rst, "64-bit Boot Protocol"; Xen,
 * docs/misc/pvh.pandoc.
 */
#include <elf.h>
#include <errno.h>
#include <string.h>

#include "base/cursor.h"
#include "vmm/arch/x86_64/kernel.h"

/* linux, include/linux/build-salt.h; Xen, public/elfnote.h */
#define LINUX_ELFNOTE_BUILD_SALT 0x100
#define XEN_ELFNOTE_PHYS32_ENTRY 18
#define NOTES_MAX_BYTES          4096
#define PHDRS_MAX                64

/* x86's COMMAND_LINE_SIZE; an ELF file has no field for it. */
#define CMDLINE_BYTES 2048

#define PAGE_BYTES 4096ULL

static int refuse(const struct image *image, const char *why, struct err *err)
{
	return err_say(err, EINVAL, "kernel '%s': %s", image->path, why);
}

static int check_header(const struct image *image, const Elf64_Ehdr *eh, struct err *err)
{
	if (eh->e_ident[EI_CLASS] != ELFCLASS64 || eh->e_ident[EI_DATA] != ELFDATA2LSB)
		return refuse(image, "not a 64-bit little-endian ELF file", err);
	if (eh->e_machine != EM_X86_64)
		return refuse(image, "an ELF file for another processor", err);
	if (eh->e_type != ET_EXEC && eh->e_type != ET_DYN)
		return refuse(image, "an ELF file that is not executable", err);
	if (eh->e_phentsize != sizeof(Elf64_Phdr))
		return refuse(image, "ELF program headers of an unknown size", err);
	if (eh->e_phnum == 0 || eh->e_phnum > PHDRS_MAX)
		return refuse(image, "no ELF program headers, or too many", err);
	return 0;
}

/* What the notes say. */
struct found {
	bool is_linux;
	bool has_pvh;
	uint64_t pvh_entry;
};

static bool name_is(const char *name, uint32_t len, const char *want)
{
	return len == strlen(want) + 1 && !memcmp(name, want, len);
}

static void take_note(uint32_t type, const char *name, uint32_t namesz, struct cursor desc,
		      struct found *out)
{
	size_t len = desc.left;

	if (type == LINUX_ELFNOTE_BUILD_SALT && name_is(name, namesz, "Linux"))
		out->is_linux = true;
	if (type != XEN_ELFNOTE_PHYS32_ENTRY || !name_is(name, namesz, "Xen") || out->has_pvh)
		return;
	if (len != 4 && len != 8)
		return;
	out->has_pvh = true;
	out->pvh_entry = len == 4 ? cursor_u32(&desc) : cursor_u64(&desc);
}

/* Names and descriptions are padded to `align`. What comes before a malformed note counts. */
static void scan_notes(const void *notes, size_t len, size_t align, struct found *out)
{
	struct cursor c = cursor_of(notes, len);

	while (!c.bad && c.left >= sizeof(Elf64_Nhdr)) {
		uint32_t namesz = cursor_u32(&c);
		uint32_t descsz = cursor_u32(&c);
		uint32_t type = cursor_u32(&c);
		const char *name = cursor_take(&c, namesz);
		const uint8_t *desc;

		(void)cursor_take(&c, (align - namesz % align) % align);
		desc = cursor_take(&c, descsz);
		if (c.bad)
			return;
		take_note(type, name, namesz, cursor_of(desc, descsz), out);
		/* The last note's padding may be missing. */
		if (c.left > 0)
			(void)cursor_take(&c, (align - descsz % align) % align);
	}
}

static void read_notes(const struct image *image, const Elf64_Phdr *ph, struct found *out)
{
	uint8_t notes[NOTES_MAX_BYTES];

	if (ph->p_filesz > sizeof(notes) || !image_read(image, ph->p_offset, notes, ph->p_filesz))
		return;
	/* Notes are padded to 4 bytes whatever the segment's alignment says, but for those of 8 (GNU properties). */
	scan_notes(notes, ph->p_filesz, 4, out);
	if (!out->is_linux && !out->has_pvh && ph->p_align == 8)
		scan_notes(notes, ph->p_filesz, 8, out);
}

static int add_segment(const struct image *image, const Elf64_Phdr *ph, struct kernel_plan *plan,
		       struct err *err)
{
	uint64_t end;

	if (ph->p_memsz == 0)
		return 0;
	if (plan->nsegments == KERNEL_MAX_SEGMENTS)
		return refuse(image, "too many ELF segments", err);
	if (__builtin_add_overflow(ph->p_paddr, ph->p_memsz, &end) || end > UINT64_MAX - PAGE_BYTES)
		return refuse(image, "an ELF segment wraps around the address space", err);
	plan->segments[plan->nsegments++] = (struct kernel_segment){
		.off = ph->p_offset,
		.file_bytes = ph->p_filesz,
		.mem_bytes = ph->p_memsz,
		.to = GPA(ph->p_paddr),
	};
	if (end > plan->end.v)
		plan->end = GPA(end);
	return 0;
}

int elf_decode(const struct image *image, struct kernel_plan *out, struct err *err)
{
	struct kernel_plan plan = {
		/* The entry code maps 4 GiB by itself, so an initramfs may lie anywhere in low RAM. */
		.initrd_max = UINT32_MAX,
		.cmdline_max_bytes = CMDLINE_BYTES,
	};
	struct found found = {0};
	Elf64_Ehdr eh;
	int rc;

	if (!image_read(image, 0, &eh, sizeof(eh)))
		return refuse(image, "too short for an ELF header", err);
	rc = check_header(image, &eh, err);
	for (uint16_t i = 0; rc == 0 && i < eh.e_phnum; i++) {
		Elf64_Phdr ph;
		uint64_t off;

		if (__builtin_add_overflow(eh.e_phoff, i * sizeof(ph), &off) ||
		    !image_read(image, off, &ph, sizeof(ph)))
			return refuse(image, "ELF program headers end after the file", err);
		if (ph.p_type == PT_LOAD)
			rc = add_segment(image, &ph, &plan, err);
		else if (ph.p_type == PT_NOTE)
			read_notes(image, &ph, &found);
	}
	if (rc < 0)
		return rc;
	if (!found.is_linux && !found.has_pvh)
		return refuse(image,
			      "neither Linux nor with a PVH entry point: use a vmlinux or bzImage",
			      err);
	plan.protocol = found.is_linux ? X86_PROTOCOL_LINUX64 : X86_PROTOCOL_PVH;
	plan.entry = GPA(found.is_linux ? eh.e_entry : found.pvh_entry);
	*out = plan;
	return 0;
}
