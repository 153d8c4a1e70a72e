/* QMP's descriptors, back ends and devices other than drives: what can be named, used once, and taken away again; and the command line's side of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/own.h"
#include "tests/unit/qmp_world.h"
#include "vmm/fdset.h"
#include "vmm/open.h"
#include "vmm/qmp/fds.h"

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

static void test_fd_sets(void **state)
{
	static const struct qmp_line lines[] = {
		{EXEC("add-fd"), "SCM_RIGHTS", false},
		{EXEC("add-fd"), "\"fdset-id\":0", true},
		{EXEC("add-fd"), "\"fdset-id\":1", true},
		{EXEC_ARGS("add-fd", "\"fdset-id\":1,\"opaque\":\"x\""), "\"fdset-id\":1", true},
		{EXEC_ARGS("add-fd", "\"fdset-id\":-1"), "GenericError", true},
		{EXEC_ARGS("add-fd", "\"fdset-id\":2147483648"), "GenericError", true},
		{EXEC("query-fdsets"), "\"opaque\":\"x\"", false},
		{EXEC_ARGS("remove-fd", "\"fdset-id\":1,\"fd\":0"), "no descriptor 0", false},
		{EXEC_ARGS("remove-fd", "\"fdset-id\":1"), OK, false},
		{EXEC_ARGS("remove-fd", "\"fdset-id\":1"), "no fd set 1", false},
		{EXEC("add-fd"), "\"fdset-id\":1", true},
		{EXEC_ARGS("remove-fd", "\"fdset-id\":0"), OK, false},
		{EXEC_ARGS("remove-fd", "\"fdset-id\":1"), OK, false},
		{EXEC("query-fdsets"), "{\"return\":[]}", false},
	};
	struct qmp_world *w = *state;
	int client = qmp_world_ready(w);

	qmp_world_talk(w, client, lines, ARRAY_SIZE(lines));
	(void)close(client);
}

static void test_names_of_descriptors_are_a_clients_own(void **state)
{
	static const struct qmp_line lines[] = {
		{EXEC_ARGS("getfd", "\"fdname\":\"a\""), "SCM_RIGHTS", false},
		{EXEC_ARGS("getfd", "\"fdname\":\"a\""), OK, true},
		{EXEC_ARGS("getfd", "\"fdname\":\"a\""), OK, true},
		{EXEC_ARGS("getfd", "\"fdname\":\"\""), "GenericError", true},
		{EXEC_ARGS("getfd", "\"fdname\":\"3\""), "begins with no digit", true},
	};
	struct qmp_world *w = *state;
	int client = qmp_world_ready(w);
	int other = qmp_world_ready(w);

	qmp_world_talk(w, client, lines, ARRAY_SIZE(lines));
	qmp_assert_says(qmp_world_say(w, other, EXEC_ARGS("closefd", "\"fdname\":\"a\"")),
			"no descriptor has the name 'a'");
	assert_string_equal(qmp_world_say(w, client, EXEC_ARGS("closefd", "\"fdname\":\"a\"")), OK);
	qmp_assert_says(qmp_world_say(w, client, EXEC_ARGS("closefd", "\"fdname\":\"a\"")),
			"GenericError");
	(void)close(client);
	(void)close(other);
}

static void test_descriptors_that_nobody_asks_for_are_bounded(void **state UNUSED)
{
	struct qmp_fds fds = {0};
	struct err err = ERR_INIT;
	int first = qmp_world_file();
	int fd = first;

	for (int i = 0; i <= QMP_FDS_PENDING; i++) {
		int next = qmp_world_file(); /* before the number of the first is free */

		qmp_fds_push(&fds, &fd, 1);
		fd = next;
	}
	assert_false(is_open(first));
	assert_int_equal(fds.npending, QMP_FDS_PENDING);
	for (int i = 0; i < QMP_FDS_NAMED; i++) {
		char name[16];

		(void)snprintf(name, sizeof(name), "n%d", i);
		assert_int_equal(qmp_fds_set_name(&fds, name, qmp_world_file(), &err), 0);
	}
	assert_true(qmp_fds_set_name(&fds, "more", fd, &err) < 0);
	assert_false(is_open(fd));
	qmp_fds_done(&fds);
}

