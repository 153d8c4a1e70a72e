/* json-c's calls, shortened to what QMP needs of them. */
#include "vmm/qmp/json.h"

void qj_put(struct json_object *o, const char *key, struct json_object *value)
{
	if (value && json_object_object_add(o, key, value) < 0)
		(void)json_object_put(value);
}

void qj_put_str(struct json_object *o, const char *key, const char *value)
{
	qj_put(o, key, json_object_new_string(value));
}

void qj_put_int(struct json_object *o, const char *key, int64_t value)
{
	qj_put(o, key, json_object_new_int64(value));
}

void qj_put_bool(struct json_object *o, const char *key, bool value)
{
	qj_put(o, key, json_object_new_boolean(value));
}

void qj_append(struct json_object *array, struct json_object *value)
{
	if (value && json_object_array_add(array, value) < 0)
		(void)json_object_put(value);
}

struct json_object *qj_put_object(struct json_object *o, const char *key)
{
	struct json_object *value = json_object_new_object();

	qj_put(o, key, value);
	return qj_get(o, key);
}

struct json_object *qj_append_object(struct json_object *array)
{
	size_t n = json_object_array_length(array);

	qj_append(array, json_object_new_object());
	return json_object_array_get_idx(array, n);
}

struct json_object *qj_get(struct json_object *o, const char *key)
{
	struct json_object *value = NULL;

	(void)json_object_object_get_ex(o, key, &value);
	return value;
}

const char *qj_str(struct json_object *o, const char *key)
{
	struct json_object *value = qj_get(o, key);

	return value ? json_object_get_string(value) : NULL;
}

int64_t qj_int(struct json_object *o, const char *key, int64_t otherwise)
{
	struct json_object *value = qj_get(o, key);

	return value ? json_object_get_int64(value) : otherwise;
}

bool qj_bool(struct json_object *o, const char *key, bool otherwise)
{
	struct json_object *value = qj_get(o, key);

	return value ? json_object_get_boolean(value) : otherwise;
}
