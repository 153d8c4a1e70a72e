/*
 * One thing at a time: look at the namespace; for each interface that is new make a tap and plug it, for each that is gone
 * unplug its device; tell the agent if what it was told last is not true any more. What happens meanwhile is looked at when
 * that is done, and who waits is told when a look found nothing more to do.
 */
#include "runtime/network.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_arp.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>

#include "base/log.h"
#include "base/spare_mac.h"
#include "runtime/network_ns.h"
#include "runtime/network_tap.h"
#include "runtime/resources.h"

#define WATCH_GROUPS                                                                               \
	(RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_IFADDR |               \
	 RTMGRP_IPV6_ROUTE)
/* An interface is made in many small steps; one look takes them together. */
#define QUIET_MS 50

struct waiter {
	network_fn fn;
	void *arg;
	uint64_t look; /* the first look that is late enough */
	struct waiter *next;
};

/* An interface that could not be taken in: said once, and an error to who waits as long as it is there. */
struct refused {
	int link;
	struct err why;
};

struct network {
	struct network_params p;
	char *state_dir, *ns_path;
	struct stat ns_stat;
	int ns_fd;
	struct nl_socket requests, watch;
	struct loop_source *watch_src, *timer;
	struct net_state state; /* as last looked at */

	struct network_nic nics[NETWORK_MAX_NICS];
	size_t nnics;
	unsigned made; /* devices ever, which numbers them */
	struct refused refused[NETWORK_MAX_NICS];
	size_t nrefused;

	uint8_t *told; /* the last request to the agent */
	size_t told_len;
	struct network_nic changing; /* what plug or unplug is asked about */
	bool armed;                  /* the timer runs */
	bool busy, ended;
	bool again;         /* something happened during a look and what followed it */
	uint64_t looks;     /* begun so far */
	struct err trouble; /* of the look under way */
	struct waiter *waiters;
};

int network_ns(const struct network *n)
{
	return n->ns_fd;
}

const struct network_nic *network_nic(const struct network *n, size_t i)
{
	return i < n->nnics ? &n->nics[i] : NULL;
}

void network_release_taps(struct network *n)
{
	for (size_t i = 0; i < n->nnics; i++)
		own_close(&n->nics[i].tap_fd);
}

static struct network_nic *nic_of(struct network *n, int link)
{
	for (size_t i = 0; i < n->nnics; i++)
		if (n->nics[i].link == link)
			return &n->nics[i];
	return NULL;
}

/* --- interfaces to devices ----------------------------------------------------------------------------------------- */

/* Ethernet, up, and of its own: what sits on another interface, or under a bridge, comes with that one. */
static bool is_wanted(const struct net_link *l)
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

/* -1: none is free. */
static int free_slot(const struct network *n)
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

/* A device of an interface, in a spare slot or (slot -1) to make the machine with. */
static int take_in(struct network *n, const struct net_link *link, int slot, struct err *err)
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

/* Its tap is the vmm's, or closed; the interface may be gone, and the redirection with it. */
static void let_go(struct network *n, struct network_nic *nic)
{
	struct err err = ERR_INIT;

	own_close(&nic->tap_fd);
	int rc = tap_unredirect(&n->requests, nic->link, nic->tap, &err);

	if (rc && rc != -ENODEV)
		log_warn("network interface '%s': %s", nic->name, err.text);
	*nic = n->nics[--n->nnics];
}

static const struct refused *refusal_of(const struct network *n, int link)
{
	for (size_t i = 0; i < n->nrefused; i++)
		if (n->refused[i].link == link)
			return &n->refused[i];
	return NULL;
}

/* Those that are gone are forgotten. */
static void review_refused(struct network *n)
{
	size_t kept = 0;

	for (size_t i = 0; i < n->nrefused; i++)
		if (net_state_link(&n->state, n->refused[i].link))
			n->refused[kept++] = n->refused[i];
	n->nrefused = kept;
}

static void refuse(struct network *n, int link, const struct err *why)
{
	log_error("%s", why->text);
	n->refused[n->nrefused++] = (struct refused){link, *why};
	n->trouble = *why;
}

/* --- a look and what follows ------------------------------------------------------------------------------------- */

static void look(struct network *n);

/* Who came during a look waits for the next one. */
static void tell_waiters(struct network *n)
{
	const struct err status = n->trouble;
	struct waiter **at = &n->waiters;

	while (*at) {
		struct waiter *w = *at;

		if (w->look > n->looks) {
			at = &w->next;
			continue;
		}
		*at = w->next;
		w->fn(w->arg, &status);
		free(w);
		at = &n->waiters; /* the call may have changed the list */
	}
}

static void finish(struct network *n)
{
	n->busy = false;
	tell_waiters(n);
	if (n->again && !n->busy)
		look(n);
}

