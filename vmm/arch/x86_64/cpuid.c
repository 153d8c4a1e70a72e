/*
 * KVM reports what it can virtualize, partly with the host's own topology in it. Left alone, a guest sees the cores of
 * whichever host CPU the ioctl ran on, XSAVE sizes of features it does not have, and no deadline timer.
 */
#include "vmm/arch/x86_64/cpuid.h"

#include <stddef.h>
#include <string.h>

#include "base/compiler.h"

#define BIT(n) (1U << (n))

#define L1_ECX_TSC_DEADLINE BIT(24)
#define L1_ECX_HYPERVISOR   BIT(31)
#define L1_EDX_HTT          BIT(28)

#define XSAVE_OPT    BIT(0)
#define XSAVE_C      BIT(1)
#define XSAVE_XGETBV BIT(2)
#define XSAVE_S      BIT(3)
/* Legacy area and header: what XSAVE writes for x87 and SSE alone (SDM 1, 13.4). */
#define XSAVE_BASE_BYTES 576U

#define A1_ECX_CMP_LEGACY BIT(1)

/* SDM 2A, leaf 0BH: level types, and the level a query is for. */
#define LEVEL_SMT  1U
#define LEVEL_CORE 2U

#define CACHE_LEVEL(eax) (((eax) >> 5) & 7U)
#define CACHE_TYPE(eax)  ((eax)&31U)

static const struct kvm_cpuid_entry2 *find(const struct cpuid_table *t, uint32_t function,
					   uint32_t index)
{
	for (uint32_t i = 0; i < t->n; i++) {
		if (t->e[i].function == function && t->e[i].index == index)
			return &t->e[i];
	}
	return NULL;
}

static struct kvm_cpuid_entry2 *find_mut(struct cpuid_table *t, uint32_t function, uint32_t index)
{
	const struct kvm_cpuid_entry2 *e = find(t, function, index);

	return e ? &t->e[e - t->e] : NULL;
}

static void remove_leaf(struct cpuid_table *t, uint32_t function)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < t->n; i++) {
		if (t->e[i].function != function)
			t->e[kept++] = t->e[i];
	}
	t->n = kept;
}

static void add(struct cpuid_table *t, const struct kvm_cpuid_entry2 *entry)
{
	if (t->n < CPUID_MAX_ENTRIES)
		t->e[t->n++] = *entry;
}

/* Bits an APIC id needs for `vcpus` of them. */
static uint32_t id_bits(uint32_t vcpus)
{
	return vcpus <= 1 ? 0 : 32U - (uint32_t)__builtin_clz(vcpus - 1);
}

static void set_features(struct cpuid_table *t, const struct cpuid_guest *g)
{
	struct kvm_cpuid_entry2 *e = find_mut(t, 1, 0);

	if (!e)
		return;
	/* Bits 23:16 number of logical processors, 31:24 APIC id; what is below is the host's. */
	e->ebx = (e->ebx & 0xffffU) | g->vcpus << 16 | g->vcpu_idx << 24;
	e->ecx |= L1_ECX_HYPERVISOR;
	if (g->tsc_deadline)
		e->ecx |= L1_ECX_TSC_DEADLINE;
	else
		e->ecx &= ~L1_ECX_TSC_DEADLINE;
	if (g->vcpus > 1)
		e->edx |= L1_EDX_HTT;
	else
		e->edx &= ~L1_EDX_HTT;
}

/* Leaf 4 of Intel and 0x8000001D of AMD share their layout: bits 25:14 say how many ids share a cache, less one. */
static void set_cache_sharing(struct cpuid_table *t, uint32_t function, const struct cpuid_guest *g)
{
	uint32_t ids = BIT(id_bits(g->vcpus));

	for (uint32_t i = 0; i < t->n; i++) {
		struct kvm_cpuid_entry2 *e = &t->e[i];
		uint32_t sharing, cores;

		if (e->function != function || CACHE_TYPE(e->eax) == 0)
			continue;
		sharing = CACHE_LEVEL(e->eax) >= 3 ? ids - 1 : 0;
		/* Six bits for the cores of a package in leaf 4; AMD has nothing there. */
		cores = function == 4 ? (ids > 64 ? 63 : ids - 1) : 0;
		e->eax = (e->eax & 0x3fffU) | sharing << 14 | cores << 26;
	}
}

static void set_topology(struct cpuid_table *t, uint32_t function, const struct cpuid_guest *g)
{
	const struct kvm_cpuid_entry2 *max = find(t, 0, 0);
	const struct kvm_cpuid_entry2 levels[] = {
		{.eax = 0, .ebx = 1, .ecx = LEVEL_SMT << 8},
		{.index = 1, .eax = id_bits(g->vcpus), .ebx = g->vcpus, .ecx = LEVEL_CORE << 8 | 1},
		{.index = 2, .ecx = 2},
	};

	remove_leaf(t, function);
	if (!max || max->eax < function)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(levels); i++) {
		struct kvm_cpuid_entry2 e = levels[i];

		e.function = function;
		e.flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
		e.edx = g->vcpu_idx; /* x2APIC id, in every subleaf */
		add(t, &e);
	}
}

