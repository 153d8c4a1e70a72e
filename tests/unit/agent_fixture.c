/* See agent_fixture.h. */
#include "tests/unit/agent_fixture.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent-proto/ttrpc.h"
#include "agent/agent.h"
#include "agent/cgroup.h"
#include "agent/rootfs.h"
#include "base/fd.h"
#include "base/own.h"
#include "base/path.h"

#define BUSYBOX    "/bin/busybox"
#define TIMEOUT_MS 20000

bool agent_fixture_possible(void)
{
	return geteuid() == 0 && access(BUSYBOX, X_OK) == 0;
}

static void must(bool ok, const char *what)
{
	if (ok)
		return;
	perror(what);
	abort();
}

static void copy_file(const char *from, const char *to)
{
	AUTO_FREE char *data = NULL;
	size_t len = 0;
	AUTO_FD int fd = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
	struct err err = ERR_INIT;

	must(fd >= 0 && path_read(AT_FDCWD, from, 64u << 20, &data, &len, &err) == 0, from);
	must(fd_write_full(fd, data, len) == 0, to);
}

static void write_file(const char *path, const char *text, mode_t mode)
{
	AUTO_FD int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);

	must(fd >= 0 && fd_write_full(fd, text, strlen(text)) == 0, path);
}

static void make_rootfs(void)
{
	static const char *const dirs[] = {"bin", "etc", "proc", "sys", "dev", "tmp", "home/user"};
	static const char *const applets[] = {
		"sh",   "cat",  "echo", "id",    "pwd", "sleep",    "stat", "ls",   "env",  "grep",
		"head", "true", "yes",  "mount", "dd",  "hostname", "tty",  "stty", "kill", "touch",
	};
	struct err err = ERR_INIT;

	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
		AUTO_FREE char *path = str_printf("%s/%s", FIXTURE_ROOTFS, dirs[i]);

		must(path && path_mkdirs(AT_FDCWD, path, 0755, &err) == 0, "rootfs");
	}
	copy_file(BUSYBOX, FIXTURE_ROOTFS "/bin/busybox");
	for (size_t i = 0; i < ARRAY_SIZE(applets); i++) {
		AUTO_FREE char *path = str_printf("%s/bin/%s", FIXTURE_ROOTFS, applets[i]);

		must(path && symlink("busybox", path) == 0, "applet");
	}
	write_file(FIXTURE_ROOTFS "/etc/passwd",
		   "root:x:0:0::/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n", 0644);
	write_file(FIXTURE_ROOTFS "/bin/script", "#!/bin/none\n", 0755);
	write_file(FIXTURE_SHARED "/c/volume", "shared file\n", 0644);
	must(mkdir(FIXTURE_SHARED "/c/dir", 0755) == 0, "volume");
	must(mkdir(FIXTURE_ROOTFS "/root", 0700) == 0, "home of root");
}

static void say_nothing(void)
{
}

static void serve(struct agent_fixture *f, int control, int listener)
{
	struct agent_params params = {.control_fd = control,
				      .listen_fd = listener,
				      .cgroup_fd = f->cgroup_fd,
				      .shared_dir = FIXTURE_SHARED,
				      .ready = say_nothing};
	struct err err = ERR_INIT;
	int ret;

	ret = agent_run(&params, &err);
	if (prctl(PR_GET_DUMPABLE) != 0)
		ret = err_say(&err, EPERM, "it and its children can be traced");
	if (ret < 0)
		(void)fprintf(stderr, "agent: %s\n", err.text);
	exit(ret < 0);
}

static int listen_on(const char *path)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)snprintf(at.sun_path, sizeof(at.sun_path), "%s", path);
	must(fd >= 0 && bind(fd, (struct sockaddr *)&at, sizeof(at)) == 0 && listen(fd, 64) == 0,
	     path);
	return fd;
}

/* Linux gives its first process 1024 descriptors. */
static void like_a_guest(void)
{
	struct rlimit nofile;

	must(getrlimit(RLIMIT_NOFILE, &nofile) == 0, "getrlimit");
	nofile.rlim_cur = 1024;
	must(setrlimit(RLIMIT_NOFILE, &nofile) == 0, "setrlimit");
}

