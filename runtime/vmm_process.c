/*
 * Starts a vmm and follows it. Three streams come back: the guest's console and the vmm's own messages into rings of their last
 * lines, and QMP. None of it is trusted: all is bounded, and beyond the log and the words of an error it can only ask for
 * what the guest could do by itself.
 */
#include "runtime/vmm_process.h"

#include <errno.h>
#include <stddef.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/log.h"
#include "base/spawn.h"
#include "base/str.h"
#include "config/json.h"
#include "runtime/console_ring.h"
#include "runtime/vmm_command.h"

#define VMM_NAMESPACES (CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS)

#define READ_OUT_MAX_READS 64
#define GREETING_MS        30000
#define HEARD_MS           10000
#define LINGER_MS          2000 /* from its hanging up to its end */

struct feed {
	int fd;
	struct loop_source *src;
	struct console_ring ring;
};

struct vmm_process {
	pid_t pid; /* 0 once reaped */
	struct loop_source *child;
	struct feed console, messages;
	struct qmp_client *qmp;
	struct loop_source *linger;
	struct log_limit limit;
	char reason[160]; /* the vmm's words for the guest's end */
	char fault[256];  /* why we end it */
	struct vmm_params p;
};

static void feed_close(struct feed *f)
{
	loop_remove(f->src);
	f->src = NULL;
	own_close(&f->fd);
}

/* By its pidfd: kill(2) is not on the monitor's list, since it reaches anybody. */
void vmm_kill(struct vmm_process *v)
{
	loop_kill_child(v->child);
}

void vmm_destroy(struct vmm_process *v)
{
	if (!v)
		return;
	if (v->pid > 0) {
		vmm_kill(v);
		while (waitpid(v->pid, NULL, 0) < 0 && errno == EINTR)
			;
		loop_remove(v->child);
	}
	feed_close(&v->console);
	feed_close(&v->messages);
	loop_remove(v->linger);
	qmp_client_destroy(v->qmp);
	free(v);
}

struct qmp_client *vmm_qmp(const struct vmm_process *v)
{
	return v->qmp;
}

pid_t vmm_pid(const struct vmm_process *v)
{
	return v->pid;
}

void vmm_quote_console(const struct vmm_process *v, char *out, size_t size)
{
	const char *line = NULL;

	for (unsigned int n = 0; (line = console_ring_line(&v->console.ring, n)) != NULL; n++)
		log_error("guest console: %s", line);
	console_ring_quote(&v->console.ring, out, size);
}

static void on_feed(void *arg, int fd, uint32_t events)
{
	struct feed *f = arg;
	char buf[4096];
	ssize_t n = read(fd, buf, sizeof(buf));

	(void)events;
	if (n > 0)
		console_ring_feed(&f->ring, buf, (size_t)n);
	else if (n == 0 || (errno != EAGAIN && errno != EINTR))
		feed_close(f);
}

static void on_running(struct vmm_process *v, struct json_object *data)
{
	v->p.on_running(v->p.arg, data);
}

static void on_powerdown(struct vmm_process *v, struct json_object *data UNUSED)
{
	v->p.on_powerdown(v->p.arg);
}

static void tell_vcpu(struct vmm_process *v, struct json_object *data, bool online)
{
	struct json_object *idx = NULL;

	if (json_object_object_get_ex(data, "cpu-index", &idx) &&
	    json_object_is_type(idx, json_type_int) && json_object_get_int64(idx) > 0 &&
	    json_object_get_int64(idx) < VM_MAX_VCPUS)
		v->p.on_vcpu(v->p.arg, (uint32_t)json_object_get_int64(idx), online);
}

static void on_heard(void *arg, const struct err *status, struct json_object *result UNUSED)
{
	struct vmm_process *v = arg;

	if (status->code)
		log_guest(&v->limit, "vmm: it does not want to know what it is told: %s",
			  status->text);
}

void vmm_vcpu_unplugged(struct vmm_process *v, uint32_t idx, const char *why)
{
	struct json_object *args = json_object_new_object();

	json_object_object_add(args, "cpu-index", json_object_new_int64(idx));
	if (why)
		json_object_object_add(args, "error", json_object_new_string(why));
	qmp_client_call(v->qmp, "nacre-vcpu-unplugged", args, -1, HEARD_MS, on_heard, v);
}

