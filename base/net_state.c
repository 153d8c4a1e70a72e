/* Four dumps, each into an array that grows. */
#include "base/net_state.h"

#include <errno.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <sys/socket.h>

#define READ_TRIES 8

const struct net_link *net_state_link(const struct net_state *state, int index)
{
	for (size_t i = 0; i < state->nlinks; i++)
		if (state->links[i].index == index)
			return &state->links[i];
	return NULL;
}

void net_state_done(struct net_state *state)
{
	free(state->links);
	free(state->addresses);
	free(state->routes);
	free(state->neighbours);
	*state = (struct net_state)NET_STATE_INIT;
}

/* The array with room for one more, or NULL. */
static void *grown(void *array, size_t n, size_t item)
{
	if (n >= NET_STATE_MAX)
		return NULL;
	if (n & (n - 1)) /* its size is the power of two at or above n */
		return array;
	return realloc(array, (n ? 2 * n : 1) * item);
}

/* on_NAME: appends what net_parse_NAME makes of a message to the list of them. */
#define COLLECT(name, list, message)                                                               \
	static int on_##name(void *arg, uint16_t type, const void *body, size_t len)               \
	{                                                                                          \
		struct net_state *state = arg;                                                     \
		struct net_##name one;                                                             \
		int rc = type == (message) ? net_parse_##name(body, len, &one) : 1;                \
                                                                                                   \
		if (rc)                                                                            \
			return rc < 0 ? rc : 0;                                                    \
		void *list = grown(state->list, state->n##list, sizeof(one));                      \
		if (!list)                                                                         \
			return -E2BIG;                                                             \
		state->list = list;                                                                \
		state->list[state->n##list++] = one;                                               \
		return 0;                                                                          \
	}

COLLECT(link, links, RTM_NEWLINK)
COLLECT(address, addresses, RTM_NEWADDR)
COLLECT(route, routes, RTM_NEWROUTE)
COLLECT(neighbour, neighbours, RTM_NEWNEIGH)

static int list_all(struct nl_socket *s, struct net_state *state, struct err *err)
{
	const struct ifinfomsg link = {.ifi_family = AF_UNSPEC};
	const struct ifaddrmsg address = {.ifa_family = AF_UNSPEC};
	const struct rtmsg route = {.rtm_family = AF_UNSPEC};
	const struct ndmsg neighbour = {.ndm_family = AF_UNSPEC};
	const struct {
		uint16_t type;
		const void *body;
		size_t len;
		nl_fn fn;
		const char *what;
	} dumps[] = {
		{RTM_GETLINK, &link, sizeof(link), on_link, "interfaces"},
		{RTM_GETADDR, &address, sizeof(address), on_address, "addresses"},
		{RTM_GETROUTE, &route, sizeof(route), on_route, "routes"},
		{RTM_GETNEIGH, &neighbour, sizeof(neighbour), on_neighbour, "neighbours"},
	};
	struct nl_msg m;

	for (size_t i = 0; i < ARRAY_SIZE(dumps); i++) {
		nl_begin(&m, dumps[i].type, 0, dumps[i].body, dumps[i].len);
		int rc = nl_dump(s, &m, dumps[i].fn, state, err);
		if (!rc)
			continue;
		if (!err->code)
			(void)err_set(err, -rc, "the kernel's list");
		return err_wrap(err, "list %s", dumps[i].what);
	}
	return 0;
}

int net_state_read(struct nl_socket *s, struct net_state *out, struct err *err)
{
	struct err first = ERR_INIT;
	int rc = -EINTR;

	for (int i = 0; i < READ_TRIES && rc == -EINTR; i++) {
		AUTO_NET_STATE struct net_state state = NET_STATE_INIT;

		first = (struct err)ERR_INIT;
		rc = list_all(s, &state, &first);
		if (rc)
			continue;
		net_state_done(out);
		*out = state;
		state = (struct net_state)NET_STATE_INIT;
	}
	if (rc && err)
		*err = first;
	return rc;
}
