/* Property lists, split and converted in place. */
#include "vmm/props.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>

#include "base/str.h"

char *props_next(char **text)
{
	char *start = *text;
	char *from = start;
	char *to = start;

	if (!start)
		return NULL;
	while (*from && (*from != ',' || from[1] == ',')) {
		if (*from == ',')
			from++;
		*to++ = *from++;
	}
	*text = *from == ',' ? from + 1 : NULL;
	*to = '\0';
	return start;
}

static int to_bool(const char *value, bool *out)
{
	if (!strcmp(value, "on"))
		*out = true;
	else if (!strcmp(value, "off"))
		*out = false;
	else
		return -EINVAL;
	return 0;
}

static int store(const struct prop *p, const char *value, void *out)
{
	void *field = (char *)out + p->offset;

	switch (p->type) {
	case PROP_STRING:
		*(const char **)field = value;
		return *value ? 0 : -EINVAL;
	case PROP_BOOL:
		return to_bool(value, field);
	case PROP_FD:
		return str_to_i64(value, 0, INT_MAX, field);
	case PROP_NUMBER:
		return str_to_i64(value, p->min, p->max, field);
	}
	return -EINVAL;
}

static const char *expected(enum prop_type type)
{
	switch (type) {
	case PROP_STRING:
		return "something not empty";
	case PROP_BOOL:
		return "on or off";
	case PROP_FD:
		return "the number of an open descriptor";
	case PROP_NUMBER:
		return "a number";
	}
	return "";
}

static int refuse_value(const struct prop *p, const char *value, const char *what, struct err *err)
{
	if (p->type == PROP_NUMBER)
		return err_say(err, EINVAL, "%s: %s=%s: a number from %lld to %lld is needed", what,
			       p->key, value, (long long)p->min, (long long)p->max);
	return err_say(err, EINVAL, "%s: %s=%s: %s is needed", what, p->key, value,
		       expected(p->type));
}

static const struct prop *find(const struct prop *props, size_t n, const char *key)
{
	for (size_t i = 0; i < n; i++) {
		if (!strcmp(props[i].key, key))
			return &props[i];
	}
	return NULL;
}

/* A key alone. */
static int store_flag(const struct prop *props, size_t n, const char *item, void *out)
{
	const struct prop *p = find(props, n, item);
	bool value = true;

	if (!p && str_starts(item, "no")) {
		p = find(props, n, item + 2);
		value = false;
	}
	if (!p || p->type != PROP_BOOL)
		return -EINVAL;
	*(bool *)((char *)out + p->offset) = value;
	return 0;
}

static int store_item(const struct prop *props, size_t n, const char *key, const char *value,
		      void *out, const char *what, struct err *err)
{
	const struct prop *p = find(props, n, key);

	if (!p)
		return err_say(err, EINVAL, "%s: no property '%s'", what, key);
	if (store(p, value, out) < 0)
		return refuse_value(p, value, what, err);
	return 0;
}

int props_parse(char *text, const char *implied, const struct prop *props, size_t n, void *out,
		const char *what, struct err *err)
{
	for (char *item = props_next(&text); item; item = props_next(&text)) {
		char *equals = strchr(item, '=');
		int rc = 0;

		if (equals) {
			*equals = '\0';
			rc = store_item(props, n, item, equals + 1, out, what, err);
		} else if (implied) {
			rc = store_item(props, n, implied, item, out, what, err);
		} else if (store_flag(props, n, item, out) < 0) {
			rc = err_say(err, EINVAL, "%s: '%s' is not of the form key=value", what,
				     item);
		}
		implied = NULL;
		if (rc < 0)
			return rc;
	}
	return 0;
}
