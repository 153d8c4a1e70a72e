/*
 * What a monitor gives up when its guest is up (docs/threat-model.md): all capabilities, those that a program could give it too, and
 * all system calls but those of runtime/monitor.def; any other ends the process. It goes on with the descriptors it
 * has and those that the broker gives it (broker.h).
 */
#ifndef NACRE_RUNTIME_MONITOR_JAIL_H
#define NACRE_RUNTIME_MONITOR_JAIL_H

#include "base/compiler.h"
#include "base/err.h"

/* Once, by the monitor's only thread. What is given up before a failure stays so. */
int monitor_jail_enter(struct err *err) MUST_CHECK;

/* The list alone; no_new_privs is set. */
int monitor_jail_seccomp(struct err *err) MUST_CHECK;

#endif