static void on_told(void *arg, const struct err *status)
{
	struct network *n = arg;

	if (status->code) {
		n->trouble = *status;
		(void)err_wrap(&n->trouble, "configure the guest's network");
		log_error("%s", n->trouble.text);
		/* What the guest has now is not known: it is told again whatever comes. */
		free(TAKE_PTR(&n->told));
	}
	finish(n);
}

static void tell_agent(struct network *n)
{
	AUTO_FREE uint8_t *bytes = NULL;
	size_t len = 0;

	if (network_message(&n->state, n->nics, n->nnics, &bytes, &len, &n->trouble) ||
	    (n->told && len == n->told_len && memcmp(bytes, n->told, len) == 0)) {
		finish(n);
		return;
	}
	free(n->told);
	n->told = TAKE_PTR(&bytes);
	n->told_len = len;
	n->p.ops.configure(n->p.ops.arg, n->told, len, on_told, n);
}

static void next_change(struct network *n);

static void on_unplugged(void *arg, const struct err *status)
{
	struct network *n = arg;

	if (status->code)
		log_warn("network device of '%s': %s", n->changing.name, status->text);
	next_change(n);
}

static void on_plugged(void *arg, const struct err *status)
{
	struct network *n = arg;
	struct network_nic *nic = nic_of(n, n->changing.link);
	struct err why = *status;

	BUG_ON(!nic);
	own_close(&nic->tap_fd);
	if (why.code) {
		(void)err_wrap(&why, "network interface '%s'", nic->name);
		refuse(n, nic->link, &why);
		let_go(n, nic);
	}
	next_change(n);
}

/* True: a device goes, and next_change goes on when it has gone. */
static bool take_out_one(struct network *n)
{
	for (size_t i = 0; i < n->nnics; i++) {
		if (net_state_link(&n->state, n->nics[i].link))
			continue;
		n->changing = n->nics[i];
		log_info("network interface '%s' is gone", n->changing.name);
		let_go(n, &n->nics[i]);
		if (n->changing.slot < 0) { /* made with the machine: there to stay */
			i--;
			continue;
		}
		n->p.ops.unplug(n->p.ops.arg, &n->changing, on_unplugged, n);
		return true;
	}
	return false;
}

static bool take_in_one(struct network *n)
{
	for (size_t i = 0; i < n->state.nlinks; i++) {
		const struct net_link *link = &n->state.links[i];
		const struct refused *old = refusal_of(n, link->index);
		const int slot = free_slot(n);
		struct err why = ERR_INIT;

		if (!is_wanted(link) || nic_of(n, link->index) ||
		    n->nrefused == ARRAY_SIZE(n->refused))
			continue;
		if (old) {
			n->trouble = old->why;
			continue;
		}
		if (slot < 0)
			(void)err_say(&why, ENOSPC,
				      "network interface '%s': the microVM has no spare slot left "
				      "for it; \"spare_nics\" in Nacre's configuration gives more",
				      link->name);
		if (slot < 0 || take_in(n, link, slot, &why)) {
			refuse(n, link->index, &why);
			continue;
		}
		n->changing = n->nics[n->nnics - 1];
		log_info("network interface '%s' goes into spare slot %d", link->name, slot);
		n->p.ops.plug(n->p.ops.arg, &n->nics[n->nnics - 1], on_plugged, n);
		return true;
	}
	return false;
}

static void follow_mtus(struct network *n)
{
	for (size_t i = 0; i < n->nnics; i++) {
		const struct net_link *link = net_state_link(&n->state, n->nics[i].link);
		const struct net_link *tap = net_state_link(&n->state, n->nics[i].tap);

		if (link && tap && link->mtu != tap->mtu &&
		    tap_up(&n->requests, tap->index, link->mtu, &n->trouble))
			log_warn("%s", n->trouble.text);
	}
}

static void next_change(struct network *n)
{
	if (n->ended) {
		(void)err_say(&n->trouble, ECANCELED, "the microVM has ended");
		finish(n);
		return;
	}
	if (take_out_one(n) || take_in_one(n))
		return;
	follow_mtus(n);
	tell_agent(n);
}

static void look(struct network *n)
{
	n->busy = true;
	n->again = false;
	n->looks++;
	n->trouble = (struct err)ERR_INIT;
	if (net_state_read(&n->requests, &n->state, &n->trouble)) {
		log_error("the pod's network: %s", n->trouble.text);
		finish(n);
		return;
	}
	review_refused(n);
	next_change(n);
}

static void want_look(struct network *n)
{
	if (n->busy)
		n->again = true;
	else
		look(n);
}

static void on_quiet(void *arg)
{
	struct network *n = arg;

	n->armed = false;
	want_look(n);
}