int agent_fixture_setup(void **state)
{
	struct agent_fixture *f = calloc(1, sizeof(*f));
	struct err err = ERR_INIT;
	int pair[2], listener;

	must(f != NULL, "calloc");
	*state = f;
	if (!agent_fixture_possible())
		return 0;
	(void)signal(SIGPIPE, SIG_IGN);
	like_a_guest();
	must(unshare(CLONE_NEWNS) == 0, "unshare");
	must(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0, "private");
	must(mount("tmpfs", "/run", "tmpfs", 0, "mode=755") == 0, "tmpfs");
	must(mkdir("/run/cg", 0755) == 0 && mount("cgroup2", "/run/cg", "cgroup2", 0, NULL) == 0,
	     "cgroup2");
	(void)snprintf(f->cgroup, sizeof(f->cgroup), "/run/cg/nacre-test-%d", (int)getpid());
	(void)snprintf(f->door, sizeof(f->door), "/run/door");
	must(mkdir(f->cgroup, 0755) == 0, f->cgroup);
	f->cgroup_fd = open(f->cgroup, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	must(path_mkdirs(AT_FDCWD, ROOTFS_MOUNT_POINT, 0755, &err) == 0, err.text);
	must(path_mkdirs(AT_FDCWD, FIXTURE_ROOTFS, 0755, &err) == 0, err.text);
	make_rootfs();
	listener = listen_on(f->door);
	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0, "socketpair");
	f->pid = fork();
	must(f->pid >= 0, "fork");
	if (f->pid == 0) {
		(void)close(pair[0]);
		serve(f, pair[1], listener);
	}
	(void)close(pair[1]);
	(void)close(listener);
	f->control = pair[0];
	f->next_stream = 1;
	return 0;
}

int agent_fixture_teardown(void **state)
{
	struct agent_fixture *f = *state;
	int status = 0;

	if (f->pid) {
		(void)close(f->control); /* the agent ends with its control connection */
		must(waitpid(f->pid, &status, 0) == f->pid, "waitpid");
		(void)close(f->cgroup_fd);
		must(rmdir(f->cgroup) == 0, "the agent left a cgroup");
	}
	free(f);
	return status;
}

int agent_call(struct agent_fixture *f, const char *method, const ProtobufCMessage *in,
	       const ProtobufCMessageDescriptor *out_type, ProtobufCMessage **out, struct err *err)
{
	size_t len = protobuf_c_message_get_packed_size(in), answer_len = 0;
	AUTO_FREE uint8_t *bytes = malloc(len + 1);
	AUTO_FREE uint8_t *answer = NULL;
	int ret;

	must(bytes != NULL, "malloc");
	(void)protobuf_c_message_pack(in, bytes);
	ret = ttrpc_call_blocking(f->control, &f->next_stream, "nacre.agent.v1.Agent", method,
				  bytes, len, TIMEOUT_MS, &answer, &answer_len, err);
	if (ret == 0 && out) {
		*out = protobuf_c_message_unpack(out_type, NULL, answer_len, answer);
		must(*out != NULL, "unpack");
	}
	return ret;
}

void agent_token(struct agent_fixture *f, uint8_t token[32])
{
	unsigned n = ++f->tokens;

	memset(token, 0x5a, 32);
	memcpy(token + 28, &n, sizeof(n));
}

int agent_stream(struct agent_fixture *f, const uint8_t token[32])
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)snprintf(at.sun_path, sizeof(at.sun_path), "%s", f->door);
	must(fd >= 0 && connect(fd, (struct sockaddr *)&at, sizeof(at)) == 0, "connect");
	must(fd_write_full(fd, token, 32) == 0, "token");
	return fd;
}

#define CAPABILITIES                                                                               \
	",\"capabilities\":{\"bounding\":[\"CAP_KILL\",\"CAP_CHOWN\"],"                            \
	"\"effective\":[\"CAP_KILL\",\"CAP_CHOWN\"],\"permitted\":[\"CAP_KILL\",\"CAP_CHOWN\"]}"

static char *process_json(const struct run *run)
{
	return str_printf("{%s\"args\":%s,\"cwd\":\"%s\","
			  "\"env\":[\"PATH=/usr/bin:/bin\",\"GREETING=hello world\"]%s%s}",
			  run->process, run->args, run->cwd ? run->cwd : "/",
			  strstr(run->process, "\"capabilities\"") ? "" : CAPABILITIES,
			  strstr(run->process, "\"user\"") ? ""
							   : ",\"user\":{\"uid\":0,\"gid\":0}");
}

