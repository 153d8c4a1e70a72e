/* The agent over its protocol: containers, execs, streams, signals, and what is refused. Needs root. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent-proto/ttrpc.h"
#include "base/own.h"
#include "base/path.h"
#include "tests/unit/agent_fixture.h"

#define NS                                                                                         \
	"\"namespaces\":[{\"type\":\"pid\"},{\"type\":\"ipc\"},{\"type\":\"uts\"},"                \
	"{\"type\":\"network\"},{\"type\":\"mount\"}]"
#define LINUX(more) "\"hostname\":\"box\",\"linux\":{" NS more "},"
#define USUAL       LINUX("")

#define SH(script) "[\"sh\",\"-c\",\"" script "\"]"

static struct agent_fixture *need(void **state)
{
	if (!agent_fixture_possible())
		skip();
	return *state;
}

static const struct run_case {
	const char *name;
	const char *process, *spec, *args, *cwd;
	const char *in;
	const char *out, *err;
	uint32_t status;
	const char *create; /* part of the error of Create */
	const char *start;  /* of Start */
} cases[] = {
	{"stdout", "", USUAL, SH("echo out"), NULL, NULL, "out\n", "", 0, NULL, NULL},
	{"streams stay apart", "", USUAL, SH("echo out; echo err >&2"), NULL, NULL, "out\n",
	 "err\n", 0, NULL, NULL},
	{"status 3", "", USUAL, SH("exit 3"), NULL, NULL, "", "", 3, NULL, NULL},
	{"status 127", "", USUAL, SH("exit 127"), NULL, NULL, "", "", 127, NULL, NULL},
	{"killed in the container", "", USUAL, SH("sh -c 'kill -9 $$'; exit $?"), NULL, NULL, "",
	 NULL, 137, NULL, NULL},
	{"stdin ends", "", USUAL, "[\"cat\"]", NULL, "some text", "some text", "", 0, NULL, NULL},
	{"no stdin is /dev/null", "", USUAL, "[\"cat\"]", NULL, NULL, "", "", 0, NULL, NULL},
	{"not found", "", USUAL, "[\"nope\"]", NULL, NULL, "", "", 0,
	 "exec: \"nope\": executable file not found in $PATH", NULL},
	{"not found by path", "", USUAL, "[\"/bin/nope\"]", NULL, NULL, "", "", 0,
	 "exec: \"/bin/nope\": stat /bin/nope: no such file or directory", NULL},
	{"not executable", "", USUAL, "[\"/etc/passwd\"]", NULL, NULL, "", "", 0,
	 "exec: \"/etc/passwd\": permission denied", NULL},
	{"a directory", "", USUAL, "[\"/etc\"]", NULL, NULL, "", "", 0,
	 "exec: \"/etc\": is a directory", NULL},
	{"cwd is a file", "", USUAL, "[\"true\"]", "/etc/passwd", NULL, "", "", 0, "/etc/passwd",
	 NULL},
	{"cwd is made", "", USUAL, "[\"pwd\"]", "/made/here", NULL, "/made/here\n", "", 0, NULL,
	 NULL},
	{"cwd is another user's", "\"user\":{\"uid\":1000,\"gid\":1000},", USUAL, SH("id -u; pwd"),
	 "/root", NULL, "1000\n/root\n", "", 0, NULL, NULL},
	{"interpreter missing", "", USUAL, "[\"/bin/script\"]", NULL, NULL, "", "", 0, NULL,
	 "exec /bin/script: no such file or directory"},
	{"environment", "", USUAL, SH("echo $GREETING $HOME"), NULL, NULL, "hello world /root\n",
	 "", 0, NULL, NULL},
	{"user", "\"user\":{\"uid\":1000,\"gid\":1000,\"additionalGids\":[5,7]},", USUAL,
	 SH("id -u; id -g; id -G; echo $HOME"), NULL, NULL, "1000\n1000\n1000 5 7\n/home/user\n",
	 "", 0, NULL, NULL},
	{"user may reopen stdout", "\"user\":{\"uid\":1000,\"gid\":1000},", USUAL,
	 SH("echo again > /dev/stdout"), NULL, NULL, "again\n", "", 0, NULL, NULL},
	{"umask", "\"user\":{\"uid\":0,\"gid\":0,\"umask\":63},", USUAL, SH("umask"), NULL, NULL,
	 "0077\n", "", 0, NULL, NULL},
	{"pid 1 of its namespace", "", USUAL, SH("echo $$"), NULL, NULL, "1\n", "", 0, NULL, NULL},
	{"host name", "", USUAL, "[\"hostname\"]", NULL, NULL, "box\n", "", 0, NULL, NULL},
	{"cgroup namespace", "", USUAL, SH("cat /proc/self/cgroup | grep ^0:"), NULL, NULL,
	 "0::/\n", "", 0, NULL, NULL},
	{"capabilities", "", USUAL, SH("grep ^Cap /proc/self/status"), NULL, NULL,
	 "CapInh:\t0000000000000000\nCapPrm:\t0000000000000021\nCapEff:\t0000000000000021\n"
	 "CapBnd:\t0000000000000021\nCapAmb:\t0000000000000000\n",
	 "", 0, NULL, NULL},
	{"user has no capabilities", "\"user\":{\"uid\":1000,\"gid\":1000},", USUAL,
	 SH("grep CapEff /proc/self/status"), NULL, NULL, "CapEff:\t0000000000000000\n", "", 0,
	 NULL, NULL},
	{"no_new_privs", "\"noNewPrivileges\":true,", USUAL,
	 SH("grep NoNewPrivs /proc/self/status"), NULL, NULL, "NoNewPrivs:\t1\n", "", 0, NULL,
	 NULL},
	{"rlimits", "\"rlimits\":[{\"type\":\"RLIMIT_NOFILE\",\"soft\":77,\"hard\":88}],", USUAL,
	 SH("ulimit -n; ulimit -H -n"), NULL, NULL, "77\n88\n", "", 0, NULL, NULL},
	{"oom score", "\"oomScoreAdj\":321,", USUAL, SH("cat /proc/self/oom_score_adj"), NULL, NULL,
	 "321\n", "", 0, NULL, NULL},
	{"seccomp is always on", "", USUAL, SH("grep Seccomp: /proc/self/status"), NULL, NULL,
	 "Seccomp:\t2\n", "", 0, NULL, NULL},
	{"seccomp of the spec", "",
	 LINUX(",\"seccomp\":{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":["
	       "\"mkdir\",\"mkdirat\",\"no_such_call\"],\"action\":\"SCMP_ACT_ERRNO\",\"errnoRet\":"
	       "38}]}"),
	 SH("mkdir /tmp/x || busybox mkdir /tmp/x"), NULL, NULL, "", NULL, 1, NULL, NULL},
	{"default devices", "", USUAL,
	 SH("echo x > /dev/null && head -c 3 /dev/zero | busybox wc -c && ls -l /dev/fd | grep -c "
	    "/proc/self/fd"),
	 NULL, NULL, "3\n1\n", "", 0, NULL, NULL},
	{"bind of a file is read-only", "", USUAL,
	 SH("cat /volume; echo x > /volume || echo refused"), NULL, NULL, "shared file\nrefused\n",
	 NULL, 0, NULL, NULL},
	{"bind of a directory is writable", "", USUAL, SH("echo x > /mnt/dir/f && cat /mnt/dir/f"),
	 NULL, NULL, "x\n", "", 0, NULL, NULL},
	{"device rules", "",
	 LINUX(",\"resources\":{\"devices\":[{\"allow\":false,\"access\":\"rwm\"},"
	       "{\"allow\":true,\"type\":\"c\",\"major\":5,\"minor\":1,\"access\":\"r\"}]}"),
	 SH("busybox mknod /tmp/d c 10 229; echo x >/dev/null && echo null; rm -f /tmp/d"), NULL,
	 NULL, "null\n", NULL, 0, NULL, NULL},
	{"masked paths", "",
	 LINUX(",\"maskedPaths\":[\"/proc/stat\",\"/etc\",\"/none\"],\"readonlyPaths\":[\"/tmp\"]"),
	 SH("cat /proc/stat; ls /etc; touch /tmp/x 2>/dev/null || echo ro; touch /etc/x "
	    "2>/dev/null || echo ro"),
	 NULL, NULL, "ro\nro\n", "", 0, NULL, NULL},
	{"read-only root", "", "\"annotations\":{\"x\":\"READONLY\"}," USUAL,
	 SH("touch /x 2>/dev/null || echo ro; touch /dev/shm/x && echo rw"), NULL, NULL, "ro\nrw\n",
	 "", 0, NULL, NULL},
	{"sysctl", "", LINUX(",\"sysctl\":{\"kernel.shmmni\":\"1234\"}"),
	 SH("cat /proc/sys/kernel/shmmni"), NULL, NULL, "1234\n", "", 0, NULL, NULL},
	{"the guest's tree is gone", "", USUAL, SH("ls /run /proc/1/root/run 2>/dev/null; true"),
	 NULL, NULL, "", "", 0, NULL, NULL},
	{"no descriptor leaks", "", USUAL, SH("ls /proc/self/fd | grep -v 3"), NULL, NULL,
	 "0\n1\n2\n", "", 0, NULL, NULL},
	{"user namespace", "",
	 "\"linux\":{\"namespaces\":[{\"type\":\"pid\"},{\"type\":\"ipc\"},{\"type\":\"network\"},{"
	 "\"type\":\"mount\"},"
	 "{\"type\":\"user\"}],\"uidMappings\":[{\"containerID\":0,\"hostID\":100000,"
	 "\"size\":65536}],\"gidMappings\":[{\"containerID\":0,\"hostID\":100000,\"size\":65536}]}"
	 ",",
	 SH("id -u; cat /proc/self/uid_map | grep -c 100000; echo x > /dev/null && echo dev"), NULL,
	 NULL, "0\n1\ndev\n", "", 0, NULL, NULL},
};

static void check_run(struct agent_fixture *f, const struct run_case *c)
{
	struct run run = {
		.id = "box",
		.process = c->process,
		.spec = c->spec,
		.args = c->args,
		.cwd = c->cwd,
		.in = c->in,
		.in_len = c->in ? strlen(c->in) : 0,
	};
	struct run_result r;

	agent_run_container(f, &run, &r);
	if (c->create)
		assert_non_null(strstr(r.create.text, c->create));
	else
		assert_string_equal(r.create.text, "");
	if (c->start)
		assert_string_equal(r.start.text, c->start);
	else
		assert_string_equal(r.start.text, "");
	if (!c->create && !c->start) {
		if (c->err)
			assert_string_equal(r.err.data ? r.err.data : "", c->err);
		assert_string_equal(r.out.data ? r.out.data : "", c->out);
		assert_int_equal(r.status, c->status);
	}
	run_result_done(&r);
}

static void test_runs(void **state)
{
	struct agent_fixture *f = need(state);

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		print_message("         %s\n", cases[i].name);
		check_run(f, &cases[i]);
	}
}

