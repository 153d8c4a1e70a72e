/* config: the OCI parser, its checks, the configuration file and the plans; a bad case differs from a good one in one field. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <linux/capability.h>
#include <seccomp.h>
#include <string.h>
#include <sys/resource.h>

#include "base/path.h"
#include "base/str.h"
#include "config/oci.h"
#include "config/plan.h"

#define PROCESS "\"process\":{\"args\":[\"sh\"],\"cwd\":\"/\"}"
#define ROOT    "\"root\":{\"path\":\"rootfs\"}"
#define NETNS   "\"namespaces\":[{\"type\":\"network\"}]"
#define VERSION "\"ociVersion\":\"1.0.2\""

static const char good_spec[] =
	"{" VERSION ",\"hostname\":\"box\",\"root\":{\"path\":\"rootfs\",\"readonly\":true},"
	"\"process\":{\"terminal\":true,\"consoleSize\":{\"width\":80,\"height\":24},"
	"\"cwd\":\"/work\",\"args\":[\"sh\",\"-c\",\"true\"],\"env\":[\"A=1\",\"B=\"],"
	"\"user\":{\"uid\":1000,\"gid\":1001,\"umask\":18,\"additionalGids\":[5,6]},"
	"\"capabilities\":{\"bounding\":[\"CAP_CHOWN\",\"CAP_NEWER_THAN_US\"],"
	"\"effective\":[\"CAP_CHECKPOINT_RESTORE\"]},"
	"\"rlimits\":[{\"type\":\"RLIMIT_NOFILE\",\"soft\":1024,\"hard\":18446744073709551615}],"
	"\"noNewPrivileges\":true,\"oomScoreAdj\":-5},"
	"\"mounts\":[{\"destination\":\"/data\",\"type\":\"bind\",\"source\":\"vol\","
	"\"options\":[\"rbind\",\"ro\"]},{\"destination\":\"/proc\",\"type\":\"proc\"}],"
	"\"hooks\":{\"prestart\":[{\"path\":\"/bin/hook\",\"timeout\":3}],"
	"\"startContainer\":[{\"path\":\"/in/guest\"}]},"
	"\"annotations\":{\"k\":\"v\"},\"unknown\":{\"ignored\":1},"
	"\"linux\":{\"namespaces\":[{\"type\":\"network\",\"path\":\"/run/netns/"
	"x\"},{\"type\":\"pid\"}],"
	"\"cgroupsPath\":\"/default/box\",\"maskedPaths\":[\"/proc/kcore\"],"
	"\"sysctl\":{\"net.ipv4.ip_forward\":\"1\"},"
	"\"resources\":{\"memory\":{\"limit\":67108864},\"cpu\":{\"quota\":150000,\"period\":"
	"100000},"
	"\"pids\":{\"limit\":64},\"devices\":[{\"allow\":false,\"access\":\"rwm\"},"
	"{\"allow\":true,\"type\":\"c\",\"major\":1,\"minor\":3,\"access\":\"rw\"}]},"
	"\"seccomp\":{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"defaultErrnoRet\":38,"
	"\"architectures\":[\"SCMP_ARCH_X86_64\"],\"syscalls\":[{\"names\":[\"read\"],"
	"\"action\":\"SCMP_ACT_ALLOW\",\"args\":[{\"index\":0,\"value\":3,\"op\":\"SCMP_CMP_EQ\"}]}"
	"]}}}";

static struct oci_spec *parse(const char *text)
{
	struct oci_spec *spec = NULL;
	struct err err = ERR_INIT;

	if (oci_parse(text, strlen(text), "config.json", &spec, &err) < 0)
		fail_msg("%s", err.text);
	return spec;
}

static void test_good_spec(void **state)
{
	CLEANUP(own_oci_spec_destroy) struct oci_spec *s = parse(good_spec);
	struct err err = ERR_INIT;

	(void)state;
	assert_string_equal(s->hostname, "box");
	assert_true(s->root_readonly);
	assert_true(s->process.terminal);
	assert_int_equal(s->process.console_width, 80);
	assert_string_equal(s->process.args.v[2], "true");
	assert_null(s->process.args.v[3]);
	assert_string_equal(s->process.env.v[1], "B=");
	assert_int_equal(s->process.user.uid, 1000);
	assert_int_equal(s->process.user.umask, 022);
	assert_int_equal(s->process.user.additional_gids[1], 6);
	assert_true(s->process.caps.bounding == 1ULL << CAP_CHOWN);
	assert_true(s->process.caps.effective == 1ULL << CAP_CHECKPOINT_RESTORE);
	assert_int_equal(s->process.rlimits[0].resource, RLIMIT_NOFILE);
	assert_true(s->process.rlimits[0].hard == UINT64_MAX);
	assert_int_equal(s->process.oom_score_adj, -5);
	assert_int_equal(s->nmounts, 2);
	assert_string_equal(s->mounts[1].source, "");
	assert_int_equal(s->hooks[OCI_HOOK_PRESTART][0].timeout_s, 3);
	assert_string_equal(oci_annotation(s, "k"), "v");
	assert_null(oci_annotation(s, "none"));
	assert_string_equal(oci_namespace(s, OCI_NS_NETWORK)->path, "/run/netns/x");
	assert_null(oci_namespace(s, OCI_NS_USER));
	assert_true(s->resources.memory_limit_bytes == 67108864);
	assert_true(s->resources.memory_swap_bytes == -1);
	assert_int_equal(s->resources.pids_limit, 64);
	assert_int_equal(s->resources.devices[0].type, 'a');
	assert_false(s->resources.devices[1].mknod);
	assert_true(s->seccomp.default_action == SCMP_ACT_ERRNO(38));
	assert_true(s->seccomp.rules[0].action == SCMP_ACT_ALLOW);
	assert_int_equal(s->seccomp.rules[0].args[0].op, SCMP_CMP_EQ);
	assert_int_equal(oci_check(s, &err), 0);
}

static void test_bad_specs(void **state)
{
	static const struct {
		const char *text;
		const char *words;
	} cases[] = {
		{"", "the text ends too early"},
		{"{\n  \"a\": 1,\n  oops }", "line 3, column 3"},
		{"{} {}", "line 1, column 4: something follows the value"},
		{"{} /* no comments here */", "something follows the value"},
		{"[]", "the top level: expected an object"},
		{"7 ", "the top level: expected an object"},
		{"{\"hostname\":5}", "hostname: expected a string"},
		{"{\"hostname\":\"a\\u0000b\"}", "hostname: holds a NUL byte"},
		{"{\"root\":{}}", "root.path: is missing"},
		{"{\"process\":{\"cwd\":\"/\"}}", "process.args: must name a command"},
		{"{\"process\":{\"cwd\":\"/\",\"args\":[\"\"]}}", "process.args: must name"},
		{"{\"process\":{\"cwd\":\"x\",\"args\":[\"a\"]}}", "process.cwd: must be an abs"},
		{"{\"process\":{\"cwd\":\"/\",\"args\":[\"a\",7]}}",
		 "process.args[1]: expected a str"},
		{"{\"process\":{\"cwd\":\"/\",\"args\":[\"a\",null]}}",
		 "process.args[1]: expected"},
		{"{\"process\":{\"user\":{\"uid\":-1}}}", "process.user.uid: expected a number"},
		{"{\"process\":{\"user\":{\"uid\":4294967296}}}", "process.user.uid: expected"},
		{"{\"process\":{\"user\":{\"umask\":512}}}",
		 "process.user.umask: is not a file mode"},
		{"{\"process\":{\"rlimits\":[{\"type\":\"RLIMIT_X\"}]}}",
		 "rlimits[0].type: is not"},
		{"{\"process\":{\"rlimits\":[{\"type\":\"RLIMIT_AS\",\"soft\":2,\"hard\":1}]}}",
		 "the soft limit is above"},
		{"{\"process\":{\"oomScoreAdj\":1001}}", "oomScoreAdj: expected a number from"},
		{"{\"mounts\":{}}", "mounts: expected a list"},
		{"{\"mounts\":[{}]}", "mounts[0].destination: is missing"},
		{"{\"linux\":{\"namespaces\":[{\"type\":\"gpu\"}]}}", "'gpu' is not a namespace"},
		{"{\"linux\":{\"namespaces\":[{\"type\":\"pid\"},{\"type\":\"pid\"}]}}",
		 "second time"},
		{"{\"linux\":{\"devices\":[{\"path\":\"/dev/x\",\"type\":\"q\"}]}}",
		 "devices[0].type"},
		{"{\"linux\":{\"seccomp\":{}}}", "seccomp.defaultAction: is missing"},
		{"{\"linux\":{\"seccomp\":{\"defaultAction\":\"SCMP_ACT_X\"}}}", "is not known"},
		{"{\"hooks\":{\"poststop\":[{\"path\":\"rel\"}]}}",
		 "hooks.poststop[0].path: must be"},
		{"{\"hooks\":{\"poststop\":[{\"path\":\"/a\",\"timeout\":0}]}}",
		 "timeout: must be"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct oci_spec *spec = NULL;
		struct err err = ERR_INIT;

		assert_true(oci_parse(cases[i].text, strlen(cases[i].text), "config.json", &spec,
				      &err) < 0);
		assert_null(spec);
		if (!strstr(err.text, cases[i].words) || !strstr(err.text, "config.json"))
			fail_msg("%s\ngave: %s\nwanted: %s", cases[i].text, err.text,
				 cases[i].words);
	}
}

