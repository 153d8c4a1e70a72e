/* Strings. Number parsing is strict: the whole string, decimal, in range, or an error. */
#include "base/str.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STRBUF_DEFAULT_MAX ((size_t)16 << 20)
#define STRBUF_FIRST_CAP   ((size_t)256)

char *str_printf(const char *fmt, ...)
{
	char *out = NULL;
	va_list args;
	int n;

	va_start(args, fmt);
	n = vasprintf(&out, fmt, args);
	va_end(args);
	return n < 0 ? NULL : out;
}

bool str_starts(const char *s, const char *prefix)
{
	return strncmp(s, prefix, strlen(prefix)) == 0;
}

bool str_ends(const char *s, const char *suffix)
{
	size_t n = strlen(s), m = strlen(suffix);

	return n >= m && strcmp(s + n - m, suffix) == 0;
}

int str_to_u64(const char *s, uint64_t min, uint64_t max, uint64_t *out)
{
	uint64_t value = 0;

	if (*s == '\0')
		return -EINVAL;
	for (; *s; s++) {
		if (*s < '0' || *s > '9')
			return -EINVAL;
		if (__builtin_mul_overflow(value, 10u, &value) ||
		    __builtin_add_overflow(value, (uint64_t)(*s - '0'), &value))
			return -ERANGE;
	}
	if (value < min || value > max)
		return -ERANGE;
	*out = value;
	return 0;
}

int str_to_i64(const char *s, int64_t min, int64_t max, int64_t *out)
{
	bool negative = *s == '-';
	uint64_t magnitude;
	int64_t value;
	int ret;

	ret = str_to_u64(s + (negative ? 1 : 0), 0, (uint64_t)INT64_MAX + (negative ? 1 : 0),
			 &magnitude);
	if (ret < 0)
		return ret;
	value = negative ? (int64_t)(0 - magnitude) : (int64_t)magnitude;
	if (value < min || value > max)
		return -ERANGE;
	*out = value;
	return 0;
}

/* Makes room for `more` bytes and a NUL. */
static int strbuf_reserve(struct strbuf *b, size_t more)
{
	size_t max = b->max_bytes ? b->max_bytes : STRBUF_DEFAULT_MAX;
	size_t need, cap;
	char *data;

	if (more > max - b->len)
		return -EMSGSIZE;
	need = b->len + more + 1;
	if (need <= b->cap)
		return 0;

	cap = b->cap ? b->cap : STRBUF_FIRST_CAP;
	while (cap < need)
		cap *= 2;
	data = realloc(b->data, cap);
	if (!data)
		return -ENOMEM;
	b->data = data;
	b->cap = cap;
	return 0;
}

int strbuf_add(struct strbuf *b, const void *data, size_t len)
{
	int ret = strbuf_reserve(b, len);

	if (ret < 0)
		return ret;
	if (len > 0)
		memcpy(b->data + b->len, data, len);
	b->len += len;
	b->data[b->len] = '\0';
	return 0;
}

int strbuf_addf(struct strbuf *b, const char *fmt, ...)
{
	char *text = NULL;
	va_list args;
	int n, ret;

	va_start(args, fmt);
	n = vasprintf(&text, fmt, args);
	va_end(args);
	if (n < 0)
		return -ENOMEM;
	ret = strbuf_add(b, text, (size_t)n);
	free(text);
	return ret;
}

void strbuf_done(struct strbuf *b)
{
	int saved = errno;

	free(b->data);
	b->data = NULL;
	b->len = 0;
	b->cap = 0;
	errno = saved;
}

void str_make_harmless(char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < 0x20 || (unsigned char)*text >= 0x7f)
			*text = '?';
}
