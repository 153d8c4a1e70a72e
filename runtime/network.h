/*
 * The pod's network: every Ethernet interface of its network namespace becomes a network device of the microVM, by a tap beside
 * it (network_join.h), and the agent gives that device the interface's name, addresses, routes and neighbours. The namespace
 * is watched: what changes in it changes in the guest, and an interface that appears later goes into a spare slot of the machine.
 *
 * Monitor's thread only. The order: open, [boot with network_nic], begin, then settle as often as wanted, destroy.
 */
#ifndef NACRE_RUNTIME_NETWORK_H
#define NACRE_RUNTIME_NETWORK_H

#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"
#include "base/loop.h"
#include "base/net_state.h"
#include "base/own.h"

#define NETWORK_MAX_NICS 32
#define NETWORK_ID_BYTES 16

/* An interface and the device made of it. */
struct network_nic {
	int link;                  /* index in the namespace */
	int tap;                   /* index of its tap */
	int tap_fd;                /* ours until the vmm has it; -1 */
	int slot;                  /* spare slot of the machine; -1: made with it */
	int addr;                  /* the slot's number among all devices, as the vmm counts */
	char id[NETWORK_ID_BYTES]; /* of the device, for the vmm */
	char name[IFNAMSIZ];
	uint8_t mac[NET_MAC_BYTES];        /* the interface's */
	uint8_t device_mac[NET_MAC_BYTES]; /* what the guest knows the device by */
};

/* Called once for each request, possibly before it returns. */
typedef void (*network_fn)(void *arg, const struct err *status);

/* How namespace and guest are reached. What has an fn ends with it; `nic` and `bytes` are lent for the call. */
struct network_ops {
	/* As network_join, network_leave and network_follow_mtu (network_join.h) for this namespace. */
	int (*join)(void *arg, int link, int *tap, int *tap_fd, struct err *err);
	int (*leave)(void *arg, int link, struct err *err);
	int (*follow_mtu)(void *arg, int link, struct err *err);
	/* Fills the spare slot nic->addr with nic->tap_fd. */
	void (*plug)(void *arg, const struct network_nic *nic, network_fn fn, void *fn_arg);
	void (*unplug)(void *arg, const struct network_nic *nic, network_fn fn, void *fn_arg);
	/* Sends a ConfigureNetworkRequest to the agent. */
	void (*configure)(void *arg, const void *bytes, size_t len, network_fn fn, void *fn_arg);
	void *arg;
};

struct network_params {
	struct loop *loop;
	int ns_fd; /* lent */
	unsigned spare_slots;
	struct network_ops ops;
};

struct network;

/* Joins what is there; on failure nothing of it remains. */
int network_open(const struct network_params *p, struct network **out, struct err *err) MUST_CHECK;
/* From now on nothing is asked of the guest; what is under way still ends by its callback. NULL is fine. */
void network_end(struct network *n);
/* Takes the redirections back. The vmm has ended and nothing is under way; who waits is told ECANCELED. NULL is fine. */
void network_destroy(struct network *n);
DEFINE_OWNER(network_destroy, struct network)

int network_ns(const struct network *n);
/* The devices to make the machine with; NULL past the last. Lent. */
const struct network_nic *network_nic(const struct network *n, size_t i);
/* The machine has them. */
void network_release_taps(struct network *n);

/* The agent is there. fn when the guest's network is as the namespace's; from now on it is kept so. */
void network_begin(struct network *n, network_fn fn, void *arg);
/*
 * A process is to start: fn when what the namespace has at this moment is in the guest. What could not be taken in is an error until the
 * pod's first process has been let start; in a pod at work it is logged, and the process starts without.
 */
void network_settle(struct network *n, network_fn fn, void *arg);

/*
 * The ConfigureNetworkRequest that makes `nics` what the namespace has. *out is the caller's. Kernel-made routes are left to the
 * guest's kernel, and IPv6 addresses and routes learned from a router to its own ears.
 */
int network_message(const struct net_state *ns, const struct network_nic *nics, size_t nnics,
		    uint8_t **out, size_t *len, struct err *err) MUST_CHECK;

#endif
