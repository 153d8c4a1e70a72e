/*
 * "kind,key=value,key=value" as QEMU's options have it: a table names the keys, their types and where in a struct they go.
 * ",," stands for a comma inside a value. A key given twice counts the last time.
 */
#ifndef NACRE_VMM_PROPS_H
#define NACRE_VMM_PROPS_H

#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"

enum prop_type {
	PROP_STRING, /* const char *, into the text that was parsed */
	PROP_BOOL,   /* bool: on, off */
	PROP_FD,     /* int64_t: 0 or more */
	PROP_NUMBER, /* int64_t: min..max */
};

struct prop {
	const char *key;
	enum prop_type type;
	size_t offset; /* in the struct */
	int64_t min, max;
};

/* Cuts the first element off `*text`, which moves behind it (NULL at the end). Unescapes in place. */
char *props_next(char **text);

/*
 * `text` into `out`. `what` begins the messages ("-device virtio-fs-device"). A first element without a key is the value of
 * `implied` (NULL: there is none). A truth value may be given by its key alone: "server" is server=on, "nowait" is wait=off.
 */
int props_parse(char *text, const char *implied, const struct prop *props, size_t n, void *out,
		const char *what, struct err *err) MUST_CHECK;

#endif
