/*
 * What the pod's network is made of:
 *
 *	network.c	its life, and the watch for what happens in the namespace
 *	network_nics.c	interfaces to devices and back: slots and names
 *	network_join.c	the taps beside them, and redirections; it is the broker's (broker.h)
 *	network_look.c	a look at the namespace and what follows: devices that come and go, the agent told, who waits told
 */
#ifndef NACRE_RUNTIME_NETWORK_INTERNAL_H
#define NACRE_RUNTIME_NETWORK_INTERNAL_H

#include <stdbool.h>

#include "runtime/network.h"

struct network_waiter {
	network_fn fn;
	void *arg;
	bool starts;   /* a process, when it is told that all is well */
	uint64_t look; /* the first look that is late enough */
	struct network_waiter *next;
};

/* An interface that could not be taken in: said once, and not tried again as long as it is there. */
struct network_refused {
	int link;
	struct err why;
};

struct network {
	struct network_params p;
	int ns_fd;
	struct nl_socket requests, watch;
	struct loop_source *watch_src, *timer;
	struct net_state state; /* as last looked at */

	struct network_nic nics[NETWORK_MAX_NICS];
	size_t nnics;
	unsigned made; /* devices ever, which numbers them */
	int at_start;  /* devices that the machine is made with: spare slots come after them */
	struct network_refused refused[NETWORK_MAX_NICS];
	size_t nrefused;

	uint8_t *told; /* the last request to the agent */
	size_t told_len;
	struct network_nic changing; /* what plug or unplug is asked about */
	bool armed;                  /* the timer runs */
	bool busy, ended;
	bool at_work;       /* a process has been let start */
	bool again;         /* something happened during a look and what followed it */
	uint64_t looks;     /* begun so far */
	struct err trouble; /* of the look under way */
	struct network_waiter *waiters;
};

/* --- network_nics.c ---------------------------------------------------------------------------------------------- */

/* The device of a link; NULL: it has none. */
struct network_nic *network_nic_of(struct network *n, int link);
/* -1: none is free. */
int network_free_slot(const struct network *n);
/* A device of a link, in a spare slot or (slot -1) to make the machine with: the last of n->nics on success. */
int network_take_in(struct network *n, const struct net_link *link, int slot,
		    struct err *err) MUST_CHECK;
/* Takes the redirection back and forgets the device. Its tap is the vmm's, or closed; the interface may be gone. */
void network_let_go(struct network *n, struct network_nic *nic);

/* --- network_look.c ---------------------------------------------------------------------------------------------- */

/* Looks now, or again as soon as the look under way has ended. */
void network_look(struct network *n);
/* network_begin (nobody starts by that) and network_settle. */
void network_wait(struct network *n, bool starts, network_fn fn, void *arg);
/* The next step of the look under way. */
void network_go_on(struct network *n);
/* The end: whoever still waits is told n->trouble. */
void network_dismiss(struct network *n);

#endif
