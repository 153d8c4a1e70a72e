/* Interfaces to devices: a slot, a name, and a tap beside each (network_join.h). */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/spare_mac.h"
#include "runtime/network_internal.h"

struct network_nic *network_nic_of(struct network *n, int link)
{
	for (size_t i = 0; i < n->nnics; i++)
		if (n->nics[i].link == link)
			return &n->nics[i];
	return NULL;
}

int network_free_slot(const struct network *n)
{
	for (int slot = 0; slot < (int)n->p.spare_slots; slot++) {
		size_t i = 0;

		while (i < n->nnics && n->nics[i].slot != slot)
			i++;
		if (i == n->nnics)
			return slot;
	}
	return -1;
}

int network_take_in(struct network *n, const struct net_link *link, int slot, struct err *err)
{
	struct network_nic nic = {
		.link = link->index, .tap_fd = -1, .slot = slot, .addr = n->at_start + slot};

	if (n->nnics == NETWORK_MAX_NICS)
		return err_say(err, E2BIG, "a microVM takes %d network interfaces at most",
			       NETWORK_MAX_NICS);
	memcpy(nic.name, link->name, sizeof(nic.name));
	memcpy(nic.mac, link->mac, sizeof(nic.mac));
	memcpy(nic.device_mac, link->mac, sizeof(nic.device_mac));
	if (slot >= 0)
		spare_mac((unsigned)slot, nic.device_mac);
	(void)snprintf(nic.id, sizeof(nic.id), "net%u", n->made);
	int rc = n->p.ops.join(n->p.ops.arg, link->index, &nic.tap, &nic.tap_fd, err);
	if (rc)
		return err_wrap(err, "network interface '%s'", link->name);
	n->made++;
	n->at_start += slot < 0;
	n->nics[n->nnics++] = nic;
	return 0;
}

void network_let_go(struct network *n, struct network_nic *nic)
{
	struct err err = ERR_INIT;

	own_close(&nic->tap_fd);
	if (n->p.ops.leave(n->p.ops.arg, nic->link, &err))
		log_warn("network interface '%s': %s", nic->name, err.text);
	*nic = n->nics[--n->nnics];
}