/* A container that runs until it is killed, with no streams. */
static void start_sleeper(struct agent_fixture *f, const char *id, const char *spec)
{
	const Nacre__Agent__V1__Stdio none = NACRE__AGENT__V1__STDIO__INIT;
	const struct run run = {
		.id = id, .process = "", .spec = spec, .args = "[\"sleep\",\"1000\"]"};
	struct err err = ERR_INIT;

	(void)agent_create(f, &run, &none, &err);
	assert_string_equal(err.text, "");
	(void)agent_simple(f, "StartProcess", id, "", &err);
	assert_string_equal(err.text, "");
}

static void drop(struct agent_fixture *f, const char *id)
{
	struct err err = ERR_INIT;

	(void)agent_simple(f, "DeleteContainer", id, "", &err);
	assert_string_equal(err.text, "");
}

static void test_exec(void **state)
{
	static const struct {
		const char *process, *args, *cwd, *in, *out, *create;
		uint32_t status;
	} execs[] = {
		{"", SH("echo $$ | grep -vx 1 >/dev/null && cat /proc/1/cmdline"), NULL, NULL, NULL,
		 NULL, 0},
		{"", "[\"cat\"]", NULL, "in", "in", NULL, 0},
		{"", SH("hostname; cat /proc/self/cgroup | grep ^0:"), NULL, NULL, "box\n0::/\n",
		 NULL, 0},
		{"\"user\":{\"uid\":1000,\"gid\":1000},", SH("id -u; exit 4"), NULL, NULL, "1000\n",
		 NULL, 4},
		{"", SH("grep Seccomp: /proc/self/status; grep CapEff /proc/self/status"), NULL,
		 NULL, "Seccomp:\t2\nCapEff:\t0000000000000021\n", NULL, 0},
		{"", "[\"nope\"]", NULL, NULL, NULL,
		 "exec: \"nope\": executable file not found in $PATH", 0},
		{"", "[\"true\"]", "/nowhere", NULL, NULL,
		 "chdir to cwd (\"/nowhere\") set in config.json failed: no such file or directory",
		 0},
		/* A child in the background keeps stdout open: the exec ends all the same. */
		{"", SH("sleep 1000 & echo left"), NULL, NULL, "left\n", NULL, 0},
		{"", SH("(while :; do echo y; done) & exit 5"), NULL, NULL, NULL, NULL, 5},
	};
	struct agent_fixture *f = need(state);

	start_sleeper(f, "box", USUAL);
	for (size_t i = 0; i < ARRAY_SIZE(execs); i++) {
		struct run run = {.id = "box",
				  .process = execs[i].process,
				  .spec = "",
				  .args = execs[i].args,
				  .cwd = execs[i].cwd,
				  .in = execs[i].in,
				  .in_len = execs[i].in ? strlen(execs[i].in) : 0};
		struct run_result r;

		agent_run_exec(f, &run, &r);
		assert_string_equal(r.create.text, execs[i].create ? execs[i].create : "");
		if (execs[i].out)
			assert_string_equal(r.out.data ? r.out.data : "", execs[i].out);
		assert_int_equal(r.status, execs[i].status);
		run_result_done(&r);
	}
	drop(f, "box");
}

