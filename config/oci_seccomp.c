/*
 * linux.seccomp (runtime-spec 1.2, config-linux.md, "Seccomp"). Actions and operators become libseccomp's numbers here, so
 * that the agent only loads them; only the header's constants are used, not the library.
 */
#include "config/oci_internal.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <string.h>

static const struct json_word action_words[] = {
	{"SCMP_ACT_KILL", SCMP_ACT_KILL_THREAD},
	{"SCMP_ACT_KILL_THREAD", SCMP_ACT_KILL_THREAD},
	{"SCMP_ACT_KILL_PROCESS", SCMP_ACT_KILL_PROCESS},
	{"SCMP_ACT_TRAP", SCMP_ACT_TRAP},
	{"SCMP_ACT_ERRNO", SCMP_ACT_ERRNO(0)},
	{"SCMP_ACT_TRACE", SCMP_ACT_TRACE(0)},
	{"SCMP_ACT_ALLOW", SCMP_ACT_ALLOW},
	{"SCMP_ACT_LOG", SCMP_ACT_LOG},
	{"SCMP_ACT_NOTIFY", SCMP_ACT_NOTIFY},
	{NULL, 0},
};

static const struct json_word op_words[] = {
	{"SCMP_CMP_NE", SCMP_CMP_NE},
	{"SCMP_CMP_LT", SCMP_CMP_LT},
	{"SCMP_CMP_LE", SCMP_CMP_LE},
	{"SCMP_CMP_EQ", SCMP_CMP_EQ},
	{"SCMP_CMP_GE", SCMP_CMP_GE},
	{"SCMP_CMP_GT", SCMP_CMP_GT},
	{"SCMP_CMP_MASKED_EQ", SCMP_CMP_MASKED_EQ},
	{NULL, 0},
};

static const struct json_word flag_words[] = {
	{"SECCOMP_FILTER_FLAG_TSYNC", SECCOMP_FILTER_FLAG_TSYNC},
	{"SECCOMP_FILTER_FLAG_LOG", SECCOMP_FILTER_FLAG_LOG},
	{"SECCOMP_FILTER_FLAG_SPEC_ALLOW", SECCOMP_FILTER_FLAG_SPEC_ALLOW},
	{"SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", 1 << 5}, /* newer than bookworm's headers */
	{NULL, 0},
};

/* One word of a table into a number; `required` decides whether absent is an error. */
static int read_word(const struct json_at *at, const struct json_word *table, bool required,
		     uint32_t *out, struct err *err)
{
	AUTO_FREE char *word = NULL;
	int64_t value;
	int ret = json_get_string(at, &word, err);

	if (ret < 0)
		return ret;
	if (!word)
		return required ? json_err(at, err, "is missing") : 0;
	if (json_word_find(table, word, &value) < 0)
		return json_err(at, err, "'%s' is not known", word);
	*out = (uint32_t)value;
	return 0;
}

/* ERRNO and TRACE carry a value: errnoRet, or EPERM when it is not given. */
static int read_action(const struct json_at *action, const struct json_at *errno_ret, uint32_t *out,
		       struct err *err)
{
	uint64_t value = EPERM;
	int ret = read_word(action, action_words, true, out, err);

	if (ret == 0)
		ret = json_get_u64(errno_ret, UINT16_MAX, &value, err);
	if (ret == 0 && *out == SCMP_ACT_ERRNO(0))
		*out = SCMP_ACT_ERRNO((uint32_t)value);
	else if (ret == 0 && *out == SCMP_ACT_TRACE(0))
		*out = SCMP_ACT_TRACE((uint32_t)value);
	return ret;
}

static int read_arg(const struct json_at *at, struct oci_seccomp_arg *out, struct err *err)
{
	struct json_at index = json_key(at, "index"), value = json_key(at, "value");
	struct json_at value_two = json_key(at, "valueTwo"), op = json_key(at, "op");
	uint64_t i = 0;
	int ret = json_get_u64(&index, 5, &i, err);

	out->index = (uint32_t)i;
	if (ret == 0)
		ret = json_get_u64(&value, UINT64_MAX, &out->value, err);
	if (ret == 0)
		ret = json_get_u64(&value_two, UINT64_MAX, &out->value_two, err);
	if (ret == 0)
		ret = read_word(&op, op_words, true, &out->op, err);
	return ret;
}

static int read_rule(const struct json_at *at, struct oci_seccomp_rule *rule, struct err *err)
{
	struct json_at names = json_key(at, "names"), action = json_key(at, "action");
	struct json_at errno_ret = json_key(at, "errnoRet"), args = json_key(at, "args");
	size_t n = 0;
	int ret = json_get_strings(&names, &rule->names, err);

	if (ret == 0 && rule->names.n == 0)
		ret = json_err(&names, err, "must name at least one system call");
	if (ret == 0)
		ret = read_action(&action, &errno_ret, &rule->action, err);
	if (ret == 0)
		ret = json_want_array(&args, &n, err);
	if (ret == 0)
		ret = oci_list_alloc(n, sizeof(*rule->args), &rule->args, err);
	for (size_t i = 0; ret == 0 && i < n; i++) {
		struct json_at item = json_index(&args, i);

		ret = read_arg(&item, &rule->args[i], err);
		rule->nargs = i + 1;
	}
	return ret;
}

static int read_flags(const struct json_at *at, uint32_t *out, struct err *err)
{
	size_t n;
	int ret = json_want_array(at, &n, err);

	for (size_t i = 0; ret == 0 && i < n; i++) {
		struct json_at item = json_index(at, i);
		uint32_t flag = 0;

		ret = read_word(&item, flag_words, true, &flag, err);
		*out |= flag;
	}
	return ret;
}

static int read_rules(const struct json_at *at, struct oci_seccomp *s, struct err *err)
{
	size_t n;
	int ret = json_want_array(at, &n, err);

	if (ret == 0)
		ret = oci_list_alloc(n, sizeof(*s->rules), &s->rules, err);
	for (size_t i = 0; ret == 0 && i < n; i++) {
		struct json_at item = json_index(at, i);

		s->nrules = i + 1;
		ret = read_rule(&item, &s->rules[i], err);
	}
	return ret;
}

int oci_seccomp_read(const struct json_at *at, struct oci_seccomp *s, struct err *err)
{
	struct json_at action = json_key(at, "defaultAction");
	struct json_at errno_ret = json_key(at, "defaultErrnoRet");
	struct json_at archs = json_key(at, "architectures"), flags = json_key(at, "flags");
	struct json_at listener = json_key(at, "listenerPath"), rules = json_key(at, "syscalls");
	int ret = json_want_object(at, &s->present, err);

	if (ret == 0 && s->present)
		ret = read_action(&action, &errno_ret, &s->default_action, err);
	if (ret == 0)
		ret = json_get_strings(&archs, &s->architectures, err);
	if (ret == 0)
		ret = read_flags(&flags, &s->filter_flags, err);
	if (ret == 0)
		ret = json_get_string(&listener, &s->listener_path, err);
	if (ret == 0)
		ret = oci_fill_string(&s->listener_path, err);
	if (ret == 0)
		ret = read_rules(&rules, s, err);
	return ret;
}

void oci_seccomp_done(struct oci_seccomp *s)
{
	for (size_t i = 0; i < s->nrules; i++) {
		strings_done(&s->rules[i].names);
		free(s->rules[i].args);
	}
	free(s->rules);
	strings_done(&s->architectures);
	free(s->listener_path);
}
