/* An operation on a container in flight: a create, an exec or a delete. */
#ifndef NACRE_RUNTIME_CONTAINER_CALL_H
#define NACRE_RUNTIME_CONTAINER_CALL_H

#include "base/err.h"
#include "runtime/container.h"

struct container_call {
	struct container *c; /* counted references */
	struct process *p;   /* NULL for a container's delete */
	process_fn fn;
	void *arg;
	struct err why; /* of a create that failed */
};

/* NULL: out of memory. */
struct container_call *container_call_new(struct container *c, struct process *p, process_fn fn,
					  void *arg);
/* Tells fn and frees the call. */
void container_call_end(struct container_call *call, const struct err *status);

/* Takes an exec out of its container's list. */
void container_forget_exec(struct process *p);

#endif
