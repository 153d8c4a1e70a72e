/* The end of the line for errors of the third kind: we are wrong (docs/style.md, rule 14). */
#include <stdio.h>
#include <stdlib.h>

#include "base/compiler.h"

void bug_at(const char *cond, const char *file, int line)
{
	(void)fprintf(stderr, "nacre: bug: %s at %s:%d\n", cond, file, line);
	abort();
}