static void set_amd_topology(struct cpuid_table *t, const struct cpuid_guest *g)
{
	const struct kvm_cpuid_entry2 *vendor = find(t, 0, 0);
	struct kvm_cpuid_entry2 *e;

	/* "GenuineIntel": these fields are reserved there. */
	if (!vendor || vendor->ebx == 0x756e6547U)
		return;
	e = find_mut(t, 0x80000001U, 0);
	if (e)
		e->ecx = g->vcpus > 1 ? e->ecx | A1_ECX_CMP_LEGACY : e->ecx & ~A1_ECX_CMP_LEGACY;
	e = find_mut(t, 0x80000008U, 0);
	if (e)
		e->ecx = (g->vcpus - 1) | id_bits(g->vcpus) << 12;
	e = find_mut(t, 0x8000001eU, 0);
	if (e) {
		e->eax = g->vcpu_idx;
		e->ebx = g->vcpu_idx; /* core id; one thread a core */
		e->ecx = 0;           /* one node */
		e->edx = 0;
	}
}

/* Size of the standard-format area for the user states of `xcr0` (SDM 1, 13.4.3). */
static uint32_t xsave_bytes(const struct cpuid_table *t, uint64_t xcr0)
{
	uint32_t size = XSAVE_BASE_BYTES;

	for (uint32_t i = 2; i < 63; i++) {
		const struct kvm_cpuid_entry2 *e = find(t, 0xd, i);

		if ((xcr0 >> i & 1) && e && e->eax + e->ebx > size)
			size = e->eax + e->ebx;
	}
	return size;
}

static void drop_xsave_states(struct cpuid_table *t, uint64_t known)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < t->n; i++) {
		const struct kvm_cpuid_entry2 *e = &t->e[i];

		if (e->function != 0xd || e->index < 2 ||
		    (e->index < 64 && (known >> e->index & 1)))
			t->e[kept++] = *e;
	}
	t->n = kept;
}

/*
 * A KVM inside of an emulator may report XSAVEC and XSAVES that the processor it runs on does not have; a guest that
 * finds them without working sizes calls it an "XSAVE consistency problem" and turns XSAVE off.
 */
static void set_xsave(struct cpuid_table *t, const struct cpuid_guest *g)
{
	struct kvm_cpuid_entry2 *user = find_mut(t, 0xd, 0);
	struct kvm_cpuid_entry2 *instr = find_mut(t, 0xd, 1);
	uint64_t xcr0, xss = 0;

	if (!user || !instr)
		return;
	xcr0 = (uint64_t)user->edx << 32 | user->eax;
	instr->eax &= g->host_xsave_eax | ~(XSAVE_OPT | XSAVE_C | XSAVE_XGETBV | XSAVE_S);
	if (!(instr->eax & XSAVE_C))
		instr->eax &= ~XSAVE_S;
	if (instr->eax & XSAVE_S) {
		xss = (uint64_t)instr->edx << 32 | instr->ecx;
	} else {
		instr->ecx = 0;
		instr->edx = 0;
	}
	/* The compacted size has a meaning only with an instruction that writes that format. */
	instr->ebx = instr->eax & (XSAVE_C | XSAVE_S) ? XSAVE_BASE_BYTES : 0;
	user->ecx = xsave_bytes(t, xcr0);
	/* As at reset; KVM puts the size for the guest's own XCR0 here. */
	user->ebx = XSAVE_BASE_BYTES;
	drop_xsave_states(t, xcr0 | xss);
}

/* KVM leaves the name of the processor to us; without it the guest's /proc/cpuinfo has family and model only. */
static void set_brand(struct cpuid_table *t, const struct cpuid_guest *g)
{
	if (g->host_brand[0][0] == 0)
		return;
	for (uint32_t i = 0; i < 3; i++) {
		const uint32_t *b = g->host_brand[i];
		const struct kvm_cpuid_entry2 e = {
			.function = 0x80000002U + i,
			.eax = b[0],
			.ebx = b[1],
			.ecx = b[2],
			.edx = b[3],
		};

		remove_leaf(t, e.function);
		add(t, &e);
	}
}

void cpuid_adjust(struct cpuid_table *t, const struct cpuid_guest *g)
{
	BUG_ON(g->vcpus == 0 || g->vcpu_idx >= g->vcpus);
	set_features(t, g);
	set_cache_sharing(t, 4, g);
	set_cache_sharing(t, 0x8000001dU, g);
	set_topology(t, 0xb, g);
	set_topology(t, 0x1f, g);
	set_amd_topology(t, g);
	set_xsave(t, g);
	set_brand(t, g);
	/* AMD's extended topology in its newer form would contradict the leaves above. */
	remove_leaf(t, 0x80000026U);
	/* The host's frequencies: a guest that moves has others, and kvm-clock tells it the right one. */
	remove_leaf(t, 0x15);
	remove_leaf(t, 0x16);
}

uint64_t cpuid_xcr0(const struct cpuid_table *t)
{
	const struct kvm_cpuid_entry2 *e = find(t, 0xd, 0);

	return e ? (uint64_t)e->edx << 32 | e->eax : 0;
}
