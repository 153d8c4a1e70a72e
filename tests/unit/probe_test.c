/* vmm/probe: the judgement of what was measured, and which cached lines are believed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/path.h"
#include "vmm/probe.h"

#define BOOT "058311d5-3d21-43be-b457-8c89c2cb5a85"

static void test_judge(void **state)
{
	static const struct {
		const char *name;
		struct probe_facts facts;
		bool usable;
		const char *text; /* begins so */
	} cases[] = {
		{"a processor",
		 {.insns = 8120000, .cpu_us = 10000},
		 true,
		 "kvm: usable (ring 0 runs at 812 MIPS)"},
		{"nested in an emulator",
		 {.insns = 1437376, .cpu_us = 16015},
		 true,
		 "kvm: usable (ring 0 runs at 89 MIPS)"},
		{"just enough",
		 {.insns = 100000, .cpu_us = 10000},
		 true,
		 "kvm: usable (ring 0 runs at 10 MIPS)"},
		{"just too slow",
		 {.insns = 99990, .cpu_us = 10000},
		 false,
		 "kvm: not usable: ring 0 is emulated at 9.9 MIPS"},
		{"paravirtual",
		 {.insns = 10784, .cpu_us = 10624},
		 false,
		 "kvm: not usable: ring 0 is emulated at 1.0 MIPS"},
		{"never scheduled", {.insns = 0, .cpu_us = 0}, false, "kvm: not usable:"},
		{"absent",
		 {.failure = {ENOENT, "no /dev/kvm: load it"}, .absent = true},
		 false,
		 "no /dev/kvm: load it"},
		{"denied",
		 {.failure = {EACCES, "/dev/kvm: permission denied"}},
		 false,
		 "kvm: not usable: /dev/kvm: permission denied"},
		{"failed, whatever was counted",
		 {.failure = {EIO, "run"}, .insns = 8120000, .cpu_us = 10000},
		 false,
		 "kvm: not usable: run"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct probe_verdict v;

		print_message("%s\n", cases[i].name);
		probe_judge(&cases[i].facts, &v);
		assert_int_equal(v.usable, cases[i].usable);
		assert_memory_equal(v.text, cases[i].text, strlen(cases[i].text));
	}
}

static void test_cache_parse(void **state)
{
	static const struct {
		const char *name;
		const char *text;
		bool ok;
	} cases[] = {
		{"good", "nacre-kvm-probe 1 " BOOT " 8120000 10000\n", true},
		{"no newline", "nacre-kvm-probe 1 " BOOT " 8120000 10000", true},
		{"empty", "", false},
		{"other magic", "nacre-kvm-prob 1 " BOOT " 8120000 10000\n", false},
		{"other version", "nacre-kvm-probe 2 " BOOT " 8120000 10000\n", false},
		{"other boot", "nacre-kvm-probe 1 158311d5-3d21-43be-b457-8c89c2cb5a85 1 1\n",
		 false},
		{"cut off", "nacre-kvm-probe 1 " BOOT " 8120000\n", false},
		{"one more", "nacre-kvm-probe 1 " BOOT " 8120000 10000 1\n", false},
		{"negative", "nacre-kvm-probe 1 " BOOT " -1 10000\n", false},
		{"no time", "nacre-kvm-probe 1 " BOOT " 8120000 0\n", false},
		{"would overflow", "nacre-kvm-probe 1 " BOOT " 18446744073709551615 1\n", false},
		{"two spaces", "nacre-kvm-probe 1  " BOOT " 8120000 10000\n", false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct probe_facts f = {.insns = 7};

		print_message("%s\n", cases[i].name);
		assert_int_equal(probe_cache_parse(cases[i].text, BOOT, &f), cases[i].ok);
		assert_int_equal(f.insns, cases[i].ok ? 8120000 : 7);
	}
}

static void test_cache_too_long(void **state)
{
	char text[1024];
	struct probe_facts f = {.insns = 7};

	(void)state;
	/* Well-formed but for its length. */
	(void)snprintf(text, sizeof(text), "nacre-kvm-probe 1 " BOOT " 8120000 %0600d\n", 10000);
	assert_false(probe_cache_parse(text, BOOT, &f));
}

static void test_cache_file(void **state)
{
	char dir[] = "/tmp/probe_test.XXXXXX";
	char sub[64], file[80];
	struct probe_facts facts = {.insns = 8120000, .cpu_us = 10000};
	struct probe_facts failed = {.failure = {EIO, "x"}, .insns = 1, .cpu_us = 1};
	struct probe_facts got;

	(void)state;
	assert_non_null(mkdtemp(dir));
	(void)snprintf(sub, sizeof(sub), "%s/a/b", dir);
	(void)snprintf(file, sizeof(file), "%s/@@kvm-probe", sub);
	assert_false(probe_cache_load(sub, &got));
	probe_cache_store(sub, &failed); /* failures are not kept */
	assert_int_equal(access(file, F_OK), -1);
	probe_cache_store(sub, &facts);
	assert_true(probe_cache_load(sub, &got));
	assert_int_equal(got.insns, facts.insns);
	assert_int_equal(got.cpu_us, facts.cpu_us);
	assert_int_equal(path_write_atomic(AT_FDCWD, file, "\xff\xfe", 2, 0644, NULL), 0);
	assert_false(probe_cache_load(sub, &got));
	probe_cache_store(sub, &facts); /* made anew */
	assert_true(probe_cache_load(sub, &got));
	assert_int_equal(path_remove_tree(AT_FDCWD, dir, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_judge),
		cmocka_unit_test(test_cache_parse),
		cmocka_unit_test(test_cache_too_long),
		cmocka_unit_test(test_cache_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
