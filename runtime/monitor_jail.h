/*
 * What a monitor gives up when its guest is up (docs/threat-model.md): capabilities that nothing it does later takes. Each that is kept is
 * listed with its user. Hooks are programs of the host that run with all of root's rights, as the OCI contract
 * has it, so the bounding set stays: a program that the monitor executes as uid 0 has them back.
 */
#ifndef NACRE_RUNTIME_MONITOR_JAIL_H
#define NACRE_RUNTIME_MONITOR_JAIL_H

#include "base/compiler.h"
#include "base/err.h"

/* Once, by the monitor's only thread. Where it has less than the list already, it keeps what it has. */
int monitor_jail_enter(struct err *err) MUST_CHECK;

#endif