static char *spec_json(const struct run *run)
{
	AUTO_FREE char *process = process_json(run);

	must(process != NULL, "process");
	return str_printf(
		"{\"ociVersion\":\"1.1.0\",\"root\":{\"path\":\"rootfs\"%s},\"process\":%s,%s"
		"\"mounts\":["
		"{\"destination\":\"/proc\",\"type\":\"proc\",\"source\":\"proc\"},"
		"{\"destination\":\"/dev\",\"type\":\"tmpfs\",\"source\":\"tmpfs\","
		"\"options\":[\"nosuid\",\"strictatime\",\"mode=755\",\"size=65536k\"]},"
		"{\"destination\":\"/dev/pts\",\"type\":\"devpts\",\"source\":\"devpts\","
		"\"options\":[\"nosuid\",\"noexec\",\"newinstance\",\"ptmxmode=0666\",\"mode="
		"0620\",\"gid=5\"]},"
		"{\"destination\":\"/dev/shm\",\"type\":\"tmpfs\",\"source\":\"shm\"},"
		"{\"destination\":\"/dev/mqueue\",\"type\":\"mqueue\",\"source\":\"mqueue\"},"
		"{\"destination\":\"/"
		"sys\",\"type\":\"sysfs\",\"source\":\"sysfs\",\"options\":[\"nosuid\",\"ro\"]},"
		"{\"destination\":\"/sys/fs/"
		"cgroup\",\"type\":\"cgroup\",\"source\":\"cgroup\",\"options\":[\"ro\"]},"
		"{\"destination\":\"/volume\",\"type\":\"bind\",\"source\":\"c/"
		"volume\",\"options\":[\"rbind\",\"ro\"]},"
		"{\"destination\":\"/mnt/dir\",\"type\":\"bind\",\"source\":\"c/"
		"dir\",\"options\":[\"rbind\",\"rw\"]}"
		"]}",
		strstr(run->spec, "READONLY") ? ",\"readonly\":true" : "", process, run->spec);
}

int agent_create(struct agent_fixture *f, const struct run *run,
		 const Nacre__Agent__V1__Stdio *stdio, struct err *err)
{
	Nacre__Agent__V1__CreateContainerRequest in =
		NACRE__AGENT__V1__CREATE_CONTAINER_REQUEST__INIT;
	AUTO_FREE char *id = strdup(run->id);
	AUTO_FREE char *spec = spec_json(run);
	char rootfs[] = "c/rootfs";
	Nacre__Agent__V1__Stdio copy = *stdio;

	must(id && spec, "spec");
	in.id = id;
	in.spec_json = (ProtobufCBinaryData){strlen(spec), (uint8_t *)spec};
	in.rootfs = rootfs;
	in.stdio = &copy;
	return agent_call(f, "CreateContainer", &in.base, NULL, NULL, err);
}

static int create_exec(struct agent_fixture *f, const struct run *run,
		       const Nacre__Agent__V1__Stdio *stdio, struct err *err)
{
	Nacre__Agent__V1__ExecProcessRequest in = NACRE__AGENT__V1__EXEC_PROCESS_REQUEST__INIT;
	AUTO_FREE char *id = strdup(run->id);
	AUTO_FREE char *process = process_json(run);
	char exec_id[] = "exec";
	Nacre__Agent__V1__Stdio copy = *stdio;

	must(id && process, "process");
	in.container_id = id;
	in.exec_id = exec_id;
	in.process_json = (ProtobufCBinaryData){strlen(process), (uint8_t *)process};
	in.stdio = &copy;
	return agent_call(f, "ExecProcess", &in.base, NULL, NULL, err);
}

int agent_simple(struct agent_fixture *f, const char *method, const char *id, const char *exec_id,
		 struct err *err)
{
	Nacre__Agent__V1__ProcessRequest in = NACRE__AGENT__V1__PROCESS_REQUEST__INIT;
	AUTO_FREE char *id_copy = strdup(id);
	AUTO_FREE char *exec_copy = strdup(exec_id);

	in.container_id = id_copy;
	in.exec_id = exec_copy;
	return agent_call(f, method, &in.base, NULL, NULL, err);
}

int agent_wait(struct agent_fixture *f, const char *id, const char *exec_id, uint32_t *status,
	       struct err *err)
{
	Nacre__Agent__V1__ProcessRequest in = NACRE__AGENT__V1__PROCESS_REQUEST__INIT;
	ProtobufCMessage *out = NULL;
	AUTO_FREE char *id_copy = strdup(id);
	AUTO_FREE char *exec_copy = strdup(exec_id);
	int ret;

	in.container_id = id_copy;
	in.exec_id = exec_copy;
	ret = agent_call(f, "WaitProcess", &in.base, &nacre__agent__v1__wait_response__descriptor,
			 &out, err);
	if (ret == 0)
		*status = ((Nacre__Agent__V1__WaitResponse *)out)->exit_status;
	if (out)
		protobuf_c_message_free_unpacked(out, NULL);
	return ret;
}

