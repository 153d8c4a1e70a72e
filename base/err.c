/* A struct err is filled by bounded formatting on the stack: no heap, so it works when memory has run out. */
#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

PRINTF_LIKE(4, 0)
static int vset(struct err *err, int code, bool with_reason, const char *fmt, va_list args)
{
	size_t used;
	int n;

	BUG_ON(code <= 0);
	if (!err)
		return -code;

	err->code = code;
	n = vsnprintf(err->text, sizeof(err->text), fmt, args);
	if (n < 0)
		err->text[0] = '\0';
	used = strlen(err->text);
	if (with_reason)
		(void)snprintf(err->text + used, sizeof(err->text) - used, ": %s", strerror(code));
	return -code;
}

int err_set(struct err *err, int code, const char *fmt, ...)
{
	va_list args;
	int ret;

	va_start(args, fmt);
	ret = vset(err, code, true, fmt, args);
	va_end(args);
	return ret;
}

int err_say(struct err *err, int code, const char *fmt, ...)
{
	va_list args;
	int ret;

	va_start(args, fmt);
	ret = vset(err, code, false, fmt, args);
	va_end(args);
	return ret;
}

int err_wrap(struct err *err, const char *fmt, ...)
{
	char inner[ERR_TEXT_BYTES];
	va_list args;
	size_t used;
	int n;

	if (!err)
		return -EIO;
	BUG_ON(err->code <= 0);

	(void)snprintf(inner, sizeof(inner), "%s", err->text);
	va_start(args, fmt);
	n = vsnprintf(err->text, sizeof(err->text), fmt, args);
	va_end(args);
	if (n < 0)
		err->text[0] = '\0';
	used = strlen(err->text);
	(void)snprintf(err->text + used, sizeof(err->text) - used, ": %s", inner);
	return -err->code;
}
