/*
 * Can /dev/kvm run a Linux guest here? Decided by trying: a tiny guest counts in ring 0 for a bounded time. A KVM that
 * emulates guest kernels (a paravirtual one, without VMX or SVM below it) is a thousand times slower than a real one, and
 * no CPUID flag tells the two apart. Measuring and judging are separate, so that the judgement can be tested.
 */
#ifndef NACRE_VMM_PROBE_H
#define NACRE_VMM_PROBE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"

/* The slowest ring 0 that is still taken for a processor: emulators reach 2 MIPS, nested KVM under TCG 300. */
#define PROBE_MIN_KIPS 10000U

struct probe_facts {
	struct err failure; /* code 0: the guest ran and was measured */
	bool absent;        /* the failure is that there is no /dev/kvm */
	uint64_t insns;     /* executed in ring 0 */
	uint64_t cpu_us;    /* processor time that took */
};

struct probe_verdict {
	bool usable;
	uint64_t kips;                  /* thousands of instructions a second; 0: not measured */
	char text[ERR_TEXT_BYTES + 64]; /* one line, without a newline */
};

/* Tries. Never fails: what goes wrong is a fact. At most
 * 100 ms of processor time and half a second. The process's SIGALRM and real timer are used. */
void probe_measure(struct probe_facts *out);

void probe_judge(const struct probe_facts *facts, struct probe_verdict *out);

/*
 * The cached facts of this boot: false when there are none, or they are of another boot, or damaged. Only measurements are
 * cached, never failures: a module may be loaded, a permission given, a busy host be idle again.
 */
bool probe_cache_parse(const char *text, const char *boot_id, struct probe_facts *out) MUST_CHECK;
bool probe_cache_load(const char *dir, struct probe_facts *out) MUST_CHECK;
/* Whole or not at all; a failure costs the next probe 100 ms, so it is no error. */
void probe_cache_store(const char *dir, const struct probe_facts *facts);

#endif
