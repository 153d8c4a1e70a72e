/*
 * What goes between a monitor and its broker, and what a sealed broker takes of it: words in, yes or no out. Nothing is done here.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "base/compiler.h"
#include "runtime/broker_policy.h"
#include "runtime/broker_wire.h"

/* --- words --------------------------------------------------------------------------------------------------------- */

#define HEAD(op) op, 0, 0, 0, 7, 0, 0, 0, 9, 0, 0, 0

static void test_requests(void **state)
{
	static const struct {
		const char *name;
		size_t len;
		uint8_t bytes[24];
		int rc;
		size_t ntexts;
	} cases[] = {
		{"no texts", 12, {HEAD(BROKER_UNSHARE)}, 0, 0},
		{"two texts", 18, {HEAD(BROKER_ADD), 'i', 'd', 0, '/', 'b', 0}, 0, 2},
		{"empty texts", 14, {HEAD(BROKER_ADD), 0, 0}, 0, 2},
		{"cut in the head", 11, {HEAD(BROKER_UNSHARE)}, -EPROTO, 0},
		{"nothing", 0, {0}, -EPROTO, 0},
		{"one text too few", 15, {HEAD(BROKER_ADD), 'i', 'd', 0}, -EPROTO, 0},
		{"one text too many", 15, {HEAD(BROKER_ADD), 0, 0, 0}, -EPROTO, 0},
		{"a text where none is", 13, {HEAD(BROKER_UNSHARE), 0}, -EPROTO, 0},
		{"a text without end", 16, {HEAD(BROKER_ADD), 0, '/', 'b', 'c'}, -EPROTO, 0},
		{"past the last operation", 12, {HEAD(BROKER_OPS)}, -EPROTO, 0},
		{"a huge operation", 12, {0, 0, 0, 0x80, 0, 0, 0, 0, 0, 0, 0, 0}, -EPROTO, 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct broker_request r;
		int rc = broker_request_decode(cases[i].bytes, cases[i].len, &r);

		if (rc != cases[i].rc || (!rc && r.ntexts != cases[i].ntexts))
			fail_msg("%s: %d", cases[i].name, rc);
		if (!rc)
			assert_true(r.container == 7 && r.value == 9);
	}
}

static void test_mount_lists(void **state)
{
	static const struct {
		const char *name;
		const char *texts[9];
		size_t ntexts;
		int rc;
		size_t n, noptions; /* of the last one */
	} cases[] = {
		{"none", {0}, 0, 0, 0, 0},
		{"one", {"bind", "/a", "", "ro", ""}, 5, 0, 1, 1},
		{"two", {"bind", "/a", "", "", "bind", "/b", "", "ro", ""}, 9, 0, 2, 1},
		{"no end", {"bind", "/a", "", "ro"}, 4, -EPROTO, 0, 0},
		{"half of one", {"bind", "/a", ""}, 3, -EPROTO, 0, 0},
		{"one and a half", {"bind", "/a", "", "", "bind"}, 5, -EPROTO, 0, 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct rootfs_mount mounts[BROKER_MAX_MOUNTS];
		struct broker_request r = {.ntexts = cases[i].ntexts}, again = {0};
		size_t n = 0;

		memcpy(r.texts, cases[i].texts, sizeof(cases[i].texts));
		if (broker_mounts_decode(&r, mounts, &n) != cases[i].rc)
			fail_msg("%s", cases[i].name);
		if (cases[i].rc)
			continue;
		assert_int_equal(n, cases[i].n);
		assert_true(!n || mounts[n - 1].noptions == cases[i].noptions);
		assert_int_equal(broker_mounts_put(&again, mounts, n), 0);
		assert_int_equal(again.ntexts, r.ntexts);
	}
}

/* More than there is room for, on either side. */
static void test_too_many_mounts(void **state)
{
	struct rootfs_mount mounts[BROKER_MAX_MOUNTS + 1];
	struct broker_request r = {0};
	size_t n = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(mounts); i++)
		mounts[i] = (struct rootfs_mount){"bind", "/a", "", NULL, 0};
	assert_int_equal(broker_mounts_put(&r, mounts, BROKER_MAX_MOUNTS), 0);
	assert_int_equal(broker_mounts_decode(&r, mounts, &n), 0);
	assert_int_equal(n, BROKER_MAX_MOUNTS);
	for (size_t i = 0; i < 4; i++)
		r.texts[r.ntexts++] = "";
	assert_int_equal(broker_mounts_decode(&r, mounts, &n), -EPROTO);
	assert_int_equal(broker_mounts_put(&(struct broker_request){0}, mounts, ARRAY_SIZE(mounts)),
			 -E2BIG);
	r.ntexts = BROKER_MAX_TEXTS - 3;
	assert_int_equal(broker_mounts_put(&r, mounts, 1), -E2BIG);
}

static void test_replies(void **state)
{
	uint8_t bytes[BROKER_REPLY_MAX_BYTES + 1] = {0};
	struct err fine = ERR_INIT, no = ERR_INIT, got = ERR_INIT;
	uint32_t value = 0;

	(void)state;
	size_t len = broker_reply_encode(&fine, 5, bytes);
	assert_int_equal(broker_reply_decode(bytes, len, &value, &got), 0);
	assert_int_equal(value, 5);
	assert_int_equal(broker_reply_decode(bytes, len - 1, &value, &got), -EPROTO);
	assert_int_equal(broker_reply_decode(bytes, len + 1, &value, &got), -EPROTO);
	(void)err_say(&no, ENOENT, "%01100d", 1);
	len = broker_reply_encode(&no, 0, bytes);
	assert_int_equal(len, BROKER_REPLY_MAX_BYTES);
	assert_int_equal(broker_reply_decode(bytes, len, &value, &got), -ENOENT);
	assert_string_equal(got.text, no.text);
}

/* --- policy -------------------------------------------------------------------------------------------------------- */

#define S "/var/lib/snapshots/"

static struct rootfs_mount overlay(const char *const *options, size_t n)
{
	return (struct rootfs_mount){"overlay", "overlay", "", options, n};
}

static void learn(struct broker_policy *p)
{
	static const char *const options[] = {"index=off", "lowerdir=" S "1/fs:" S "2/fs",
					      "upperdir=" S "30/fs", "workdir=" S "30/work"};
	const struct rootfs_mount first = overlay(options, ARRAY_SIZE(options));
	struct err err = ERR_INIT;

	assert_int_equal(broker_policy_mounts(p, &first, 1, &err), 0);
	assert_int_equal(broker_policy_bundle(p, "pod", "/run/c/pod", &err), 0);
	assert_int_equal(broker_policy_log(p, "/var/log/pod/0.log", &err), 0);
	p->sealed = true;
}

static void test_mounts_after_the_seal(void **state)
{
	static const struct {
		const char *option;
		bool good;
	} options[] = {
		{"lowerdir=" S "1/fs", true},
		{"lowerdir=" S "12345/fs:" S "7/fs:" S "8/fs", true},
		{"lowerdir+=" S "12/fs", true},
		{"upperdir=" S "4/fs", true},
		{"workdir=" S "4/work", true},
		{"ro", true},
		{"index=off", true},
		{"redirect_dir=on", true},
		{"lowerdir=/", false},
		{"lowerdir=/etc", false},
		{"lowerdir=etc", false},
		{"lowerdir=", false},
		{"lowerdir=" S "1/fs:/etc", false},
		{"lowerdir=" S "1/fs::" S "2/fs", false},
		{"lowerdir=" S "1/fs/sub", false},
		{"lowerdir=" S "../fs", false},
		{"lowerdir=" S "/fs", false},
		{"lowerdir=" S "1", false},
		{"lowerdir=" S "1x/fs", false},
		{"lowerdir=" S "1/fs,upperdir=/etc", false},
		{"lowerdir=" S "1/fs\\:/etc", false},
		{"upperdir=/etc/cron.d", false},
		{"workdir=" S "4/work/x", false},
		{"redirect_to=/etc", false},
		{"index=off,upperdir=etc", false},
		{"/etc/xdir=" S "4/work", false},
	};
	struct broker_policy p = {0};

	(void)state;
	learn(&p);
	for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
		const struct rootfs_mount m = overlay(&options[i].option, 1);
		struct err err = ERR_INIT;

		if ((broker_policy_mounts(&p, &m, 1, &err) == 0) != options[i].good)
			fail_msg("%s: %s", options[i].option, err.text);
	}
	broker_policy_done(&p);
}

