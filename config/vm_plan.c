/*
 * From spec and configuration to the size and boot parameters of a microVM. A memory limit L is the container's memory.max in
 * the guest; guest RAM is L + guest_overhead_mib (kernel and agent), so the workload can use all of L.
 */
#include <errno.h>
#include <string.h>

#include "base/str.h"
#include "config/plan.h"

#define MIB (1024ULL * 1024)

/*
 * no_timer_check: KVM's timer needs no test that it works. numdummies: the driver makes one unasked, and a pod would see it.
 * initcall_blacklist: a tenth of the kernel's start goes into a self test of BLAKE2s and into /sys/kernel/slab. The engine adds
 * what its devices need (vmm/cmdline.c).
 */
#define KERNEL_BASE_PARAMS                                                                         \
	"quiet no_timer_check random.trust_cpu=on cgroup_no_v1=all dummy.numdummies=0 "            \
	"initcall_blacklist=blake2s_mod_init,slab_late_init"

/* The annotation as a number; *out untouched when it is absent. */
static int annotation_u64(const struct oci_spec *spec, const char *key, uint64_t *out,
			  struct err *err)
{
	const char *text = oci_annotation(spec, key);

	if (!text || text[0] == '\0' || text[0] == '-') /* -1: unlimited */
		return 0;
	if (str_to_u64(text, 0, INT64_MAX, out) < 0)
		return err_say(err, EINVAL, "annotation %s: '%s' is not a number", key, text);
	return 0;
}

/* Bytes, 0: no limit. The pod's annotation decides over the first container's own limit. */
static int memory_limit(const struct oci_spec *spec, uint64_t *limit, struct err *err)
{
	*limit = spec->resources.memory_limit_bytes > 0
			 ? (uint64_t)spec->resources.memory_limit_bytes
			 : 0;
	return annotation_u64(spec, "io.kubernetes.cri.sandbox-memory", limit, err);
}

static int plan_memory(const struct nacre_config *config, const struct oci_spec *spec,
		       uint64_t *mib, struct err *err)
{
	uint64_t limit, limit_mib;
	int ret = memory_limit(spec, &limit, err);

	if (ret < 0)
		return ret;
	if (limit == 0) {
		*mib = config->default_memory_mib;
		return 0;
	}
	limit_mib = limit / MIB + (limit % MIB ? 1 : 0);
	if (limit_mib < VM_MIN_LIMIT_MIB)
		return err_say(
			err, EINVAL,
			"memory limit of %llu MiB is too small for a microVM: guest RAM is the "
			"limit plus %llu MiB for kernel and agent, and the least limit is %u "
			"MiB; raise the limit or give none (then guest RAM is %llu MiB)",
			(unsigned long long)limit_mib,
			(unsigned long long)config->guest_overhead_mib, VM_MIN_LIMIT_MIB,
			(unsigned long long)config->default_memory_mib);
	*mib = limit_mib + config->guest_overhead_mib;
	return 0;
}

/* As many vCPUs as the quota can keep busy, rounded up. */
static int plan_vcpus(const struct nacre_config *config, const struct oci_spec *spec,
		      struct vm_config *vm, struct err *err)
{
	uint64_t quota =
		spec->resources.cpu_quota_us > 0 ? (uint64_t)spec->resources.cpu_quota_us : 0;
	uint64_t period = spec->resources.cpu_period_us, wanted;
	int ret = annotation_u64(spec, "io.kubernetes.cri.sandbox-cpu-quota", &quota, err);

	if (ret == 0)
		ret = annotation_u64(spec, "io.kubernetes.cri.sandbox-cpu-period", &period, err);
	if (ret < 0)
		return ret;
	if (period == 0)
		period = 100000; /* the kernel's default, cgroup-v2.rst, cpu.max */
	wanted = quota ? quota / period + (quota % period ? 1 : 0) : config->default_vcpus;
	if (wanted > config->max_vcpus)
		wanted = config->max_vcpus;
	vm->vcpus = (uint32_t)wanted;
	vm->boot_vcpus = config->boot_vcpus && config->boot_vcpus < vm->vcpus ? config->boot_vcpus
									      : vm->vcpus;
	vm->max_vcpus = config->max_vcpus - vm->vcpus < config->hotplug_vcpus
				? config->max_vcpus
				: vm->vcpus + config->hotplug_vcpus;
	return 0;
}

int vm_plan(const struct nacre_config *config, const struct oci_spec *spec, struct vm_config **out,
	    struct err *err)
{
	CLEANUP(own_vm_config_destroy) struct vm_config *vm = calloc(1, sizeof(*vm));
	int ret;

	if (!vm)
		return err_set(err, ENOMEM, "plan the microVM");
	ret = plan_memory(config, spec, &vm->memory_mib, err);
	if (ret == 0)
		ret = plan_vcpus(config, spec, vm, err);
	if (ret < 0)
		return ret;
	vm->spare_nics = config->spare_nics;
	vm->spare_disks = config->spare_disks;
	vm->kernel_path = strdup(config->kernel_path);
	vm->initramfs_path = strdup(config->initramfs_path);
	vm->cmdline = str_printf("%s%s%s", KERNEL_BASE_PARAMS, config->kernel_params[0] ? " " : "",
				 config->kernel_params);
	if (!vm->kernel_path || !vm->initramfs_path || !vm->cmdline)
		return err_set(err, ENOMEM, "plan the microVM");
	*out = TAKE_PTR(&vm);
	return 0;
}

void vm_config_destroy(struct vm_config *vm)
{
	if (!vm)
		return;
	free(vm->kernel_path);
	free(vm->initramfs_path);
	free(vm->cmdline);
	free(vm);
}