static void test_bytes(void **state)
{
	struct agent_fixture *f = need(state);
	const size_t len = 16u << 20;
	AUTO_FREE uint8_t *in = malloc(len);
	struct run run = {.id = "box",
			  .process = "",
			  .spec = USUAL,
			  .args = "[\"cat\"]",
			  .in = in,
			  .in_len = len};
	struct run_result r;

	assert_non_null(in);
	for (size_t i = 0; i < len; i++)
		in[i] = (uint8_t)(i * 2654435761u >> 13);
	agent_run_container(f, &run, &r);
	assert_string_equal(r.create.text, "");
	assert_int_equal(r.out.len, len);
	assert_memory_equal(r.out.data, in, len);
	assert_int_equal(r.status, 0);
	run_result_done(&r);
}

/* A host that stops reading does not hurt the process, nor the agent. */
static void test_reader_leaves(void **state)
{
	struct agent_fixture *f = need(state);
	struct run run = {.id = "box",
			  .process = "",
			  .spec = USUAL,
			  .args = "[\"yes\"]",
			  .stop_reading = true};
	struct run_result r;

	agent_run_container(f, &run, &r);
	assert_int_equal(r.status, 137);
	run_result_done(&r);
}

/* As many questions as there are processes in a busy pod stay open; the pod still listens. */
static void test_many_waits(void **state)
{
	struct agent_fixture *f = need(state);
	Nacre__Agent__V1__ProcessRequest in = NACRE__AGENT__V1__PROCESS_REQUEST__INIT;
	char id[] = "a";
	uint8_t bytes[16], *answer = NULL;
	size_t answer_len = 0;
	struct err err = ERR_INIT;
	uint32_t status = 0;

	start_sleeper(f, "a", USUAL);
	in.container_id = id;
	size_t len = nacre__agent__v1__process_request__pack(&in, bytes);
	for (int i = 0; i < 300; i++)
		assert_int_equal(ttrpc_call_blocking(f->control, &f->next_stream,
						     "nacre.agent.v1.Agent", "WaitProcess", bytes,
						     len, 1, &answer, &answer_len, &err),
				 -ETIMEDOUT);
	err = (struct err)ERR_INIT;
	(void)agent_signal(f, "a", "", SIGKILL, false, &err);
	assert_string_equal(err.text, "");
	assert_int_equal(agent_wait(f, "a", "", &status, &err), 0);
	assert_int_equal(status, 137);
	drop(f, "a");
}