/* The first of many: later ones find the timer armed, so a flood cannot put a look off for ever. */
static void on_watch(void *arg, int fd, uint32_t events)
{
	struct network *n = arg;

	(void)fd;
	(void)events;
	if (!nl_drain(&n->watch)) {
		log_error("the pod's network is not watched any more");
		loop_remove(TAKE_PTR(&n->watch_src));
		return;
	}
	if (n->armed)
		return;
	n->armed = loop_arm(n->timer, QUIET_MS) == 0;
	if (!n->armed)
		want_look(n);
}

void network_settle(struct network *n, network_fn fn, void *arg)
{
	struct waiter *w = malloc(sizeof(*w));
	struct err err = ERR_INIT;

	if (!w) {
		(void)err_set(&err, ENOMEM, "wait for the network");
		fn(arg, &err);
		return;
	}
	*w = (struct waiter){.fn = fn, .arg = arg, .look = n->looks + 1, .next = n->waiters};
	n->waiters = w;
	want_look(n);
}

void network_begin(struct network *n, network_fn fn, void *arg)
{
	struct err err = ERR_INIT;

	if (loop_add_fd(n->p.loop, n->watch.fd, EPOLLIN, on_watch, n, &n->watch_src, &err))
		fn(arg, &err);
	else
		network_settle(n, fn, arg);
}

/* --- life ---------------------------------------------------------------------------------------------------------- */

void network_end(struct network *n)
{
	if (n)
		n->ended = true;
}

void network_destroy(struct network *n)
{
	if (!n)
		return;
	loop_remove(n->watch_src);
	loop_remove(n->timer);
	n->trouble = (struct err)ERR_INIT;
	(void)err_say(&n->trouble, ECANCELED, "the sandbox is being removed");
	n->looks = UINT64_MAX;
	n->busy = true; /* whoever is told cannot start anything any more */
	tell_waiters(n);
	while (n->nnics)
		let_go(n, &n->nics[n->nnics - 1]);
	net_state_done(&n->state);
	nl_close(&n->requests);
	nl_close(&n->watch);
	own_close(&n->ns_fd);
	free(n->told);
	free(n->state_dir);
	free(n->ns_path);
	free(n);
}

static int open_sockets(void *arg, struct err *err)
{
	struct network *n = arg;
	int rc = nl_open(&n->requests, 0, err);

	return rc ? rc : nl_open(&n->watch, WATCH_GROUPS, err);
}

static int take_in_all(struct network *n, struct err *err)
{
	int rc = net_state_read(&n->requests, &n->state, err);

	for (size_t i = 0; !rc && i < n->state.nlinks; i++)
		if (is_wanted(&n->state.links[i]))
			rc = take_in(n, &n->state.links[i], -1, err);
	return rc;
}

int network_open(const struct network_params *p, struct network **out, struct err *err)
{
	CLEANUP(own_network_destroy) struct network *n = calloc(1, sizeof(*n));

	if (!n)
		return err_set(err, ENOMEM, "open the pod's network");
	n->p = *p;
	n->ns_fd = n->requests.fd = n->watch.fd = -1;
	n->state_dir = strdup(p->state_dir);
	n->ns_path = strdup(p->ns_path);
	if (!n->state_dir || !n->ns_path)
		return err_set(err, ENOMEM, "open the pod's network");
	n->ns_fd = fcntl(p->ns_fd, F_DUPFD_CLOEXEC, 3);
	if (n->ns_fd < 0 || fstat(n->ns_fd, &n->ns_stat))
		return err_set(err, errno, "look at the network namespace");
	int rc = network_ns_visit(n->ns_fd, open_sockets, n, err);
	if (!rc)
		rc = loop_add_timer(p->loop, on_quiet, n, &n->timer, err);
	if (!rc)
		rc = take_in_all(n, err);
	if (rc)
		return rc;
	*out = TAKE_PTR(&n);
	return 0;
}

struct leaving {
	const struct network_leftover *l;
};

static int remove_in_namespace(void *arg, struct err *err)
{
	const struct leaving *leaving = arg;
	AUTO_NL struct nl_socket s = NL_SOCKET_INIT;
	int rc = nl_open(&s, 0, err);

	return rc ? rc : tap_unredirect(&s, leaving->l->link, leaving->l->tap, err);
}

int network_remove_leftover(const struct network_leftover *l, struct err *err)
{
	AUTO_FD int fd = open(l->ns_path, O_RDONLY | O_CLOEXEC);
	struct leaving leaving = {l};
	struct stat st;

	/* A namespace that is gone took everything along. */
	if (fd < 0 || fstat(fd, &st) || st.st_dev != l->ns_dev || st.st_ino != l->ns_ino)
		return 0;
	int rc = network_ns_visit(fd, remove_in_namespace, &leaving, err);

	return rc == -ENODEV ? 0 : rc;
}
