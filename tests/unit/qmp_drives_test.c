/* Drives and the disks in front of them: how they are named, made of one another, used once, and taken away again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/qmp_world.h"
#include "vmm/open.h"

#define DISK(name, file)                                                                           \
	EXEC_ARGS("blockdev-add", "\"driver\":\"raw\",\"node-name\":\"" name                       \
				  "\",\"file\":{\"driver\":\"file\",\"filename\":\"" file "\"}")
#define PLUG(id, more)                                                                             \
	EXEC_ARGS("device_add", "\"driver\":\"virtio-blk-mmio\",\"id\":\"" id "\"" more)

static void test_disks(void **state)
{
	static const struct qmp_line lines[] = {
		{EXEC("add-fd"), "\"fdset-id\":0", true},
		{DISK("d", "/dev/fdset/7"), "no such fd set", false},
		{DISK("", "/dev/fdset/0"), "a name of 1 to", false},
		{DISK("d", "/dev/fdset/0"), OK, false},
		{DISK("d", "/dev/fdset/0"), "there is a drive 'd' already", false},
		{EXEC_ARGS("blockdev-add",
			   "\"driver\":\"raw\",\"node-name\":\"x\",\"filename\":\"y\""),
		 "needs a file", false},
		{EXEC_ARGS("blockdev-add", "\"driver\":\"file\",\"node-name\":\"x\""),
		 "need a filename", false},
		{EXEC_ARGS("blockdev-add", "\"driver\":\"qcow2\",\"node-name\":\"x\""),
		 "is none of: raw", false},
		{PLUG("b", ""), "needs 'drive'", false},
		{PLUG("b", ",\"drive\":\"x\""), "there is no drive 'x'", false},
		{PLUG("b", ",\"drive\":\"d\",\"addr\":\"65\""), "'addr'", false},
		{PLUG("b", ",\"drive\":\"d\",\"addr\":[]"), "'addr'", false},
		{PLUG("b", ",\"drive\":\"d\",\"addr\":-2"), "'addr'", false},
		{PLUG("b", ",\"drive\":\"d\",\"serial\":\"123456789012345678901\""), "serial",
		 false},
		{PLUG("", ",\"drive\":\"d\""), "'id'", false},
		{PLUG("b", ",\"drive\":\"d\",\"addr\":\"3\",\"share-rw\":\"on\""), OK, false},
		{PLUG("b", ",\"drive\":\"d\""), "there is a device 'b' already", false},
		{PLUG("c", ",\"drive\":\"d\""), "is used by 'b'", false},
		{EXEC("query-block"), "\"qdev\":\"b\"", false},
		{EXEC("query-blockstats"),
		 "\"rd_operations\":1,\"failed_rd_operations\":2,"
		 "\"invalid_rd_operations\":5,\"rd_total_time_ns\":7,"
		 "\"rd_bytes\":3,\"rd_merged\":4",
		 false},
		{EXEC("query-blockstats"), "\"wr_highest_offset\":6", false},
		{EXEC_ARGS("blockdev-del", "\"node-name\":\"d\""), "is used by 'b'", false},
		{EXEC_ARGS("device_del", "\"id\":\"b\""), "\"data\":{\"device\":\"b\",", false},
		{EXEC_ARGS("device_del", "\"id\":\"b\""), "DeviceNotFound", false},
		{EXEC_ARGS("blockdev-del", "\"node-name\":\"d\""), OK, false},
		{EXEC_ARGS("blockdev-del", "\"node-name\":\"d\""), "no drive 'd'", false},
		{EXEC("query-block"), "{\"return\":[]}", false},
	};
	struct qmp_world *w = *state;
	int client = qmp_world_ready(w);

	qmp_world_talk(w, client, lines, ARRAY_SIZE(lines));
	assert_string_equal(w->calls, "plug:b:blk:3 unplug:b ");
	(void)close(client);
}

#define PLUG_AS(driver, id)                                                                        \
	EXEC_ARGS("device_add", "\"driver\":\"" driver "\",\"id\":\"" id "\",\"drive\":\"d\"")

/* A drive goes with its device where they were given one name in StratoVirt's words, and stays else. */
static void test_a_drive_goes_with_its_device(void **state)
{
	static const struct {
		const char *plug, *unplug;
		bool goes;
	} cases[] = {
		{PLUG_AS("virtio-blk-mmio", "d"), "d", true},
		{PLUG_AS("virtio-blk-mmio", "x"), "x", false},
		{PLUG_AS("virtio-blk-device", "d"), "d", false},
	};
	struct qmp_world *w = *state;
	int client = qmp_world_ready(w);

	qmp_assert_says(qmp_world_say_with_fd(w, client, EXEC("add-fd")), "\"fdset-id\":0");
	for (size_t i = 0; i < 2 * ARRAY_SIZE(cases); i++) {
		size_t at = i / 2;
		char unplug[64];

		if (i == 0 || cases[(i - 1) / 2].goes)
			assert_string_equal(qmp_world_say(w, client, DISK("d", "/dev/fdset/0")),
					    OK);
		assert_string_equal(qmp_world_say(w, client, cases[at].plug), OK);
		(void)snprintf(unplug, sizeof(unplug), EXEC_ARGS("device_del", "\"id\":\"%s\""),
			       cases[at].unplug);
		qmp_assert_says(qmp_world_say(w, client, unplug), "DEVICE_DELETED");
		assert_int_equal(backends_find(&w->backends, BACKEND_DRIVE, "d") == NULL,
				 cases[at].goes);
	}
	(void)close(client);
}

