/* vCPUs on and off line (Linux, Documentation/core-api/cpu_hotplug.rst). The machine describes them all at boot; the kernel starts
 * with some, and sysfs does the rest. */
#ifndef NACRE_AGENT_VCPUS_H
#define NACRE_AGENT_VCPUS_H

#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"

#define VCPUS_DIR "/sys/devices/system/cpu"

/* Those below `count` on line, the others off. Idempotent. `dir` is normally VCPUS_DIR. -ERANGE: so many there are not. */
int vcpus_online(const char *dir, uint32_t count, struct err *err) MUST_CHECK;

#endif