static void test_checks(void **state)
{
	static const struct {
		const char *text;
		const char *words; /* NULL: accepted */
	} cases[] = {
		{"{" VERSION "," ROOT "," PROCESS ",\"linux\":{" NETNS "}}", NULL},
		{"{" ROOT "," PROCESS ",\"linux\":{" NETNS "}}", "no ociVersion"},
		{"{\"ociVersion\":\"2.0\"," ROOT "," PROCESS ",\"linux\":{" NETNS "}}",
		 "version 2.0"},
		{"{" VERSION "," PROCESS ",\"linux\":{" NETNS "}}", "no root.path"},
		{"{" VERSION "," ROOT ",\"linux\":{" NETNS "}}", "no process"},
		{"{" VERSION "," ROOT "," PROCESS "}", "host's network"},
		{"{" VERSION "," ROOT "," PROCESS ",\"linux\":{" NETNS
		 "},\"mounts\":[{\"destination\":\"rel\"}]}",
		 "must be an absolute path"},
		{"{" VERSION "," ROOT "," PROCESS ",\"linux\":{" NETNS
		 ",\"seccomp\":{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"listenerPath\":\"/l\"}}}",
		 "listenerPath"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		CLEANUP(own_oci_spec_destroy) struct oci_spec *spec = parse(cases[i].text);
		struct err err = ERR_INIT;
		int ret = oci_check(spec, &err);

		assert_int_equal(ret == 0, cases[i].words == NULL);
		if (cases[i].words && !strstr(err.text, cases[i].words))
			fail_msg("%s\ngave: %s", cases[i].text, err.text);
	}
}

static void test_process_alone(void **state)
{
	CLEANUP(own_oci_process_destroy) struct oci_process *p = NULL;
	static const char text[] = "{\"args\":[\"ls\"],\"cwd\":\"/\"}";
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(oci_process_parse(text, sizeof(text) - 1, "exec", &p, &err), 0);
	assert_string_equal(p->args.v[0], "ls");
	assert_true(oci_process_parse("{}", 2, "exec", &p, &err) < 0);
	assert_string_equal(err.text, "'exec': args: must name a command to run");
}

static int make_dir(void **state)
{
	char name[] = "/tmp/nacre-config-XXXXXX";

	*state = mkdtemp(name) ? strdup(name) : NULL;
	return *state ? 0 : -1;
}

static int remove_dir(void **state)
{
	int ret = path_remove_tree(AT_FDCWD, *state, NULL);

	free(*state);
	return ret;
}

static void put(const char *dir, const char *name, const char *text)
{
	AUTO_FREE char *path = str_printf("%s/%s", dir, name);

	assert_int_equal(path_write_atomic(AT_FDCWD, path, text, strlen(text), 0600, NULL), 0);
}

static void test_configuration(void **state)
{
	CLEANUP(own_nacre_config_destroy) struct nacre_config *c = NULL;
	AUTO_FREE char *dropins = str_printf("%s/config.d", (char *)*state);
	struct err err = ERR_INIT;

	assert_int_equal(nacre_config_load("/nonexistent", &c, &err), 0);
	assert_int_equal(c->default_vcpus, 1);
	nacre_config_destroy(TAKE_PTR(&c));

	assert_int_equal(path_mkdirs(AT_FDCWD, dropins, 0700, NULL), 0);
	put(*state, "config.json",
	    "// ours\n{ \"default_vcpus\": 2, \"kernel_params\": \"a\" } /* end */\n");
	put(dropins, "20.json", "{ \"kernel_params\": \"later\" }");
	put(dropins, "10.json", "{ \"kernel_params\": \"earlier\", \"log_level\": \"debug\" }");
	put(dropins, "README", "not json");
	assert_int_equal(nacre_config_load(*state, &c, &err), 0);
	assert_int_equal(c->default_vcpus, 2);
	assert_string_equal(c->kernel_params, "later");
}

static void test_bad_configurations(void **state)
{
	static const struct {
		const char *text;
		const char *words;
	} cases[] = {
		{"{ \"defualt_vcpus\": 2 }", "defualt_vcpus: is not a setting"},
		{"{ \"default_vcpus\": 0 }", "0 is outside 1 to 254"},
		{"{ \"default_vcpus\": 255 }", "255 is outside 1 to 254"},
		{"{ \"default_memory_mib\": 16 }", "default_memory_mib: 16 is outside 64 to"},
		{"{ \"spare_nics\": 17 }", "17 is outside 0 to 16"},
		{"{ \"spare_disks\": 25 }", "25 is outside 0 to 24"},
		{"{ \"default_vcpus\": \"2\" }", "expected a whole number"},
		{"{ \"kernel\": null }", "must not be null"},
		{"{ \"log_level\": \"loud\" }", "expected error, warning"},
		{"{ } }", "something follows the value"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct nacre_config *c = NULL;
		struct err err = ERR_INIT;

		put(*state, "config.json", cases[i].text);
		assert_true(nacre_config_load(*state, &c, &err) < 0);
		if (!strstr(err.text, cases[i].words) || !strstr(err.text, "config.json"))
			fail_msg("%s\ngave: %s", cases[i].text, err.text);
	}
}

static void test_vm_vcpus(void **state)
{
	static const struct {
		uint32_t wanted, most, boot, hotplug;
		uint32_t vcpus, at_boot, max;
	} cases[] = {
		{4, 254, 0, 0, 4, 4, 4}, {4, 254, 1, 0, 4, 1, 4}, {4, 254, 9, 0, 4, 4, 4},
		{4, 254, 0, 3, 4, 4, 7}, {4, 5, 0, 3, 4, 4, 5},   {9, 5, 2, 3, 5, 2, 5},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		CLEANUP(own_nacre_config_destroy) struct nacre_config *config = NULL;
		CLEANUP(own_vm_config_destroy) struct vm_config *vm = NULL;
		CLEANUP(own_oci_spec_destroy) struct oci_spec *spec = parse("{}");
		struct err err = ERR_INIT;

		assert_int_equal(nacre_config_load("/nonexistent", &config, &err), 0);
		config->default_vcpus = cases[i].wanted;
		config->max_vcpus = cases[i].most;
		config->boot_vcpus = cases[i].boot;
		config->hotplug_vcpus = cases[i].hotplug;
		assert_int_equal(vm_plan(config, spec, &vm, &err), 0);
		assert_int_equal(vm->vcpus, cases[i].vcpus);
		assert_int_equal(vm->boot_vcpus, cases[i].at_boot);
		assert_int_equal(vm->max_vcpus, cases[i].max);
	}
}

/* None but one for a network, unless the configuration says so. */
static void test_vm_spare_slots(void **state)
{
	static const struct {
		const char *text;
		uint32_t nics, disks;
	} cases[] = {
		{"{}", 1, 0},
		{"{ \"spare_disks\": 8 }", 1, 8},
		{"{ \"spare_nics\": 16, \"spare_disks\": 24 }", 16, 24},
		{"{ \"spare_nics\": 0, \"spare_disks\": 0 }", 0, 0},
	};
	CLEANUP(own_oci_spec_destroy) struct oci_spec *spec = parse("{}");

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		CLEANUP(own_nacre_config_destroy) struct nacre_config *config = NULL;
		CLEANUP(own_vm_config_destroy) struct vm_config *vm = NULL;
		struct err err = ERR_INIT;

		put(*state, "config.json", cases[i].text);
		assert_int_equal(nacre_config_load(*state, &config, &err), 0);
		assert_int_equal(vm_plan(config, spec, &vm, &err), 0);
		assert_int_equal(vm->spare_nics, cases[i].nics);
		assert_int_equal(vm->spare_disks, cases[i].disks);
	}
}

static void test_resources_merge(void **state)
{
	static const char old_text[] =
		"{\"memory\":{\"limit\":100,\"swap\":200},\"cpu\":{\"quota\":5,"
		"\"period\":7,\"shares\":2,\"cpus\":\"0\"},\"pids\":{\"limit\":9}}";
	static const char update_text[] =
		"{\"memory\":{\"limit\":-1},\"cpu\":{\"quota\":6,\"cpus\":\"0-1\"},"
		"\"unified\":{\"memory.high\":\"3\"}}";
	CLEANUP(own_oci_resources_destroy) struct oci_resources *old = NULL;
	CLEANUP(own_oci_resources_destroy) struct oci_resources *update = NULL;
	CLEANUP(own_oci_resources_destroy) struct oci_resources *r = NULL;
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(oci_resources_parse(old_text, strlen(old_text), "old", &old, &err), 0);
	assert_int_equal(
		oci_resources_parse(update_text, strlen(update_text), "new", &update, &err), 0);
	assert_int_equal(oci_resources_merge(old, update, &r, &err), 0);
	assert_int_equal(r->memory_limit_bytes, OCI_UNLIMITED);
	assert_int_equal(r->memory_swap_bytes, 200);
	assert_int_equal(r->memory_reservation_bytes, -1);
	assert_int_equal(r->cpu_quota_us, 6);
	assert_int_equal(r->cpu_period_us, 7);
	assert_int_equal(r->cpu_shares, 2);
	assert_string_equal(r->cpuset_cpus, "0-1");
	assert_int_equal(r->pids_limit, 9);
	assert_int_equal(r->unified_keys.n, 1);
	assert_int_equal(oci_resources_parse("[]", 2, "list", &update, &err), -EINVAL);
}

static void test_vm_plan(void **state)
{
	static const struct {
		const char *linux_json, *annotations;
		uint64_t mib; /* 0: refused */
		uint32_t vcpus;
	} cases[] = {
		{"{}", "{}", 512, 1},
		{"{\"resources\":{\"memory\":{\"limit\":67108864}}}", "{}", 64 + 64, 1},
		{"{\"resources\":{\"memory\":{\"limit\":67108865}}}", "{}", 65 + 64, 1},
		{"{\"resources\":{\"memory\":{\"limit\":16777216}}}", "{}", 0, 0},
		{"{\"resources\":{\"memory\":{\"limit\":-1}}}", "{}", 512, 1},
		{"{\"resources\":{\"cpu\":{\"quota\":150000,\"period\":100000}}}", "{}", 512, 2},
		{"{\"resources\":{\"cpu\":{\"quota\":150000}}}", "{}", 512, 2},
		{"{\"resources\":{\"cpu\":{\"quota\":99999999,\"period\":1}}}", "{}", 512, 254},
		{"{\"resources\":{\"cpu\":{\"quota\":-1}}}", "{}", 512, 1},
		{"{}", "{\"io.kubernetes.cri.sandbox-memory\":\"1073741824\"}", 1024 + 64, 1},
		{"{}", "{\"io.kubernetes.cri.sandbox-memory\":\"lots\"}", 0, 0},
	};
	CLEANUP(own_nacre_config_destroy) struct nacre_config *config = NULL;
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(nacre_config_load("/nonexistent", &config, &err), 0);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		CLEANUP(own_vm_config_destroy) struct vm_config *vm = NULL;
		AUTO_FREE char *text = str_printf("{\"linux\":%s,\"annotations\":%s}",
						  cases[i].linux_json, cases[i].annotations);
		CLEANUP(own_oci_spec_destroy) struct oci_spec *spec = parse(text);
		int ret = vm_plan(config, spec, &vm, &err);

		assert_int_equal(ret == 0, cases[i].mib != 0);
		if (ret == 0) {
			assert_int_equal(vm->memory_mib, cases[i].mib);
			assert_int_equal(vm->vcpus, cases[i].vcpus);
		}
	}
}