static void test_a_set_gives_what_was_opened_so(void **state UNUSED)
{
	static const struct {
		const char *name;
		int flags;
		bool opens;
	} cases[] = {
		{"/dev/fdset/3", O_RDWR, true},    {"/dev/fdset/3", O_RDONLY, false},
		{"/dev/fdset/3", O_WRONLY, false}, {"/dev/fdset/4", O_RDWR, false},
		{"/dev/fdset/4", O_RDONLY, true},  {"/dev/fdset/5", O_RDONLY, false},
		{"/dev/fdset/", O_RDWR, false},    {"/dev/fdset/3x", O_RDWR, false},
		{"/dev/fdset/-1", O_RDWR, false},  {"/dev/null", O_RDWR, true},
		{"/dev/null/x", O_RDWR, false},
	};
	struct fdsets sets = {0};
	const struct fdset_fd *entry;
	struct err err = ERR_INIT;

	assert_int_equal(fdsets_add(&sets, 3, qmp_world_file(), NULL, &entry, &err), 0);
	assert_int_equal(fdsets_add(&sets, 4, open("/dev/null", O_RDONLY), NULL, &entry, &err), 0);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		AUTO_FD int fd = -1;

		if ((open_path(&sets, cases[i].name, cases[i].flags, "test", &fd, &err) == 0) !=
		    cases[i].opens)
			fail_msg("%s, flags %d", cases[i].name, cases[i].flags);
		assert_int_equal(fd >= 0, cases[i].opens);
	}
	sets.sealed = true;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		AUTO_FD int fd = -1;

		assert_int_equal(
			open_path(&sets, cases[i].name, cases[i].flags, "test", &fd, &err) == 0,
			cases[i].opens && fdset_is_name(cases[i].name));
	}
	fdsets_done(&sets);
}

static void test_fd_sets_are_bounded(void **state UNUSED)
{
	struct fdsets sets = {0};
	const struct fdset_fd *entry;
	struct err err = ERR_INIT;
	int fd;

	for (int i = 0; i < FDSET_MAX_FDS; i++)
		assert_int_equal(fdsets_add(&sets, -1, qmp_world_file(), NULL, &entry, &err), 0);
	fd = qmp_world_file();
	assert_true(fdsets_add(&sets, -1, fd, NULL, &entry, &err) < 0);
	assert_false(is_open(fd));
	fdsets_done(&sets);
}

#define NET(more) EXEC_ARGS("netdev_add", "\"type\":\"tap\",\"id\":\"n\"" more)
#define NIC(more) EXEC_ARGS("device_add", "\"driver\":\"virtio-net-mmio\",\"id\":\"c\"" more)

static void test_networks(void **state)
{
	static const struct qmp_line lines[] = {
		{NET(""), "one of ifname, fd and fds", false},
		{NET(",\"fd\":\"a\",\"fds\":\"a:b\""), "one of ifname, fd and fds", false},
		{NET(",\"fds\":\"a:b\""), "no descriptor has the name 'a'", false},
		{EXEC_ARGS("getfd", "\"fdname\":\"a\""), OK, true},
		{NET(",\"fds\":\"a:b\""), "no descriptor has the name 'b'", false},
		{EXEC_ARGS("getfd", "\"fdname\":\"a\""), OK, true},
		{EXEC_ARGS("getfd", "\"fdname\":\"b\""), OK, true},
		{NET(",\"fds\":\"a:b\",\"vhost\":true"), "vhost", false},
		{NET(",\"fds\":\"a:b\",\"vhostfds\":\"c:d\""), "vhost is off", false},
		{NET(",\"fds\":\"a:b\",\"vhostfd\":\"c\""), "vhost is off", false},
		{NET(",\"fds\":\"a:b\",\"vhostforce\":true"), "vhost is off", false},
		{NET(",\"fds\":\"a:b\",\"script\":\"/etc/ifup\""), "script", false},
		{NET(",\"ifname\":\"x\",\"queues\":17"), "queues", false},
		{NET(",\"ifname\":\"x\",\"queues\":0"), "queues", false},
		{NET(",\"fds\":\"a:b\",\"vhost\":false,\"script\":\"no\""), OK, false},
		{NET(",\"fds\":\"a:b\""), "there is a netdev 'n' already", false},
		{NIC(""), "needs 'netdev'", false},
		{NIC(",\"netdev\":\"n\",\"mac\":\"02\""), "'mac'", false},
		{NIC(",\"netdev\":\"n\",\"iothread\":\"io1\""), "no -object iothread", false},
		{NIC(",\"netdev\":\"n\",\"mac\":\"02:00:00:00:00:01\",\"mq\":\"on\""), OK, false},
		{EXEC_ARGS("netdev_del", "\"id\":\"n\""), "is used by 'c'", false},
		{EXEC_ARGS("device_del", "\"id\":\"c\""), "DEVICE_DELETED", false},
		{EXEC_ARGS("netdev_del", "\"id\":\"n\""), OK, false},
		{EXEC_ARGS("netdev_del", "\"id\":\"n\""), "DeviceNotFound", false},
	};
	struct qmp_world *w = *state;
	int client = qmp_world_ready(w);

	qmp_world_talk(w, client, lines, ARRAY_SIZE(lines));
	assert_string_equal(w->calls, "plug:c:net:-1 unplug:c ");
	(void)close(client);
}

