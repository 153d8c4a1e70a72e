/*
 * kvm-probe: says in one line whether /dev/kvm can run a Linux guest here; exit code 0 when it can, 1 when not, 2 when
 * called wrongly. `nacre check` and the tests run it. Options: --json; --cache DIR, where the result of this boot is kept.
 */
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "vmm/kvm.h"
#include "vmm/probe.h"

static int usage(void)
{
	(void)fputs("usage: kvm-probe [--json] [--cache DIR]\n", stderr);
	return 2;
}

/* A cached measurement counts only while /dev/kvm can still be opened. */
static bool from_cache(const char *dir, struct probe_facts *facts)
{
	CLEANUP(own_kvm_close) struct kvm *kvm = NULL;

	return dir && kvm_open(-1, &kvm, NULL) == 0 && probe_cache_load(dir, facts);
}

/* Quotes and backslashes of a message; it has no control characters. */
static void print_escaped(const char *text)
{
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			(void)putchar('\\');
		(void)putchar(*text);
	}
}

static void print_json(const struct probe_verdict *v)
{
	(void)printf("{\"usable\":%s,\"mips\":%llu.%llu,\"text\":\"", v->usable ? "true" : "false",
		     (unsigned long long)v->kips / 1000, (unsigned long long)v->kips % 1000 / 100);
	print_escaped(v->text);
	(void)puts("\"}");
}

int main(int argc, char **argv)
{
	const char *cache = NULL;
	bool json = false;
	struct probe_facts facts;
	struct probe_verdict verdict;

	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--json"))
			json = true;
		else if (!strcmp(argv[i], "--cache") && i + 1 < argc)
			cache = argv[++i];
		else
			return usage();
	}
	if (!from_cache(cache, &facts)) {
		probe_measure(&facts);
		if (cache)
			probe_cache_store(cache, &facts);
	}
	probe_judge(&facts, &verdict);
	if (json)
		print_json(&verdict);
	else
		(void)puts(verdict.text);
	return verdict.usable ? 0 : 1;
}
