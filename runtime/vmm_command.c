/*
 * A vmm's command line: every file but the guest's assets goes as a descriptor, since the vmm opens nothing once it is in its
 * jail. The order of the devices is that of their slots.
 */
#include "runtime/vmm_command.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/str.h"

/* Numbers of the descriptors there. */
enum { VMM_FD_MONITOR = 3, VMM_FD_SERIAL, VMM_FD_VSOCK, VMM_FD_AGENT, VMM_FD_QMP, VMM_FD_NICS };

#define GUEST_CID 3 /* each vmm has a vsock of its own: the number need not differ */

void vmm_command_done(struct vmm_command *c)
{
	vmm_nics_done(&c->nics);
	while (c->ntexts > 0)
		free(c->texts[--c->ntexts]);
}

static void add(struct vmm_command *c, const char *option, const char *value)
{
	c->argv[c->nargs++] = option;
	c->argv[c->nargs++] = value;
}

/* `text` is the command's from now on. false: it is NULL, there was no memory for it. */
static bool add_text(struct vmm_command *c, const char *option, char *text)
{
	c->texts[c->ntexts++] = text;
	add(c, option, text);
	return text;
}

static void add_fd(struct vmm_command *c, int fd, int number)
{
	c->fds[c->nfds++] = (struct spawn_fd){fd, number};
}

static bool add_machine(struct vmm_command *c, const struct vmm_params *p)
{
	const struct vm_config *vm = p->vm;

	c->argv[c->nargs++] = p->vmm_path;
	add(c, "-kernel", vm->kernel_path);
	add(c, "-initrd", vm->initramfs_path);
	add(c, "-append", vm->cmdline);
	add(c, "-jail", p->shared_dir);
	return add_text(c, "-m", str_printf("%llu", (unsigned long long)vm->memory_mib)) &&
	       add_text(c, "-smp",
			str_printf("cpus=%u,maxcpus=%u", vm->boot_vcpus, vm->max_vcpus)) &&
	       add_text(c, "-machine",
			str_printf("type=microvm,pit=off,hotplug-blk=%u,hotplug-net=%u",
				   vm->spare_disks, vm->spare_nics));
}

static bool add_devices(struct vmm_command *c, const struct vmm_params *p)
{
	add_fd(c, p->vsock_listen_fd, VMM_FD_VSOCK);
	add_fd(c, p->agent_fd, VMM_FD_AGENT);
	add(c, "-device", "virtio-rng-device");
	add(c, "-device", "virtio-fs-device,tag=" VMM_SHARED_TAG);
	return add_text(c, "-device",
			str_printf("virtio-vsock-device,guest-cid=%d,listen-fd=%d,agent-fd=%d",
				   GUEST_CID, VMM_FD_VSOCK, VMM_FD_AGENT));
}

static bool add_channels(struct vmm_command *c, const struct vmm_params *p,
			 const struct vmm_ends *ends)
{
	add_fd(c, ends->messages_fd, STDERR_FILENO);
	add_fd(c, ends->monitor_fd, VMM_FD_MONITOR);
	add_fd(c, ends->serial_fd, VMM_FD_SERIAL);
	if (!add_text(c, "-monitor-fd", str_printf("%d", VMM_FD_MONITOR)) ||
	    !add_text(c, "-serial", str_printf("fd:%d", VMM_FD_SERIAL)))
		return false;
	if (p->qmp_fd < 0)
		return true;
	add_fd(c, p->qmp_fd, VMM_FD_QMP);
	return add_text(c, "-qmp", str_printf("unix:fd=%d,server,nowait", VMM_FD_QMP));
}

int vmm_command_make(const struct vmm_params *p, const struct vmm_ends *ends,
		     struct vmm_command *out, struct err *err)
{
	int rc;

	if (!add_machine(out, p) || !add_devices(out, p) || !add_channels(out, p, ends))
		return err_set(err, ENOMEM, "start the vmm");
	rc = vmm_nics_fill(&out->nics, p->network, VMM_FD_NICS, out->argv + out->nargs,
			   out->fds + out->nfds, err);
	if (rc == 0)
		out->nfds += out->nics.n;
	return rc;
}
