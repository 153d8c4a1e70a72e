/* See network_join.h. */
#include "runtime/network_join.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_arp.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/log.h"
#include "base/netlink.h"
#include "runtime/network.h"
#include "runtime/network_ns.h"
#include "runtime/network_tap.h"
#include "runtime/resources.h"

struct pair {
	int link, tap;
};

struct network_joins {
	char *state_dir, *ns_path;
	struct stat ns_stat;
	int ns_fd;
	struct nl_socket requests;
	struct pair pairs[NETWORK_MAX_NICS];
	size_t npairs;
};

bool network_is_wanted(const struct net_link *l)
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

int network_joins_check(const struct network_joins *j, const char *path, struct err *err)
{
	AUTO_FD int ns_fd = -1;
	int rc = network_ns_open(path, &ns_fd, err);

	if (rc || network_ns_same(ns_fd, j->ns_fd))
		return rc;
	return err_say(
		err, EINVAL,
		"'%s' is not the network namespace of this container's pod: all containers of "
		"a pod share its microVM's network",
		path);
}

static struct pair *pair_of(struct network_joins *j, int link)
{
	for (size_t i = 0; i < j->npairs; i++)
		if (j->pairs[i].link == link)
			return &j->pairs[i];
	return NULL;
}

static int on_link(void *arg, uint16_t type, const void *body, size_t len)
{
	struct net_link link;

	if (type == RTM_NEWLINK && net_parse_link(body, len, &link) == 0)
		*(struct net_link *)arg = link;
	return 0;
}

static int read_link(struct network_joins *j, int index, struct net_link *out, struct err *err)
{
	const struct ifinfomsg which = {.ifi_family = AF_UNSPEC, .ifi_index = index};
	struct nl_msg m;

	nl_begin(&m, RTM_GETLINK, 0, &which, sizeof(which));
	*out = (struct net_link){0};
	int rc = nl_ask(&j->requests, &m, on_link, out, err);

	return rc || out->index == index ? rc : err_set(err, ENODEV, "find link %d", index);
}

static struct network_leftover leftover_of(const struct network_joins *j, const struct pair *p)
{
	return (struct network_leftover){
		.ns_path = j->ns_path,
		.ns_dev = j->ns_stat.st_dev,
		.ns_ino = j->ns_stat.st_ino,
		.link = p->link,
		.tap = p->tap,
	};
}

/* A namespace without a path goes with the pod: nothing of it is left to be listed. */
static int list(const struct network_joins *j, const struct pair *p, struct err *err)
{
	const struct network_leftover l = leftover_of(j, p);

	return *j->ns_path ? resources_add_redirect(j->state_dir, &l, err) : 0;
}

/* The list has a limit, and links come and go as often as somebody wants. */
static void unlist(const struct network_joins *j, const struct pair *p)
{
	const struct network_leftover l = leftover_of(j, p);
	struct err err = ERR_INIT;

	if (*j->ns_path && resources_drop_redirect(j->state_dir, &l, &err))
		log_warn("%s", err.text);
}

static int redirect(struct network_joins *j, const struct pair *p, struct err *err)
{
	int rc = list(j, p, err);

	if (rc)
		return rc;
	rc = tap_redirect(&j->requests, p->tap, p->link, err);
	if (!rc)
		rc = tap_redirect(&j->requests, p->link, p->tap, err);
	if (rc == -EEXIST)
		rc = err_say(err, EEXIST,
			     "its incoming packets are filtered already: by another microVM or by "
			     "a network plugin");
	if (rc)
		unlist(j, p);
	return rc;
}

struct joining {
	struct network_joins *j;
	struct net_link link;
	struct pair made;
	int tap_fd;
};

/* In the namespace: a tap belongs to the one in which /dev/net/tun was opened. */
static int make_and_join(void *arg, struct err *err)
{
	struct joining *g = arg;
	AUTO_FD int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return err_set(err, errno, "open '/dev/net/tun'");
	int rc = tap_make(&g->j->requests, fd, &g->made.tap, err);
	if (!rc)
		rc = tap_up(&g->j->requests, g->made.tap, g->link.mtu, err);
	if (!rc)
		rc = redirect(g->j, &g->made, err);
	if (rc)
		return rc;
	g->tap_fd = TAKE_FD(&fd);
	return 0;
}

