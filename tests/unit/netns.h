/* Private network namespaces for tests, made and looked at by iproute2: an oracle that shares no code with ours. */
#ifndef NACRE_TESTS_UNIT_NETNS_H
#define NACRE_TESTS_UNIT_NETNS_H

#include "base/compiler.h"
#include "base/net_state.h"

/* This process's: with root a new network namespace, without one in a new user namespace. Once, before threads. */
void netns_enter_private(void);

/* A new, empty one; this process stays where it is. */
int netns_new(void);

void netns_enter(int ns_fd);

/*
 * A pod as a network plugin leaves it: eth0 and net1, whose ends p0 and p1 are in *peers, with addresses, routes and neighbours
 * of every sort that is to be replayed and some that are not.
 */
int netns_pod(int *peers);

void netns_read(int ns_fd, struct net_state *out);
const struct net_link *netns_link(const struct net_state *s, const char *name);

/* Runs a shell script in the namespace (-1: ours); the test fails if it does. Output as by stdout, "" when none; static. */
const char *netns_sh(int ns_fd, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* A packet socket on a link of the namespace, non-blocking for reads past its deadline of 5 s. */
int netns_packet_socket(int ns_fd, const char *link);

#endif
