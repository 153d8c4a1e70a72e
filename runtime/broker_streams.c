/* The broker's sockets and files: ends of standard streams, connections to the vmm and to containerd, the record of the start. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>

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

int broker_do_open_stream(struct broker_state *s, struct broker_deed *d, struct err *err)
{
	struct stdio_host h = STDIO_HOST_INIT;
	const char *name = d->request->texts[0];
	AUTO_FREE char *log = stdio_host_log_path(name);
	int rc = log ? broker_policy_log(&s->policy, log, err) : 0;

	if (!rc)
		rc = stdio_host_open(name, d->request->value != 0, &h, err);
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
