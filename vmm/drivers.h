/* The names of devices that are asked for by other monitors' words, and what there is in their place. */
#ifndef NACRE_VMM_DRIVERS_H
#define NACRE_VMM_DRIVERS_H

#include "base/compiler.h"
#include "base/err.h"

/* -ENODEV with a sentence: what to ask for instead of `name`, where that is known. */
int driver_refuse(const char *name, struct err *err) MUST_CHECK;

#endif
