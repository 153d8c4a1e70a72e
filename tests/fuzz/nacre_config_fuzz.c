/*
 * nacre.json(5): the input is /etc/nacre/config.json, and behind its first NUL a drop-in. What is accepted is in the documented
 * ranges, and so is the microVM planned from it.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/own.h"
#include "config/plan.h"

#define SPEC                                                                                       \
	"{\"ociVersion\":\"1.2.0\",\"root\":{\"path\":\"r\"},\"process\":{\"cwd\":\"/"             \
	"\",\"args\":[\"a\"],"                                                                     \
	"\"user\":{\"uid\":0,\"gid\":0}},\"linux\":{\"resources\":{\"memory\":{\"limit\":"         \
	"268435456},"                                                                              \
	"\"cpu\":{\"quota\":250000,\"period\":100000}}}}"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char config_dir[] = "/dev/shm/nacre-config-fuzz-XXXXXX";

static void remove_dir(void)
{
	int fd = open(config_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	(void)unlinkat(fd, "config.d/a.json", 0);
	(void)unlinkat(fd, "config.d", AT_REMOVEDIR);
	(void)unlinkat(fd, "config.json", 0);
	(void)close(fd);
	(void)rmdir(config_dir);
}

static int make_dir(void)
{
	int fd = mkdtemp(config_dir) ? open(config_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

	BUG_ON(fd < 0 || mkdirat(fd, "config.d", 0700) < 0);
	BUG_ON(atexit(remove_dir));
	return fd;
}

static void write_file(int dir_fd, const char *name, const uint8_t *data, size_t size)
{
	AUTO_FD int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	BUG_ON(fd < 0 || write(fd, data, size) != (ssize_t)size);
}

static void check(const struct nacre_config *c)
{
	CLEANUP(own_oci_spec_destroy) struct oci_spec *spec = NULL;
	CLEANUP(own_vm_config_destroy) struct vm_config *vm = NULL;
	struct err err = ERR_INIT;

	BUG_ON(!c->vmm_path || !c->kernel_path || !c->initramfs_path || !c->kernel_params);
	BUG_ON(c->max_vcpus < 1 || c->max_vcpus > VM_MAX_VCPUS);
	BUG_ON(c->default_memory_mib < VM_MIN_MEMORY_MIB || c->boot_timeout_ms < 100);
	BUG_ON(oci_parse(SPEC, sizeof(SPEC) - 1, "config.json", &spec, &err));
	if (vm_plan(c, spec, &vm, &err) < 0) {
		BUG_ON(err.code <= 0 || !err.text[0]);
		return;
	}
	BUG_ON(vm->vcpus < 1 || vm->boot_vcpus > vm->vcpus || vm->max_vcpus < vm->vcpus);
	BUG_ON(vm->max_vcpus > VM_MAX_VCPUS || vm->memory_mib < VM_MIN_MEMORY_MIB);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int dir_fd = -1;
	CLEANUP(own_nacre_config_destroy) struct nacre_config *config = NULL;
	const uint8_t *nul = size ? memchr(data, '\0', size) : NULL;
	const size_t first = nul ? (size_t)(nul - data) : size;
	struct err err = ERR_INIT;

	if (dir_fd < 0)
		dir_fd = make_dir();
	write_file(dir_fd, "config.json", data, first);
	(void)unlinkat(dir_fd, "config.d/a.json", 0);
	if (nul)
		write_file(dir_fd, "config.d/a.json", nul + 1, size - first - 1);
	if (nacre_config_load(config_dir, &config, &err) == 0)
		check(config);
	else
		BUG_ON(err.code <= 0 || !err.text[0]);
	return 0;
}
