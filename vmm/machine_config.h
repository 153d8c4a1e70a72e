/*
 * From what the user typed to what a machine is made of: every file, directory and socket the options name is opened here,
 * once, before anything else, so that later nothing needs a path.
 */
#ifndef NACRE_VMM_MACHINE_CONFIG_H
#define NACRE_VMM_MACHINE_CONFIG_H

#include "base/compiler.h"
#include "base/err.h"
#include "vmm/backends.h"
#include "vmm/jail.h"
#include "vmm/machine.h"
#include "vmm/options.h"

/*
 * Back ends first, then the devices in front of them, which they know by name. Descriptors named by number are taken
 * over. `options` outlives `out`, which machine_config_done
 * closes, on failure too; so does backends_done `backends`.
 */
int machine_config_open(const struct options *options, struct backends *backends,
			struct machine_config *out, struct err *err) MUST_CHECK;
/*
 * A file that is wanted before the back ends are there, for -D and -pidfile. A set's descriptor is duplicated, not taken
 * over.
 */
int machine_config_open_early(const struct options *options, const char *path, int flags,
			      const char *what, int *out, struct err *err) MUST_CHECK;
/* The jail's root becomes what virtio-fs serves; its /proc/self/fd is lent. */
int machine_config_jail(struct machine_config *config, const struct jail *jail,
			struct err *err) MUST_CHECK;
void machine_config_done(struct machine_config *config);

#endif