#define CHARDEV(backend) EXEC_ARGS("chardev-add", "\"id\":\"c\",\"backend\":{" backend "}")

static void test_chardevs(void **state)
{
	static const struct qmp_line lines[] = {
		{CHARDEV("\"type\":\"null\",\"data\":{}"), OK, false},
		{CHARDEV("\"type\":\"null\",\"data\":{}"), "there is a chardev 'c' already", false},
		{EXEC("query-chardev"), "\"label\":\"c\",\"filename\":\"null\"", false},
		{EXEC_ARGS("chardev-remove", "\"id\":\"c\""), OK, false},
		{EXEC_ARGS("chardev-remove", "\"id\":\"c\""), "no chardev 'c'", false},
		{CHARDEV("\"type\":\"pty\",\"data\":{}"), "is none of: null", false},
		{CHARDEV("\"type\":\"file\",\"data\":{}"), "'out'", false},
		{CHARDEV("\"type\":\"file\",\"data\":{\"out\":\"/nowhere/x\"}"), "'/nowhere/x'",
		 false},
		{CHARDEV("\"type\":\"socket\",\"data\":{}"), "'addr'", false},
		{CHARDEV("\"type\":\"socket\",\"data\":{\"addr\":{\"type\":\"inet\",\"data\":{"
			 "\"path\":"
			 "\"x\"}}}"),
		 "is none of: unix", false},
		{CHARDEV("\"type\":\"socket\",\"data\":{\"addr\":{\"type\":\"unix\",\"data\":{"
			 "\"path\":"
			 "\"x\"}},\"wait\":true}"),
		 "does not wait", false},
		{EXEC("query-chardev"), "{\"return\":[]}", false},
	};
	struct qmp_world *w = *state;
	int client = qmp_world_ready(w);

	qmp_world_talk(w, client, lines, ARRAY_SIZE(lines));
	w->backends.fdsets.sealed = true;
	qmp_assert_says(qmp_world_say(w, client,
				      CHARDEV("\"type\":\"file\",\"data\":{\"out\":\"/tmp/x\"}")),
			"in its jail");
	qmp_assert_says(
		qmp_world_say(w, client,
			      CHARDEV("\"type\":\"socket\",\"data\":{\"addr\":{\"type\":\"unix\","
				      "\"data\":{\"path\":\"x\"}}}")),
		"in its jail");
	qmp_assert_says(qmp_world_say(w, client, NET(",\"ifname\":\"x\"")), "in its jail");
	(void)close(client);
}

/* As QEMU writes it. A console's client is there or not, and so is one of QMP's own; we are one, by the listener "mon". */
static void test_names_of_sockets(void **state)
{
	static const struct {
		const char *id, *wanted;
	} cases[] = {
		{"silent", "disconnected:unix:"},
		{"talking", "\"unix:"},
		{"mon", "\"unix:"},
	};
	struct qmp_world *w = *state;
	int client = qmp_world_ready(w);

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char path[64], text[256];

		(void)snprintf(path, sizeof(path), "/tmp/qmp-test-%d-%zu", (int)getpid(), i);
		(void)snprintf(
			text, sizeof(text),
			EXEC_ARGS("chardev-add",
				  "\"id\":\"%s\",\"backend\":{\"type\":\"socket\",\"data\":{"
				  "\"addr\":{\"type\":\"unix\",\"data\":{\"path\":\"%s\"}}}}"),
			cases[i].id, path);
		assert_string_equal(qmp_world_say(w, client, text), OK);
		(void)unlink(path);
		(void)snprintf(text, sizeof(text), "%s%s,server=on\"", cases[i].wanted, path);
		qmp_assert_says(qmp_world_say(w, client, EXEC("query-chardev")), text);
	}
	(void)close(client);
}

#define VCPU_AT(id, core)                                                                          \
	EXEC_ARGS("device_add", "\"driver\":\"host-x86_64-cpu\",\"id\":\"" id "\"" core)
#define VCPU(core)      VCPU_AT("v", core)
#define UNPLUG(id)      EXEC_ARGS("device_del", "\"id\":\"" id "\"")
#define UNPLUGGED(args) EXEC_ARGS("nacre-vcpu-unplugged", args)

