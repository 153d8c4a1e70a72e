/* Interfaces to devices: which ones, and a tap beside each, joined by redirections both ways (network_tap.h). */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_arp.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/spare_mac.h"
#include "runtime/network_internal.h"
#include "runtime/network_ns.h"
#include "runtime/network_tap.h"
#include "runtime/resources.h"

/* Ethernet, up, and of its own: what sits on another interface, or under a bridge, comes with that one. */
bool network_wants(const struct net_link *l)
{
	static const char *const never[] = {"bridge", "bond", "team", "vlan", "ifb"};

	if (l->type != ARPHRD_ETHER || !(l->flags & IFF_UP) || l->enslaved || l->stacked ||
	    strncmp(l->name, "nacre", 5) == 0)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(never); i++)
		if (strcmp(l->kind, never[i]) == 0)
			return false;
	return true;
}

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

struct joining {
	struct network *n;
	const struct net_link *link;
	struct network_nic *nic;
};

static int join_both(struct network *n, const struct net_link *link, struct network_nic *nic,
		     struct err *err)
{
	int rc = tap_make(&n->requests, nic->tap_fd, &nic->tap, err);

	if (!rc)
		rc = tap_up(&n->requests, nic->tap, link->mtu, err);
	if (!rc && n->ns_path[0]) {
		const struct network_leftover l = {
			.ns_path = n->ns_path,
			.ns_dev = n->ns_stat.st_dev,
			.ns_ino = n->ns_stat.st_ino,
			.link = link->index,
			.tap = nic->tap,
		};
		rc = resources_add_redirect(n->state_dir, &l, err);
	}
	if (!rc)
		rc = tap_redirect(&n->requests, nic->tap, link->index, err);
	if (!rc)
		rc = tap_redirect(&n->requests, link->index, nic->tap, err);
	if (rc == -EEXIST)
		rc = err_say(err, EEXIST,
			     "its incoming packets are filtered already: by another microVM or by "
			     "a network plugin");
	return rc;
}

/* In the namespace: a tap belongs to the one in which /dev/net/tun was opened. */
static int join(void *arg, struct err *err)
{
	struct joining *j = arg;
	struct network_nic *nic = j->nic;

	nic->tap_fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (nic->tap_fd < 0)
		return err_set(err, errno, "open '/dev/net/tun'");
	int rc = join_both(j->n, j->link, nic, err);

	if (rc)
		own_close(&nic->tap_fd);
	return rc;
}

int network_take_in(struct network *n, const struct net_link *link, int slot, struct err *err)
{
	struct network_nic nic = {.link = link->index, .tap_fd = -1, .slot = slot};
	struct joining j = {n, link, &nic};

	if (n->nnics == NETWORK_MAX_NICS)
		return err_say(err, E2BIG, "a microVM takes %d network interfaces at most",
			       NETWORK_MAX_NICS);
	memcpy(nic.name, link->name, sizeof(nic.name));
	memcpy(nic.mac, link->mac, sizeof(nic.mac));
	memcpy(nic.device_mac, link->mac, sizeof(nic.device_mac));
	if (slot >= 0)
		spare_mac((unsigned)slot, nic.device_mac);
	(void)snprintf(nic.id, sizeof(nic.id), "net%u", n->made);
	int rc = network_ns_visit(n->ns_fd, join, &j, err);
	if (rc)
		return err_wrap(err, "network interface '%s'", link->name);
	n->made++;
	n->nics[n->nnics++] = nic;
	return 0;
}

void network_let_go(struct network *n, struct network_nic *nic)
{
	struct err err = ERR_INIT;

	own_close(&nic->tap_fd);
	int rc = tap_unredirect(&n->requests, nic->link, nic->tap, &err);

	if (rc && rc != -ENODEV)
		log_warn("network interface '%s': %s", nic->name, err.text);
	*nic = n->nics[--n->nnics];
}
