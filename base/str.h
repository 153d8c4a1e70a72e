/* Strings: formatted allocation, a growing buffer, and strict number parsing. */
#ifndef NACRE_BASE_STR_H
#define NACRE_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

/* Allocated by malloc, NULL when out of memory. The caller frees. */
char *str_printf(const char *fmt, ...) PRINTF_LIKE(1, 2) MUST_CHECK;

bool str_starts(const char *s, const char *prefix);
bool str_ends(const char *s, const char *suffix);

/* Whole-string decimal; 0, or -EINVAL (not a number), -ERANGE (outside [min,max]). Output untouched on failure. */
int str_to_u64(const char *s, uint64_t min, uint64_t max, uint64_t *out) MUST_CHECK;
int str_to_i64(const char *s, int64_t min, int64_t max, int64_t *out) MUST_CHECK;

/* A byte buffer that grows up to `max_bytes`; data is always NUL-terminated after the first append. */
struct strbuf {
	char *data;
	size_t len;
	size_t cap;
	size_t max_bytes; /* 0: 16 MiB */
};

#define STRBUF_INIT                                                                                \
	{                                                                                          \
		0                                                                                  \
	}

/* 0, -ENOMEM, or -EMSGSIZE past max_bytes (buffer unchanged). */
int strbuf_add(struct strbuf *b, const void *data, size_t len) MUST_CHECK;
int strbuf_addf(struct strbuf *b, const char *fmt, ...) PRINTF_LIKE(2, 3) MUST_CHECK;
void strbuf_done(struct strbuf *b);

#define AUTO_STRBUF CLEANUP(strbuf_done)

/* Words of a stranger, for a line on somebody's terminal: what is not printable ASCII becomes '?'. */
void str_make_harmless(char *text);

#endif
