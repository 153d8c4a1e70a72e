/* See netns.h. */
#include "tests/unit/netns.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/own.h"
#include "base/path.h"

#define OWN_NS "/proc/thread-self/ns/net"

static void poke(const char *path, const char *text)
{
	struct err err = ERR_INIT;

	if (path_poke(AT_FDCWD, path, text, &err))
		fail_msg("%s", err.text);
}

void netns_enter_private(void)
{
	char map[32];
	const uid_t uid = geteuid();
	const gid_t gid = getegid();

	if (uid == 0 && unshare(CLONE_NEWNET) == 0)
		return;
	assert_int_equal(unshare(CLONE_NEWUSER | CLONE_NEWNET), 0);
	(void)snprintf(map, sizeof(map), "0 %u 1", uid);
	poke("/proc/self/uid_map", map);
	poke("/proc/self/setgroups", "deny");
	(void)snprintf(map, sizeof(map), "0 %u 1", gid);
	poke("/proc/self/gid_map", map);
}

int netns_new(void)
{
	AUTO_FD int home = open(OWN_NS, O_RDONLY | O_CLOEXEC);

	assert_true(home >= 0);
	assert_int_equal(unshare(CLONE_NEWNET), 0);
	int made = open(OWN_NS, O_RDONLY | O_CLOEXEC);

	assert_true(made >= 0);
	assert_int_equal(setns(home, CLONE_NEWNET), 0);
	return made;
}

const char *netns_sh(int ns_fd, const char *fmt, ...)
{
	static char out[16384];
	char script[4096], line[4200];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(script, sizeof(script), fmt, args);
	va_end(args);
	AUTO_FD int home = open(OWN_NS, O_RDONLY | O_CLOEXEC);

	assert_true(home >= 0);
	if (ns_fd >= 0)
		assert_int_equal(setns(ns_fd, CLONE_NEWNET), 0);
	(void)snprintf(line, sizeof(line), "set -e; %s", script);
	FILE *f = popen(line, "r");

	assert_non_null(f);
	size_t n = fread(out, 1, sizeof(out) - 1, f);
	int status = pclose(f);

	out[n] = '\0';
	assert_int_equal(setns(home, CLONE_NEWNET), 0);
	if (status)
		fail_msg("status %d of: %s", status, script);
	return out;
}

/* A pod as a network plugin leaves it: two veths whose peers are elsewhere, everything that is to be replayed. */
#define POD                                                                                        \
	"ip link add eth0 type veth peer name p0 netns /proc/%d/fd/%d;"                            \
	"ip link add net1 type veth peer name p1 netns /proc/%d/fd/%d;"                            \
	"ip link set eth0 address 02:00:00:00:00:10 mtu 1400 up; ip link set net1 address "        \
	"02:00:00:00:00:11 up;"                                                                    \
	"ip addr add 10.1.2.3/24 brd 10.1.2.255 dev eth0; ip addr add 10.9.0.1 peer 10.9.0.2/32 "  \
	"dev net1;"                                                                                \
	"ip addr add 192.168.7.7/16 dev net1 scope link noprefixroute;"                            \
	"ip -6 addr add fd00::3/64 dev eth0 nodad; ip -6 addr add fd01::4/128 dev net1 nodad;"     \
	"ip route add 169.254.1.1 dev eth0 scope link; ip route add default via 169.254.1.1 dev "  \
	"eth0;"                                                                                    \
	"ip route add 10.50.0.0/16 via 10.1.2.1 dev eth0 src 10.1.2.3 metric 77 mtu 1300;"         \
	"ip route add 10.60.0.0/16 via 172.31.0.1 dev net1 onlink;"                                \
	"ip route add 10.70.0.0/16 via inet6 fe80::9 dev eth0;"                                    \
	"ip -6 route add default via fd00::1 dev eth0 metric 5; ip -6 route add fd55::/32 dev "    \
	"net1;"                                                                                    \
	"ip route add 10.80.0.0/16 dev net1 table 99;"                                             \
	"ip neigh add 10.1.2.1 lladdr 02:00:00:00:00:99 dev eth0 nud permanent;"                   \
	"ip -6 neigh add fd00::1 lladdr 02:00:00:00:00:98 dev eth0 nud permanent;"                 \
	"ip neigh add 10.1.2.9 lladdr 02:00:00:00:00:97 dev eth0 nud reachable;"

void netns_enter(int ns)
{
	assert_int_equal(setns(ns, CLONE_NEWNET), 0);
}

/* In a namespace of its own, whose peers are in another. */
int netns_pod(int *peers)
{
	int pod = netns_new();

	*peers = netns_new();
	(void)netns_sh(pod, POD, getpid(), *peers, getpid(), *peers);
	(void)netns_sh(*peers, "ip link set p0 up; ip link set p1 up");
	return pod;
}

void netns_read(int ns, struct net_state *out)
{
	AUTO_NL struct nl_socket s = NL_SOCKET_INIT;
	struct err err = ERR_INIT;

	netns_enter(ns);
	if (nl_open(&s, 0, &err) || net_state_read(&s, out, &err))
		fail_msg("%s", err.text);
}

const struct net_link *netns_link(const struct net_state *s, const char *name)
{
	for (size_t i = 0; i < s->nlinks; i++)
		if (strcmp(s->links[i].name, name) == 0)
			return &s->links[i];
	fail_msg("no link '%s'", name);
	return NULL;
}

int netns_packet_socket(int ns_fd, const char *link)
{
	AUTO_NET_STATE struct net_state s = NET_STATE_INIT;
	struct sockaddr_ll at = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};
	const struct timeval deadline = {.tv_sec = 5};

	netns_read(ns_fd, &s);
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ALL));

	at.sll_ifindex = netns_link(&s, link)->index;
	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (const struct sockaddr *)(const void *)&at, sizeof(at)), 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &deadline, sizeof(deadline)), 0);
	return fd;
}
