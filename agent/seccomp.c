/* See seccomp.h; runtime-spec, config-linux.md, "Seccomp". */
#include "agent/seccomp.h"

#include <ctype.h>
#include <errno.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "base/str.h"

#define MAX_ARGS 6

DEFINE_OWNER(seccomp_release, void)

/* "SCMP_ARCH_X86_64" is libseccomp's "x86_64". */
static uint32_t arch_token(const char *name)
{
	char lower[32];
	size_t n = 0;

	if (!str_starts(name, "SCMP_ARCH_"))
		return 0;
	for (name += strlen("SCMP_ARCH_"); name[n] && n + 1 < sizeof(lower); n++)
		lower[n] = (char)tolower((unsigned char)name[n]);
	lower[n] = '\0';
	return seccomp_arch_resolve_name(lower);
}

static int add_architectures(scmp_filter_ctx ctx, const struct oci_strings *names, struct err *err)
{
	for (size_t i = 0; i < names->n; i++) {
		uint32_t token = arch_token(names->v[i]);
		int ret;

		if (token == 0)
			return err_say(err, EINVAL, "seccomp: unknown architecture \"%s\"",
				       names->v[i]);
		ret = seccomp_arch_add(ctx, token);
		if (ret < 0 && ret != -EEXIST)
			return err_set(err, -ret, "seccomp: architecture \"%s\"", names->v[i]);
	}
	return 0;
}

static struct scmp_arg_cmp comparison(const struct oci_seccomp_arg *arg)
{
	return (struct scmp_arg_cmp){
		.arg = arg->index,
		.op = (enum scmp_compare)arg->op,
		.datum_a = arg->value,
		.datum_b = arg->value_two,
	};
}

/* libseccomp takes one condition an argument; two about the same one mean "either", each a rule of its own. */
static bool same_argument_twice(const struct oci_seccomp_rule *rule)
{
	unsigned seen = 0;

	for (size_t i = 0; i < rule->nargs; i++) {
		if (seen & (1u << rule->args[i].index))
			return true;
		seen |= 1u << rule->args[i].index;
	}
	return false;
}

static int add_call(scmp_filter_ctx ctx, const struct oci_seccomp_rule *rule, int nr)
{
	struct scmp_arg_cmp args[MAX_ARGS];
	int ret = 0;

	if (!same_argument_twice(rule)) {
		for (size_t i = 0; i < rule->nargs; i++)
			args[i] = comparison(&rule->args[i]);
		return seccomp_rule_add_array(ctx, rule->action, nr, (unsigned)rule->nargs, args);
	}
	for (size_t i = 0; i < rule->nargs && ret == 0; i++) {
		args[0] = comparison(&rule->args[i]);
		ret = seccomp_rule_add_array(ctx, rule->action, nr, 1, args);
	}
	return ret;
}

static int add_rule(scmp_filter_ctx ctx, const struct oci_seccomp_rule *rule, struct err *err)
{
	for (size_t i = 0; i < rule->nargs; i++) {
		if (rule->args[i].index >= MAX_ARGS)
			return err_say(err, EINVAL, "seccomp: a system call has no argument %u",
				       rule->args[i].index);
	}
	for (size_t i = 0; i < rule->names.n; i++) {
		int nr = seccomp_syscall_resolve_name(rule->names.v[i]);
		int ret;

		if (nr == __NR_SCMP_ERROR)
			continue;
		ret = add_call(ctx, rule, nr);
		if (ret < 0)
			return err_set(err, -ret, "seccomp: rule for \"%s\"", rule->names.v[i]);
	}
	return 0;
}

static int set_flags(scmp_filter_ctx ctx, uint32_t flags, struct err *err)
{
	static const struct {
		uint32_t flag;
		enum scmp_filter_attr attr;
	} table[] = {
		{SECCOMP_FILTER_FLAG_TSYNC, SCMP_FLTATR_CTL_TSYNC},
		{SECCOMP_FILTER_FLAG_LOG, SCMP_FLTATR_CTL_LOG},
		{SECCOMP_FILTER_FLAG_SPEC_ALLOW, SCMP_FLTATR_CTL_SSB},
	};
	int ret = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_NNP, 0); /* credentials.c decides that */

	for (size_t i = 0; i < ARRAY_SIZE(table) && ret == 0; i++) {
		if (flags & table[i].flag)
			ret = seccomp_attr_set(ctx, table[i].attr, 1);
		flags &= ~table[i].flag;
	}
	if (ret == 0 && flags != 0)
		ret = -EOPNOTSUPP;
	return ret < 0 ? err_set(err, -ret, "seccomp: filter flags") : 0;
}

static int fill(scmp_filter_ctx ctx, const struct oci_seccomp *seccomp, struct err *err)
{
	int ret = set_flags(ctx, seccomp->filter_flags, err);

	if (ret == 0)
		ret = add_architectures(ctx, &seccomp->architectures, err);
	for (size_t i = 0; i < seccomp->nrules && ret == 0; i++) {
		/* libseccomp refuses a rule that says what the default says already. */
		if (seccomp->rules[i].action != seccomp->default_action)
			ret = add_rule(ctx, &seccomp->rules[i], err);
	}
	return ret;
}

int seccomp_apply(const struct oci_seccomp *seccomp, struct err *err)
{
	CLEANUP(own_seccomp_release) void *ctx = NULL;
	int ret;

	if (!seccomp->present)
		return 0;
	if (seccomp->listener_path[0])
		return err_say(
			err, EOPNOTSUPP,
			"seccomp: a listener (listenerPath) cannot be reached from the guest");
	ctx = seccomp_init(seccomp->default_action);
	if (!ctx)
		return err_say(err, EINVAL, "seccomp: bad default action");
	ret = fill(ctx, seccomp, err);
	if (ret < 0)
		return ret;
	ret = seccomp_load(ctx);
	return ret < 0 ? err_set(err, -ret, "seccomp: load the filter") : 0;
}