#define WITH(option) (const char *const[]){option}, 1

struct mount_case {
	struct rootfs_mount m;
	bool good;
};

static void expect_mounts(struct broker_policy *p, const struct mount_case *cases, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct err err = ERR_INIT;

		if ((broker_policy_mounts(p, &cases[i].m, 1, &err) == 0) != cases[i].good)
			fail_msg("%s %s: %s", cases[i].m.type, cases[i].m.source, err.text);
	}
}

static void test_sources_after_the_seal(void **state)
{
	const struct mount_case cases[] = {
		{{"bind", S "5/fs", "", NULL, 0}, true},
		{{"bind", S "5/fs", "", WITH("rbind")}, true},
		{{"bind", S "5/fs", "", WITH("bind")}, true},
		{{"none", S "5/fs", "", WITH("bind")}, true},
		{{"", S "5/fs", "", WITH("bind")}, true},
		{{"overlay", "/", "", WITH("ro")}, true},
		{{"bind", "/", "", NULL, 0}, false},
		{{"bind", "etc", "", NULL, 0}, false},
		{{"bind", "tmpfs", "", WITH("bind")}, false},
		{{"bind", "", "", WITH("bind")}, false},
		{{"bind", S "5/fs", "etc", NULL, 0}, false},
		{{"bind", S "5/fs", "", WITH("lowerdir=" S "5/fs")}, false},
		{{"bind", S "5/fs", "", WITH("source=/etc")}, false},
		{{"none", "/etc", "", WITH("bind")}, false},
		{{"", "/etc", "", NULL, 0}, false},
		/* The kernel does not look at the type of a bind, */
		{{"overlay", "/", "", WITH("bind")}, false},
		{{"overlay", "/", "", WITH("rbind")}, false},
		{{"ext4", S "5/fs", "", WITH("bind")}, false},
		/* nor at the source of most types. */
		{{"ext4", "/dev/sda1", "", NULL, 0}, false},
		{{"ext4", S "5/fs", "", NULL, 0}, false},
		{{"proc", "proc", "", NULL, 0}, false},
		{{"proc", S "5/fs", "", NULL, 0}, false},
		{{"sysfs", S "5/fs", "", NULL, 0}, false},
		{{"cgroup2", S "5/fs", "", NULL, 0}, false},
		{{"debugfs", S "5/fs", "", NULL, 0}, false},
		{{"devtmpfs", S "5/fs", "", NULL, 0}, false},
		{{"tmpfs", S "5/fs", "", NULL, 0}, false},
		{{"fuse", S "5/fs", "", WITH("fd=3")}, false},
		{{"overlay.x", S "5/fs", "", NULL, 0}, false},
		{{"fuse.overlay", S "5/fs", "", NULL, 0}, false},
		{{"Overlay", "/", "", NULL, 0}, false},
	};
	static const struct rootfs_mount early = {"tmpfs", "tmpfs", "", NULL, 0};
	struct broker_policy p = {0};
	struct err early_err = ERR_INIT;

	(void)state;
	assert_int_equal(broker_policy_mounts(&p, &early, 1, &early_err), 0);
	learn(&p);
	expect_mounts(&p, cases, ARRAY_SIZE(cases));
	broker_policy_done(&p);
}

