/*
 * Interfaces of a pod's network namespace and the taps beside them (network_tap.h): the part of the network that takes rights over
 * that namespace. An interface is named by its index; what is asked of one that is none of ours, or not there, is refused.
 */
#ifndef NACRE_RUNTIME_NETWORK_JOIN_H
#define NACRE_RUNTIME_NETWORK_JOIN_H

#include <stdbool.h>

#include "base/compiler.h"
#include "base/err.h"
#include "base/net_state.h"
#include "base/own.h"

struct network_joins;

/* ns_path: as in config.json, "" when the namespace goes with the pod. ns_fd is lent. */
int network_joins_open(int ns_fd, const char *ns_path, const char *state_dir,
		       struct network_joins **out, struct err *err) MUST_CHECK;
/* Takes the redirections back. NULL is fine. */
void network_joins_destroy(struct network_joins *j);
DEFINE_OWNER(network_joins_destroy, struct network_joins)

/* -EINVAL: the namespace at that path is another one than the pod's. */
int network_joins_check(const struct network_joins *j, const char *path,
			struct err *err) MUST_CHECK;

/* Ethernet, up, and of its own: what sits on another interface, or under a bridge, comes with that one. */
bool network_is_wanted(const struct net_link *link);

/* Makes a tap with the link's MTU and joins the two. *tap is the tap's link, *tap_fd the caller's. */
int network_join(struct network_joins *j, int link, int *tap, int *tap_fd,
		 struct err *err) MUST_CHECK;
/* Takes the link's redirection back; the tap goes with its descriptors. A link that is gone is fine. */
int network_leave(struct network_joins *j, int link, struct err *err) MUST_CHECK;
/* The link's MTU becomes its tap's. */
int network_follow_mtu(struct network_joins *j, int link, struct err *err) MUST_CHECK;

/* `delete`, when nobody else did: takes a redirection in a namespace that lives on back (resources.json). */
struct network_leftover {
	const char *ns_path;
	uint64_t ns_dev, ns_ino; /* another namespace may lie at the path by now */
	int link, tap;
};
int network_remove_leftover(const struct network_leftover *l, struct err *err) MUST_CHECK;

#endif