void vmm_tell_start(struct vmm_process *v, const struct start_record *r)
{
	qmp_client_call(v->qmp, "nacre-start-times", start_record_for_vmm(r), -1, HEARD_MS,
			on_heard, v);
}

static void on_vcpu_plug(struct vmm_process *v, struct json_object *data)
{
	tell_vcpu(v, data, true);
}

static void on_vcpu_unplug(struct vmm_process *v, struct json_object *data)
{
	tell_vcpu(v, data, false);
}

static void on_crashed(struct vmm_process *v, struct json_object *data)
{
	if (!v->reason[0])
		(void)snprintf(v->reason, sizeof(v->reason), "%s", json_text(data, "reason"));
}

/* A crash has said why already. */
static void on_shutdown(struct vmm_process *v, struct json_object *data)
{
	const char *reason = json_text(data, "reason");

	if (!v->reason[0] && str_starts(reason, "guest-"))
		(void)snprintf(v->reason, sizeof(v->reason), "%s", reason + strlen("guest-"));
}

static void on_event(void *arg, const char *name, struct json_object *data)
{
	static const struct {
		const char *name;
		void (*fn)(struct vmm_process *v, struct json_object *data);
	} events[] = {
		{"NACRE_RUNNING", on_running},     {"POWERDOWN", on_powerdown},
		{"NACRE_VCPU_PLUG", on_vcpu_plug}, {"NACRE_VCPU_UNPLUG", on_vcpu_unplug},
		{"GUEST_CRASHED", on_crashed},     {"SHUTDOWN", on_shutdown},
	};
	struct vmm_process *v = arg;

	log_debug("vmm: %.64s", name);
	for (size_t i = 0; i < ARRAY_SIZE(events); i++)
		if (strcmp(name, events[i].name) == 0)
			events[i].fn(v, data);
}

static void on_lingering(void *arg)
{
	struct vmm_process *v = arg;

	(void)snprintf(v->fault, sizeof(v->fault), "the vmm hung up and did not end");
	vmm_kill(v);
}

/* Its end usually follows its hanging up; whatever else closes the connection is its fault. */
static void on_qmp_close(void *arg, const struct err *why)
{
	struct vmm_process *v = arg;

	if (why->code == ECONNRESET && loop_arm(v->linger, LINGER_MS) == 0)
		return;
	(void)snprintf(v->fault, sizeof(v->fault), "%.255s", why->text);
	vmm_kill(v);
}

/* What is still in the pipes of a process that has ended. */
static void read_out(struct vmm_process *v)
{
	for (int i = 0; i < READ_OUT_MAX_READS && v->console.src; i++)
		on_feed(&v->console, v->console.fd, 0);
	for (int i = 0; i < READ_OUT_MAX_READS && v->messages.src; i++)
		on_feed(&v->messages, v->messages.fd, 0);
	qmp_client_read_out(v->qmp);
}

/* The last thing it said, without the log line around it. */
static void last_message(const struct vmm_process *v, char *out, size_t size)
{
	static const char mark[] = "msg=\"";
	const char *last = "", *line = NULL;

	for (unsigned int n = 0; (line = console_ring_line(&v->messages.ring, n)) != NULL; n++)
		last = line;
	const char *at = strstr(last, mark);
	const char *end = at ? strrchr(last, '"') : NULL;

	if (at && end > at + sizeof(mark) - 2)
		(void)snprintf(out, size, "%.*s", (int)(end - at - (ptrdiff_t)sizeof(mark) + 1),
			       at + sizeof(mark) - 1);
	else
		(void)snprintf(out, size, "%s", last);
}

static void on_child(void *arg, pid_t pid, int status)
{
	struct vmm_process *v = arg;
	char why[512], message[CONSOLE_LINE_BYTES];

	(void)pid;
	v->child = NULL;
	v->pid = 0;
	read_out(v);
	last_message(v, message, sizeof(message));

	if (v->reason[0])
		(void)snprintf(why, sizeof(why), "the guest ended (%s)", v->reason);
	else if (v->fault[0])
		(void)snprintf(why, sizeof(why), "the vmm was ended: %s", v->fault);
	else if (status == 128 + SIGSYS)
		(void)snprintf(why, sizeof(why),
			       "the vmm was killed by SIGSYS (seccomp): it made a system call that "
			       "is not on its list");
	else if (*message)
		(void)snprintf(why, sizeof(why), "the vmm ended with status %d: %s", status,
			       message);
	else if (status > 128)
		(void)snprintf(why, sizeof(why), "the vmm crashed (signal %d)", status - 128);
	else
		(void)snprintf(why, sizeof(why), "the vmm ended with status %d", status);
	v->p.on_end(v->p.arg, why);
}

