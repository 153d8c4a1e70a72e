/* The broker's part of the pod's network: the namespace is told once, links by their index. */
#include <errno.h>

#include "runtime/broker_state.h"
#include "runtime/network_join.h"

int broker_do_network(struct broker_state *s, struct broker_deed *d, struct err *err)
{
	if (s->policy.sealed || s->network || d->taken < 0)
		return err_say(err, EPERM, "the pod's network is told once, before it boots");
	return network_joins_open(d->taken, d->request->texts[0], s->state_dir, &s->network, err);
}

static int check(const struct broker_state *s, const struct broker_deed *d, struct err *err)
{
	if (!s->network || d->request->value > INT32_MAX)
		return err_say(err, ENOENT, "there is no such link");
	return 0;
}

int broker_do_join(struct broker_state *s, struct broker_deed *d, struct err *err)
{
	int tap = 0, fd = -1;
	int rc = check(s, d, err);

	if (!rc)
		rc = network_join(s->network, (int)d->request->value, &tap, &fd, err);
	if (rc)
		return rc;
	d->value = (uint32_t)tap;
	d->given[d->ngiven++] = fd;
	return 0;
}

int broker_do_leave(struct broker_state *s, struct broker_deed *d, struct err *err)
{
	int rc = check(s, d, err);

	return rc ? rc : network_leave(s->network, (int)d->request->value, err);
}

int broker_do_mtu(struct broker_state *s, struct broker_deed *d, struct err *err)
{
	int rc = check(s, d, err);

	return rc ? rc : network_follow_mtu(s->network, (int)d->request->value, err);
}
