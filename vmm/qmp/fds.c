/* Two small arrays; see the header. */
#include "vmm/qmp/fds.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/own.h"

void qmp_fds_push(struct qmp_fds *fds, const int *received, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (fds->npending == QMP_FDS_PENDING)
			(void)close(qmp_fds_pop(fds));
		fds->pending[fds->npending++] = received[i];
	}
}

int qmp_fds_pop(struct qmp_fds *fds)
{
	int fd;

	if (fds->npending == 0)
		return -1;
	fd = fds->pending[0];
	fds->npending--;
	memmove(fds->pending, fds->pending + 1, fds->npending * sizeof(fds->pending[0]));
	return fd;
}

int qmp_fds_take_name(struct qmp_fds *fds, const char *name)
{
	for (size_t i = 0; i < fds->nnamed; i++) {
		int fd = fds->named[i].fd;

		if (strcmp(fds->named[i].name, name) != 0)
			continue;
		fds->named[i] = fds->named[--fds->nnamed];
		return fd;
	}
	return -1;
}

int qmp_fds_set_name(struct qmp_fds *fds, const char *name, int fd, struct err *err)
{
	AUTO_FD int owned = fd;
	AUTO_FD int former = -1;
	struct qmp_named_fd *entry;

	/* Digits are how a descriptor number is told from a name. */
	if (!*name || strlen(name) > QMP_FD_NAME_MAX || (*name >= '0' && *name <= '9'))
		return err_say(
			err, EINVAL,
			"'%.64s': a name of 1 to %d bytes is needed that begins with no digit",
			name, QMP_FD_NAME_MAX);
	former = qmp_fds_take_name(fds, name);
	if (fds->nnamed == QMP_FDS_NAMED)
		return err_say(err, EMFILE, "%d descriptors have names already: closefd frees one",
			       QMP_FDS_NAMED);
	entry = &fds->named[fds->nnamed++];
	(void)snprintf(entry->name, sizeof(entry->name), "%s", name);
	entry->fd = TAKE_FD(&owned);
	return 0;
}

void qmp_fds_done(struct qmp_fds *fds)
{
	for (size_t i = 0; i < fds->npending; i++)
		(void)close(fds->pending[i]);
	for (size_t i = 0; i < fds->nnamed; i++)
		(void)close(fds->named[i].fd);
	fds->npending = fds->nnamed = 0;
}
