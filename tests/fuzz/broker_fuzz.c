/*
 * A packet to a sealed broker, up to the point where something would be done: it is read, and where the policy lets a list of mounts
 * pass, no directory in it may be one that no snapshotter gives.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "base/str.h"
#include "runtime/broker_policy.h"
#include "runtime/broker_wire.h"

#define SNAPSHOTS "/snapshots/"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void learn(struct broker_policy *p)
{
	static const char *const options[] = {"lowerdir=" SNAPSHOTS "1/fs",
					      "upperdir=" SNAPSHOTS "2/fs",
					      "workdir=" SNAPSHOTS "2/work"};
	const struct rootfs_mount first = {"overlay", "overlay", "", options, ARRAY_SIZE(options)};
	struct err err = ERR_INIT;

	BUG_ON(broker_policy_mounts(p, &first, 1, &err));
	BUG_ON(broker_policy_bundle(p, "pod", "/run/pod", &err));
	BUG_ON(broker_policy_log(p, "/log/pod", &err));
	p->sealed = true;
}

/* No path but a snapshot's, and none that leads out of it. */
static void check_words(const char *words)
{
	const char *slash = strchr(words, '/');

	BUG_ON(slash && strncmp(slash, SNAPSHOTS, strlen(SNAPSHOTS)) != 0);
	BUG_ON(slash && strstr(slash, ".."));
	BUG_ON(strchr(words, ',') || strchr(words, '\\'));
	for (const char *colon = slash ? strchr(slash, ':') : NULL; colon;
	     colon = strchr(colon + 1, ':'))
		BUG_ON(strncmp(colon + 1, SNAPSHOTS, strlen(SNAPSHOTS)) != 0);
}

static void check_mount(const struct rootfs_mount *m)
{
	const bool overlay = strcmp(m->type, "overlay") == 0;

	BUG_ON(*m->target);
	BUG_ON(!overlay && !mount_type_may_bind(m->type));
	BUG_ON(!overlay && !str_starts(m->source, SNAPSHOTS));
	for (size_t i = 0; i < m->noptions; i++) {
		if (strchr(m->options[i], '/'))
			check_words(m->options[i]);
		BUG_ON(overlay && strcmp(m->options[i], "bind") == 0);
		BUG_ON(overlay && strcmp(m->options[i], "rbind") == 0);
	}
}

static void share(struct broker_policy *p, const struct broker_request *r)
{
	struct rootfs_mount mounts[BROKER_MAX_MOUNTS];
	struct err err = ERR_INIT;
	size_t n = 0;

	if (broker_mounts_decode(r, mounts, &n) || broker_policy_mounts(p, mounts, n, &err))
		return;
	for (size_t i = 0; i < n; i++)
		check_mount(&mounts[i]);
}

static void name(struct broker_policy *p, const struct broker_request *r)
{
	struct err err = ERR_INIT;

	if (r->op == BROKER_ADD && broker_policy_bundle(p, r->texts[0], r->texts[1], &err) == 0)
		BUG_ON(!str_starts(r->texts[1], "/run/") || strchr(r->texts[1] + 5, '/') ||
		       strcmp(r->texts[1] + 5, "..") == 0);
	if (r->op == BROKER_OPEN_STREAM && broker_policy_log(p, r->texts[0], &err) == 0)
		BUG_ON(!str_starts(r->texts[0], "/log/") || strchr(r->texts[0] + 5, '/'));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct broker_policy p = {0};
	struct broker_request r;
	struct err status = ERR_INIT;
	uint32_t value = 0;

	(void)!broker_reply_decode(data, size, &value, &status);
	if (broker_request_decode(data, size, &r))
		return 0;
	learn(&p);
	if (r.op == BROKER_SHARE)
		share(&p, &r);
	else
		name(&p, &r);
	broker_policy_done(&p);
	return 0;
}
