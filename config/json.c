/* json-c does the parsing; here are the types, the ranges and the words of the errors. */
#include "config/json.h"

#include <limits.h>
#include <stdarg.h>
#include <string.h>

#include "base/str.h"

#define JSON_MAX_DEPTH 64

/* Line and column of byte `offset`, both counted from 1. */
static void place_of(const char *text, size_t offset, size_t *line, size_t *column)
{
	*line = 1;
	*column = 1;
	for (size_t i = 0; i < offset; i++) {
		if (text[i] == '\n') {
			(*line)++;
			*column = 1;
		} else {
			(*column)++;
		}
	}
}

static int parse_error(struct json_tokener *tok, const char *text, size_t len, const char *what,
		       struct err *err)
{
	enum json_tokener_error code = json_tokener_get_error(tok);
	size_t end = json_tokener_get_parse_end(tok), line, column;
	const char *why = code == json_tokener_continue ? "the text ends too early"
							: json_tokener_error_desc(code);

	place_of(text, end < len ? end : len, &line, &column);
	return err_say(err, EINVAL, "'%s' is not valid JSON: line %zu, column %zu: %s", what, line,
		       column, why);
}

/* The first byte at or after `at` that is neither white space nor, where they are allowed, part of a comment. */
static size_t skip_blank(const char *text, size_t len, size_t at, bool comments)
{
	while (at < len) {
		const char *end;

		if (text[at] && strchr(" \t\r\n", text[at])) {
			at++;
			continue;
		}
		if (!comments || len - at < 2 || text[at] != '/')
			break;
		if (text[at + 1] == '/')
			end = memchr(text + at, '\n', len - at);
		else if (text[at + 1] == '*')
			end = memmem(text + at + 2, len - at - 2, "*/", 2);
		else
			break;
		if (!end)
			return text[at + 1] == '/' ? len : at;
		at = (size_t)(end - text) + (*end == '*' ? 2 : 1);
	}
	return at;
}

int json_parse(const char *text, size_t len, const char *what, bool comments,
	       struct json_object **out, struct err *err)
{
	AUTO_JSON struct json_object *v = NULL;
	struct json_tokener *tok;
	size_t end, line, column;
	int ret = 0;

	if (len > INT_MAX)
		return err_say(err, EFBIG, "'%s' is too large", what);
	tok = json_tokener_new_ex(JSON_MAX_DEPTH);
	if (!tok)
		return err_set(err, ENOMEM, "parse '%s'", what);
	json_tokener_set_flags(
		tok,
		JSON_TOKENER_VALIDATE_UTF8 |
			(comments ? 0 : JSON_TOKENER_STRICT | JSON_TOKENER_ALLOW_TRAILING_CHARS));
	v = json_tokener_parse_ex(tok, text, (int)len);
	if (json_tokener_get_error(tok) != json_tokener_success)
		ret = parse_error(tok, text, len, what, err);
	end = skip_blank(text, len, json_tokener_get_parse_end(tok), comments);
	json_tokener_free(tok);
	if (ret == 0 && end < len) {
		place_of(text, end, &line, &column);
		ret = err_say(err, EINVAL,
			      "'%s' is not valid JSON: line %zu, column %zu: something follows the "
			      "value",
			      what, line, column);
	}
	if (ret == 0)
		*out = TAKE_PTR(&v);
	return ret;
}

struct json_at json_root(struct json_object *v)
{
	return (struct json_at){.v = v};
}

struct json_at json_key(const struct json_at *at, const char *key)
{
	struct json_at child = {.parent = at, .key = key};

	if (at->v && json_object_is_type(at->v, json_type_object))
		(void)json_object_object_get_ex(at->v, key, &child.v);
	return child;
}

struct json_at json_index(const struct json_at *at, size_t i)
{
	return (struct json_at){.v = json_object_array_get_idx(at->v, i), .parent = at, .index = i};
}

static void path_text(const struct json_at *at, char *out, size_t cap)
{
	size_t used;

	if (!at->parent) {
		out[0] = '\0';
		return;
	}
	path_text(at->parent, out, cap);
	used = strlen(out);
	if (at->key)
		(void)snprintf(out + used, cap - used, "%s%s", used ? "." : "", at->key);
	else
		(void)snprintf(out + used, cap - used, "[%zu]", at->index);
}

int json_err(const struct json_at *at, struct err *err, const char *fmt, ...)
{
	char path[256], text[512];
	va_list args;

	path_text(at, path, sizeof(path));
	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	return err_say(err, EINVAL, "%s: %s", path[0] ? path : "the top level", text);
}

static bool is(const struct json_at *at, enum json_type type)
{
	return json_object_is_type(at->v, type);
}