static void test_container_plan(void **state)
{
	CLEANUP(own_container_plan_destroy) struct container_plan *plan = NULL;
	CLEANUP(own_oci_spec_destroy) struct oci_spec *guest = NULL;
	CLEANUP(own_oci_spec_destroy) struct oci_spec *spec = parse(good_spec);
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(container_plan_make("c1", "/bundle", good_spec, strlen(good_spec), spec,
					     &plan, &err),
			 0);
	assert_string_equal(plan->rootfs_host, "/bundle/rootfs");
	assert_string_equal(plan->rootfs_name, "c1/rootfs");
	assert_int_equal(plan->nbinds, 1);
	assert_string_equal(plan->binds[0].host_path, "/bundle/vol");
	assert_string_equal(plan->binds[0].shared_name, "c1/mounts/0");
	assert_true(plan->binds[0].recursive);
	assert_true(plan->binds[0].readonly);

	guest = parse(plan->guest_spec_json);
	assert_string_equal(guest->mounts[0].source, "c1/mounts/0");
	assert_int_equal(guest->nhooks[OCI_HOOK_PRESTART], 0);
	assert_int_equal(guest->nhooks[OCI_HOOK_START_CONTAINER], 1);
	assert_string_equal(guest->hooks[OCI_HOOK_START_CONTAINER][0].path, "/in/guest");
	assert_string_equal(oci_annotation(guest, "nacre.bundle"), "/bundle");
	assert_null(oci_annotation(spec, "nacre.bundle"));
	assert_string_equal(guest->cgroups_path, "");
	assert_string_equal(oci_namespace(guest, OCI_NS_NETWORK)->path, "");
	assert_int_equal(guest->seccomp.nrules, 1);
	assert_true(guest->process.rlimits[0].hard == UINT64_MAX);
}

