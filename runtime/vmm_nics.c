/* See vmm_nics.h, and nacre-vmm(8) for the words. */
#include "runtime/vmm_nics.h"

#include <errno.h>
#include <stdlib.h>

#include "base/str.h"

void vmm_nics_done(struct vmm_nics *nics)
{
	for (size_t i = 0; i < nics->n; i++) {
		free(nics->netdev[i]);
		free(nics->device[i]);
	}
	nics->n = 0;
}

int vmm_nics_fill(struct vmm_nics *nics, const struct network *network, int first_fd,
		  const char **argv, struct spawn_fd *fds, struct err *err)
{
	const struct network_nic *nic = NULL;

	for (size_t i = 0; network && (nic = network_nic(network, i)) != NULL; i++) {
		const uint8_t *mac = nic->mac;
		const int fd = first_fd + (int)i;

		nics->netdev[i] = str_printf("tap,id=%s,fd=%d", nic->id, fd);
		nics->device[i] =
			str_printf("virtio-net-device,netdev=%s,mac="
				   "%02x:%02x:%02x:%02x:%02x:%02x",
				   nic->id, mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
		nics->n = i + 1;
		if (!nics->netdev[i] || !nics->device[i])
			return err_set(err, ENOMEM, "start the vmm");
		*argv++ = "-netdev";
		*argv++ = nics->netdev[i];
		*argv++ = "-device";
		*argv++ = nics->device[i];
		*fds++ = (struct spawn_fd){nic->tap_fd, fd};
	}
	*argv = NULL;
	return 0;
}
