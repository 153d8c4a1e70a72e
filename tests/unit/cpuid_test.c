/* vmm/arch/x86_64/cpuid: what a guest sees of KVM's answer, leaf by leaf, for vCPU counts at the edges. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/compiler.h"
#include "vmm/arch/x86_64/cpuid.h"

#define GENUINE   0x756e6547U /* "Genu" */
#define AUTHENTIC 0x68747541U /* "Auth" */

/* What KVM might say, with the host's topology still in it: four cores of two threads. */
static struct cpuid_table host(uint32_t vendor_ebx)
{
	struct cpuid_table t = {
		.n = 16,
		.e =
			{
				{.function = 0, .eax = 0x1f, .ebx = vendor_ebx},
				{.function = 1,
				 .ebx = 0x05080800,
				 .ecx = 1U << 21,
				 .edx = 0x178bfbffU},
				{.function = 4, .index = 0, .eax = 0x1c004121}, /* L1d, 2 share */
				{.function = 4, .index = 1, .eax = 0x1c01c163}, /* L3, 8 share */
				{.function = 4, .index = 2, .eax = 0x1c000000}, /* end */
				{.function = 0xb,
				 .index = 0,
				 .eax = 1,
				 .ebx = 2,
				 .ecx = 0x100,
				 .edx = 9},
				{.function = 0xb,
				 .index = 1,
				 .eax = 3,
				 .ebx = 8,
				 .ecx = 0x201,
				 .edx = 9},
				{.function = 0xd, .index = 0, .eax = 7, .ebx = 832, .ecx = 2696},
				{.function = 0xd, .index = 1, .eax = 0xf, .ebx = 900, .ecx = 0x800},
				{.function = 0xd, .index = 2, .eax = 256, .ebx = 576},
				{.function = 0xd,
				 .index = 9,
				 .eax = 8,
				 .ebx = 2688}, /* PKRU, not in xcr0 */
				{.function = 0xd,
				 .index = 11,
				 .eax = 16,
				 .ecx = 1}, /* CET, in xss */
				{.function = 0x15, .eax = 2, .ebx = 200},
				{.function = 0x80000001U},
				{.function = 0x80000008U, .eax = 0x3030, .ecx = 0x7007},
				{.function = 0x8000001eU, .eax = 5, .ebx = 0x102, .ecx = 0x300},
			},
	};

	return t;
}

static const struct kvm_cpuid_entry2 *leaf(const struct cpuid_table *t, uint32_t f, uint32_t i)
{
	for (uint32_t n = 0; n < t->n; n++) {
		if (t->e[n].function == f && t->e[n].index == i)
			return &t->e[n];
	}
	return NULL;
}

static void test_topology(void **state)
{
	static const struct {
		uint32_t vcpus, idx;
		uint32_t bits;       /* of an APIC id */
		uint32_t cores4;     /* leaf 4, 31:26 */
		uint32_t l3_sharing; /* leaf 4, 25:14 of the L3 */
	} cases[] = {
		{1, 0, 0, 0, 0}, {2, 1, 1, 1, 1},     {3, 2, 2, 3, 3},      {4, 3, 2, 3, 3},
		{5, 4, 3, 7, 7}, {64, 63, 6, 63, 63}, {65, 64, 7, 63, 127}, {254, 253, 8, 63, 255},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct cpuid_table t = host(GENUINE);
		struct cpuid_guest g = {.vcpu_idx = cases[i].idx, .vcpus = cases[i].vcpus};
		const struct kvm_cpuid_entry2 *e;

		cpuid_adjust(&t, &g);
		e = leaf(&t, 1, 0);
		assert_int_equal(e->ebx, 0x0800 | cases[i].vcpus << 16 | cases[i].idx << 24);
		assert_int_equal(e->edx >> 28 & 1, cases[i].vcpus > 1);
		assert_int_equal(leaf(&t, 4, 0)->eax & ~0xfc000000U, 0x121); /* L1 is not shared */
		e = leaf(&t, 4, 1);
		assert_int_equal(e->eax, 0x163 | cases[i].l3_sharing << 14 | cases[i].cores4 << 26);
		assert_int_equal(leaf(&t, 4, 2)->eax & 0x1f, 0);
		for (uint32_t f = 0xb; f <= 0x1f; f += 0x14) {
			assert_int_equal(leaf(&t, f, 0)->eax, 0);
			assert_int_equal(leaf(&t, f, 0)->ecx, 0x100);
			assert_int_equal(leaf(&t, f, 1)->eax, cases[i].bits);
			assert_int_equal(leaf(&t, f, 1)->ebx, cases[i].vcpus);
			assert_int_equal(leaf(&t, f, 1)->ecx, 0x201);
			assert_int_equal(leaf(&t, f, 2)->ebx, 0);
			for (uint32_t s = 0; s < 3; s++)
				assert_int_equal(leaf(&t, f, s)->edx, cases[i].idx);
		}
	}
}

static void test_features(void **state)
{
	(void)state;
	for (int deadline = 0; deadline < 2; deadline++) {
		struct cpuid_table t = host(GENUINE);
		struct cpuid_guest g = {.vcpus = 1, .tsc_deadline = deadline};

		cpuid_adjust(&t, &g);
		assert_int_equal(leaf(&t, 1, 0)->ecx,
				 1U << 31 | 1U << 21 | (deadline ? 1U << 24 : 0));
		assert_null(leaf(&t, 0x15, 0));
	}
}

