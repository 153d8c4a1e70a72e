/* See the header. */
#include "vmm/drivers.h"

#include <errno.h>
#include <string.h>

static const struct {
	const char *name;
	const char *instead;
} others[] = {
	{"vhost-vsock-device",
	 "the engine serves vsock itself: "
	 "virtio-vsock-device,guest-cid=N,path=PATH, which needs no host module"},
	{"vhost-vsock-pci", "there is no PCI, and the engine serves vsock itself: "
			    "virtio-vsock-device,guest-cid=N,path=PATH"},
	{"vhost-user-fs-device", "the engine serves files itself: "
				 "virtio-fs-device,tag=TAG,dir=PATH, which needs no virtiofsd"},
	{"vhost-user-fs-pci", "there is no PCI, and the engine serves files itself: "
			      "virtio-fs-device,tag=TAG,dir=PATH"},
	{"virtio-blk-pci", "there is no PCI: virtio-blk-device"},
	{"virtio-net-pci", "there is no PCI: virtio-net-device"},
	{"virtio-rng-pci", "there is no PCI: virtio-rng-device"},
	{"virtio-serial-pci", "there is no PCI: virtio-serial-device"},
	{"virtio-serial-device", "consoles are there from the start, by -device"},
	{"virtconsole", "consoles are there from the start, by -device"},
	{"virtserialport",
	 "a port is a console, virtconsole; other streams are virtio-vsock-device's"},
};

int driver_refuse(const char *name, struct err *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		if (!strcmp(others[i].name, name))
			return err_say(err, ENODEV, "no device '%s': %s", name, others[i].instead);
	}
	return err_say(err, ENODEV, "there is no device '%.64s'", name);
}
