/*
 * What a broker that is sealed still does for its monitor. Before the seal the requests come from callers that are trusted
 * (containerd, `nacre create`) through a monitor that no guest has spoken to; what they say is learned. After it the monitor may be
 * anybody's, and a request has to be of the kind that was seen before:
 *
 * - a bundle has the first one's path with the container's id in the place of the first one's: beside it (containerd), or within a
 *   directory beside the one that it was in (CRI-O, "ID/userdata");
 * - a root filesystem's mounts name directories that look like the first container's but for their numbers, as a snapshotter's do
 *   (".../snapshots/7/fs"), and are binds, overlays, or of a type for devices that the first container's had;
 * - a log file lies in a directory in which one was opened before.
 *
 * Words are compared, nothing is looked up, so a link that a guest has made in a directory of its own leads nowhere.
 */
#ifndef NACRE_RUNTIME_BROKER_POLICY_H
#define NACRE_RUNTIME_BROKER_POLICY_H

#include <stdbool.h>
#include <stddef.h>

#include "base/compiler.h"
#include "base/err.h"
#include "runtime/rootfs_mount.h"

#define BROKER_POLICY_MAX_WORDS 256

struct broker_policy {
	bool sealed;
	char *bundle_head, *bundle_tail; /* of the first bundle, around its id; NULL: none yet */
	char *logs[BROKER_POLICY_MAX_WORDS]; /* directories */
	size_t nlogs;
	char *places[BROKER_POLICY_MAX_WORDS]; /* paths of mounts */
	size_t nplaces;
	char *words[BROKER_POLICY_MAX_WORDS]; /* options that are neither flags nor paths */
	size_t nwords;
	unsigned int types; /* a mask of those seen */
};

void broker_policy_done(struct broker_policy *p);

/* Each: 0, and before the seal what it says is learned; after it -EPERM with the rule that is broken. */
int broker_policy_bundle(struct broker_policy *p, const char *id, const char *bundle,
			 struct err *err) MUST_CHECK;
int broker_policy_mounts(struct broker_policy *p, const struct rootfs_mount *mounts, size_t n,
			 struct err *err) MUST_CHECK;
int broker_policy_log(struct broker_policy *p, const char *path, struct err *err) MUST_CHECK;

#endif
