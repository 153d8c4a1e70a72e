/*
 * Mount points of a read-only root file system. The guest sees it read-only from the host's side on, so its agent cannot make the
 * ones that the image lacks: they are made here, inside the rootfs, before it is shared.
 */
#ifndef NACRE_RUNTIME_MOUNT_POINTS_H
#define NACRE_RUNTIME_MOUNT_POINTS_H

#include "base/compiler.h"
#include "base/err.h"
#include "config/oci.h"

int mount_points_make(const struct oci_spec *spec, const char *rootfs, struct err *err) MUST_CHECK;

#endif
