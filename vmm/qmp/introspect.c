/*
 * What the engine says about its own protocol, in QEMU's terms: query-qmp-schema lists every command and event, and all
 * types they mention. Names of types mean nothing by themselves; clients follow them.
 */
#include "vmm/qmp/internal.h"

#include <string.h>

/* The one that benchmarks compare with: clients choose their words by this number, and ours are those. */
#define QEMU_MAJOR 7
#define QEMU_MINOR 2
#define QEMU_MICRO 0

struct json_object *qmp_version(void)
{
	struct json_object *version = json_object_new_object();
	struct json_object *qemu = qj_put_object(version, "qemu");

	qj_put_int(qemu, "micro", QEMU_MICRO);
	qj_put_int(qemu, "minor", QEMU_MINOR);
	qj_put_int(qemu, "major", QEMU_MAJOR);
	qj_put_str(version, "package", "nacre-" NACRE_VERSION);
	return version;
}

int qmp_query_version(struct qmp_call *call, struct err *err UNUSED)
{
	call->ret = qmp_version();
	return 0;
}

int qmp_query_commands(struct qmp_call *call, struct err *err UNUSED)
{
	call->ret = json_object_new_array();
	for (size_t i = 0; i < qmp_ncommands; i++)
		qj_put_str(qj_append_object(call->ret), "name", qmp_commands[i].name);
	return 0;
}

int qmp_query_events(struct qmp_call *call, struct err *err UNUSED)
{
	call->ret = json_object_new_array();
	for (size_t i = 0; i < qmp_nevents; i++)
		qj_put_str(qj_append_object(call->ret), "name", qmp_events[i].name);
	return 0;
}

static struct json_object *entry(struct json_object *schema, const char *name, const char *meta)
{
	struct json_object *e = qj_append_object(schema);

	qj_put_str(e, "name", name);
	qj_put_str(e, "meta-type", meta);
	return e;
}

/* The empty object type is called "" here. */
#define EMPTY "Empty"

static void add_builtins(struct json_object *schema)
{
	static const char *const builtins[][2] = {
		{"str", "string"}, {"int", "int"}, {"bool", "boolean"}, {"any", "value"}};

	for (size_t i = 0; i < ARRAY_SIZE(builtins); i++)
		qj_put_str(entry(schema, builtins[i][0], "builtin"), "json-type", builtins[i][1]);
	qj_put(entry(schema, EMPTY, "object"), "members", json_object_new_array());
}

/* An array type is listed when it is first mentioned. */
static void mention(struct json_object *schema, const char *type)
{
	char element[64];

	if (!type || type[0] != '[')
		return;
	for (size_t i = 0; i < json_object_array_length(schema); i++) {
		if (!strcmp(qj_str(json_object_array_get_idx(schema, i), "name"), type))
			return;
	}
	(void)snprintf(element, sizeof(element), "%.*s", (int)strlen(type) - 2, type + 1);
	qj_put_str(entry(schema, type, "array"), "element-type", element);
}

static void add_object(struct json_object *schema, const struct qmp_type *type)
{
	struct json_object *members = json_object_new_array();

	for (const struct qmp_member *m = type->members; m->name; m++) {
		struct json_object *member = qj_append_object(members);

		qj_put_str(member, "name", m->name);
		qj_put_str(member, "type", m->type);
		/* null: optional, and its default is nobody's business. */
		if (m->optional)
			(void)json_object_object_add(member, "default", NULL);
		mention(schema, m->type);
	}
	qj_put(entry(schema, type->name, "object"), "members", members);
}

static void add_enum(struct json_object *schema, const struct qmp_type *type)
{
	struct json_object *members = json_object_new_array();
	struct json_object *values = json_object_new_array();
	struct json_object *e = entry(schema, type->name, "enum");

	for (size_t i = 0; type->values[i]; i++) {
		qj_put_str(qj_append_object(members), "name", type->values[i]);
		qj_append(values, json_object_new_string(type->values[i]));
	}
	qj_put(e, "members", members);
	qj_put(e, "values", values);
}

static void add_alternate(struct json_object *schema, const struct qmp_type *type)
{
	struct json_object *members = json_object_new_array();

	qj_put_str(qj_append_object(members), "type", type->or_str);
	qj_put_str(qj_append_object(members), "type", "str");
	qj_put(entry(schema, type->name, "alternate"), "members", members);
}

static void add_type(struct json_object *schema, const struct qmp_type *type)
{
	if (type->values)
		add_enum(schema, type);
	else if (type->or_str)
		add_alternate(schema, type);
	else
		add_object(schema, type);
}

int qmp_query_schema(struct qmp_call *call, struct err *err UNUSED)
{
	struct json_object *schema = json_object_new_array();

	call->ret = schema;
	add_builtins(schema);
	for (size_t i = 0; i < qmp_ntypes; i++)
		add_type(schema, &qmp_types[i]);
	for (size_t i = 0; i < qmp_ncommands; i++) {
		const struct qmp_command *c = &qmp_commands[i];
		struct json_object *e;

		mention(schema, c->ret);
		e = entry(schema, c->name, "command");
		qj_put_str(e, "arg-type", c->arg ? c->arg : EMPTY);
		qj_put_str(e, "ret-type", c->ret ? c->ret : EMPTY);
	}
	for (size_t i = 0; i < qmp_nevents; i++)
		qj_put_str(entry(schema, qmp_events[i].name, "event"), "arg-type",
			   qmp_events[i].data ? qmp_events[i].data : EMPTY);
	return 0;
}