/* There are four vCPUs, two of them on line. */
static void test_vcpus(void **state)
{
	static const struct qmp_line lines[] = {
		{VCPU(""), "needs 'core-id'", false},
		{VCPU(",\"core-id\":4"), "from 0 to 3", false},
		{VCPU(",\"core-id\":1"), "on line already", false},
		{VCPU(",\"core-id\":3"), "the one of core-id 2 is not there yet", false},
		{VCPU(",\"core-id\":2,\"socket-id\":1"), "'socket-id'", false},
		{VCPU(",\"core-id\":2,\"die-id\":1"), "'die-id'", false},
		{EXEC("query-hotpluggable-cpus"), "\"die-id\":0,\"core-id\":3", false},
		{VCPU(",\"core-id\":\"2\",\"socket-id\":\"0\",\"die-id\":0,\"thread-id\":0"),
		 "\"event\":\"NACRE_VCPU_PLUG\",\"data\":{\"id\":\"v\",\"cpu-index\":2}", false},
		{EXEC("query-cpus"), "\"CPU\":2", false},
		{VCPU_AT("w", ",\"core-id\":3"), "{\"return\":{}}", false},
		{UNPLUG("v"), "the one of core-id 3 is still there", false},
		{UNPLUG("w"),
		 "\"event\":\"NACRE_VCPU_UNPLUG\",\"data\":{\"id\":\"w\",\"cpu-index\":3}", false},
		{UNPLUG("w"), "off line already", false},
		{UNPLUGGED("\"cpu-index\":3"), "the monitor", false},
		{EXEC("query-cpus"), "\"CPU\":3", false},
	};
	struct qmp_world *w = *state;
	int client = qmp_world_ready(w);

	qmp_assert_says(qmp_world_say(w, client, VCPU(",\"core-id\":2")), "the agent of Nacre");
	w->agent = true;
	qmp_world_talk(w, client, lines, ARRAY_SIZE(lines));
	(void)close(client);
}

/* A vCPU is gone when the monitor has heard so from the agent, and is still there when the agent could not. */
static void test_vcpu_leaves_when_the_guest_lets_it(void **state)
{
	static const struct qmp_line lines[] = {
		{EXEC("qmp_capabilities"), "{\"return\":{}}", false},
		{VCPU(",\"core-id\":2"), "NACRE_VCPU_PLUG", false},
		{UNPLUGGED("\"cpu-index\":2"), "nobody wants that", false},
		{UNPLUG("v"), "NACRE_VCPU_UNPLUG", false},
		{UNPLUGGED("\"cpu-index\":3"), "nobody wants that", false},
		{UNPLUGGED("\"cpu-index\":-1"), "nobody wants that", false},
		{UNPLUGGED("\"cpu-index\":2,\"error\":\"it is busy\""),
		 "\"event\":\"DEVICE_UNPLUG_GUEST_ERROR\",\"data\":{\"device\":\"v\"", false},
		{EXEC("query-cpus"), "\"CPU\":2", false},
		{UNPLUG("v"), "NACRE_VCPU_UNPLUG", false},
		{UNPLUGGED("\"cpu-index\":2"),
		 "\"event\":\"DEVICE_DELETED\",\"data\":{\"device\":\"v\"", false},
		{UNPLUG("v"), "DeviceNotFound", false},
	};
	struct qmp_world *w = *state;
	int monitor = qmp_world_connect(w, true);

	w->agent = true;
	qmp_world_talk(w, monitor, lines, ARRAY_SIZE(lines));
	assert_null(strstr(qmp_world_say(w, monitor, EXEC("query-cpus")), "\"CPU\":2"));
	(void)close(monitor);
}

static void test_drivers_of_others(void **state)
{
	static const struct qmp_line lines[] = {
		{EXEC_ARGS("device_add", "\"driver\":\"vhost-vsock-device\",\"id\":\"x\""),
		 "virtio-vsock-device,guest-cid=N", false},
		{EXEC_ARGS("device_add", "\"driver\":\"vhost-user-fs-device\",\"id\":\"x\""),
		 "virtio-fs-device,tag=TAG", false},
		{EXEC_ARGS("device_add", "\"driver\":\"virtio-blk-pci\",\"id\":\"x\""), "no PCI",
		 false},
		{EXEC_ARGS("device_add", "\"driver\":\"e1000\",\"id\":\"x\""), "no device 'e1000'",
		 false},
	};
	struct qmp_world *w = *state;
	int client = qmp_world_ready(w);

	qmp_world_talk(w, client, lines, ARRAY_SIZE(lines));
	(void)close(client);
}

#define WITH_WORLD(test) cmocka_unit_test_setup_teardown(test, qmp_world_setup, qmp_world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_WORLD(test_fd_sets),
		WITH_WORLD(test_names_of_descriptors_are_a_clients_own),
		cmocka_unit_test(test_descriptors_that_nobody_asks_for_are_bounded),
		cmocka_unit_test(test_a_set_gives_what_was_opened_so),
		cmocka_unit_test(test_fd_sets_are_bounded),
		WITH_WORLD(test_networks),
		WITH_WORLD(test_chardevs),
		WITH_WORLD(test_names_of_sockets),
		WITH_WORLD(test_vcpus),
		WITH_WORLD(test_vcpu_leaves_when_the_guest_lets_it),
		WITH_WORLD(test_drivers_of_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
