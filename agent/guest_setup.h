/* What pid 1 does to make a guest of a bare kernel, and how it ends it. */
#ifndef NACRE_AGENT_GUEST_SETUP_H
#define NACRE_AGENT_GUEST_SETUP_H

#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"

#define GUEST_SHARED_DIR "/run/nacre/shared"

/* A root that can be pivoted away from, the kernel's filesystems, /run, loopback. */
int guest_setup(struct err *err) MUST_CHECK;

/* The directory of the containers' cgroups, with every controller; the caller's. */
int guest_cgroup_open(int *fd, struct err *err) MUST_CHECK;

/* The vsock listener for streams and the control connection to the host; the caller's. */
int guest_listen(int *fd, struct err *err) MUST_CHECK;
int guest_connect(int *fd, struct err *err) MUST_CHECK;
/* The latter's first step, apart for its test. */
int guest_control_socket(int *fd, struct err *err) MUST_CHECK;

/* From Hello. 0 realtime and an empty seed, name or tag: not given. */
int guest_set_clock(uint64_t realtime_ns, struct err *err) MUST_CHECK;
int guest_add_entropy(const void *seed, size_t len, struct err *err) MUST_CHECK;
int guest_mount_shared(const char *tag, struct err *err) MUST_CHECK;

/* One line on the console. */
void guest_say(const char *text);

/* Ends the guest. */
NORETURN void guest_end(void);

#endif