int network_join(struct network_joins *j, int link, int *tap, int *tap_fd, struct err *err)
{
	struct joining g = {.j = j, .made.link = link};
	int rc = read_link(j, link, &g.link, err);

	if (rc)
		return rc;
	if (!network_is_wanted(&g.link) || pair_of(j, link))
		return err_say(err, EINVAL, "link %d is none to be joined", link);
	if (j->npairs == NETWORK_MAX_NICS)
		return err_say(err, E2BIG, "a microVM takes %d network interfaces at most",
			       NETWORK_MAX_NICS);
	rc = network_ns_visit(j->ns_fd, make_and_join, &g, err);
	if (rc)
		return rc;
	j->pairs[j->npairs++] = g.made;
	*tap = g.made.tap;
	*tap_fd = g.tap_fd;
	return 0;
}

int network_leave(struct network_joins *j, int link, struct err *err)
{
	struct pair *p = pair_of(j, link);

	if (!p)
		return err_say(err, ENOENT, "link %d is not joined", link);
	const struct pair was = *p;

	*p = j->pairs[--j->npairs];
	int rc = tap_unredirect(&j->requests, was.link, was.tap, err);

	if (rc && rc != -ENODEV)
		return rc;
	unlist(j, &was);
	return 0;
}

int network_follow_mtu(struct network_joins *j, int link, struct err *err)
{
	const struct pair *p = pair_of(j, link);
	struct net_link now;

	if (!p)
		return err_say(err, ENOENT, "link %d is not joined", link);
	int rc = read_link(j, link, &now, err);

	return rc ? rc : tap_up(&j->requests, p->tap, now.mtu, err);
}

void network_joins_destroy(struct network_joins *j)
{
	if (!j)
		return;
	while (j->npairs) {
		struct err err = ERR_INIT;

		if (network_leave(j, j->pairs[j->npairs - 1].link, &err))
			log_warn("%s", err.text);
	}
	nl_close(&j->requests);
	own_close(&j->ns_fd);
	free(j->state_dir);
	free(j->ns_path);
	free(j);
}

static int open_socket(void *arg, struct err *err)
{
	return nl_open(arg, 0, err);
}

int network_joins_open(int ns_fd, const char *ns_path, const char *state_dir,
		       struct network_joins **out, struct err *err)
{
	CLEANUP(own_network_joins_destroy) struct network_joins *j = calloc(1, sizeof(*j));

	if (!j)
		return err_set(err, ENOMEM, "open the pod's network");
	j->requests.fd = -1;
	j->state_dir = strdup(state_dir);
	j->ns_path = strdup(ns_path);
	j->ns_fd = fcntl(ns_fd, F_DUPFD_CLOEXEC, 3);
	if (!j->state_dir || !j->ns_path)
		return err_set(err, ENOMEM, "open the pod's network");
	if (j->ns_fd < 0 || fstat(j->ns_fd, &j->ns_stat))
		return err_set(err, errno, "look at the network namespace");
	int rc = network_ns_visit(j->ns_fd, open_socket, &j->requests, err);
	if (rc)
		return rc;
	*out = TAKE_PTR(&j);
	return 0;
}

static int remove_in_namespace(void *arg, struct err *err)
{
	const struct network_leftover *l = arg;
	AUTO_NL struct nl_socket s = NL_SOCKET_INIT;
	int rc = nl_open(&s, 0, err);

	return rc ? rc : tap_unredirect(&s, l->link, l->tap, err);
}

int network_remove_leftover(const struct network_leftover *l, struct err *err)
{
	AUTO_FD int fd = open(l->ns_path, O_RDONLY | O_CLOEXEC);
	struct network_leftover lent = *l;
	struct stat st;

	/* A namespace that is gone took everything along. */
	if (fd < 0 || fstat(fd, &st) || st.st_dev != l->ns_dev || st.st_ino != l->ns_ino)
		return 0;
	int rc = network_ns_visit(fd, remove_in_namespace, &lent, err);

	return rc == -ENODEV ? 0 : rc;
}
