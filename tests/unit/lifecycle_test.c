/* Deleting against others who delete and create: what carries the same id afterwards is not ours to take. */
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
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent-proto/containerd.pb-c.h"
#include "agent-proto/ttrpc.h"
#include "base/listener.h"
#include "base/loop.h"
#include "base/own.h"
#include "base/path.h"
#include "base/str.h"
#include "runtime/lifecycle.h"
#include "runtime/monitor_args.h"
#include "runtime/resources.h"
#include "runtime/state_dir.h"
#include "runtime/task_service.h"
#include "runtime/unix_socket.h"

struct world {
	char root[32];
	char *dir;
};

static int begin(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	struct err err = ERR_INIT;

	assert_non_null(w);
	(void)snprintf(w->root, sizeof(w->root), "/tmp/lifecycle-XXXXXX");
	assert_non_null(mkdtemp(w->root));
	w->dir = str_printf("%s/c", w->root);
	assert_non_null(w->dir);
	assert_int_equal(state_dir_make(w->dir, &err), 0);
	*state = w;
	return 0;
}

static int end(void **state)
{
	struct world *w = *state;
	struct err err = ERR_INIT;

	assert_int_equal(path_remove_tree(AT_FDCWD, w->root, &err), 0);
	free(w->dir);
	free(w);
	return 0;
}

static void make_anew(const char *dir)
{
	struct err err = ERR_INIT;

	assert_int_equal(path_remove_tree(AT_FDCWD, dir, &err), 0);
	assert_int_equal(state_dir_make(dir, &err), 0);
}

static void test_lock(void **state)
{
	struct world *w = *state;
	struct err err = ERR_INIT;
	AUTO_FD int first = -1;
	AUTO_FD int second = -1;

	assert_int_equal(state_dir_open(w->dir, &first, &err), 0);
	assert_int_equal(state_dir_open(w->dir, &second, &err), 0);
	assert_int_equal(state_dir_lock(w->dir, first, &err), 0);
	assert_int_equal(state_dir_try_lock(w->dir, second, &err), -EBUSY);
	own_close(&first);
	assert_int_equal(state_dir_try_lock(w->dir, second, &err), 0);
	own_close(&second);

	assert_int_equal(state_dir_open(w->dir, &first, &err), 0);
	make_anew(w->dir);
	assert_int_equal(state_dir_lock(w->dir, first, &err), -ENOENT);
	assert_false(state_dir_is(w->dir, first));
	assert_int_equal(path_remove_tree(AT_FDCWD, w->dir, &err), 0);
	assert_int_equal(state_dir_open(w->dir, &second, &err), -ENOENT);
}

/* --- a monitor that is played here: at Shutdown its container is gone, and another one of that id is there -------- */

static struct {
	const char *dir;
	pid_t other; /* a process of the new container */
} play;

static void reply(struct ttrpc_request *req, const ProtobufCMessage *m)
{
	uint8_t packed[128];

	ttrpc_reply(req, packed, protobuf_c_message_pack(m, packed));
}

static void on_state(void *arg, struct ttrpc_request *req, const uint8_t *p, size_t len)
{
	Containerd__StateResponse r = CONTAINERD__STATE_RESPONSE__INIT;

	(void)arg;
	(void)p;
	(void)len;
	r.status = CONTAINERD__STATUS__STOPPED;
	reply(req, &r.base);
}

static void on_delete(void *arg, struct ttrpc_request *req, const uint8_t *p, size_t len)
{
	Containerd__DeleteResponse r = CONTAINERD__DELETE_RESPONSE__INIT;

	(void)arg;
	(void)p;
	(void)len;
	reply(req, &r.base);
}

static void on_shutdown(void *arg, struct ttrpc_request *req, const uint8_t *p, size_t len)
{
	struct err err = ERR_INIT;
	struct procid id = {0};

	(void)arg;
	(void)p;
	(void)len;
	make_anew(play.dir);
	assert_int_equal(procid_of(play.other, &id, &err), 0);
	assert_int_equal(resources_add_process(play.dir, "monitor", &id, &err), 0);
	ttrpc_reply(req, "", 0);
}

static const struct ttrpc_method methods[] = {
	{TASK_SERVICE_V2, "State", on_state},
	{TASK_SERVICE_V2, "Delete", on_delete},
	{TASK_SERVICE_V2, "Shutdown", on_shutdown},
	{NULL, NULL, NULL},
};

