/* Kernel images from outside: decode as both formats, check the plan, load what passes into a small guest. */
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vmm/arch/x86_64/kernel.h"
#include "vmm/arch/x86_64/layout.h"
#include "vmm/gmem.h"
#include "vmm/image.h"

#define RAM_BYTES (4ULL << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void load(const struct kernel_plan *plan, const struct image *image)
{
	const struct gmem_range ram = {GPA(0), RAM_BYTES};
	CLEANUP(own_gmem_destroy) struct gmem *mem = NULL;

	if (kernel_plan_check(plan, image, X86_HIGH_RAM_ADDR, RAM_BYTES, NULL) < 0)
		return;
	if (gmem_create(&ram, 1, &mem, NULL) < 0)
		return;
	/* A plan that was accepted loads. */
	BUG_ON(kernel_plan_load(plan, image, mem, NULL) < 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO_IMAGE struct image image = {
		.fd = memfd_create("image", MFD_CLOEXEC), .size_bytes = size, .path = "image"};
	struct kernel_plan plan;
	struct setup_header header;

	if (image.fd < 0 || write(image.fd, data, size) != (ssize_t)size)
		return 0;
	if (elf_decode(&image, &plan, NULL) == 0)
		load(&plan, &image);
	if (bzimage_decode(&image, &plan, &header, NULL) == 0)
		load(&plan, &image);
	return 0;
}