static void test_container_ids(void **state)
{
	static const struct {
		const char *id;
		bool good;
	} cases[] = {
		{"a", true},   {"A-b_c.d+9", true}, {"", false},    {".", false},
		{"..", false}, {"a/b", false},      {"a b", false}, {"a\nb", false},
		{"...", true}, {"\xc3\xa4", false},
	};
	char longest[257];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(container_id_check(cases[i].id, NULL) == 0, cases[i].good);
	memset(longest, 'x', sizeof(longest));
	longest[256] = '\0';
	assert_int_equal(container_id_check(longest, NULL), -EINVAL);
	longest[255] = '\0';
	assert_int_equal(container_id_check(longest, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good_spec),
		cmocka_unit_test(test_bad_specs),
		cmocka_unit_test(test_checks),
		cmocka_unit_test(test_process_alone),
		cmocka_unit_test_setup_teardown(test_configuration, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(test_bad_configurations, make_dir, remove_dir),
		cmocka_unit_test(test_vm_plan),
		cmocka_unit_test(test_vm_vcpus),
		cmocka_unit_test_setup_teardown(test_vm_spare_slots, make_dir, remove_dir),
		cmocka_unit_test(test_resources_merge),
		cmocka_unit_test(test_container_plan),
		cmocka_unit_test(test_container_ids),
	};

	return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
