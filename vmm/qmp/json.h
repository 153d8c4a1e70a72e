/*
 * Building replies and reading checked arguments. Readers are called after qmp_check has said that the types fit. A
 * value that memory does not suffice for is left out.
 */
#ifndef NACRE_VMM_QMP_JSON_H
#define NACRE_VMM_QMP_JSON_H

#include <stdbool.h>
#include <stdint.h>

#include <json-c/json.h>

#include "base/compiler.h"
#include "base/own.h"

static inline void own_json(struct json_object **v)
{
	(void)json_object_put(*v);
	*v = NULL;
}
#define AUTO_JSON CLEANUP(own_json)

/* Each puts `value` under `key`. */
void qj_put(struct json_object *o, const char *key, struct json_object *value); /* takes value */
void qj_put_str(struct json_object *o, const char *key, const char *value);
void qj_put_int(struct json_object *o, const char *key, int64_t value);
void qj_put_bool(struct json_object *o, const char *key, bool value);
/* Takes value. */
void qj_append(struct json_object *array, struct json_object *value);
/* Puts a new object under `key` (or at the end of an array) and lends it. */
struct json_object *qj_put_object(struct json_object *o, const char *key);
struct json_object *qj_append_object(struct json_object *array);

/* Absent: NULL, `otherwise`, false. Strings are lent. */
const char *qj_str(struct json_object *o, const char *key);
int64_t qj_int(struct json_object *o, const char *key, int64_t otherwise);
bool qj_bool(struct json_object *o, const char *key, bool otherwise);
struct json_object *qj_get(struct json_object *o, const char *key);

#endif