/* Where snapshots are devices: of the first one's type, numbered like it, with its options. */
static void test_devices_after_the_seal(void **state)
{
	const struct rootfs_mount early[] = {
		{"xfs", "/dev/mapper/pool-snap-7", "", WITH("nouuid")},
		{"ext4", "/dev/vdb1", "", NULL, 0},
		{"btrfs", "/dev/vdc", "", WITH("subvolid=300")},
		{"zfs", "tank/c/7", "", NULL, 0},
	};
	const struct mount_case cases[] = {
		{{"xfs", "/dev/mapper/pool-snap-12", "", WITH("nouuid")}, true},
		{{"xfs", "/dev/mapper/pool-snap-12", "", WITH("ro")}, true},
		{{"ext4", "/dev/vdb1", "", NULL, 0}, true},
		{{"zfs", "tank/c/12", "", NULL, 0}, true},
		{{"xfs", "/dev/mapper/root", "", NULL, 0}, false},
		{{"xfs", "/dev/mapper/pool-snap-12", "", WITH("logdev=sda1")}, false},
		{{"ext2", "/dev/mapper/pool-snap-12", "", NULL, 0}, false},
		{{"ext4", "/dev/vdb2", "", NULL, 0}, false},
		{{"ext4", "/dev/vdb1", "", WITH("bind")}, false},
		{{"bind", "tank/c/7", "", WITH("bind")}, false},
		/* All of one device, wherever the snapshots are in it. */
		{{"btrfs", "/dev/vdc", "", WITH("subvolid=300")}, false},
		{{"btrfs", "/dev/vdc", "", WITH("subvolid=5")}, false},
	};
	struct broker_policy p = {0};
	struct err early_err = ERR_INIT;

	(void)state;
	assert_int_equal(broker_policy_mounts(&p, early, ARRAY_SIZE(early), &early_err), 0);
	learn(&p);
	expect_mounts(&p, cases, ARRAY_SIZE(cases));
	broker_policy_done(&p);
}