static void test_a_disk_that_the_machine_refuses_is_free_again(void **state)
{
	static const struct qmp_line before[] = {
		{EXEC("add-fd"), "\"fdset-id\":0", true},
		{DISK("d", "/dev/fdset/0"), OK, false},
	};
	struct qmp_world *w = *state;
	int client = qmp_world_ready(w);

	qmp_world_talk(w, client, before, ARRAY_SIZE(before));
	w->fail_with = 28;
	qmp_assert_says(qmp_world_say(w, client, PLUG("b", ",\"drive\":\"d\"")), "GenericError");
	w->fail_with = 0;
	assert_string_equal(qmp_world_say(w, client, PLUG("b", ",\"drive\":\"d\"")), OK);
	w->fail_with = 5;
	qmp_assert_says(qmp_world_say(w, client, EXEC_ARGS("device_del", "\"id\":\"b\"")),
			"GenericError");
	w->fail_with = 0;
	qmp_assert_says(qmp_world_say(w, client, EXEC_ARGS("device_del", "\"id\":\"b\"")),
			"DEVICE_DELETED");
	(void)close(client);
}

#define NODE(name, more)                                                                           \
	EXEC_ARGS("blockdev-add", "\"driver\":\"raw\",\"node-name\":\"" name "\"," more)
#define OF_FILE(more) "\"file\":{\"driver\":\"file\",\"filename\":\"/dev/fdset/0\"" more "}"