static int open_fds(pid_t pid)
{
	AUTO_FREE char *path = str_printf("/proc/%d/limits", (int)pid);
	AUTO_FREE char *text = NULL;
	struct err err = ERR_INIT;
	int soft = 0;

	assert_int_equal(path_read(AT_FDCWD, path, 8192, &text, NULL, &err), 0);
	assert_int_equal(sscanf(strstr(text, "Max open files"), "Max open files %d", &soft), 1);
	return soft;
}

/* Each process costs the agent descriptors, which its processes are not given more of. */
static void test_descriptors(void **state)
{
	struct agent_fixture *f = need(state);
	const struct run run = {.id = "box", .process = "", .spec = USUAL, .args = SH("ulimit -n")};
	struct run_result r;

	assert_int_equal(open_fds(f->pid), 16384);
	agent_run_container(f, &run, &r);
	assert_string_equal(r.out.data, "1024\n");
	run_result_done(&r);
}

/* Reads from a stream until it holds `text`. */
static void expect_text(int fd, const char *text)
{
	AUTO_STRBUF struct strbuf got = STRBUF_INIT;
	char chunk[256];

	while (!got.data || !strstr(got.data, text)) {
		ssize_t n = read(fd, chunk, sizeof(chunk));

		assert_true(n > 0);
		assert_int_equal(strbuf_add(&got, chunk, (size_t)n), 0);
	}
}

