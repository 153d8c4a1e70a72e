/*
 * boot_params, the "zero page" of the Linux boot protocol, and behind it a seed for the guest's random pool: without one a
 * kernel whose processor has no RDRAND draws every early random number from an empty pool, at ten microseconds each, and
 * its first keys from the little that it found.
 */
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/random.h>

#include "vmm/arch/x86_64/boot_info.h"
#include "vmm/arch/x86_64/layout.h"

#define HEADER_MAGIC      0x53726448U /* "HdrS" */
#define BOOT_FLAG         0xaa55
#define LOADER_UNKNOWN    0xff
#define VERSION_ELF       0x20f
#define VERSION_SETUPDATA 0x209
#define SEED_BYTES        32

/* struct setup_data with its data, which C does not let follow a flexible array. */
struct rng_seed {
	uint64_t next;
	uint32_t type;
	uint32_t len_bytes;
	uint8_t bytes[SEED_BYTES];
};
_Static_assert(offsetof(struct rng_seed, type) == offsetof(struct setup_data, type), "bootparam.h");
_Static_assert(offsetof(struct rng_seed, bytes) == offsetof(struct setup_data, data),
	       "bootparam.h");
_Static_assert(X86_BOOT_PARAMS_ADDR + sizeof(struct boot_params) <= X86_SETUP_DATA_ADDR,
	       "layout.h");
_Static_assert(X86_SETUP_DATA_ADDR + sizeof(struct rng_seed) <= X86_PAGE_TABLES_ADDR, "layout.h");

void linux_header_of_elf(struct setup_header *out)
{
	*out = (struct setup_header){
		.boot_flag = BOOT_FLAG,
		.header = HEADER_MAGIC,
		.version = VERSION_ELF,
		.type_of_loader = LOADER_UNKNOWN,
		.loadflags = LOADED_HIGH,
	};
}

/* The kernel wipes its copy; ours goes as soon as it is written. */
static int write_seed(struct gmem *mem, struct err *err)
{
	struct rng_seed seed = {.type = SETUP_RNG_SEED, .len_bytes = SEED_BYTES};

	if (getrandom(seed.bytes, sizeof(seed.bytes), 0) != (ssize_t)sizeof(seed.bytes))
		return err_set(err, errno, "random bytes for the guest");
	BUG_ON(!gmem_write(mem, GPA(X86_SETUP_DATA_ADDR), &seed, sizeof(seed)));
	explicit_bzero(&seed, sizeof(seed));
	return 0;
}

int linux_params_write(struct gmem *mem, const struct setup_header *header,
		       const struct x86_initrd *initrd, struct err *err)
{
	struct boot_params params = {.hdr = *header};
	struct x86_memmap_entry map[X86_MEMMAP_MAX];
	size_t n = x86_memmap(mem, map);
	int rc = write_seed(mem, err);

	if (rc < 0)
		return rc;
	if (header->version >= VERSION_SETUPDATA)
		params.hdr.setup_data = X86_SETUP_DATA_ADDR;
	params.hdr.cmd_line_ptr = (uint32_t)X86_CMDLINE_ADDR;
	params.hdr.ramdisk_image = (uint32_t)initrd->at;
	params.hdr.ramdisk_size = (uint32_t)initrd->size_bytes;
	params.e820_entries = (uint8_t)n;
	for (size_t i = 0; i < n; i++)
		params.e820_table[i] = (struct boot_e820_entry){
			.addr = map[i].addr, .size = map[i].size, .type = map[i].type};
	BUG_ON(!gmem_write(mem, GPA(X86_BOOT_PARAMS_ADDR), &params, sizeof(params)));
	return 0;
}
