/* Signals as command lines write them: "TERM", "SIGTERM", "15", "RTMIN+3". */
#ifndef NACRE_RUNTIME_SIGNAL_NAMES_H
#define NACRE_RUNTIME_SIGNAL_NAMES_H

#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"

int signal_by_name(const char *word, uint32_t *out, struct err *err) MUST_CHECK;

#endif
