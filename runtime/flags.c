/* Command-line options by table. */
#include "runtime/flags.h"

#include <errno.h>
#include <string.h>

#define HELP_COLUMN 28

static bool takes_value(const struct flag_def *d)
{
	return d->kind == FLAG_STRING || d->kind == FLAG_IGNORED_STRING;
}

static const struct flag_def *find(const struct flag_def *defs, const char *name, size_t len)
{
	for (const struct flag_def *d = defs; d->name; d++) {
		if (len == 1 && d->letter && d->letter == *name)
			return d;
		if (strlen(d->name) == len && strncmp(d->name, name, len) == 0)
			return d;
	}
	return NULL;
}

static int set_flag(const struct flag_def *d, const char *value, struct err *err)
{
	bool on = true;

	if (value && (strcmp(value, "false") == 0 || strcmp(value, "0") == 0))
		on = false;
	else if (value && strcmp(value, "true") != 0 && strcmp(value, "1") != 0)
		return err_say(err, EINVAL, "option '--%s' is either true or false, not '%s'",
			       d->name, value);
	if (d->kind == FLAG_BOOL)
		*(bool *)d->to = on;
	return 0;
}

int flags_parse(int argc, char *const argv[], const struct flag_def *defs, int *next,
		struct err *err)
{
	int i = 1;

	for (; i < argc && argv[i][0] == '-' && argv[i][1]; i++) {
		const char *name = argv[i] + (argv[i][1] == '-' ? 2 : 1);

		if (!*name) {
			i++;
			break;
		}
		const char *equals = strchr(name, '=');
		size_t len = equals ? (size_t)(equals - name) : strlen(name);
		const struct flag_def *d = find(defs, name, len);
		const char *value = equals ? equals + 1 : NULL;

		if (!d)
			return err_say(err, EINVAL, "unknown option '%s'", argv[i]);
		if (!takes_value(d)) {
			int rc = set_flag(d, value, err);
			if (rc)
				return rc;
			continue;
		}
		if (!value && i + 1 >= argc)
			return err_say(err, EINVAL, "option '%s' needs a value", argv[i]);
		if (!value)
			value = argv[++i];
		if (d->kind == FLAG_STRING)
			*(const char **)d->to = value;
	}
	*next = i;
	return 0;
}

void flags_help(FILE *out, const struct flag_def *defs)
{
	for (const struct flag_def *d = defs; d->name; d++) {
		char left[96];

		if (!d->help)
			continue;
		int n = snprintf(left, sizeof(left), "  %c%c%s--%s%s%s", d->letter ? '-' : ' ',
				 d->letter ? d->letter : ' ', d->letter ? ", " : "  ", d->name,
				 takes_value(d) ? " " : "",
				 takes_value(d) && d->value_name ? d->value_name : "");
		(void)fprintf(out, "%-*s %s\n", n > HELP_COLUMN ? n : HELP_COLUMN, left, d->help);
	}
}
