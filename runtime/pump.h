/*
 * Moves bytes one way between two descriptors in the event loop, through a fixed buffer: a standard stream's host end and
 * its vsock stream. It ends when the source has ended and all is written, or when the destination is gone; it then has
 * closed both ends, so that whoever waits for end of file sees it, and says so once.
 */
#ifndef NACRE_RUNTIME_PUMP_H
#define NACRE_RUNTIME_PUMP_H

#include "base/compiler.h"
#include "base/err.h"
#include "base/loop.h"

struct pump;

typedef void (*pump_done_fn)(void *arg);

/*
 * Owns both descriptors from success on. At least one must be pollable; neither may block, except regular files (they never
 * do) and sockets (which are read and written with MSG_DONTWAIT). SIGPIPE must be ignored.
 */
int pump_create(struct loop *loop, int from, int to, pump_done_fn on_done, void *arg,
		struct pump **out, struct err *err) MUST_CHECK;
/* NULL is fine; on_done is not called. May be called from on_done. */
void pump_destroy(struct pump *p);

#endif