static void write_text(int fd, const char *text)
{
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

static void test_terminal(void **state)
{
	struct agent_fixture *f = need(state);
	const struct run run = {
		.id = "tty",
		.process = "\"terminal\":true,\"consoleSize\":{\"height\":20,\"width\":70},",
		.spec = USUAL,
		.args = "[\"sh\"]"};
	Nacre__Agent__V1__Stdio stdio = NACRE__AGENT__V1__STDIO__INIT;
	Nacre__Agent__V1__ResizeRequest resize = NACRE__AGENT__V1__RESIZE_REQUEST__INIT;
	uint8_t tokens[2][32];
	char id[] = "tty";
	struct err err = ERR_INIT;
	uint32_t status = 77;
	int in, out;

	agent_token(f, tokens[0]);
	agent_token(f, tokens[1]);
	stdio.stdin_token = (ProtobufCBinaryData){32, tokens[0]};
	stdio.stdout_token = (ProtobufCBinaryData){32, tokens[1]};
	(void)agent_create(f, &run, &stdio, &err);
	assert_string_equal(err.text, "");
	in = agent_stream(f, tokens[0]);
	out = agent_stream(f, tokens[1]);
	(void)agent_simple(f, "StartProcess", "tty", "", &err);
	assert_string_equal(err.text, "");
	write_text(in, "stty size; tty\n");
	expect_text(out, "20 70\r\n/dev/pts/0\r\n");
	resize.container_id = id;
	resize.width = 111;
	resize.height = 55;
	assert_int_equal(agent_call(f, "ResizePty", &resize.base, NULL, NULL, &err), 0);
	write_text(in, "stty size\n");
	expect_text(out, "55 111\r\n");
	/* Ctrl-C ends what is in the foreground, not the shell. */
	write_text(in, "sleep 1000\n");
	expect_text(out, "sleep 1000\r\n");
	usleep(200000);
	write_text(in, "\003");
	write_text(in, "echo con >/dev/console; exit 6\n");
	expect_text(out, "con\r\n");
	assert_int_equal(agent_wait(f, "tty", "", &status, &err), 0);
	assert_int_equal(status, 6);
	(void)close(in);
	(void)close(out);
	drop(f, "tty");
}

static void test_exec_terminal(void **state)
{
	struct agent_fixture *f = need(state);
	struct run run = {
		.id = "box", .process = "\"terminal\":true,", .spec = "", .args = "[\"tty\"]"};
	struct run_result r;

	start_sleeper(f, "box", USUAL);
	/* The fixture connects a third stream that a terminal does not want: it is refused at the door. */
	agent_run_exec(f, &run, &r);
	assert_string_equal(r.create.text, "");
	assert_string_equal(r.out.data, "/dev/pts/0\r\n");
	run_result_done(&r);
	drop(f, "box");
}

static void test_signals(void **state)
{
	struct agent_fixture *f = need(state);
	struct err err = ERR_INIT;
	uint32_t status = 0;

	start_sleeper(f, "a", USUAL);
	assert_int_equal(agent_signal(f, "a", "", SIGKILL, false, &err), 0);
	assert_int_equal(agent_wait(f, "a", "", &status, &err), 0);
	assert_int_equal(status, 137);
	/* ... and again: the answer stays. */
	assert_int_equal(agent_wait(f, "a", "", &status, &err), 0);
	assert_int_equal(status, 137);
	assert_int_equal(agent_signal(f, "a", "", SIGTERM, false, &err), -ENOENT);
	assert_string_equal(err.text, "process already finished");
	drop(f, "a");
	start_sleeper(f, "a", USUAL);
	assert_int_equal(agent_signal(f, "a", "", SIGKILL, true, &err), 0);
	assert_int_equal(agent_wait(f, "a", "", &status, &err), 0);
	assert_int_equal(status, 137);
	drop(f, "a");
}

/* The caller's. */
static Nacre__Agent__V1__WaitResponse *whole_wait(struct agent_fixture *f, const char *id)
{
	Nacre__Agent__V1__ProcessRequest in = NACRE__AGENT__V1__PROCESS_REQUEST__INIT;
	ProtobufCMessage *out = NULL;
	AUTO_FREE char *copy = strdup(id);
	struct err err = ERR_INIT;

	in.container_id = copy;
	(void)agent_call(f, "WaitProcess", &in.base, &nacre__agent__v1__wait_response__descriptor,
			 &out, &err);
	assert_string_equal(err.text, "");
	return (Nacre__Agent__V1__WaitResponse *)out;
}

/* A program that ends with 139 and one that a signal ends are told apart. */
static void test_signal_is_told(void **state)
{
	static const struct {
		const char *args;
		uint32_t status, signal;
	} ends[] = {
		{SH("exit 139"), 139, 0},
		{SH("kill -SEGV $$"), 139, SIGSEGV},
	};
	const Nacre__Agent__V1__Stdio none = NACRE__AGENT__V1__STDIO__INIT;
	struct agent_fixture *f = need(state);

	for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
		const struct run run = {.id = "a",
					.process = "",
					.spec = "\"linux\":{\"namespaces\":[{\"type\":\"network\"},"
						"{\"type\":\"mount\"}]},",
					.args = ends[i].args};
		struct err err = ERR_INIT;

		(void)agent_create(f, &run, &none, &err);
		(void)agent_simple(f, "StartProcess", "a", "", &err);
		assert_string_equal(err.text, "");
		Nacre__Agent__V1__WaitResponse *out = whole_wait(f, "a");

		assert_int_equal(out->exit_status, ends[i].status);
		assert_int_equal(out->signal, ends[i].signal);
		assert_false(out->output_lost);
		nacre__agent__v1__wait_response__free_unpacked(out, NULL);
		drop(f, "a");
	}
}