/* One option a line: what it says happens anyway, or it is refused with what does. */
static void test_options_of_drives(void **state)
{
	static const struct {
		const char *options, *of_file;
		const char *refused; /* NULL: it is not */
	} cases[] = {
		{"", "", NULL},
		{"\"discard\":\"unmap\",", "", NULL},
		{"\"discard\":\"ignore\",", "", "\\\"unmap\\\""},
		{"", ",\"discard\":\"ignore\"", "\\\"unmap\\\""},
		{"\"read-only\":true,\"discard\":\"ignore\",", "", NULL},
		{"\"detect-zeroes\":\"off\",", "", NULL},
		{"\"detect-zeroes\":\"on\",", "", "\\\"off\\\""},
		{"\"detect-zeroes\":\"unmap\",", "", "\\\"off\\\""},
		{"\"auto-read-only\":true,", ",\"auto-read-only\":false", NULL},
		{"\"force-share\":false,", "", NULL},
		{"\"force-share\":true,", "", "is locked"},
		{"", ",\"force-share\":true", "is locked"},
		{"", ",\"locking\":\"auto\"", NULL},
		{"", ",\"locking\":\"on\"", NULL},
		{"", ",\"locking\":\"off\"", "is locked"},
		{"", ",\"node-name\":\"f\"", NULL},
		{"", ",\"node-name\":\"d\"", "there is a drive 'd'"},
		{"", ",\"node-name\":\"old\"", "there is a drive 'old'"},
		{"\"filename\":\"x\",", "", "needs a file"},
		{"\"cache\":{\"no-flush\":true},", "", "no-flush"},
		{"", ",\"cache\":{\"no-flush\":true}", "no-flush"},
		{"\"cache\":{\"no-flush\":false},", "", NULL},
	};
	struct qmp_world *w = *state;
	int client = qmp_world_ready(w);
	const struct fdset_fd *entry;
	struct err err = ERR_INIT;

	qmp_assert_says(qmp_world_say_with_fd(w, client, EXEC("add-fd")), "\"fdset-id\":0");
	assert_int_equal(fdsets_add(&w->backends.fdsets, 0, open("/dev/null", O_RDONLY | O_CLOEXEC),
				    NULL, &entry, &err),
			 0);
	assert_string_equal(qmp_world_say(w, client, DISK("old", "/dev/fdset/0")), OK);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char text[512];

		(void)snprintf(text, sizeof(text), NODE("d", "%s" OF_FILE("%s")), cases[i].options,
			       cases[i].of_file);
		if (cases[i].refused) {
			qmp_assert_says(qmp_world_say(w, client, text), cases[i].refused);
			continue;
		}
		assert_string_equal(qmp_world_say(w, client, text), OK);
		assert_string_equal(
			qmp_world_say(w, client, EXEC_ARGS("blockdev-del", "\"node-name\":\"d\"")),
			OK);
	}
	(void)close(client);
}

/* What may not be written is an error, unless that was foreseen; what may be is written. */
static void test_auto_read_only(void **state)
{
	static const struct qmp_line only_read[] = {
		{NODE("d", OF_FILE("")), "opened for reading and writing", false},
		{NODE("d", "\"auto-read-only\":true," OF_FILE("")), OK, false},
		{EXEC("query-block"), "\"ro\":true,", false},
		{NODE("e", "\"file\":\"d\""), "'d' is read-only", false},
		{NODE("e", "\"auto-read-only\":true,\"file\":\"d\""), OK, false},
		{EXEC_ARGS("blockdev-del", "\"node-name\":\"e\""), OK, false},
		{EXEC_ARGS("blockdev-del", "\"node-name\":\"d\""), OK, false},
	};
	static const struct qmp_line both[] = {
		{EXEC_ARGS("add-fd", "\"fdset-id\":0"), "\"fdset-id\":0", true},
		{NODE("d", OF_FILE(",\"auto-read-only\":true")), OK, false},
		{EXEC("query-block"), "\"ro\":false,", false},
	};
	struct qmp_world *w = *state;
	int client = qmp_world_ready(w);
	const struct fdset_fd *entry;
	struct err err = ERR_INIT;

	assert_int_equal(fdsets_add(&w->backends.fdsets, 0, open("/dev/null", O_RDONLY | O_CLOEXEC),
				    NULL, &entry, &err),
			 0);
	qmp_world_talk(w, client, only_read, ARRAY_SIZE(only_read));
	qmp_world_talk(w, client, both, ARRAY_SIZE(both));
	(void)close(client);
}

/* A drive of another one: which is used by it, and free when it goes. */
static void test_a_drive_of_a_drive(void **state)
{
	static const struct qmp_line lines[] = {
		{EXEC("add-fd"), "\"fdset-id\":0", true},
		{NODE("d", "\"file\":\"f\""), "there is no drive 'f'", false},
		{EXEC_ARGS("blockdev-add", "\"driver\":\"file\",\"node-name\":\"f\","
					   "\"filename\":\"/dev/fdset/0\""),
		 OK, false},
		{EXEC_ARGS("blockdev-add", "\"driver\":\"file\",\"node-name\":\"d\","
					   "\"file\":\"f\""),
		 "needs a file", false},
		{NODE("d", "\"file\":\"f\",\"filename\":\"x\""), "needs a file", false},
		{NODE("d", "\"file\":\"f\""), OK, false},
		{NODE("e", "\"file\":\"f\""), "'f' is used by 'd'", false},
		{EXEC_ARGS("blockdev-del", "\"node-name\":\"f\""), "'f' is used by 'd'", false},
		{PLUG("b", ",\"drive\":\"f\""), "'f' is used by 'd'", false},
		{PLUG("b", ",\"drive\":\"d\""), OK, false},
		{EXEC_ARGS("blockdev-del", "\"node-name\":\"d\""), "'d' is used by 'b'", false},
		{NODE("e", "\"file\":\"d\""), "'d' is used by 'b'", false},
		{EXEC_ARGS("device_del", "\"id\":\"b\""), "DEVICE_DELETED", false},
		{EXEC_ARGS("blockdev-del", "\"node-name\":\"d\""), OK, false},
		{NODE("d", "\"read-only\":true,\"file\":\"f\""), OK, false},
		{NODE("e", "\"file\":\"d\""), "'d' is read-only", false},
		{NODE("e", "\"read-only\":true,\"file\":\"d\""), OK, false},
		{EXEC_ARGS("query-blockstats", "\"query-nodes\":true"), "\"node-name\":\"e\"",
		 false},
	};
	struct qmp_world *w = *state;
	int client = qmp_world_ready(w);

	qmp_world_talk(w, client, lines, ARRAY_SIZE(lines));
	(void)close(client);
}