/* The host's name for its processor, in place of what KVM said; a host without one changes nothing. */
static void test_brand(void **state)
{
	struct cpuid_table named = host(AUTHENTIC), nameless = host(AUTHENTIC);
	struct cpuid_guest g = {.vcpus = 1,
				.host_brand = {{1, 2, 3, 4}, {5, 6, 7, 8}, {9, 10, 11, 12}}};
	struct cpuid_guest none = {.vcpus = 1};
	uint32_t before = nameless.n;

	(void)state;
	cpuid_adjust(&named, &g);
	assert_int_equal(leaf(&named, 0x80000002U, 0)->eax, 1);
	assert_int_equal(leaf(&named, 0x80000003U, 0)->edx, 8);
	assert_int_equal(leaf(&named, 0x80000004U, 0)->ecx, 11);
	cpuid_adjust(&nameless, &none);
	assert_null(leaf(&nameless, 0x80000002U, 0));
	assert_true(nameless.n <= before + 6);
}

static void test_amd(void **state)
{
	struct cpuid_table amd = host(AUTHENTIC);
	struct cpuid_table intel = host(GENUINE);
	struct cpuid_table one = host(AUTHENTIC);
	struct cpuid_guest g = {.vcpu_idx = 4, .vcpus = 6};
	struct cpuid_guest single = {.vcpus = 1};

	(void)state;
	cpuid_adjust(&amd, &g);
	assert_int_equal(leaf(&amd, 0x80000008U, 0)->ecx, 5 | 3 << 12);
	assert_int_equal(leaf(&amd, 0x80000008U, 0)->eax, 0x3030);
	assert_int_equal(leaf(&amd, 0x8000001eU, 0)->eax, 4);
	assert_int_equal(leaf(&amd, 0x8000001eU, 0)->ebx, 4); /* one thread a core */
	assert_int_equal(leaf(&amd, 0x8000001eU, 0)->ecx, 0);
	assert_int_equal(leaf(&amd, 0x80000001U, 0)->ecx, 2);
	cpuid_adjust(&one, &single);
	assert_int_equal(leaf(&one, 0x80000001U, 0)->ecx, 0);
	cpuid_adjust(&intel, &g);
	assert_int_equal(leaf(&intel, 0x80000008U, 0)->ecx, 0x7007);
}

static void test_xsave(void **state)
{
	static const struct {
		const char *name;
		uint32_t host_eax;
		uint32_t eax1, ebx1, ecx1;
		bool cet;
	} cases[] = {
		{"all of it", 0xf, 0xf, 576, 0x800, true},
		{"no XSAVES", 0x7, 0x7, 576, 0, false},
		{"no XSAVEC, so no XSAVES", 0xd, 0x5, 0, 0, false},
		{"neither", 0x5, 0x5, 0, 0, false},
		{"XSAVE alone", 0x0, 0x0, 0, 0, false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct cpuid_table t = host(AUTHENTIC);
		struct cpuid_guest g = {.vcpus = 1, .host_xsave_eax = cases[i].host_eax};

		print_message("%s\n", cases[i].name);
		cpuid_adjust(&t, &g);
		assert_int_equal(leaf(&t, 0xd, 0)->ebx, 576);
		assert_int_equal(leaf(&t, 0xd, 0)->ecx, 832); /* AVX ends there */
		assert_int_equal(leaf(&t, 0xd, 1)->eax, cases[i].eax1);
		assert_int_equal(leaf(&t, 0xd, 1)->ebx, cases[i].ebx1);
		assert_int_equal(leaf(&t, 0xd, 1)->ecx, cases[i].ecx1);
		assert_non_null(leaf(&t, 0xd, 2));
		assert_null(leaf(&t, 0xd, 9)); /* not to be enabled, so not there */
		assert_int_equal(leaf(&t, 0xd, 11) != NULL, cases[i].cet);
		assert_int_equal(cpuid_xcr0(&t), 7);
	}
}

/* A processor without the newer leaves: nothing is invented, nothing is missed. */
static void test_old(void **state)
{
	struct cpuid_table t = {.n = 2,
				.e = {{.function = 0, .eax = 4, .ebx = GENUINE}, {.function = 1}}};
	struct cpuid_guest g = {.vcpu_idx = 1, .vcpus = 2, .host_xsave_eax = 0xf};

	(void)state;
	cpuid_adjust(&t, &g);
	assert_int_equal(t.n, 2);
	assert_int_equal(cpuid_xcr0(&t), 0);
}

/* KVM filled the table to its last entry. */
static void test_full(void **state)
{
	static struct cpuid_table t;
	struct cpuid_guest g = {.vcpu_idx = 1, .vcpus = 2, .host_xsave_eax = 0xf};

	(void)state;
	t = host(GENUINE);
	while (t.n < CPUID_MAX_ENTRIES) {
		t.e[t.n] = (struct kvm_cpuid_entry2){.function = 0x40000100U + t.n};
		t.n++;
	}
	cpuid_adjust(&t, &g);
	assert_true(t.n <= CPUID_MAX_ENTRIES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_topology), cmocka_unit_test(test_features),
		cmocka_unit_test(test_brand),    cmocka_unit_test(test_amd),
		cmocka_unit_test(test_xsave),    cmocka_unit_test(test_old),
		cmocka_unit_test(test_full),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