/* Killed between the go and its execve: that is no start. */
static void test_death_before_exec(void **state)
{
	const Nacre__Agent__V1__Stdio none = NACRE__AGENT__V1__STDIO__INIT;
	struct agent_fixture *f = need(state);
	const struct run run = {
		.id = "a",
		.process = "",
		.spec = "\"linux\":{\"namespaces\":[{\"type\":\"network\"},{\"type\":\"mount\"}]},"
			"\"hooks\":{\"startContainer\":[{\"path\":\"/bin/"
			"sh\",\"args\":[\"sh\",\"-c\","
			"\"kill -9 $PPID\"]}]},",
		.args = "[\"true\"]"};

	for (int i = 0; i < 5; i++) { /* the end of the channel and SIGCHLD come in either order */
		struct err err = ERR_INIT;
		uint32_t status = 0;

		(void)agent_create(f, &run, &none, &err);
		assert_string_equal(err.text, "");
		(void)agent_simple(f, "StartProcess", "a", "", &err);
		assert_string_equal(err.text, "the process died before it executed its program");
		assert_int_equal(agent_wait(f, "a", "", &status, &err), 0);
		assert_int_equal(status, 137);
		drop(f, "a");
	}
}

/* What nobody reads is given up some time after the end, and that is told. */
static void test_lost_output_is_told(void **state)
{
	struct agent_fixture *f = need(state);
	const struct run run = {.id = "a",
				.process = "",
				.spec = USUAL,
				.args = SH("dd if=/dev/zero bs=1024k count=9")};
	Nacre__Agent__V1__Stdio stdio = NACRE__AGENT__V1__STDIO__INIT;
	uint8_t token[32];
	struct err err = ERR_INIT;
	int out;

	agent_token(f, token);
	stdio.stdout_token = (ProtobufCBinaryData){32, token};
	(void)agent_create(f, &run, &stdio, &err);
	out = agent_stream(f, token);
	(void)agent_simple(f, "StartProcess", "a", "", &err);
	(void)usleep(200000); /* long enough for all buffers to be full */
	(void)agent_signal(f, "a", "", SIGKILL, false, &err);
	assert_string_equal(err.text, "");
	Nacre__Agent__V1__WaitResponse *answer = whole_wait(f, "a");

	assert_true(answer->output_lost);
	nacre__agent__v1__wait_response__free_unpacked(answer, NULL);
	(void)close(out);
	drop(f, "a");
}

static int update(struct agent_fixture *f, const char *id, const char *json, struct err *err)
{
	Nacre__Agent__V1__UpdateContainerRequest m =
		NACRE__AGENT__V1__UPDATE_CONTAINER_REQUEST__INIT;
	AUTO_FREE char *name = strdup(id);
	AUTO_FREE char *text = strdup(json);

	m.container_id = name;
	m.resources_json.data = (uint8_t *)text;
	m.resources_json.len = strlen(text);
	return agent_call(f, "UpdateContainer", &m.base, NULL, NULL, err);
}