/* QEMU's device is what -drive named; what blockdev-add named is a node and has none. */
static void test_what_a_drive_is_called(void **state)
{
	static const struct qmp_line lines[] = {
		{EXEC("query-block"), "\"device\":\"r\"", false},
		{EXEC("add-fd"), "\"fdset-id\":0", true},
		{DISK("d", "/dev/fdset/0"), OK, false},
		{EXEC("query-block"), "\"device\":\"\"", false},
		{EXEC("query-blockstats"), "\"device\":\"r\",\"qdev\":\"root\",\"node-name\":\"r\"",
		 false},
	};
	struct qmp_world *w = *state;
	int client = qmp_world_ready(w);
	struct open_drive params = {.id = "r", .fd = qmp_world_file(), .from_start = true};
	struct backend *drive;
	struct err err = ERR_INIT;

	assert_int_equal(open_drive(&w->backends, &params, "", "test", &err), 0);
	assert_int_equal(backends_claim(&w->backends, BACKEND_DRIVE, "r", "root", &drive, &err), 0);
	qmp_world_talk(w, client, lines, ARRAY_SIZE(lines));
	(void)close(client);
}

/* Without an id it has one anyway, by which queries name it and it can be taken out. */
static void test_a_device_without_id(void **state)
{
	static const struct qmp_line lines[] = {
		{EXEC("add-fd"), "\"fdset-id\":0", true},
		{DISK("d", "/dev/fdset/0"), OK, false},
		{EXEC_ARGS("device_add", "\"driver\":\"virtio-blk-device\",\"drive\":\"d\""), OK,
		 false},
		{EXEC("query-block"), "\"qdev\":\"#device0\"", false},
		{EXEC_ARGS("device_del", "\"id\":\"#device0\""), "DEVICE_DELETED", false},
		{EXEC_ARGS("device_add", "\"driver\":\"virtio-blk-device\",\"drive\":\"d\","
					 "\"iothread\":\"io0\""),
		 OK, false},
		{EXEC("query-block"), "\"qdev\":\"#device1\"", false},
		{PLUG("x", ",\"drive\":\"d\",\"iothread\":\"io1\""),
		 "no -object iothread has the id 'io1'", false},
	};
	struct qmp_world *w = *state;
	int client = qmp_world_ready(w);

	qmp_world_talk(w, client, lines, ARRAY_SIZE(lines));
	assert_string_equal(w->calls,
			    "plug:#device0:blk:-1 unplug:#device0 plug:#device1:blk:-1:io0 ");
	(void)close(client);
}

#define WITH_WORLD(test) cmocka_unit_test_setup_teardown(test, qmp_world_setup, qmp_world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_WORLD(test_disks),
		WITH_WORLD(test_a_drive_goes_with_its_device),
		WITH_WORLD(test_a_disk_that_the_machine_refuses_is_free_again),
		WITH_WORLD(test_options_of_drives),
		WITH_WORLD(test_auto_read_only),
		WITH_WORLD(test_a_drive_of_a_drive),
		WITH_WORLD(test_what_a_drive_is_called),
		WITH_WORLD(test_a_device_without_id),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
