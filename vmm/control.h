/*
 * The engine as a whole: the machine, who controls it (QMP, the monitor, signals), and how its life goes from the command
 * line to its end. Threads: the main one.
 */
#ifndef NACRE_VMM_CONTROL_H
#define NACRE_VMM_CONTROL_H

#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"
#include "base/own.h"
#include "vmm/options.h"

struct control;

/* Opens what the options name and builds the machine. `exec_us`: when the program began. `options` outlives it. */
int control_create(const struct options *options, uint64_t exec_us, struct control **out,
		   struct err *err) MUST_CHECK;
/*
 * Runs the guest to its end, of which QMP's clients are told. *status is the program's exit status then; an error is for
 * what did not even start.
 */
int control_run(struct control *control, int *status, struct err *err) MUST_CHECK;
/* NULL and half-built ones are fine. */
void control_destroy(struct control *control);
DEFINE_OWNER(control_destroy, struct control)

#endif
