/*
 * The pod's network as a whole: opened with what the namespace has, watched for what happens in it, and taken back. What follows from
 * what happens is network_look.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "base/log.h"
#include "runtime/network_internal.h"
#include "runtime/network_join.h"
#include "runtime/network_ns.h"

#define WATCH_GROUPS                                                                               \
	(RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_IFADDR |               \
	 RTMGRP_IPV6_ROUTE)
/* An interface is made in many small steps; one look takes them together. */
#define QUIET_MS 50

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

static void on_quiet(void *arg)
{
	struct network *n = arg;

	n->armed = false;
	network_look(n);
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
		network_look(n);
}

void network_begin(struct network *n, network_fn fn, void *arg)
{
	struct err err = ERR_INIT;

	if (loop_add_fd(n->p.loop, n->watch.fd, EPOLLIN, on_watch, n, &n->watch_src, &err))
		fn(arg, &err);
	else
		network_wait(n, false, fn, arg);
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
	network_dismiss(n);
	while (n->nnics)
		network_let_go(n, &n->nics[n->nnics - 1]);
	net_state_done(&n->state);
	nl_close(&n->requests);
	nl_close(&n->watch);
	own_close(&n->ns_fd);
	free(n->told);
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
		if (network_is_wanted(&n->state.links[i]))
			rc = network_take_in(n, &n->state.links[i], -1, err);
	return rc;
}

int network_open(const struct network_params *p, struct network **out, struct err *err)
{
	CLEANUP(own_network_destroy) struct network *n = calloc(1, sizeof(*n));

	if (!n)
		return err_set(err, ENOMEM, "open the pod's network");
	n->p = *p;
	n->ns_fd = n->requests.fd = n->watch.fd = -1;
	n->ns_fd = fcntl(p->ns_fd, F_DUPFD_CLOEXEC, 3);
	if (n->ns_fd < 0)
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
