/*
 * The one description of QMP as this engine speaks it: types, commands and events as tables, in the terms of QEMU's
 * introspection (docs/devel/qapi-code-gen of QEMU). Argument checks, query-commands, query-events, query-qmp-schema and the
 * test of the manual page all read it, so none can say what another does not know.
 *
 * A type is named: "str", "int", "bool", "any", a name from the table, or "[X]", an array of X. One in the table has members,
 * or values, or is an alternative.
 */
#ifndef NACRE_VMM_QMP_SCHEMA_H
#define NACRE_VMM_QMP_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>

#include <json-c/json.h>

#include "base/compiler.h"
#include "base/err.h"

struct qmp_call;

struct qmp_member {
	const char *name; /* NULL ends a list */
	const char *type;
	bool optional;
};

struct qmp_type {
	const char *name;
	const struct qmp_member *members; /* an object's */
	const char *const *values;        /* an enumeration's, ended by NULL */
	const char *or_str; /* an alternative's: an object of that type, or a string */
};

/* On failure nothing has changed, and `err` says what the caller can do about it. */
typedef int (*qmp_handler)(struct qmp_call *call, struct err *err);

struct qmp_command {
	const char *name;
	const char *arg; /* an object type; NULL: no arguments */
	const char *ret; /* NULL: {} */
	qmp_handler handler;
};

struct qmp_event {
	const char *name;
	const char *data; /* an object type; NULL: none */
	unsigned int
		limit_ms; /* at most one in that time, the newest: for what a guest can cause at will; 0: all */
};

extern const struct qmp_type qmp_types[];
extern const size_t qmp_ntypes;
extern const struct qmp_command qmp_commands[];
extern const size_t qmp_ncommands;
extern const struct qmp_event qmp_events[];
extern const size_t qmp_nevents;

const struct qmp_type *qmp_find_type(const char *name);
const struct qmp_command *qmp_find_command(const char *name);

/*
 * Is `value` of type `type`? An object has all members that are not optional and no others. `path` names the value in
 * messages. `type` NULL is the object without members.
 */
int qmp_check(const char *type, struct json_object *value, const char *path,
	      struct err *err) MUST_CHECK;

#endif
