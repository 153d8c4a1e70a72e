/*
 * Typed reading of JSON trees (json-c) with errors that name the place: "process.user.uid: expected a number". A struct
 * json_at is one value and the path that led to it; the path is a chain of stack frames, so nothing is allocated unless
 * there is an error to print. A key that is absent or null gives a json_at whose `v` is NULL.
 */
#ifndef NACRE_CONFIG_JSON_H
#define NACRE_CONFIG_JSON_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"
#include "base/own.h"
#include "config/oci.h"

struct json_at {
	struct json_object *v;
	const struct json_at *parent; /* NULL: the root */
	const char *key;              /* of an object member; NULL: array element */
	size_t index;
};

static inline void own_json_put(struct json_object **v)
{
	(void)json_object_put(*v);
}

#define AUTO_JSON CLEANUP(own_json_put)

/*
 * Parses one JSON text. `comments`: C and C++ comments are allowed (configuration), else strict. Errors give line and
 * column of `what`.
 */
int json_parse(const char *text, size_t len, const char *what, bool comments,
	       struct json_object **out, struct err *err) MUST_CHECK;

struct json_at json_root(struct json_object *v);
struct json_at json_key(const struct json_at *at, const char *key);
struct json_at json_index(const struct json_at *at, size_t i);

/* err: "<path>: <text>". Returns -EINVAL. */
int json_err(const struct json_at *at, struct err *err, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* Each: absent leaves *out untouched; a value of another type or out of range is an error. */
int json_get_string(const struct json_at *at, char **out,
		    struct err *err) MUST_CHECK; /* replaces, frees the old */
int json_get_bool(const struct json_at *at, bool *out, struct err *err) MUST_CHECK;
int json_get_u64(const struct json_at *at, uint64_t max, uint64_t *out, struct err *err) MUST_CHECK;
int json_get_u32(const struct json_at *at, uint32_t *out, struct err *err) MUST_CHECK;
int json_get_i64(const struct json_at *at, int64_t *out, struct err *err) MUST_CHECK;
int json_get_strings(const struct json_at *at, struct oci_strings *out, struct err *err) MUST_CHECK;
/* An object of strings, in document order. */
int json_get_string_map(const struct json_at *at, struct oci_strings *keys,
			struct oci_strings *values, struct err *err) MUST_CHECK;

/* A member of an object that is a text, lent; "" when there is none. For words of a peer where all else is as good as none. */
const char *json_text(struct json_object *o, const char *key);

/* Is it an object (array)? Absent is fine: *present (*n) says so. */
int json_want_object(const struct json_at *at, bool *present, struct err *err) MUST_CHECK;
int json_want_array(const struct json_at *at, size_t *n, struct err *err) MUST_CHECK;

/* Appends a copy of s. */
int strings_add(struct oci_strings *list, const char *s) MUST_CHECK;
void strings_done(struct oci_strings *list);

/* 0, or -1 when `word` is not in the table (terminated by a NULL name). */
struct json_word {
	const char *name;
	int64_t value;
};
int json_word_find(const struct json_word *table, const char *word, int64_t *out) MUST_CHECK;

#endif