static bool cgroup_says(struct agent_fixture *f, const char *path, const char *words)
{
	AUTO_FREE char *text = NULL;
	struct err err = ERR_INIT;

	assert_int_equal(path_read(f->cgroup_fd, path, 4096, &text, NULL, &err), 0);
	return strstr(text, words) != NULL;
}

static void test_update(void **state)
{
	struct agent_fixture *f = need(state);
	struct err err = ERR_INIT;

	/* A file that is there without any controller. */
	start_sleeper(f, "a", USUAL);
	assert_int_equal(update(f, "a", "{\"unified\":{\"cgroup.max.depth\":\"5\"}}", &err), 0);
	assert_true(cgroup_says(f, "a/cgroup.max.depth", "5\n"));
	/* What the second file refuses is taken back from the first. */
	assert_int_equal(update(f, "a",
				"{\"unified\":{\"cgroup.max.depth\":\"6\",\"no.file\":\"1\"}}",
				&err),
			 -ENOENT);
	assert_true(cgroup_says(f, "a/cgroup.max.depth", "5\n"));
	assert_int_equal(update(f, "a", "[]", &err), -EINVAL);
	assert_int_equal(update(f, "none", "{}", &err), -ENOENT);
	drop(f, "a");
}

static void test_pause(void **state)
{
	struct agent_fixture *f = need(state);
	struct run run = {.id = "a", .process = "", .spec = "", .args = "[\"true\"]"};
	struct run_result r;
	struct err err = ERR_INIT;

	start_sleeper(f, "a", USUAL);
	assert_int_equal(agent_simple(f, "ResumeContainer", "a", "", &err), -EINVAL);
	assert_int_equal(agent_simple(f, "PauseContainer", "a", "", &err), 0);
	assert_true(cgroup_says(f, "a/cgroup.events", "frozen 1"));
	assert_int_equal(agent_simple(f, "PauseContainer", "a", "", &err), -EBUSY);
	agent_run_exec(f, &run, &r);
	assert_string_equal(r.create.text, "cannot exec in a paused container");
	run_result_done(&r);
	assert_int_equal(agent_simple(f, "ResumeContainer", "a", "", &err), 0);
	assert_true(cgroup_says(f, "a/cgroup.events", "frozen 0"));
	assert_int_equal(agent_simple(f, "PauseContainer", "a", "", &err), 0);
	assert_int_equal(agent_simple(f, "PauseContainer", "none", "", &err), -ENOENT);
	/* One that stands still is killed like any other. */
	drop(f, "a");
}

static void test_refusals(void **state)
{
	const Nacre__Agent__V1__Stdio none = NACRE__AGENT__V1__STDIO__INIT;
	struct agent_fixture *f = need(state);
	struct run run = {.id = "a", .process = "", .spec = USUAL, .args = "[\"true\"]"};
	struct err err = ERR_INIT;
	uint32_t status;

	assert_int_equal(agent_simple(f, "StartProcess", "none", "", &err), -ENOENT);
	assert_string_equal(err.text, "container \"none\" does not exist");
	assert_int_equal(agent_simple(f, "DeleteContainer", "none", "", &err), -ENOENT);
	assert_int_equal(agent_wait(f, "none", "", &status, &err), -ENOENT);
	start_sleeper(f, "a", USUAL);
	assert_int_equal(agent_create(f, &run, &none, &err), -EEXIST);
	assert_int_equal(agent_simple(f, "StartProcess", "a", "", &err), -EBUSY);
	assert_int_equal(agent_simple(f, "StartProcess", "a", "none", &err), -ENOENT);
	assert_int_equal(agent_simple(f, "DeleteProcess", "a", "", &err), -EBUSY);
	/* A delete kills what runs. */
	drop(f, "a");
	run.id = "../x";
	assert_int_equal(agent_create(f, &run, &none, &err), -EINVAL);
	run.id = "a";
	run.spec = "\"linux\":3,";
	assert_int_equal(agent_create(f, &run, &none, &err), -EINVAL);
}

/* Created and never started; the same id again and again; what failed left nothing. */
static void test_many(void **state)
{
	const Nacre__Agent__V1__Stdio none = NACRE__AGENT__V1__STDIO__INIT;
	struct agent_fixture *f = need(state);
	const struct run run = {.id = "a", .process = "", .spec = USUAL, .args = "[\"true\"]"};
	struct err err = ERR_INIT;

	for (int i = 0; i < 10; i++) {
		(void)agent_create(f, &run, &none, &err);
		assert_string_equal(err.text, "");
		drop(f, "a");
	}
}

