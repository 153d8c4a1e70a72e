/*
 * Errors of the first kind (docs/style.md, rule 12): the host failed us, or the user asked for what cannot be.
 * A struct err is a plain value, no heap: it survives OOM and seccomp and travels over a pipe. It is filled where
 * the failure is seen, wrapped on the way up, and printed once, at the edge.
 *
 *	if (fd < 0)
 *		return err_set(err, errno, "open '%s'", path);
 *
 * Each function below returns the negative errno it recorded, so that `return err_set(...)` is the whole line.
 */
#ifndef NACRE_BASE_ERR_H
#define NACRE_BASE_ERR_H

#include <stdbool.h>

#include "base/compiler.h"

#define ERR_TEXT_BYTES 1024

struct err {
	int code; /* errno value, positive; 0: no error recorded */
	char text[ERR_TEXT_BYTES];
};

#define ERR_INIT                                                                                   \
	{                                                                                          \
		.code = 0, .text = { 0 }                                                           \
	}

/* Records `code` (positive errno) with "<text>: <strerror>". `err` may be NULL. Returns -code. */
int err_set(struct err *err, int code, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* As err_set, but the text is the whole sentence: nothing is appended. Used where errno would not help. */
int err_say(struct err *err, int code, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* Puts "<text>: " in front of what is recorded and returns -err->code. For context on the way up. */
int err_wrap(struct err *err, const char *fmt, ...) PRINTF_LIKE(2, 3);

#endif
