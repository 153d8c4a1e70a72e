/* Descriptors that came with a message (SCM_RIGHTS): into the sets of all clients, or under a name of this one's. */
#include "vmm/qmp/internal.h"

#include <errno.h>

static int received(struct qmp_call *call, int *out, struct err *err)
{
	int fd = qmp_fds_pop(qmp_client_fds(call->client));

	if (fd < 0)
		return err_say(err, EBADF,
			       "no descriptor came with the command: send one with its bytes "
			       "(SCM_RIGHTS)");
	*out = fd;
	return 0;
}

int qmp_add_fd(struct qmp_call *call, struct err *err)
{
	const struct fdset_fd *entry;
	int64_t set = qj_int(call->args, "fdset-id", -1);
	int fd = -1;
	int rc = received(call, &fd, err);

	if (rc < 0)
		return rc;
	/* -1 is "a new one" inside only. */
	if (qj_get(call->args, "fdset-id") && set < 0)
		set = INT64_MAX;
	rc = fdsets_add(&call->qmp->engine.backends->fdsets, set, fd, qj_str(call->args, "opaque"),
			&entry, err);
	if (rc < 0)
		return rc;
	call->ret = json_object_new_object();
	qj_put_int(call->ret, "fdset-id", entry->set);
	qj_put_int(call->ret, "fd", entry->fd);
	return 0;
}

int qmp_remove_fd(struct qmp_call *call, struct err *err)
{
	return fdsets_remove(&call->qmp->engine.backends->fdsets,
			     qj_int(call->args, "fdset-id", -1), qj_int(call->args, "fd", -1), err);
}

/* The list of the set's descriptors in `sets`, made when it is the first. */
static struct json_object *fds_of(struct json_object *sets, int64_t set)
{
	struct json_object *o;

	for (size_t i = 0; i < json_object_array_length(sets); i++) {
		o = json_object_array_get_idx(sets, i);
		if (qj_int(o, "fdset-id", -1) == set)
			return qj_get(o, "fds");
	}
	o = qj_append_object(sets);
	qj_put_int(o, "fdset-id", set);
	qj_put(o, "fds", json_object_new_array());
	return qj_get(o, "fds");
}

int qmp_query_fdsets(struct qmp_call *call, struct err *err UNUSED)
{
	const struct fdsets *sets = &call->qmp->engine.backends->fdsets;

	call->ret = json_object_new_array();
	for (size_t i = 0; i < sets->n; i++) {
		struct json_object *fd = qj_append_object(fds_of(call->ret, sets->fds[i].set));

		qj_put_int(fd, "fd", sets->fds[i].fd);
		if (sets->fds[i].opaque[0])
			qj_put_str(fd, "opaque", sets->fds[i].opaque);
	}
	return 0;
}

int qmp_getfd(struct qmp_call *call, struct err *err)
{
	int fd = -1;
	int rc = received(call, &fd, err);

	if (rc < 0)
		return rc;
	return qmp_fds_set_name(qmp_client_fds(call->client), qj_str(call->args, "fdname"), fd,
				err);
}

int qmp_closefd(struct qmp_call *call, struct err *err)
{
	const char *name = qj_str(call->args, "fdname");
	AUTO_FD int fd = qmp_fds_take_name(qmp_client_fds(call->client), name);

	if (fd < 0)
		return err_say(err, ENOENT, "no descriptor has the name '%.64s'", name);
	return 0;
}
