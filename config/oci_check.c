/* Can Nacre run this container? Everything that is refused says why and what to do instead. */
#include <errno.h>
#include <string.h>

#include "config/oci.h"

static int check_version(const struct oci_spec *spec, struct err *err)
{
	if (spec->oci_version[0] == '\0')
		return err_say(err, EINVAL, "config.json has no ociVersion");
	if (strncmp(spec->oci_version, "1.", 2) != 0)
		return err_say(err, EINVAL,
			       "config.json is for version %s of the OCI runtime specification; "
			       "Nacre implements 1.x",
			       spec->oci_version);
	return 0;
}

static int check_mounts(const struct oci_spec *spec, struct err *err)
{
	for (size_t i = 0; i < spec->nmounts; i++)
		if (spec->mounts[i].destination[0] != '/')
			return err_say(err, EINVAL,
				       "mounts[%zu].destination '%s' must be an absolute path", i,
				       spec->mounts[i].destination);
	return 0;
}

/*
 * The guest never shares the host's network: a spec without a network namespace asks for the host's interfaces, which a
 * microVM cannot have.
 */
static int check_network(const struct oci_spec *spec, struct err *err)
{
	if (oci_namespace(spec, OCI_NS_NETWORK))
		return 0;
	return err_say(err, ENOTSUP,
		       "the container asks for the host's network (config.json names no network "
		       "namespace), which a microVM cannot share: run it with a network namespace "
		       "of its own, or with another runtime");
}

static int check_seccomp(const struct oci_spec *spec, struct err *err)
{
	if (spec->seccomp.listener_path && spec->seccomp.listener_path[0])
		return err_say(
			err, ENOTSUP,
			"linux.seccomp.listenerPath '%s' cannot be served: the container's "
			"system calls happen in a guest kernel, out of reach of a listener on "
			"the host; remove it from the profile",
			spec->seccomp.listener_path);
	return 0;
}

int oci_check(const struct oci_spec *spec, struct err *err)
{
	int ret = check_version(spec, err);

	if (ret == 0 && !spec->has_process)
		ret = err_say(err, EINVAL, "config.json has no process to run");
	if (ret == 0 && spec->root_path[0] == '\0')
		ret = err_say(err, EINVAL, "config.json has no root.path");
	if (ret == 0)
		ret = check_mounts(spec, err);
	if (ret == 0)
		ret = check_network(spec, err);
	if (ret == 0)
		ret = check_seccomp(spec, err);
	return ret;
}