int vmm_check_files(const char *vmm_path, const char *kernel_path, const char *initramfs_path,
		    struct err *err)
{
	if (access(kernel_path, R_OK))
		return err_say(err, errno,
			       "the guest kernel '%s' is missing: install Nacre's guest assets, or "
			       "name another by \"kernel\" in config.json",
			       kernel_path);
	if (access(initramfs_path, R_OK))
		return err_say(err, errno,
			       "the guest initramfs '%s' is missing: install Nacre's guest assets, "
			       "or name another by \"initramfs\" in config.json",
			       initramfs_path);
	if (access(vmm_path, X_OK))
		return err_set(err, errno, "the vmm '%s' cannot be run: reinstall Nacre", vmm_path);
	return 0;
}

/* Makes a pipe whose reading end feeds `f`; the writing end is the caller's. */
static int feed_open(struct loop *loop, struct feed *f, int *writer, struct err *err)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC))
		return err_set(err, errno, "make a pipe for the vmm");
	f->fd = fds[0];
	*writer = fds[1];
	/* Only our end: the vmm's serial must not lose bytes by it. */
	if (fcntl(f->fd, F_SETFL, O_NONBLOCK))
		return err_set(err, errno, "make a pipe for the vmm");
	return loop_add_fd(loop, f->fd, EPOLLIN, on_feed, f, &f->src, err);
}

static int spawn_vmm(const struct vmm_params *p, struct vmm_process *v, const struct vmm_ends *ends,
		     struct err *err)
{
	CLEANUP(vmm_command_done) struct vmm_command command = {0};
	int rc = vmm_command_make(p, ends, &command, err);

	if (rc)
		return rc;
	const struct spawn s = {
		.path = p->vmm_path,
		.argv = (char *const *)(uintptr_t)command.argv,
		.fds = command.fds,
		.nfds = command.nfds,
		.kill_on_parent_death = SIGKILL,
		.cwd = "/",
		.new_namespaces = VMM_NAMESPACES,
		.net_ns_fd = p->net_ns_fd,
		.cgroup_fd = p->cgroup_fd,
	};
	return spawn_start(&s, &v->pid, NULL, err);
}

/* Our end is the client's. */
static int open_qmp(const struct vmm_params *p, struct vmm_process *v, int *theirs, struct err *err)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		return err_set(err, errno, "make the vmm's monitor socket");
	*theirs = pair[1];
	AUTO_FD int ours = pair[0];
	const struct qmp_client_params qmp = {
		.loop = p->loop,
		.fd = ours,
		.greeting_timeout_ms = GREETING_MS,
		.on_event = on_event,
		.on_close = on_qmp_close,
		.arg = v,
	};
	int rc = qmp_client_create(&qmp, &v->qmp, err);

	if (!rc)
		(void)TAKE_FD(&ours);
	return rc;
}

int vmm_start(const struct vmm_params *p, struct vmm_process **out, struct err *err)
{
	CLEANUP(own_vmm_destroy) struct vmm_process *v = calloc(1, sizeof(*v));
	AUTO_FD int serial = -1;
	AUTO_FD int messages = -1;
	AUTO_FD int monitor = -1;

	if (!v)
		return err_set(err, ENOMEM, "start the vmm");
	v->console.fd = v->messages.fd = -1;
	v->p = *p;
	int rc = feed_open(p->loop, &v->console, &serial, err);
	if (!rc)
		rc = feed_open(p->loop, &v->messages, &messages, err);
	if (!rc)
		rc = loop_add_timer(p->loop, on_lingering, v, &v->linger, err);
	if (!rc)
		rc = open_qmp(p, v, &monitor, err);
	if (rc)
		return rc;
	const struct vmm_ends ends = {
		.messages_fd = messages, .monitor_fd = monitor, .serial_fd = serial};

	rc = spawn_vmm(p, v, &ends, err);
	if (rc)
		return rc;
	rc = loop_add_child(p->loop, v->pid, on_child, v, &v->child, err);
	if (rc) {
		/* Not by vmm_kill, which has no way to one that is not watched; and the destroy waits for its end. */
		(void)kill(v->pid, SIGKILL);
		return rc;
	}
	*out = TAKE_PTR(&v);
	return 0;
}
