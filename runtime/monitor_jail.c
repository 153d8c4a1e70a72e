/* See monitor_jail.h. */
#include "runtime/monitor_jail.h"

#include "base/caps.h"

/* An overlay acts on its layers with the rights that its mounter had (overlayfs.rst, "Permission model"). */
static const uint64_t kept =
	CAP_BIT(CAP_SYS_ADMIN) | /* mounts of later containers; setns for hooks and the pod's network */
	CAP_BIT(CAP_SYS_CHROOT) |      /* setns into a mount namespace, for hooks */
	CAP_BIT(CAP_NET_ADMIN) |       /* taps of interfaces that appear later */
	CAP_BIT(CAP_KILL) |            /* stubs and hooks, whoever they run as */
	CAP_BIT(CAP_DAC_OVERRIDE) |    /* mount points in a rootfs of any owner, and overlay */
	CAP_BIT(CAP_DAC_READ_SEARCH) | /* overlay */
	CAP_BIT(CAP_CHOWN) |           /* overlay: copying up */
	CAP_BIT(CAP_FOWNER) |          /* overlay: copying up */
	CAP_BIT(CAP_FSETID) |          /* overlay: copying up */
	CAP_BIT(CAP_SETFCAP) |         /* overlay: copying up */
	CAP_BIT(CAP_MKNOD) |           /* overlay: copying up */
	CAP_BIT(CAP_SYS_RESOURCE);     /* overlay: room that the file system reserves */

int monitor_jail_enter(struct err *err)
{
	return caps_keep(kept, err);
}