static void on_close(void *arg, struct ttrpc_conn *conn, const struct err *why)
{
	(void)conn;
	(void)why;
	loop_stop(arg);
}

static void on_client(void *arg, int fd)
{
	const struct ttrpc_conn_params p = {
		.loop = arg, .fd = fd, .methods = methods, .arg = arg, .on_close = on_close};
	struct ttrpc_conn *conn = NULL;
	struct err err = ERR_INIT;

	if (ttrpc_conn_create(&p, &conn, &err))
		_exit(1);
}

static pid_t play_monitor(int listen_fd)
{
	struct loop *loop = NULL;
	struct listener *l = NULL;
	struct err err = ERR_INIT;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid > 0)
		return pid;
	_exit(loop_create(&loop, &err) ||
	      listener_create(loop, listen_fd, on_client, loop, &l, &err) || loop_run(loop, &err));
}

static pid_t play_process(void)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0)
		for (;;)
			(void)pause();
	return pid;
}

static void test_a_new_container_of_that_id_lives(void **state)
{
	struct world *w = *state;
	struct err err = ERR_INIT;
	AUTO_FREE char *socket_path = str_printf("%s/%s", w->dir, STATE_MONITOR_SOCK);
	AUTO_FD int listen_fd = -1;
	int status = -1;

	play.dir = w->dir;
	play.other = play_process();
	assert_int_equal(unix_listen(socket_path, &listen_fd, &err), 0);
	pid_t monitor = play_monitor(listen_fd);
	int rc = lifecycle_delete(w->root, "c", false, &err);

	bool lives = waitpid(play.other, NULL, WNOHANG) == 0;
	(void)kill(play.other, SIGKILL);
	if (lives)
		assert_int_equal(waitpid(play.other, NULL, 0), play.other);
	assert_int_equal(waitpid(monitor, &status, 0), monitor);
	assert_int_equal(rc, 0);
	assert_int_equal(status, 0);
	assert_true(lives);
	assert_int_equal(state_dir_exists(w->dir, &err), 0);
}

/* What runs in place of the monitor: 0 when it is on the list. */
static int play_spawned(int argc, char **argv)
{
	const char *dir = "";
	struct procid listed = {0}, own = {0};
	struct err err = ERR_INIT;
	struct stat st;

	for (int i = 1; i + 1 < argc; i++)
		if (strcmp(argv[i], "-state") == 0)
			dir = argv[i + 1];
	AUTO_FREE char *list = str_printf("%s/" RESOURCES_FILE, dir);

	if (!list || lstat(list, &st) || !S_ISREG(st.st_mode))
		return 1;
	return resources_find_process(dir, "monitor", &listed) || procid_of(getpid(), &own, &err) ||
	       listed.pid != own.pid || listed.start_ticks != own.start_ticks;
}

/* A pipe in place of the list holds up who adds to it, for as long as a program needs to start. */
static pid_t delay_list(const char *list)
{
	assert_int_equal(mkfifo(list, 0600), 0);
	pid_t helper = fork();

	assert_true(helper >= 0);
	if (helper)
		return helper;
	(void)usleep(300000);
	int fd = open(list, O_WRONLY);

	_exit(dprintf(fd, "{\"version\":1,\"resources\":[]}") < 0);
}

/* A starter that is killed right after the exec leaves nothing that delete does not find. */
static void test_monitor_is_listed_before_it_runs(void **state)
{
	struct world *w = *state;
	const struct monitor_args args = {
		.id = "c", .state_dir = w->dir, .namespace_ = "", .events = "", .address = ""};
	AUTO_FD int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	AUTO_FREE char *list = str_printf("%s/" RESOURCES_FILE, w->dir);
	struct err err = ERR_INIT;
	pid_t pid = -1;
	int status = 1;

	assert_non_null(list);
	const pid_t helper = delay_list(list);

	assert_int_equal(monitor_spawn(&args, null, null, NULL, 0, &pid, &err), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(waitpid(helper, &status, 0), helper);
	assert_int_equal(status, 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_lock, begin, end),
		cmocka_unit_test_setup_teardown(test_a_new_container_of_that_id_lives, begin, end),
		cmocka_unit_test_setup_teardown(test_monitor_is_listed_before_it_runs, begin, end),
	};

	if (argc > 1)
		return play_spawned(argc, argv);

	(void)signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests_name("lifecycle", tests, NULL, NULL);
}