int agent_signal(struct agent_fixture *f, const char *id, const char *exec_id, int signo, bool all,
		 struct err *err)
{
	Nacre__Agent__V1__SignalRequest in = NACRE__AGENT__V1__SIGNAL_REQUEST__INIT;
	AUTO_FREE char *id_copy = strdup(id);
	AUTO_FREE char *exec_copy = strdup(exec_id);

	in.container_id = id_copy;
	in.exec_id = exec_copy;
	in.signal = (uint32_t)signo;
	in.all = all;
	return agent_call(f, "SignalProcess", &in.base, NULL, NULL, err);
}

/* Feeds stdin and reads both outputs until they end. */
static void pump(const struct run *run, int fds[3], struct run_result *result)
{
	struct strbuf *sinks[3] = {NULL, &result->out, &result->err};
	size_t sent = 0;
	char chunk[65536];

	while (fds[0] >= 0 || fds[1] >= 0 || fds[2] >= 0) {
		struct pollfd polls[3] = {
			{fds[0], POLLOUT, 0}, {fds[1], POLLIN, 0}, {fds[2], POLLIN, 0}};

		must(poll(polls, 3, TIMEOUT_MS) > 0, "poll");
		if (polls[0].revents) {
			size_t left = run->in_len - sent;
			ssize_t n = left ? write(fds[0], (const char *)run->in + sent,
						 left < sizeof(chunk) ? left : sizeof(chunk))
					 : 0;

			if (n > 0)
				sent += (size_t)n;
			else if (n == 0 || errno != EAGAIN)
				own_close(&fds[0]);
		}
		for (int i = 1; i < 3; i++) {
			ssize_t n;

			if (!polls[i].revents)
				continue;
			n = read(fds[i], chunk, sizeof(chunk));
			if (n > 0)
				must(strbuf_add(sinks[i], chunk, (size_t)n) == 0, "buffer");
			if (n <= 0)
				own_close(&fds[i]);
			if (run->stop_reading)
				return;
		}
	}
}

static void run_it(struct agent_fixture *f, const struct run *run, const char *exec_id,
		   struct run_result *result)
{
	Nacre__Agent__V1__Stdio stdio = NACRE__AGENT__V1__STDIO__INIT;
	uint8_t tokens[3][32];
	int fds[3] = {-1, -1, -1};
	struct err err = ERR_INIT;

	memset(result, 0, sizeof(*result));
	result->out.max_bytes = result->err.max_bytes = 128u << 20;
	for (int i = 0; i < 3; i++)
		agent_token(f, tokens[i]);
	if (run->in)
		stdio.stdin_token = (ProtobufCBinaryData){32, tokens[0]};
	stdio.stdout_token = (ProtobufCBinaryData){32, tokens[1]};
	stdio.stderr_token = (ProtobufCBinaryData){32, tokens[2]};
	if ((exec_id[0] ? create_exec(f, run, &stdio, &result->create)
			: agent_create(f, run, &stdio, &result->create)) < 0)
		return;
	for (int i = run->in ? 0 : 1; i < 3; i++) {
		fds[i] = agent_stream(f, tokens[i]);
		must(fd_set_nonblock(fds[i], true) == 0, "nonblock");
	}
	if (agent_simple(f, "StartProcess", run->id, exec_id, &result->start) == 0) {
		pump(run, fds, result);
		for (int i = 0; i < 3 && run->stop_reading; i++)
			own_close(&fds[i]);
		if (run->stop_reading)
			(void)usleep(100000); /* long enough for many pipefuls */
		if (run->stop_reading)
			(void)agent_signal(f, run->id, exec_id, SIGKILL, false, &err);
		must(agent_wait(f, run->id, exec_id, &result->status, &err) == 0, err.text);
	}
	for (int i = 0; i < 3; i++)
		own_close(&fds[i]);
	if (exec_id[0])
		must(agent_simple(f, "DeleteProcess", run->id, exec_id, &err) == 0, err.text);
	else
		must(agent_simple(f, "DeleteContainer", run->id, "", &err) == 0, err.text);
}

void agent_run_container(struct agent_fixture *f, const struct run *run, struct run_result *result)
{
	run_it(f, run, "", result);
}

void agent_run_exec(struct agent_fixture *f, const struct run *run, struct run_result *result)
{
	run_it(f, run, "exec", result);
}

void run_result_done(struct run_result *result)
{
	strbuf_done(&result->out);
	strbuf_done(&result->err);
}
