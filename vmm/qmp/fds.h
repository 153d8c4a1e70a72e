/*
 * Descriptors that came to us over QMP. Those of a client: first a queue in the order of arrival, then, by getfd, names.
 * Those of everybody: sets, which file names of the form /dev/fdset/N open.
 */
#ifndef NACRE_VMM_QMP_FDS_H
#define NACRE_VMM_QMP_FDS_H

#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"

#define QMP_FDS_PENDING 16
#define QMP_FDS_NAMED   64
#define QMP_FD_NAME_MAX 63

struct qmp_named_fd {
	char name[QMP_FD_NAME_MAX + 1];
	int fd;
};

/* All zeros is empty. */
struct qmp_fds {
	int pending[QMP_FDS_PENDING];
	size_t npending;
	struct qmp_named_fd named[QMP_FDS_NAMED];
	size_t nnamed;
};

void qmp_fds_done(struct qmp_fds *fds);

/* They came with a message; the oldest are closed when nobody has asked for them. */
void qmp_fds_push(struct qmp_fds *fds, const int *received, size_t n);
/* The oldest; -1: none. The caller's. */
int qmp_fds_pop(struct qmp_fds *fds);

/* Takes `fd`, also on failure. A descriptor that had the name is closed. */
int qmp_fds_set_name(struct qmp_fds *fds, const char *name, int fd, struct err *err) MUST_CHECK;
/* The caller's; -1: none has the name. */
int qmp_fds_take_name(struct qmp_fds *fds, const char *name);

#endif
