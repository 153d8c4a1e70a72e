/*
 * Command-line options by table. Both habits in use are read: getopt's (-b DIR, --bundle DIR, --bundle=DIR) and Go's flag
 * package (-namespace NS). Options end at the first word that is none, or at "--". Help text comes from the same table.
 */
#ifndef NACRE_RUNTIME_FLAGS_H
#define NACRE_RUNTIME_FLAGS_H

#include <stdbool.h>
#include <stdio.h>

#include "base/compiler.h"
#include "base/err.h"

enum flag_kind {
	FLAG_BOOL,   /* `to` is a bool */
	FLAG_STRING, /* `to` is a const char *, which will point into argv */
	FLAG_IGNORED_BOOL,
	FLAG_IGNORED_STRING,
};

struct flag_def {
	const char *name; /* NULL ends the table */
	char letter;      /* 0: none */
	enum flag_kind kind;
	void *to;
	const char *value_name; /* for the help */
	const char *help;
};

/* *next: the index in argv of the first word that is no option. argv[0] is skipped. */
int flags_parse(int argc, char *const argv[], const struct flag_def *defs, int *next,
		struct err *err) MUST_CHECK;

void flags_help(FILE *out, const struct flag_def *defs);

#endif