/* Without a pid namespace of its own the others end with the first process all the same. */
static void test_shared_pids(void **state)
{
	struct agent_fixture *f = need(state);
	const struct run run = {
		.id = "a",
		.process = "",
		.spec = "\"linux\":{\"namespaces\":[{\"type\":\"network\"},{\"type\":\"mount\"}]},",
		.args = SH("sleep 1000 & sh -c 'sleep 0.1 & exit 0'; exit 9")};
	struct run_result r;

	agent_run_container(f, &run, &r);
	assert_string_equal(r.create.text, "");
	assert_int_equal(r.status, 9);
	run_result_done(&r);
}

/* A container that made a multiplexer of its own gets no terminal from it. */
static void test_false_multiplexer(void **state)
{
	const Nacre__Agent__V1__Stdio none = NACRE__AGENT__V1__STDIO__INIT;
	struct agent_fixture *f = need(state);
	const struct run box = {
		.id = "box",
		.process = "\"capabilities\":{\"bounding\":[\"CAP_SYS_ADMIN\"],"
			   "\"effective\":[\"CAP_SYS_ADMIN\"],\"permitted\":[\"CAP_SYS_ADMIN\"]},",
		.spec = USUAL,
		.args = SH("mount -t tmpfs t /dev/pts && touch /dev/pts/ptmx; sleep 1000")};
	const struct run tty = {
		.id = "box", .process = "\"terminal\":true,", .spec = "", .args = "[\"tty\"]"};
	struct err err = ERR_INIT;
	struct run_result r;

	(void)agent_create(f, &box, &none, &err);
	(void)agent_simple(f, "StartProcess", "box", "", &err);
	assert_string_equal(err.text, "");
	for (int i = 0; i < 50; i++) { /* until the shell has got there */
		agent_run_exec(f, &tty, &r);
		run_result_done(&r);
		if (strstr(r.create.text, "multiplexer"))
			break;
		(void)usleep(20000);
	}
	assert_string_equal(r.create.text, "'/dev/pts/ptmx' is not a pty multiplexer");
	drop(f, "box");
}

/* A container that waits at its barrier holds no end of another's pipes. */
static void test_created_holds_nothing(void **state)
{
	const Nacre__Agent__V1__Stdio none = NACRE__AGENT__V1__STDIO__INIT;
	struct agent_fixture *f = need(state);
	const struct run cat = {.id = "a", .process = "", .spec = USUAL, .args = "[\"cat\"]"};
	const struct run other = {.id = "b", .process = "", .spec = USUAL, .args = "[\"true\"]"};
	Nacre__Agent__V1__Stdio stdio = NACRE__AGENT__V1__STDIO__INIT;
	uint8_t token[32];
	struct err err = ERR_INIT;
	uint32_t status = 77;
	int in;

	agent_token(f, token);
	stdio.stdin_token = (ProtobufCBinaryData){32, token};
	(void)agent_create(f, &cat, &stdio, &err);
	in = agent_stream(f, token);
	(void)agent_simple(f, "StartProcess", "a", "", &err);
	(void)agent_create(f, &other, &none, &err);
	assert_string_equal(err.text, "");
	(void)close(in);
	assert_int_equal(agent_wait(f, "a", "", &status, &err), 0);
	assert_int_equal(status, 0);
	drop(f, "a");
	drop(f, "b");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_runs),
		cmocka_unit_test(test_exec),
		cmocka_unit_test(test_bytes),
		cmocka_unit_test(test_reader_leaves),
		cmocka_unit_test(test_terminal),
		cmocka_unit_test(test_exec_terminal),
		cmocka_unit_test(test_signals),
		cmocka_unit_test(test_signal_is_told),
		cmocka_unit_test(test_death_before_exec),
		cmocka_unit_test(test_lost_output_is_told),
		cmocka_unit_test(test_update),
		cmocka_unit_test(test_pause),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_many_waits),
		cmocka_unit_test(test_descriptors),
		cmocka_unit_test(test_shared_pids),
		cmocka_unit_test(test_false_multiplexer),
		cmocka_unit_test(test_created_holds_nothing),
	};

	return cmocka_run_group_tests(tests, agent_fixture_setup, agent_fixture_teardown);
}