int json_get_string(const struct json_at *at, char **out, struct err *err)
{
	char *copy;

	if (!at->v)
		return 0;
	if (!is(at, json_type_string))
		return json_err(at, err, "expected a string");
	/* what follows a NUL would be seen by nobody: refuse rather than cut */
	if (strlen(json_object_get_string(at->v)) != (size_t)json_object_get_string_len(at->v))
		return json_err(at, err, "holds a NUL byte");
	copy = strdup(json_object_get_string(at->v));
	if (!copy)
		return err_set(err, ENOMEM, "copy a string");
	free(*out);
	*out = copy;
	return 0;
}

const char *json_text(struct json_object *o, const char *key)
{
	struct json_object *v = NULL;

	if (!json_object_object_get_ex(o, key, &v) || !json_object_is_type(v, json_type_string))
		return "";
	return json_object_get_string(v);
}

int json_get_bool(const struct json_at *at, bool *out, struct err *err)
{
	if (!at->v)
		return 0;
	if (!is(at, json_type_boolean))
		return json_err(at, err, "expected true or false");
	*out = json_object_get_boolean(at->v);
	return 0;
}

int json_get_u64(const struct json_at *at, uint64_t max, uint64_t *out, struct err *err)
{
	if (!at->v)
		return 0;
	if (!is(at, json_type_int))
		return json_err(at, err, "expected a whole number");
	/* json-c clamps; a negative number is caught by its signed reading */
	if (json_object_get_int64(at->v) < 0 || json_object_get_uint64(at->v) > max)
		return json_err(at, err, "expected a number from 0 to %llu",
				(unsigned long long)max);
	*out = json_object_get_uint64(at->v);
	return 0;
}

int json_get_u32(const struct json_at *at, uint32_t *out, struct err *err)
{
	uint64_t value = *out;
	int ret = json_get_u64(at, UINT32_MAX, &value, err);

	if (ret == 0)
		*out = (uint32_t)value;
	return ret;
}

int json_get_i64(const struct json_at *at, int64_t *out, struct err *err)
{
	if (!at->v)
		return 0;
	if (!is(at, json_type_int))
		return json_err(at, err, "expected a whole number");
	*out = json_object_get_int64(at->v);
	return 0;
}

int strings_add(struct oci_strings *list, const char *s)
{
	char **v = reallocarray(list->v, list->n + 2, sizeof(*v));

	if (!v)
		return -ENOMEM;
	list->v = v;
	v[list->n] = strdup(s);
	if (!v[list->n])
		return -ENOMEM;
	v[++list->n] = NULL;
	return 0;
}

void strings_done(struct oci_strings *list)
{
	for (size_t i = 0; i < list->n; i++)
		free(list->v[i]);
	free(list->v);
	list->v = NULL;
	list->n = 0;
}

int json_get_strings(const struct json_at *at, struct oci_strings *out, struct err *err)
{
	size_t n;
	int ret = json_want_array(at, &n, err);

	for (size_t i = 0; ret == 0 && i < n; i++) {
		struct json_at item = json_index(at, i);
		AUTO_FREE char *s = NULL;

		if (!item.v)
			return json_err(&item, err, "expected a string");
		ret = json_get_string(&item, &s, err);
		if (ret == 0 && strings_add(out, s) < 0)
			ret = err_set(err, ENOMEM, "copy a string");
	}
	return ret;
}

int json_get_string_map(const struct json_at *at, struct oci_strings *keys,
			struct oci_strings *values, struct err *err)
{
	bool present;
	int ret = json_want_object(at, &present, err);

	if (ret < 0 || !present)
		return ret;
	json_object_object_foreach(at->v, key, value)
	{
		struct json_at item = {.v = value, .parent = at, .key = key};
		AUTO_FREE char *s = NULL;

		if (!value)
			return json_err(&item, err, "expected a string");
		ret = json_get_string(&item, &s, err);
		if (ret < 0)
			return ret;
		if (strings_add(keys, key) < 0 || strings_add(values, s) < 0)
			return err_set(err, ENOMEM, "copy a string");
	}
	return 0;
}

int json_want_object(const struct json_at *at, bool *present, struct err *err)
{
	*present = at->v != NULL;
	if (at->v && !is(at, json_type_object))
		return json_err(at, err, "expected an object");
	return 0;
}

int json_want_array(const struct json_at *at, size_t *n, struct err *err)
{
	*n = 0;
	if (!at->v)
		return 0;
	if (!is(at, json_type_array))
		return json_err(at, err, "expected a list");
	*n = json_object_array_length(at->v);
	return 0;
}

int json_word_find(const struct json_word *table, const char *word, int64_t *out)
{
	for (; table->name; table++) {
		if (strcmp(table->name, word) == 0) {
			*out = table->value;
			return 0;
		}
	}
	return -1;
}