static void test_names_after_the_seal(void **state)
{
	static const struct {
		const char *id, *bundle;
		bool good;
	} bundles[] = {
		{"c", "/run/c/c", true},
		{"c", "/run/c/d", false},
		{"c", "/run/c/c/", false},
		{"c", "/run/d/c", false},
		{"c", "/run/c/pod/rootfs", false},
		{"..", "/run/c/..", false},
		{"c", "c", false},
		{"", "/run/c/", false},
	};
	static const struct {
		const char *path;
		bool good;
	} logs[] = {
		{"/var/log/pod/1.log", true},
		{"/var/log/pod/../x", false},
		{"/var/log/x", false},
		{"/etc/cron.d/x", false},
		{"x", false},
	};
	struct broker_policy p = {0};
	struct err err = ERR_INIT;

	(void)state;
	learn(&p);
	for (size_t i = 0; i < ARRAY_SIZE(bundles); i++)
		if ((broker_policy_bundle(&p, bundles[i].id, bundles[i].bundle, &err) == 0) !=
		    bundles[i].good)
			fail_msg("%s", bundles[i].bundle);
	for (size_t i = 0; i < ARRAY_SIZE(logs); i++)
		if ((broker_policy_log(&p, logs[i].path, &err) == 0) != logs[i].good)
			fail_msg("%s", logs[i].path);
	broker_policy_done(&p);
}

/* The engines' layouts: the id is one component of the path, somewhere. */
static void test_bundles_after_the_seal(void **state)
{
	static const struct {
		const char *first_id, *first, *id, *bundle;
		bool good;
	} cases[] = {
		{"pod", "/run/k8s.io/pod", "c", "/run/k8s.io/c", true},
		{"pod", "/run/pod/pod", "c", "/run/pod/c", true},
		{"pod", "/st/pod/userdata", "c", "/st/c/userdata", true},
		{"pod", "/st/pod/userdata", "pod", "/st/pod/userdata", true},
		{"pod", "/tmp/b", "c", "/tmp/c", true},
		{"pod", "/tmp/mypod/x", "c", "/tmp/mypod/c", true},
		{"pod", "/st/pod/userdata", "c", "/st/c", false},
		{"pod", "/st/pod/userdata", "c", "/st/c/", false},
		{"pod", "/st/pod/userdata", "c", "/st/c/userdata/x", false},
		{"pod", "/st/pod/userdata", "c", "/st/c/userdata/", false},
		{"pod", "/st/pod/userdata", "c", "/st/d/userdata", false},
		{"pod", "/st/pod/userdata", "c", "/st/d/c/userdata", false},
		{"pod", "/st/pod/userdata", "c", "/st/pod/c", false},
		{"pod", "/st/pod/userdata", "c", "/st/c/../userdata", false},
		{"pod", "/st/pod/userdata", "..", "/st/../userdata", false},
		{"pod", "/st/pod/userdata", "a/b", "/st/a/b/userdata", false},
		{"pod", "/st/pod/userdata", "", "/st//userdata", false},
		{"pod", "/run/pod/pod", "c", "/run/c/pod", false},
		{"pod", "/run/pod/pod", "c", "/run/c/c", false},
		{"pod", "/tmp/mypod/x", "c", "/tmp/c/x", false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct broker_policy p = {0};
		struct err err = ERR_INIT;

		assert_int_equal(broker_policy_bundle(&p, cases[i].first_id, cases[i].first, &err),
				 0);
		p.sealed = true;
		if ((broker_policy_bundle(&p, cases[i].id, cases[i].bundle, &err) == 0) !=
		    cases[i].good)
			fail_msg("%s after %s: %s", cases[i].bundle, cases[i].first, err.text);
		broker_policy_done(&p);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_requests),
		cmocka_unit_test(test_mount_lists),
		cmocka_unit_test(test_too_many_mounts),
		cmocka_unit_test(test_replies),
		cmocka_unit_test(test_mounts_after_the_seal),
		cmocka_unit_test(test_sources_after_the_seal),
		cmocka_unit_test(test_devices_after_the_seal),
		cmocka_unit_test(test_names_after_the_seal),
		cmocka_unit_test(test_bundles_after_the_seal),
	};

	return cmocka_run_group_tests_name("broker policy", tests, NULL, NULL);
}
