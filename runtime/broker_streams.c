/* The broker's sockets and files: ends of standard streams, connections to the vmm and to containerd, the record of the start. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/own.h"
#include "base/path.h"
#include "base/str.h"
#include "runtime/broker_state.h"
#include "runtime/start_record.h"
#include "runtime/state_dir.h"
#include "runtime/stdio_host.h"
#include "runtime/unix_socket.h"

static void give(struct broker_deed *d, int fd)
{
	if (fd >= 0)
		d->given[d->ngiven++] = fd;
}

/*
 * A directory that had a log file before the seal. A pod may have it, or one above it, among its volumes: the name might lead
 * elsewhere by now.
 */
struct broker_log_dir {
	char *path; /* with its '/' */
	int fd;
	struct broker_log_dir *next;
};

void broker_drop_log_dirs(struct broker_state *s)
{
	while (s->log_dirs) {
		struct broker_log_dir *d = TAKE_PTR(&s->log_dirs);

		s->log_dirs = d->next;
		own_close(&d->fd);
		free(d->path);
		free(d);
	}
}

static const char *leaf_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static struct broker_log_dir *find_log_dir(const struct broker_state *s, const char *path)
{
	const size_t len = strlen(path) - strlen(leaf_of(path));

	for (struct broker_log_dir *d = s->log_dirs; d; d = d->next)
		if (strlen(d->path) == len && strncmp(d->path, path, len) == 0)
			return d;
	return NULL;
}

static int hold_log_dir(struct broker_state *s, const char *path, struct err *err)
{
	AUTO_FREE char *dir = strndup(path, strlen(path) - strlen(leaf_of(path)));
	AUTO_FD int fd = dir ? open(*dir ? dir : ".", O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
	struct broker_log_dir *d = NULL;

	if (find_log_dir(s, path))
		return 0;
	if (dir && fd < 0)
		return err_set(err, errno, "open '%s'", dir);
	d = dir ? malloc(sizeof(*d)) : NULL;
	if (!d)
		return err_set(err, ENOMEM, "hold the directory of '%s'", path);
	*d = (struct broker_log_dir){TAKE_PTR(&dir), TAKE_FD(&fd), s->log_dirs};
	s->log_dirs = d;
	return 0;
}

static int open_log(struct broker_state *s, const char *name, const char *path,
		    struct stdio_host *h, struct err *err)
{
	int rc = broker_policy_log(&s->policy, path, err);

	if (rc)
		return rc;
	if (s->policy.sealed) {
		const struct broker_log_dir *d = find_log_dir(s, path);

		return d ? stdio_host_open_log(d->fd, leaf_of(path), h, err)
			 : err_say(err, EPERM, "log file '%s' is refused", path);
	}
	rc = stdio_host_open(name, false, h, err);
	if (!rc)
		rc = hold_log_dir(s, path, err);
	if (rc)
		stdio_host_close(h);
	return rc;
}

int broker_do_open_stream(struct broker_state *s, struct broker_deed *d, struct err *err)
{
	struct stdio_host h = STDIO_HOST_INIT;
	const char *name = d->request->texts[0];
	const bool input = d->request->value != 0;
	AUTO_FREE char *log = input ? NULL : stdio_host_log_path(name);
	int rc = log ? open_log(s, name, log, &h, err) : stdio_host_open(name, input, &h, err);

	if (rc)
		return rc;
	give(d, h.fd);
	give(d, h.keep);
	return 0;
}

static int connect_to(const char *path, struct broker_deed *d, struct err *err)
{
	int fd = -1;
	int rc = unix_connect(path, SOCK_NONBLOCK, &fd, err);

	give(d, fd);
	return rc;
}

int broker_do_connect_guest(struct broker_state *s, struct broker_deed *d, struct err *err)
{
	AUTO_FREE char *path = str_printf("%s/%s", s->state_dir, STATE_VSOCK_SOCK);

	return path ? connect_to(path, d, err) : err_set(err, ENOMEM, "open a stream");
}

int broker_do_connect_events(struct broker_state *s, struct broker_deed *d, struct err *err)
{
	if (!*s->events)
		return err_say(err, ENOTCONN, "nobody listens to events");
	return connect_to(s->events, d, err);
}

int broker_do_record(struct broker_state *s, struct broker_deed *d, struct err *err)
{
	const char *text = d->request->texts[0];
	const size_t len = strlen(text);
	AUTO_FREE char *path = str_printf("%s/%s", s->state_dir, START_RECORD_FILE);

	if (s->recorded || len > START_RECORD_MAX_BYTES)
		return err_say(err, EPERM, "a start is recorded once, in %d bytes",
			       START_RECORD_MAX_BYTES);
	if (!path)
		return err_set(err, ENOMEM, "write the record of the start");
	s->recorded = true;
	return path_write_atomic(AT_FDCWD, path, text, len, 0600, err);
}
