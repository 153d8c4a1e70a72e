/* `nacre update`. Limits go to the monitor as the OCI "linux.resources" object that they are part of. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "base/path.h"
#include "base/str.h"
#include "config/json.h"
#include "runtime/cli.h"
#include "runtime/cli_args.h"
#include "runtime/lifecycle.h"
#include "runtime/monitor_client.h"

#define MAX_WORDS           64
#define RESOURCES_MAX_BYTES (1u << 20)

enum limit_kind { LIMIT_NUMBER, LIMIT_BYTES, LIMIT_TEXT };

/* One option and the member it sets; the order is that of the options' values. */
static const struct limit {
	const char *option;
	enum limit_kind kind;
	const char *group, *member;
	const char *value_name, *help;
} limits[] = {
	{"cpu-period", LIMIT_NUMBER, "cpu", "period", "US", "CPU period"},
	{"cpu-quota", LIMIT_NUMBER, "cpu", "quota", "US", "CPU time of a period, -1: no limit"},
	{"cpu-share", LIMIT_NUMBER, "cpu", "shares", "N", "CPU weight as of cgroup v1"},
	{"cpuset-cpus", LIMIT_TEXT, "cpu", "cpus", "LIST", "vCPUs to run on"},
	{"cpuset-mems", LIMIT_TEXT, "cpu", "mems", "LIST", "memory nodes to use"},
	{"memory", LIMIT_BYTES, "memory", "limit", "BYTES",
	 "memory, k, m, g allowed, -1: no limit"},
	{"memory-reservation", LIMIT_BYTES, "memory", "reservation", "BYTES", "memory kept for it"},
	{"memory-swap", LIMIT_BYTES, "memory", "swap", "BYTES", "memory and swap together"},
	{"pids-limit", LIMIT_NUMBER, "pids", "limit", "N", "processes, -1: no limit"},
};

/* A whole number with, for bytes, a unit behind it. */
static int parse_number(const struct limit *l, const char *text, int64_t *out, struct err *err)
{
	static const char units[] = "bkmg";
	AUTO_FREE char *copy = strdup(text);
	size_t n = strlen(text);
	int64_t value = 0, unit = 1;

	if (!copy)
		return err_set(err, ENOMEM, "update");
	const char *at = n > 1 && l->kind == LIMIT_BYTES ? strchr(units, copy[n - 1] | 0x20) : NULL;
	if (at) {
		copy[n - 1] = '\0';
		unit = INT64_C(1) << (10 * (at - units));
	}
	if (str_to_i64(copy, -1, INT64_MAX, &value) || __builtin_mul_overflow(value, unit, out))
		return err_say(err, EINVAL, "--%s: '%s' is not a number", l->option, text);
	return 0;
}

static int add_limit(struct json_object *resources, const struct limit *l, const char *text,
		     struct err *err)
{
	struct json_object *group = NULL, *v = NULL;
	int64_t number = 0;

	if (l->kind != LIMIT_TEXT && parse_number(l, text, &number, err))
		return -err->code;
	if (!json_object_object_get_ex(resources, l->group, &group)) {
		group = json_object_new_object();
		if (json_object_object_add(resources, l->group, group))
			return err_set(err, ENOMEM, "update");
	}
	v = l->kind == LIMIT_TEXT ? json_object_new_string(text) : json_object_new_int64(number);
	if (!v || json_object_object_add(group, l->member, v))
		return err_set(err, ENOMEM, "update");
	return 0;
}

/* The object of `file` ("-": standard input, NULL: none), and the options over it. */
static int compose(const char *file, const char *const values[], struct json_object **out,
		   struct err *err)
{
	AUTO_JSON struct json_object *resources = NULL;
	AUTO_FREE char *text = NULL;
	const char *path = file && strcmp(file, "-") == 0 ? "/dev/stdin" : file;
	size_t len = 0;
	int rc = 0;

	if (path) {
		rc = path_read(AT_FDCWD, path, RESOURCES_MAX_BYTES, &text, &len, err);
		if (!rc)
			rc = json_parse(text, len, file, false, &resources, err);
		if (!rc && !json_object_is_type(resources, json_type_object))
			rc = err_say(err, EINVAL, "'%s' holds no JSON object", file);
	} else {
		resources = json_object_new_object();
	}
	for (size_t i = 0; !rc && i < ARRAY_SIZE(limits); i++)
		if (values[i])
			rc = add_limit(resources, &limits[i], values[i], err);
	if (!rc)
		*out = TAKE_PTR(&resources);
	return rc;
}

int cli_update(struct cli *cli, int argc, char *const argv[], struct err *err)
{
	AUTO_MONITOR_CLIENT struct monitor_client c = MONITOR_CLIENT_INIT;
	AUTO_JSON struct json_object *resources = NULL;
	const char *values[ARRAY_SIZE(limits)] = {0}, *file = NULL;
	struct flag_def defs[ARRAY_SIZE(limits) + 2] = {{"resources", 'r', FLAG_STRING, &file,
							 "FILE",
							 "JSON of OCI, '-' is standard input"}};
	char *const *words = NULL;
	int nwords = 0, next = 0;

	for (size_t i = 0; i < ARRAY_SIZE(limits); i++)
		defs[i + 1] = (struct flag_def){limits[i].option,     0,
						FLAG_STRING,          &values[i],
						limits[i].value_name, limits[i].help};
	int rc = cli_args(argc, argv, defs, 1, MAX_WORDS, &words, &nwords, err);

	if (rc)
		return rc < 0 ? rc : 0;
	/* Options behind the id are read as well. */
	rc = flags_parse(nwords, words, defs, &next, err);
	if (!rc && next < nwords)
		rc = err_say(err, EINVAL, "'%s' is one word too many", words[next]);
	if (!rc)
		rc = compose(file, values, &resources, err);
	if (!rc)
		rc = lifecycle_connect(cli->root, words[0], &c, err);
	return rc ? rc
		  : monitor_update(
			    &c, words[0],
			    json_object_to_json_string_ext(resources, JSON_C_TO_STRING_PLAIN), err);
}
