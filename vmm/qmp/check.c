/*
 * Values against the tables. The depth of the walk is that of the table's types, whatever the sender nests: an unknown
 * member is refused before anybody looks inside.
 */
#include "vmm/qmp/schema.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define PATH_BYTES 256

/* A string with a NUL inside would mean something else to those who read it to the NUL. */
static bool is_string(struct json_object *value)
{
	return json_object_is_type(value, json_type_string) &&
	       strlen(json_object_get_string(value)) == (size_t)json_object_get_string_len(value);
}

static bool is_int(struct json_object *value)
{
	return json_object_is_type(value, json_type_int);
}

static bool is_bool(struct json_object *value)
{
	return json_object_is_type(value, json_type_boolean);
}

static const struct {
	const char *name;
	bool (*is)(struct json_object *value);
	const char *needed;
} builtins[] = {
	{"str", is_string, "a string"},
	{"int", is_int, "an integer"},
	{"bool", is_bool, "true or false"},
};

const struct qmp_type *qmp_find_type(const char *name)
{
	for (size_t i = 0; i < qmp_ntypes; i++) {
		if (!strcmp(qmp_types[i].name, name))
			return &qmp_types[i];
	}
	return NULL;
}

const struct qmp_command *qmp_find_command(const char *name)
{
	for (size_t i = 0; i < qmp_ncommands; i++) {
		if (!strcmp(qmp_commands[i].name, name))
			return &qmp_commands[i];
	}
	return NULL;
}

static int check_array(const char *type, struct json_object *value, const char *path,
		       struct err *err)
{
	char element[64], at[PATH_BYTES];
	int rc = 0;

	if (!json_object_is_type(value, json_type_array))
		return err_say(err, EINVAL, "'%s': an array is needed", path);
	(void)snprintf(element, sizeof(element), "%.*s", (int)strlen(type) - 2, type + 1);
	for (size_t i = 0; rc == 0 && i < json_object_array_length(value); i++) {
		(void)snprintf(at, sizeof(at), "%s[%zu]", path, i);
		rc = qmp_check(element, json_object_array_get_idx(value, i), at, err);
	}
	return rc;
}

static int check_enum(const struct qmp_type *type, struct json_object *value, const char *path,
		      struct err *err)
{
	char list[256] = "";

	if (!is_string(value))
		return err_say(err, EINVAL, "'%s': a string is needed", path);
	for (size_t i = 0; type->values[i]; i++) {
		size_t len = strlen(list);

		if (!strcmp(type->values[i], json_object_get_string(value)))
			return 0;
		(void)snprintf(list + len, sizeof(list) - len, "%s%s", i ? ", " : "",
			       type->values[i]);
	}
	return err_say(err, EINVAL, "'%s': '%.64s' is none of: %s", path,
		       json_object_get_string(value), list);
}

static const struct qmp_member *find_member(const struct qmp_type *type, const char *name)
{
	for (const struct qmp_member *m = type->members; m->name; m++) {
		if (!strcmp(m->name, name))
			return m;
	}
	return NULL;
}

static int check_object(const struct qmp_type *type, struct json_object *value, const char *path,
			struct err *err)
{
	char at[PATH_BYTES];

	if (!json_object_is_type(value, json_type_object))
		return err_say(err, EINVAL, "'%s': an object is needed", path);
	for (const struct qmp_member *m = type->members; m->name; m++) {
		if (!m->optional && !json_object_object_get_ex(value, m->name, NULL))
			return err_say(err, EINVAL, "'%s': '%s' is missing", path, m->name);
	}
	json_object_object_foreach(value, key, member)
	{
		const struct qmp_member *m = find_member(type, key);
		int rc;

		if (!m)
			return err_say(err, EINVAL, "'%s': there is no '%.64s'", path, key);
		(void)snprintf(at, sizeof(at), "%s.%s", path, key);
		rc = qmp_check(m->type, member, at, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

int qmp_check(const char *type, struct json_object *value, const char *path, struct err *err)
{
	static const struct qmp_member none[] = {{0}};
	static const struct qmp_type empty = {.name = "", .members = none};
	const struct qmp_type *named;

	if (!type)
		return check_object(&empty, value, path, err);
	if (!strcmp(type, "any"))
		return 0;
	if (type[0] == '[')
		return check_array(type, value, path, err);
	for (size_t i = 0; i < ARRAY_SIZE(builtins); i++) {
		if (strcmp(builtins[i].name, type) != 0)
			continue;
		if (!builtins[i].is(value))
			return err_say(err, EINVAL, "'%s': %s is needed", path, builtins[i].needed);
		return 0;
	}
	named = qmp_find_type(type);
	BUG_ON(!named);
	if (named->or_str)
		return is_string(value) ? 0 : qmp_check(named->or_str, value, path, err);
	return named->values ? check_enum(named, value, path, err)
			     : check_object(named, value, path, err);
}
