/*
 * One thing at a time: look at the namespace; for each interface that is new make a tap and plug it, for each that is gone
 * unplug its device; tell the agent if what it was told last is not true any more. What happens meanwhile is looked at when
 * that is done, and who waits is told when a look found nothing more to do.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "runtime/network_internal.h"
#include "runtime/network_join.h"

static const struct network_refused *refusal_of(const struct network *n, int link)
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

/* There is a free slot: those that found none are tried again. */
static void review_slotless(struct network *n)
{
	size_t kept = 0;

	for (size_t i = 0; i < n->nrefused; i++)
		if (n->refused[i].why.code != ENOSPC)
			n->refused[kept++] = n->refused[i];
	n->nrefused = kept;
}

static void refuse(struct network *n, int link, const struct err *why)
{
	log_error("%s", why->text);
	n->refused[n->nrefused++] = (struct network_refused){link, *why};
	n->trouble = *why;
}

/* --- who waits ---------------------------------------------------------------------------------------------------- */

/*
 * A pod that does no work yet does not begin without an interface that somebody made for it: an engine has put it there between
 * create and start, and hears what is wrong. What goes wrong in a pod at work has been logged; its other containers go on
 * being started, for they did without it before.
 */
static struct err verdict(const struct network *n)
{
	return n->at_work && !n->ended ? (struct err)ERR_INIT : n->trouble;
}

/* Who came during a look waits for the next one. */
static void tell_waiters(struct network *n)
{
	const struct err status = verdict(n);
	struct network_waiter **at = &n->waiters;

	while (*at) {
		struct network_waiter *w = *at;

		if (w->look > n->looks) {
			at = &w->next;
			continue;
		}
		*at = w->next;
		n->at_work = n->at_work || (w->starts && !status.code);
		w->fn(w->arg, &status);
		free(w);
		at = &n->waiters; /* the call may have changed the list */
	}
}

void network_dismiss(struct network *n)
{
	n->looks = UINT64_MAX;
	n->ended = true;
	n->busy = true; /* whoever is told cannot start anything any more */
	tell_waiters(n);
}

/* --- a look and what follows ------------------------------------------------------------------------------------- */

static void finish(struct network *n)
{
	n->busy = false;
	tell_waiters(n);
	if (n->again && !n->busy)
		network_look(n);
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

static void on_unplugged(void *arg, const struct err *status)
{
	struct network *n = arg;

	if (status->code)
		log_warn("network device of '%s': %s", n->changing.name, status->text);
	network_go_on(n);
}

static void on_plugged(void *arg, const struct err *status)
{
	struct network *n = arg;
	struct network_nic *nic = network_nic_of(n, n->changing.link);
	struct err why = *status;

	BUG_ON(!nic);
	own_close(&nic->tap_fd);
	if (why.code) {
		(void)err_wrap(&why, "network interface '%s'", nic->name);
		refuse(n, nic->link, &why);
		network_let_go(n, nic);
	}
	network_go_on(n);
}

/* True: a device goes, and next_change goes on when it has gone. */
static bool take_out_one(struct network *n)
{
	for (size_t i = 0; i < n->nnics; i++) {
		if (net_state_link(&n->state, n->nics[i].link))
			continue;
		n->changing = n->nics[i];
		log_info("network interface '%s' is gone", n->changing.name);
		network_let_go(n, &n->nics[i]);
		review_slotless(n);
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
		const struct network_refused *old = refusal_of(n, link->index);
		const int slot = network_free_slot(n);
		struct err why = ERR_INIT;

		if (!network_is_wanted(link) || network_nic_of(n, link->index) ||
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
		if (slot < 0 || network_take_in(n, link, slot, &why)) {
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
		    n->p.ops.follow_mtu(n->p.ops.arg, link->index, &n->trouble))
			log_warn("%s", n->trouble.text);
	}
}

void network_go_on(struct network *n)
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

static void begin_look(struct network *n)
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
	network_go_on(n);
}

void network_look(struct network *n)
{
	if (n->busy)
		n->again = true;
	else
		begin_look(n);
}

void network_wait(struct network *n, bool starts, network_fn fn, void *arg)
{
	struct network_waiter *w = malloc(sizeof(*w));
	struct err err = ERR_INIT;

	if (!w) {
		(void)err_set(&err, ENOMEM, "wait for the network");
		fn(arg, &err);
		return;
	}
	*w = (struct network_waiter){fn, arg, starts, n->looks + 1, n->waiters};
	n->waiters = w;
	network_look(n);
}

void network_settle(struct network *n, network_fn fn, void *arg)
{
	network_wait(n, true, fn, arg);
}
