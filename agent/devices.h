/*
 * Device nodes and links of a container's /dev: the default ones of the runtime specification (config-linux.md, "Default
 * Devices") and those of the spec. In the child, before the root is entered.
 */
#ifndef NACRE_AGENT_DEVICES_H
#define NACRE_AGENT_DEVICES_H

#include "base/compiler.h"
#include "base/err.h"
#include "config/oci.h"

int devices_make(const struct oci_spec *spec, int root_fd, struct err *err) MUST_CHECK;

#endif
