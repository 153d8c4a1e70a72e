/*
 * The agent: the service nacre.agent.v1.Agent on the control connection, over the containers of the guest. Its life is
 * that of the connection.
 */
#ifndef NACRE_AGENT_AGENT_H
#define NACRE_AGENT_AGENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"

#define AGENT_PROTOCOL_VERSION 1

struct agent_params {
	int control_fd;
	int listen_fd;
	int cgroup_fd;
	const char *shared_dir; /* NULL: Hello names a virtio-fs to mount */
	uint64_t init_ns;       /* agent_boot_ns at the first line of main */
	bool is_guest; /* pid 1 of a guest: Hello sets clock, seed and name; streams must come from CID 2 */
	void (*ready)(void); /* serving */
};

/* The guest's boot clock. */
uint64_t agent_boot_ns(void);

/* Takes the descriptors. Serves until the connection ends (0), or -errno. Whatever still runs in a container is killed. */
int agent_run(const struct agent_params *params, struct err *err) MUST_CHECK;

#endif
